// Listen sockets and ports: who gets what arrives, who is let in, and what becomes of a port. Spec: 01 §1.1, §1.7.
import { expect } from 'chai';
import { EndReason } from '../../../src/core/connection/end-reason.ts';
import { StrayLimiter } from '../../../src/core/endpoint/endpoint.ts';
import type { Member } from '../../../src/core/endpoint/member.ts';
import { Bench, CraftedPeer, REPLY_NOW_BLOB } from '../../support/crafted-peer.ts';

const MS = 1_000;
const SECOND = 1_000_000;
const NEW_ID = 0x4444_5555;
const NOTHING = new Uint8Array(0);

/** A server with one connected client. */
function connected() {
  const bench = new Bench();
  const listener = bench.listen();
  const peer = new CraftedPeer(bench);
  expect(peer.connect()?.kind).to.equal('connectOk');
  const [member] = listener.members;
  return { bench, listener, peer, member: member as Member };
}

function kinds(peer: CraftedPeer): readonly string[] {
  return peer.takeControl().map(({ kind }) => kind);
}

describe('a listen socket', () => {
  it('tells its peers when it closes, and gives up its port when the last one is gone', () => {
    const { bench, listener, peer } = connected();
    peer.take();
    bench.endpoint.closeListener(listener, { reason: 1234, debug: 'closing time' }, false, bench.nowUs);
    bench.settle();
    const [notice] = peer.takeControl();
    expect(notice).to.include({ kind: 'connectionClosed', reason: 1234, debug: 'closing time' });
    expect(bench.releasedPorts).to.have.length(0);
    bench.advance(5 * SECOND);
    expect(bench.releasedPorts).to.deep.equal([listener.port]);
    expect(bench.endpoint.connectionCount).to.equal(0);
  });

  it('gives up its port at once if it has no connections', () => {
    const bench = new Bench();
    const listener = bench.listen();
    bench.endpoint.closeListener(listener, { reason: 0, debug: '' }, false, bench.nowUs);
    bench.settle();
    expect(bench.releasedPorts).to.deep.equal([listener.port]);
  });

  it('lets nobody in while it closes, and still tells a stranger that it knows of no connection', () => {
    const { bench, listener } = connected();
    bench.endpoint.closeListener(listener, { reason: 0, debug: '' }, false, bench.nowUs);
    const stranger = new CraftedPeer(bench, { address: { address: '127.0.0.1', port: 4_001 }, id: NEW_ID });
    expect(stranger.askChallenge()).to.equal(0n);
    stranger.send({ kind: 'connectionClosed', toConnectionId: 1, fromConnectionId: 2, reason: 0, debug: '' });
    expect(kinds(stranger)).to.deep.equal(['noConnection']);
  });

  it('ignores a new connection from the port of one that is alive', () => {
    const { bench, listener, peer, member } = connected();
    bench.advance(1900 * MS);
    peer.id = NEW_ID;
    expect(peer.askChallenge()).to.equal(0n);
    expect(member.connection.state).to.equal('Connected');
    expect(listener.members.size).to.equal(1);
  });

  it('takes a client that starts anew from the same port after two silent seconds, and ends the old connection', () => {
    const { bench, listener, peer, member } = connected();
    bench.advance(2001 * MS);
    peer.id = NEW_ID;
    expect(peer.connect()?.kind).to.equal('connectOk');
    expect(member.connection.state).to.equal('ClosedByPeer');
    expect(member.connection.info.endReason).to.equal(EndReason.Misc_PeerSentNoConnection);
    // The datagrams of the port belong to the new one from here on.
    const successor = [...listener.members].find((each) => each !== member)!;
    peer.take();
    peer.sendData(NOTHING, { blob: REPLY_NOW_BLOB, number: 2 });
    expect(peer.take()).to.have.length(1);
    expect(successor.connection.data.stats.sequencedReceived).to.equal(1);
    // Closing the old one does not disturb it: not a word is sent.
    bench.act(member, (connection, nowUs) => connection.close(0, '', false, nowUs));
    bench.advance(6 * SECOND);
    expect(kinds(peer)).to.deep.equal([]);
    expect(successor.connection.state).to.equal('Connected');
  });

  it('does not end a connection for a request that is not acceptable', () => {
    const { bench, peer, member } = connected();
    bench.advance(3 * SECOND);
    peer.id = NEW_ID;
    expect(peer.connect({ cert: undefined })).to.equal(undefined);
    expect(member.connection.state).to.equal('Connected');
  });

  it('frees id, identity and port of a client when its connection is gone', () => {
    const { bench, listener, peer, member } = connected();
    bench.act(member, (connection, nowUs) => connection.close(0, '', false, nowUs));
    bench.advance(5 * SECOND);
    expect(listener.members.size).to.equal(0);
    expect(peer.connect()?.kind).to.equal('connectOk');
  });

  it('passes a data packet for another connection on to the one of its sender, which answers that it has none', () => {
    const { bench, peer } = connected();
    const other = new CraftedPeer(bench, { address: { address: '127.0.0.1', port: 4_001 }, id: NEW_ID });
    expect(other.connect()?.kind).to.equal('connectOk');
    other.take();
    other.sendData(NOTHING, { to: peer.remoteId });
    const [reply] = other.takeControl();
    expect(reply).to.deep.equal({ kind: 'noConnection', fromConnectionId: peer.remoteId, toConnectionId: 0 });
    expect(peer.takeControl()).to.deep.equal([]);
  });
});

describe('a port of an outgoing connection', () => {
  const server = { address: '127.0.0.1', port: 28_901 };

  it('hears nobody but the peer', () => {
    const bench = new Bench();
    const { connection } = bench.connect(server);
    const closed = {
      kind: 'connectionClosed',
      toConnectionId: connection.id,
      fromConnectionId: 0,
      reason: 1000,
      debug: '',
    } as const;
    for (const address of [
      { ...server, port: 28_902 },
      { ...server, address: '127.0.0.2' },
    ]) {
      new CraftedPeer(bench, { address }).send(closed);
      expect(connection.state).to.equal('Connecting');
    }
    new CraftedPeer(bench, { address: server }).send(closed);
    expect(connection.state).to.equal('ClosedByPeer');
  });

  it('is given up when the connection is gone', () => {
    const bench = new Bench();
    const member = bench.connect(server);
    bench.act(member, (connection, nowUs) => connection.close(0, '', false, nowUs));
    bench.advance(4_999 * MS);
    expect(bench.releasedPorts).to.have.length(0);
    bench.advance(1 * MS);
    expect(bench.releasedPorts).to.deep.equal([member.connection.route.path.port]);
    expect(bench.endpoint.nextTimeoutUs()).to.equal(Number.POSITIVE_INFINITY);
  });
});

describe('connection ids', () => {
  it('are not 0 in either half, and unique in the lower one', () => {
    const bench = new Bench();
    const ids = Array.from(
      { length: 300 },
      (_, i) => bench.connect({ address: '127.0.0.1', port: 1 + i }).connection.id,
    );
    for (const id of ids) expect([id & 0xffff, id >>> 16]).to.not.include(0);
    expect(new Set(ids.map((id) => id & 0xffff)).size).to.equal(ids.length);
  });
});

describe('StrayLimiter', () => {
  it('allows one answer in 250 ms', () => {
    const limiter = new StrayLimiter();
    const answers = [0, 100, 249, 250, 499, 500, 2000].map((atMs) => limiter.mayAnswer(atMs * MS));
    expect(answers).to.deep.equal([true, false, false, true, false, true, true]);
  });
});

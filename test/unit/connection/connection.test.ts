// One connection against a crafted peer: how it ends, what it says then, and what an idle one says. Spec: 01 §1.10, 04.
import { expect } from 'chai';
import { EndReason } from '../../../src/core/connection/end-reason.ts';
import type { Member } from '../../../src/core/endpoint/member.ts';
import { decodeControlPacket } from '../../../src/core/wire/control-packets.ts';
import { Bench, CraftedPeer, REPLY_NOW_BLOB } from '../../support/crafted-peer.ts';
import { hex } from '../../support/hex.ts';

const MS = 1_000;
const SECOND = 1_000_000;
const SERVER = { address: '127.0.0.1', port: 28_901 };
const NOTHING = new Uint8Array(0);
const HELLO = Uint8Array.of(104, 105);

function connected() {
  const bench = new Bench();
  const listener = bench.listen();
  const peer = new CraftedPeer(bench);
  expect(peer.connect()?.kind).to.equal('connectOk');
  peer.take();
  const [member] = listener.members;
  return { bench, peer, member: member as Member, connection: member!.connection };
}

function send(bench: Bench, member: Member, isReliable: boolean): unknown {
  return bench.act(member, (connection, nowUs) =>
    connection.send(HELLO, { isReliable, noNagle: true, noDelay: false, lane: 0, freshness: undefined }, nowUs),
  );
}

function close(bench: Bench, member: Member, linger: boolean): boolean {
  return bench.act(member, (connection, nowUs) => connection.close(1001, 'bye', linger, nowUs));
}

/** An ack frame for all packets up to `latest`, without a delay. */
function ack(latest: number): Uint8Array {
  return hex('98', latest.toString(16).padStart(2, '0'), '00 ffff');
}

/** When, in ms after `sinceUs`, a kind of control packet was sent to the peer. */
function sentAtMs(bench: Bench, kind: string, sinceUs: number): readonly number[] {
  const datagrams = bench.sent.filter(({ bytes }) => decodeControlPacket(bytes, bytes.length)?.kind === kind);
  return datagrams.map(({ atUs }) => (atUs - sinceUs) / MS).filter((atMs) => atMs >= 0);
}

describe('a client that connects', () => {
  it('asks every half second, and gives up after ten seconds', () => {
    const bench = new Bench();
    const startUs = bench.nowUs;
    const { connection } = bench.connect(SERVER);
    bench.advance(9_999 * MS);
    expect(sentAtMs(bench, 'challengeRequest', startUs)).to.deep.equal(Array.from({ length: 20 }, (_, i) => i * 500));
    expect(connection.state).to.equal('Connecting');
    bench.advance(1 * MS);
    expect(connection.state).to.equal('ProblemDetectedLocally');
    expect(connection.info.endReason).to.equal(EndReason.Misc_Timeout);
  });

  it('keeps messages until it is connected, except those that must not wait', () => {
    const bench = new Bench();
    const member = bench.connect(SERVER);
    expect(send(bench, member, true)).to.equal(1);
    const noDelay = bench.act(member, (connection, nowUs) =>
      connection.send(HELLO, { isReliable: false, noNagle: true, noDelay: true, lane: 0, freshness: undefined }, nowUs),
    );
    expect(noDelay).to.equal('notConnected');
    expect(bench.act(member, (connection, nowUs) => connection.flush(nowUs))).to.equal('notConnected');
  });
});

describe('a server whose application does not decide', () => {
  it('says nothing, and gives up after ten seconds', () => {
    const bench = new Bench();
    bench.onEvent = () => {};
    const listener = bench.listen();
    const peer = new CraftedPeer(bench);
    expect(peer.connect()).to.equal(undefined);
    bench.advance(9_600 * MS);
    expect(peer.takeControl()).to.deep.equal([]);
    bench.advance(200 * MS);
    const [member] = listener.members;
    expect(member!.connection.info.endReason).to.equal(EndReason.Misc_Timeout);
    expect(peer.takeControl()[0]).to.include({ kind: 'connectionClosed', reason: EndReason.Misc_Timeout });
  });
});

describe('a connection that is closed', () => {
  it('tells the peer until that knows', () => {
    const { bench, peer, member } = connected();
    const closedAtUs = bench.nowUs;
    expect(close(bench, member, false)).to.equal(true);
    bench.advance(700 * MS);
    expect(sentAtMs(bench, 'connectionClosed', closedAtUs)).to.deep.equal([0, 200, 600]);
    peer.send({ kind: 'noConnection', toConnectionId: peer.remoteId, fromConnectionId: peer.id });
    bench.advance(5 * SECOND);
    expect(sentAtMs(bench, 'connectionClosed', closedAtUs)).to.have.length(3);
  });

  it('reports once that the peer knows', () => {
    const { bench, peer, member } = connected();
    close(bench, member, false);
    const confirmed = () => bench.events.filter(({ kind }) => kind === 'closeConfirmed').length;
    expect(confirmed()).to.equal(0);
    for (let i = 0; i < 2; i++)
      peer.send({ kind: 'noConnection', toConnectionId: peer.remoteId, fromConnectionId: peer.id });
    expect(confirmed()).to.equal(1);
  });

  it('answers late packets for five seconds, then it is gone', () => {
    const { bench, peer, member, connection } = connected();
    close(bench, member, false);
    bench.advance(4_900 * MS);
    peer.take();
    peer.sendData(NOTHING);
    expect(peer.takeControl()[0]).to.include({ kind: 'connectionClosed', reason: 1001, debug: 'bye' });
    bench.advance(100 * MS);
    expect(connection.state).to.equal('Dead');
    peer.sendData(NOTHING);
    expect(peer.take()).to.deep.equal([]);
  });

  it('cannot be used again', () => {
    const { bench, member } = connected();
    close(bench, member, false);
    expect(close(bench, member, false)).to.equal(false);
    expect(send(bench, member, true)).to.equal('closed');
    expect(bench.act(member, (connection, nowUs) => connection.flush(nowUs))).to.equal('closed');
  });

  it('keeps its unread messages while it is the peer that closed, until the application does', () => {
    const { bench, peer, member, connection } = connected();
    peer.sendData(hex('27 0100 61'));
    peer.send({
      kind: 'connectionClosed',
      toConnectionId: peer.remoteId,
      fromConnectionId: peer.id,
      reason: 7,
      debug: '',
    });
    expect(connection.state).to.equal('ClosedByPeer');
    expect(send(bench, member, true)).to.equal('ended');
    expect(connection.data.delivery.receiver.queuedMessages).to.equal(1);
    close(bench, member, false);
    expect(connection.receive(bench.nowUs)).to.equal(undefined);
    expect(connection.info.endReason).to.equal(7);
  });
});

describe('a connection that lingers', () => {
  it('closes when the last reliable byte is acknowledged', () => {
    const { bench, peer, member, connection } = connected();
    send(bench, member, true);
    close(bench, member, true);
    expect(connection.state).to.equal('Linger');
    bench.advance(20 * MS);
    expect(peer.takeControl()).to.deep.equal([]);
    peer.sendData(ack(2));
    expect(connection.state).to.equal('FinWait');
    expect(peer.takeControl()[0]).to.include({ kind: 'connectionClosed', reason: 1001 });
  });

  it('closes at once if nothing reliable is under way', () => {
    const { bench, member, connection } = connected();
    send(bench, member, false);
    close(bench, member, true);
    expect(connection.state).to.equal('FinWait');
  });

  it('acknowledges reliable data that nobody will read, and denies unreliable data', () => {
    const { bench, peer, member, connection } = connected();
    send(bench, member, true);
    close(bench, member, true);
    peer.sendData(hex('50 010000000000 02 01 61'));
    peer.sendData(hex('27 0100 61'));
    peer.sendData(NOTHING, { blob: REPLY_NOW_BLOB });
    expect(connection.data.delivery.receiver.queuedMessages).to.equal(0);
    expect(connection.data.delivery.acks.latest).to.equal(4);
    expect(connection.data.delivery.acks.gapCount).to.equal(1);
  });

  it('keeps its own reason when the peer closes too', () => {
    const { bench, peer, member, connection } = connected();
    send(bench, member, true);
    close(bench, member, true);
    peer.take();
    peer.send({
      kind: 'connectionClosed',
      toConnectionId: peer.remoteId,
      fromConnectionId: peer.id,
      reason: 7,
      debug: '',
    });
    expect(connection.state).to.equal('FinWait');
    expect(connection.info.endReason).to.equal(1001);
    expect(peer.takeControl()[0]?.kind).to.equal('noConnection');
  });
});

describe('a connection whose peer is silent', () => {
  it('asks after ten seconds, ever more often, and gives up ten seconds after the first unanswered packet', () => {
    const { bench, member, connection } = connected();
    const startUs = bench.nowUs;
    send(bench, member, true);
    for (let i = 0; connection.state === 'Connected' && i < 3_000; i++) bench.advance(10 * MS);
    expect(connection.info.endReason).to.equal(EndReason.Misc_Timeout);
    expect((bench.nowUs - startUs) / SECOND).to.be.within(10.4, 11.6);
  });

  it('is not heard of by data that is not genuine', () => {
    const { bench, peer, member, connection } = connected();
    send(bench, member, true);
    for (let i = 0; connection.state === 'Connected' && i < 150; i++) {
      bench.advance(100 * MS);
      peer.sendData(NOTHING, { isCorrupt: true });
    }
    expect(connection.info.endReason).to.equal(EndReason.Misc_Timeout);
  });

  it('lives as long as the peer answers the questions', () => {
    const { bench, peer, connection } = connected();
    const asked: number[] = [];
    for (let i = 0; i < 400; i++) {
      bench.advance(100 * MS);
      for (const { blob } of peer.takeData()) {
        if (blob === undefined) continue;
        asked.push(blob.flags);
        peer.sendData(ack(connection.data.delivery.nextPacketNumber - 1));
      }
    }
    expect(connection.state).to.equal('Connected');
    expect(asked.length).to.be.within(3, 5);
    expect(new Set(asked)).to.deep.equal(new Set([2]));
  });
});

describe('an idle connection', () => {
  it('wakes up for its keepalive only, and ends an interval of its statistics when somebody looks', () => {
    const { bench, connection } = connected();
    const startUs = bench.nowUs;
    expect(bench.endpoint.nextTimeoutUs()).to.equal(startUs + 10 * SECOND);
    bench.advance(8 * SECOND);
    const { stats } = connection.data;
    expect(stats.intervalEndUs()).to.equal(startUs + 5 * SECOND);
    connection.data.settleStats(bench.nowUs);
    expect(stats.intervalEndUs()).to.equal(startUs + 13 * SECOND);
  });
});

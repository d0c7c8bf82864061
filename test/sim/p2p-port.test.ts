// One UDP port for everything: a listen socket, P2P connections, STUN and TURN.

import { expect } from 'chai';
import { type Connection, Networking, NetworkingError, type NetworkingOptions } from '../../src/index.ts';
import { TurnServer } from '../../src/netsim/turn-server.ts';
import { LocalSignaling, natKinds, nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';
import { SEED } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;
const PORT = 27_015;
const STUN = '198.51.100.1';
const REACHABLE = { reason: 1000, debug: 'enough' };

/** Bob, who listens on one port for all, is behind a router that lets in whoever knows the mapping. */
class Stage {
  readonly network = new SimulatedNetwork({ seed: SEED, crypto: nodeCrypto, conditions: { delayUs: 10 * MS } });
  readonly signaling = new LocalSignaling({ delayUs: 20 * MS });
  readonly stun = new TurnServer(this.network.host('stun', { addresses: [STUN] }).platform, {
    address: STUN,
    credentials: { username: 'user', password: 'secret' },
  });
  readonly router = this.network.nat('router', natKinds.fullCone);
  readonly bobHost = this.network.host('bob', { behind: this.router, addresses: ['192.168.0.2'] });
  readonly bob = this.make(this.bobHost, 'bob');
  readonly alice = this.make(this.network.host('alice', { addresses: ['198.51.100.2'] }), 'alice');
  readonly carol = this.make(this.network.host('carol', { addresses: ['198.51.100.3'] }), 'carol');
  readonly incoming: Connection[] = [];

  make({ platform }: SimulatedHost, name: string): Networking {
    const identity = `str:${name}`;
    const options: NetworkingOptions = { platform, identity, signaling: this.signaling.join(identity, platform) };
    return new Networking({ ...options, config: { p2pStunServerList: `${STUN}:3478` } });
  }

  runUntil(predicate: () => boolean): void {
    expect(this.network.runUntil(predicate, 20 * SECOND), `${predicate}`).to.equal(true);
  }
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof NetworkingError) return error.code;
    throw error;
  }
  return 'none';
}

function textsOf(connection: Connection): string[] {
  return connection.receiveMessages().map(({ data }) => new TextDecoder().decode(data));
}

describe('a listen socket with p2p', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });

  it('has one mapping in the router: those who call by signal and those who call the address meet there', () => {
    const { bob, alice, carol, network, incoming } = stage;
    const direct = bob.listen({ port: PORT, autoAccept: true, p2p: true });
    const byName = bob.listenP2P({ virtualPort: 7, autoAccept: true });
    for (const socket of [direct, byName]) socket.on('connection', ({ connection }) => incoming.push(connection));
    expect(stage.bobHost.openPorts).to.equal(1);

    const first = alice.openP2P('str:bob', 7);
    stage.runUntil(() => first.state === 'Connected' && incoming[0]?.state === 'Connected');
    const second = carol.open(`${first.remoteAddress}`);
    stage.runUntil(() => second.state === 'Connected' && incoming[1]?.state === 'Connected');
    expect(`${second.remoteAddress}`).to.equal(`${first.remoteAddress}`);

    first.send('from alice');
    second.send('from carol');
    for (const connection of incoming) connection.send(`to ${connection.remoteIdentity}`);
    network.run(SECOND);
    expect(incoming.map(textsOf)).to.deep.equal([['from alice'], ['from carol']]);
    expect([first, second].map(textsOf)).to.deep.equal([['to str:alice'], ['to str:carol']]);
  });

  it('leaves the port to P2P connections when it is closed, and they to it', async () => {
    const { bob, alice, network, incoming, bobHost } = stage;
    const direct = bob.listen({ port: PORT, p2p: true });
    const byName = bob.listenP2P({ virtualPort: 7, autoAccept: true });
    byName.on('connection', ({ connection }) => incoming.push(connection));
    const first = alice.openP2P('str:bob', 7);
    stage.runUntil(() => first.state === 'Connected' && incoming[0]?.state === 'Connected');

    await network.settle(direct.close(), SECOND);
    first.send('still there');
    network.run(SECOND);
    expect(textsOf(incoming[0]!)).to.deep.equal(['still there']);

    void first.close(REACHABLE);
    await network.settle(byName.close(), 20 * SECOND);
    network.run(20 * SECOND);
    void incoming[0]!.close();
    network.run(20 * SECOND);
    expect(bobHost.openPorts).to.equal(0);
  });

  it('keeps its port when the last P2P connection is gone, and has it ready for the next', async () => {
    const { bob, alice, network, bobHost } = stage;
    const direct = bob.listen({ port: PORT, p2p: true });
    for (let round = 0; round < 2; round++) {
      const byName = bob.listenP2P({ virtualPort: 7, autoAccept: true });
      const connection = alice.openP2P('str:bob', 7);
      stage.runUntil(() => connection.state === 'Connected');
      expect(bobHost.openPorts).to.equal(1);
      void connection.close(REACHABLE);
      network.run(SECOND);
      await network.settle(byName.close(), 20 * SECOND);
      network.run(20 * SECOND);
    }
    expect(bobHost.openPorts).to.equal(1);
    await network.settle(direct.close(), SECOND);
    expect(bobHost.openPorts).to.equal(0);
  });

  it('is refused while P2P connections have a port, or another listen socket is theirs', () => {
    const { bob, alice, bobHost } = stage;
    bob.listenP2P({ virtualPort: 7 });
    expect(codeOf(() => bob.listen({ port: PORT, p2p: true }))).to.equal('InvalidState');
    expect(bobHost.openPorts).to.equal(1);
    alice.listen({ port: PORT, p2p: true });
    expect(codeOf(() => alice.listen({ port: PORT + 1, p2p: true }))).to.equal('InvalidState');
    expect(codeOf(() => alice.listen({ port: PORT + 1, p2p: true, reusePort: true }))).to.equal('InvalidParam');
  });
});

describe('the servers that connections name', () => {
  it('are asked while something names them, and not for ever', async () => {
    const { alice, network, stun } = new Stage();
    const asked = new Set<string>();
    network.tap(({ to }) => {
      if (to.port === 3478) asked.add(to.address.replace('::ffff:', ''));
    });
    const config = { p2pStunServerList: '198.51.100.99:3478', timeoutInitial: 500 };
    const connection = alice.openP2P('str:nobody', 7, { config });
    network.run(2 * SECOND);
    expect([...asked]).to.have.members(['198.51.100.99', stun.address.address]);
    await network.settle(connection.close(), 10 * SECOND);
    network.run(10 * SECOND);
    alice.listenP2P({ virtualPort: 8 });
    asked.clear();
    alice.openP2P('str:nobody', 7);
    network.run(2 * SECOND);
    expect([...asked]).to.deep.equal([stun.address.address]);
  });
});

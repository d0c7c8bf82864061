// P2P connections with the real library, in both roles: the test carries the signals between the two. Loopback addresses
// are none that GNS would offer, so this needs a machine, or a network namespace, with another address.

import { networkInterfaces } from 'node:os';
import { expect } from 'chai';
import { type Parameters, PeerProcess } from '../support/peer-process.ts';
import { ConnectionEnd, describeInterop, isOurs, type Roles } from './pair.ts';
import { carrySignals } from './signals.ts';

const HAS_NETWORK = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ internal, address }) => !internal && !address.startsWith('fe80:')),
);
const VIRTUAL_PORT = 5;
const CONNECT_MS = 10_000;

/** Two peers that hand each other's signals over. */
class P2PPair implements AsyncDisposable {
  readonly listener: PeerProcess;
  readonly connector: PeerProcess;

  private constructor({ listener, connector }: Roles) {
    this.listener = new PeerProcess(listener);
    this.connector = new PeerProcess(connector);
  }

  static async start(roles: Roles, config: Parameters = {}, autoAccept = true): Promise<P2PPair> {
    const pair = new P2PPair(roles);
    for (const role of ['listener', 'connector'] as const) {
      await pair[role].ask('identity', { str: role });
      await pair[role].ask('init', config);
      if (autoAccept) await pair[role].ask('autoaccept on');
    }
    carrySignals(pair.listener, pair.connector);
    return pair;
  }

  get connectorEnd(): ConnectionEnd {
    return new ConnectionEnd(this.connector, 'C');
  }
  get listenerEnd(): ConnectionEnd {
    return new ConnectionEnd(this.listener, 'L.1');
  }

  async connect(config: Parameters = {}): Promise<void> {
    await this.listener.ask('listenp2p', { id: 'L', vport: VIRTUAL_PORT, ...config });
    await this.connector.ask('connectp2p', { id: 'C', identity: 'str:listener', vport: VIRTUAL_PORT, ...config });
  }

  async establish(): Promise<this> {
    await this.connect();
    await Promise.all([
      this.connectorEnd.state('Connected', CONNECT_MS),
      this.listenerEnd.state('Connected', CONNECT_MS),
    ]);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.listener[Symbol.asyncDispose](), this.connector[Symbol.asyncDispose]()]);
  }
}

describeInterop('P2P connections', (roles) => {
  before(function () {
    if (!HAS_NETWORK) this.skip();
  });

  it('find their way, with the states and identities that both sides expect', async () => {
    await using pair = await P2PPair.start(roles);
    await pair.establish();
    expect(pair.connectorEnd.story).to.deep.equal(['Connecting', 'FindingRoute', 'Connected']);
    expect(pair.listenerEnd.story).to.deep.equal(['Connecting', 'FindingRoute', 'Connected']);
    expect(pair.connectorEnd.states.at(-1)!.identity).to.equal('str:listener');
    expect(pair.listenerEnd.states.at(-1)!.identity).to.equal('str:connector');
  });

  it('go over IPv6 where only that may be offered', async () => {
    // Host addresses of IPv6 count as public.
    await using pair = await P2PPair.start(roles, { P2P_Transport_ICE_Enable: 4 });
    await pair.establish();
    expect(pair.connectorEnd.states.at(-1)!.addr).to.match(/^\[/);
  });

  it('carry messages on several lanes, both ways', async () => {
    await using pair = await P2PPair.start(roles);
    await pair.establish();
    for (const [from, to] of [
      [pair.connectorEnd, pair.listenerEnd],
      [pair.listenerEnd, pair.connectorEnd],
    ] as const) {
      await from.ask('lanes', { n: 3 });
      for (const lane of [0, 1, 2]) await from.ask('send', { lane, flags: 'reliable', size: 5_000 + lane });
      const messages = await to.untilMessages(3);
      expect(messages.map(({ lane, size }) => [lane, size]).sort()).to.deep.equal([
        [0, 5_000],
        [1, 5_001],
        [2, 5_002],
      ]);
    }
  });

  for (const closer of ['connector', 'listener'] as const) {
    const ends = (pair: P2PPair) => {
      const { connectorEnd, listenerEnd } = pair;
      return closer === 'connector' ? ([connectorEnd, listenerEnd] as const) : ([listenerEnd, connectorEnd] as const);
    };

    it(`end with reason and text when the ${closer} closes`, async () => {
      await using pair = await P2PPair.start(roles);
      await pair.establish();
      const [one, other] = ends(pair);
      await one.ask('close', { reason: 1234, debug: 'enough' });
      // GNS tells only when it hears something; ours tells at once.
      await other.ask('send', { text: 'are you there?' }).catch(() => {});
      const end = await other.state('ClosedByPeer', 10_000);
      expect([end.reason, end.debug]).to.deep.equal([1234, 'enough']);
    });

    it(`deliver what is left when the ${closer} closes with linger`, async () => {
      await using pair = await P2PPair.start(roles);
      await pair.establish();
      const [one, other] = ends(pair);
      await one.ask('send', { flags: 'reliable', size: 20_000, count: 10 });
      await one.ask('close', { reason: 1001, debug: 'done', linger: 1 });
      await other.untilMessages(10, 10_000);
      await other.state('ClosedByPeer', 20_000);
    });
  }

  it('become one when both sides connect to each other in symmetric mode', async () => {
    await using pair = await P2PPair.start(roles);
    const options = { vport: 9, SymmetricConnect: 1 };
    await Promise.all([
      pair.listener.ask('connectp2p', { id: 'S', identity: 'str:connector', ...options }),
      pair.connector.ask('connectp2p', { id: 'C', identity: 'str:listener', ...options }),
    ]);
    const [one, other] = [new ConnectionEnd(pair.listener, 'S'), pair.connectorEnd];
    await Promise.all([one.state('Connected', CONNECT_MS), other.state('Connected', CONNECT_MS)]);
    await one.ask('send', { text: 'hello' });
    await other.untilMessages(1);
  });

  it('tell the caller when it is turned away', async () => {
    await using pair = await P2PPair.start(roles, {}, false);
    await pair.connect();
    await pair.listenerEnd.state('Connecting');
    await pair.listenerEnd.ask('close', { reason: 1500, debug: 'full' });
    const end = await pair.connectorEnd.state('ClosedByPeer');
    expect([end.reason, end.debug]).to.deep.equal([1500, 'full']);
  });

  it('end with 5003 when nobody is there', async () => {
    await using pair = await P2PPair.start(roles, { TimeoutInitial: 1_000 });
    const command = { id: 'C', identity: 'str:nobody', vport: VIRTUAL_PORT };
    const peer = isOurs(roles.listener) ? pair.listener : pair.connector;
    await peer.ask('connectp2p', command);
    const end = await new ConnectionEnd(peer, 'C').state('ProblemDetectedLocally');
    expect(end.reason).to.equal(5003);
  });
});

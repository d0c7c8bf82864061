// Agents that look for a way to each other, over simulated networks, with and without STUN and TURN servers.
import { expect } from 'chai';
import { SimulatedNetwork } from '../../src/netsim/network.ts';
import { TurnServer, type TurnServerOptions } from '../../src/netsim/turn-server.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { IceHost, join, type Session, type SessionOptions, type Side } from '../support/ice-host.ts';
import { itSeeded, SEED } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000_000;
const CREDENTIALS = { username: 'user', password: 'secret' };

interface Stage {
  readonly network: SimulatedNetwork;
  readonly session: Session;
  readonly turn: TurnServer;
  cutDirect(): void;
  healDirect(): void;
}

interface StageOptions extends Partial<Omit<SessionOptions, 'later'>> {
  readonly turnOptions?: Partial<TurnServerOptions>;
  readonly usesTurn?: boolean;
  /** The TURN server that is configured sends everybody to another one. */
  readonly usesAlternate?: boolean;
  readonly oneWayUs?: number;
  readonly lossRatio?: number;
  readonly isDirectCut?: boolean;
  readonly signalUs?: number;
}

function stageOf(options: StageOptions = {}): Stage {
  const { oneWayUs = 20 * MS, lossRatio = 0, signalUs = 50 * MS, usesTurn = true } = options;
  const network = new SimulatedNetwork({
    seed: SEED,
    crypto: nodeCrypto,
    conditions: { delayUs: oneWayUs, lossRatio },
  });
  const machines = {
    client: network.host('client', { addresses: ['10.1.0.2', 'fd00:1::2'] }),
    server: network.host('server', { addresses: ['10.2.0.2', 'fd00:2::2'] }),
    turn: network.host('turn', { addresses: ['10.9.0.1'] }),
  };
  const own = { address: '10.9.0.1', credentials: CREDENTIALS };
  const alternate = { address: '10.9.0.1', port: 3479 };
  if (options.usesAlternate) new TurnServer(machines.turn.platform, { ...own, ...alternate });
  const redirection = options.usesAlternate ? { alternate } : {};
  const turn = new TurnServer(machines.turn.platform, { ...own, ...redirection, ...options.turnOptions });
  const servers = usesTurn
    ? { stun: [turn.address], turn: [{ address: turn.address, ...CREDENTIALS }] }
    : { stun: [turn.address] };
  if (options.isDirectCut) network.partition(machines.client, machines.server);
  const hosts = [machines.client, machines.server].map(
    ({ platform, addresses }) =>
      new IceHost(platform, { addresses: addresses.map((address) => ({ address })), ...servers }),
  );
  const later = (task: () => void) => {
    network.clock.schedule(network.nowUs + signalUs, task);
  };
  const session = join(hosts[0]!, hosts[1]!, { ...options, later });
  return {
    network,
    session,
    turn,
    cutDirect: () => network.partition(machines.client, machines.server),
    healDirect: () => network.heal(machines.client, machines.server),
  };
}

function kinds({ events }: Side): string[] {
  return events.filter(({ kind }) => kind !== 'localCandidate').map(({ kind }) => kind);
}

function isConnected({ client, server }: Session): boolean {
  return client.agent.selectedRoute !== undefined && server.agent.selectedRoute !== undefined;
}

/** Sends a datagram every 20 ms both ways, as a game does; returns the longest time that each side heard nothing. */
function play({ network, session }: Stage, durationUs: number): { client: number; server: number } {
  const longest = { client: 0, server: 0 };
  const heardAtUs = { client: network.nowUs, server: network.nowUs };
  const endUs = network.nowUs + durationUs;
  while (network.nowUs < endUs) {
    for (const side of ['client', 'server'] as const) {
      const { host, agent } = session[side];
      for (const { from, relay } of host.received.splice(0)) {
        heardAtUs[side] = network.nowUs;
        agent.noteDataReceived(from, relay, host.platform.nowUs());
      }
      longest[side] = Math.max(longest[side], network.nowUs - heardAtUs[side]);
      if (agent.selectedRoute !== undefined) host.sendOn(agent.selectedRoute, DATA);
      host.settle();
    }
    network.run(20 * MS);
  }
  return longest;
}
const DATA = Uint8Array.of(0x80, 1, 2, 3, 4, 5);

function routeKinds({ client, server }: Session): (string | undefined)[] {
  return [client.agent.selectedRoute?.kind, server.agent.selectedRoute?.kind];
}

describe('two ICE agents', () => {
  itSeeded('find a direct path within one trip of signals and three of the path', () => {
    const { network, session } = stageOf({ usesTurn: false });
    const startUs = network.nowUs;
    expect(network.runUntil(() => isConnected(session), 10 * SECOND)).to.equal(true);
    expect(network.nowUs - startUs).to.be.at.most(50 * MS + 4 * 20 * MS);
    expect(routeKinds(session)).to.deep.equal(['host', 'host']);
  });

  itSeeded('find a direct path when a third of the datagrams is lost', () => {
    const { network, session } = stageOf({ lossRatio: 0.33 });
    expect(network.runUntil(() => isConnected(session), 10 * SECOND)).to.equal(true);
  });

  itSeeded('find each other by one relay, on the side that has a TURN server', () => {
    const { network, session, turn } = stageOf({ isDirectCut: true });
    expect(network.runUntil(() => isConnected(session), 5 * SECOND)).to.equal(true);
    expect(routeKinds(session)).to.deep.equal(['relay', 'relay']);
    expect(turn.allocations).to.equal(2);
  });

  itSeeded('carry data both ways by a relay, at last with four bytes of overhead', () => {
    const stage = stageOf({ isDirectCut: true });
    const { network, session, turn } = stage;
    network.runUntil(() => isConnected(session), 5 * SECOND);
    const { client, server } = play(stage, 2 * SECOND);
    expect(Math.max(client, server)).to.be.below(200 * MS);
    expect(turn.counts.channelData).to.be.above(20);
  });

  itSeeded('use a relay on both sides where nothing may go straight, and tell no other address', () => {
    const relayOnly = { relay: true, privateHost: false, publicHost: false };
    const { network, session } = stageOf({ allowed: { client: relayOnly, server: relayOnly } });
    expect(network.runUntil(() => isConnected(session), 5 * SECOND)).to.equal(true);
    expect(
      [...session.client.signaled, ...session.server.signaled].filter((text) => !text.endsWith('relay')),
    ).to.deep.equal([]);
    expect(session.client.agent.checkTable().every(({ relayServer }) => relayServer !== undefined)).to.equal(true);
  });

  itSeeded('move to the relay within two seconds when the direct path dies during a game', () => {
    const stage = stageOf();
    const { network, session } = stage;
    network.runUntil(() => isConnected(session), 5 * SECOND);
    play(stage, 3 * SECOND);
    expect(routeKinds(session)).to.deep.equal(['host', 'host']);
    stage.cutDirect();
    const { client, server } = play(stage, 4 * SECOND);
    expect(routeKinds(session)).to.deep.equal(['relay', 'relay']);
    expect(Math.max(client, server)).to.be.below(2 * SECOND);
    expect(kinds(session.client)).to.not.include('routeLost');
  });

  itSeeded('move back when the direct path is there again', () => {
    const stage = stageOf();
    const { network, session } = stage;
    network.runUntil(() => isConnected(session), 5 * SECOND);
    play(stage, SECOND);
    stage.cutDirect();
    play(stage, 4 * SECOND);
    stage.healDirect();
    const { client, server } = play(stage, 12 * SECOND);
    expect(routeKinds(session)).to.deep.equal(['host', 'host']);
    expect(Math.max(client, server)).to.be.below(200 * MS);
  });

  itSeeded('say that the route is lost when the peer is silent and no other way works', () => {
    const stage = stageOf({ usesTurn: false });
    const { network, session } = stage;
    network.runUntil(() => isConnected(session), 5 * SECOND);
    play(stage, SECOND);
    stage.cutDirect();
    const cutAtUs = network.nowUs;
    const isLost = () => kinds(session.client).includes('routeLost') && kinds(session.server).includes('routeLost');
    expect(network.runUntil(isLost, 20 * SECOND)).to.equal(true);
    expect(network.nowUs - cutAtUs).to.be.within(1 * SECOND, 6 * SECOND);
    expect(session.client.agent.selectedRoute).to.equal(undefined);
    stage.healDirect();
    expect(network.runUntil(() => isConnected(session), 10 * SECOND)).to.equal(true);
  });

  itSeeded('keep a path that loses a third of all datagrams', () => {
    const stage = stageOf({ lossRatio: 0.33, usesTurn: false });
    const { network, session } = stage;
    network.runUntil(() => isConnected(session), 10 * SECOND);
    play(stage, 60 * SECOND);
    expect(kinds(session.client)).to.not.include('routeLost');
  });

  itSeeded('send little while they are idle', () => {
    const { network, session } = stageOf();
    network.runUntil(() => isConnected(session), 5 * SECOND);
    network.run(60 * SECOND);
    const before = session.client.host.sentDatagrams;
    network.run(60 * SECOND);
    expect(session.client.host.sentDatagrams - before).to.be.below(150);
    expect(kinds(session.client)).to.not.include('routeLost');
  });

  for (const controls of [true, false]) {
    itSeeded(`agree on who controls when both ${controls ? 'want to' : 'do not'}`, () => {
      const { network, session } = stageOf({ roles: { client: controls, server: controls } });
      expect(network.runUntil(() => isConnected(session), 5 * SECOND)).to.equal(true);
      expect(session.client.agent.isControlling).to.not.equal(session.server.agent.isControlling);
    });
  }

  itSeeded('find a path by peer-reflexive candidates when one side tells none', () => {
    const isSwallowed = (text: string) => text.includes('10.1.0.2') || text.includes('fd00:1:');
    const { network, session } = stageOf({ usesTurn: false, isSwallowed });
    expect(network.runUntil(() => isConnected(session), 5 * SECOND)).to.equal(true);
    const remotes = session.server.agent.candidateTable().filter(({ side }) => side === 'remote');
    expect(remotes.map(({ type }) => type)).to.include('prflx');
  });

  itSeeded('fail where nothing works, and say so', () => {
    const { network, session } = stageOf({ usesTurn: false, isDirectCut: true });
    network.run(10 * SECOND);
    expect(kinds(session.client)).to.deep.equal(['failed']);
  });

  itSeeded('keep permissions and channels for twenty minutes, and get along with stale nonces', () => {
    const stage = stageOf({ isDirectCut: true, turnOptions: { nonceUs: 60 * SECOND } });
    const { network, session } = stage;
    network.runUntil(() => isConnected(session), 5 * SECOND);
    network.run(1200 * SECOND);
    const { client, server } = play(stage, 2 * SECOND);
    expect(Math.max(client, server)).to.be.below(200 * MS);
    expect(kinds(session.client)).to.not.include('routeLost');
  });

  itSeeded('get a new relay when the server has forgotten them', () => {
    const stage = stageOf({ isDirectCut: true });
    const { network, session, turn } = stage;
    network.runUntil(() => isConnected(session), 5 * SECOND);
    play(stage, SECOND);
    turn.forgetAll();
    play(stage, 10 * SECOND);
    const { client, server } = play(stage, SECOND);
    expect(Math.max(client, server)).to.be.below(200 * MS);
  });

  itSeeded('follow a server that sends them to another one', () => {
    const { network, session } = stageOf({ isDirectCut: true, usesAlternate: true });
    expect(network.runUntil(() => isConnected(session), 5 * SECOND)).to.equal(true);
    expect(session.client.agent.selectedRoute!.relay?.server.port ?? 3479).to.equal(3479);
  });

  itSeeded('do not follow a server that sends them to an address of another kind, or in circles', () => {
    for (const alternate of [
      { address: '8.8.8.8', port: 3478 },
      { address: '10.9.0.1', port: 3478 },
    ]) {
      const { network, session, turn } = stageOf({ isDirectCut: true, turnOptions: { alternate } });
      network.run(10 * SECOND);
      expect(isConnected(session)).to.equal(false);
      expect(turn.counts.allocate).to.be.below(8);
    }
  });

  itSeeded('do not try a wrong password again and again', () => {
    const wrong = { credentials: { username: 'user', password: 'other' } };
    const { network, session, turn } = stageOf({ turnOptions: wrong });
    network.run(60 * SECOND);
    expect(turn.allocations).to.equal(0);
    expect(session.client.signaled.some((text) => text.endsWith('relay'))).to.equal(false);
    expect(session.client.host.ice.relays[0]!.state).to.be.oneOf(['failed', 'allocating']);
  });

  itSeeded('fail where the TURN server forbids the peer', () => {
    const turnOptions = { forbiddenHosts: ['10.1.0.2', '10.2.0.2', '10.9.0.1'] };
    const { network, session, turn } = stageOf({ isDirectCut: true, turnOptions });
    network.run(30 * SECOND);
    expect(kinds(session.client)).to.deep.equal(['failed']);
    expect(turn.counts.sends).to.equal(0);
  });

  itSeeded('notice an address that comes later', () => {
    const { network, session } = stageOf({ usesTurn: false, isDirectCut: true });
    network.run(SECOND);
    const { host, agent, signaled } = session.client;
    host.ice.setLocalAddresses([{ address: '10.1.0.2' }, { address: '10.1.0.99' }], host.platform.nowUs());
    host.settle();
    expect(signaled.some((text) => text.includes('10.1.0.99'))).to.equal(true);
    expect(agent.candidateTable().filter(({ side }) => side === 'local')).to.have.length(2);
  });

  itSeeded('leave nothing behind when they are closed', () => {
    const { network, session, turn } = stageOf({ isDirectCut: true });
    network.runUntil(() => isConnected(session), 5 * SECOND);
    session.client.host.close();
    session.server.host.close();
    network.run(SECOND);
    expect(network.pendingAlarms).to.equal(0);
    expect(turn.allocations).to.equal(0);
  });
});

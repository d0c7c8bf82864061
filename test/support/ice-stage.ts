// Two agents, each behind a NAT, with a STUN and TURN server, and a game between them; every direction of every way can
// be spoilt by itself.
import { isSameAddress } from '../../src/core/ice/candidate.ts';
import type { LinkConditions } from '../../src/netsim/conditions.ts';
import type { SimulatedHost } from '../../src/netsim/host.ts';
import type { SimulatedLink } from '../../src/netsim/link.ts';
import { type NatKind, natKinds, type SimulatedNat } from '../../src/netsim/nat.ts';
import { SimulatedNetwork } from '../../src/netsim/network.ts';
import { TurnServer } from '../../src/netsim/turn-server.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { IceHost, join, type Session, type Side } from './ice-host.ts';

const MS = 1_000;
const ONE_WAY_US = 10 * MS;
const STEP_US = 20 * MS;
const STUN_HOST = '198.51.100.1';
const CREDENTIALS = { username: 'user', password: 'secret' };
const DATA = Uint8Array.of(0x80, 1, 2, 3, 4, 5);

/** From whom to whom, in one direction. */
export const WAYS = [
  'clientToServer',
  'serverToClient',
  'clientToTurn',
  'turnToClient',
  'serverToTurn',
  'turnToServer',
] as const;
export type Way = (typeof WAYS)[number];

export interface IceStageOptions {
  readonly client: NatKind;
  readonly server: NatKind;
  readonly seed: number;
  /** How often each sends a datagram; 20 ms if absent. */
  readonly frameUs?: number;
  /** It never learns on which way its peer is, as GNS. */
  readonly isServerDeaf?: boolean;
}

/** The client is the controlled side. */
export class IceStage {
  readonly network: SimulatedNetwork;
  readonly session: Session;
  readonly hosts: { readonly client: SimulatedHost; readonly server: SimulatedHost };
  readonly nats: { readonly client: SimulatedNat; readonly server: SimulatedNat };
  readonly ways: Readonly<Record<Way, SimulatedLink>>;
  readonly #frameUs: number;
  readonly #isServerDeaf: boolean;
  #sentAtUs = 0;
  /** Whether the last datagram came from where the side itself sends. */
  readonly #hearsOnOwnWay = { client: false, server: false };

  constructor({ client, server, seed, frameUs = STEP_US, isServerDeaf = false }: IceStageOptions) {
    this.#frameUs = frameUs;
    this.#isServerDeaf = isServerDeaf;
    const network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions: { delayUs: ONE_WAY_US } });
    this.network = network;
    const turnHost = network.host('turn', { addresses: [STUN_HOST] });
    const turn = new TurnServer(turnHost.platform, { address: STUN_HOST, credentials: CREDENTIALS });
    this.nats = {
      client: network.nat('home of client', natKinds[client]),
      server: network.nat('home of server', natKinds[server]),
    };
    const [nats, address] = [this.nats, '192.168.0.2'];
    this.hosts = {
      client: network.host('client', { behind: nats.client, addresses: [address] }),
      server: network.host('server', { behind: nats.server, addresses: [address] }),
    };
    this.ways = {
      clientToServer: network.link(this.hosts.client, nats.server),
      serverToClient: network.link(this.hosts.server, nats.client),
      clientToTurn: network.link(this.hosts.client, turnHost),
      serverToTurn: network.link(this.hosts.server, turnHost),
      turnToClient: network.link(turnHost, nats.client),
      turnToServer: network.link(turnHost, nats.server),
    };
    const servers = { stun: [turn.address], turn: [{ address: turn.address, ...CREDENTIALS }] };
    const iceOn = ({ platform }: SimulatedHost) => new IceHost(platform, { addresses: [{ address }], ...servers });
    const later = (task: () => void) => {
      network.clock.schedule(network.nowUs + 50 * MS, task);
    };
    this.session = join(iceOn(this.hosts.client), iceOn(this.hosts.server), { later });
  }

  play(durationUs: number): void {
    const endUs = this.network.nowUs + durationUs;
    while (this.network.nowUs < endUs) {
      const isDue = this.network.nowUs >= this.#sentAtUs + this.#frameUs;
      if (isDue) this.#sentAtUs = this.network.nowUs;
      this.#step('client', isDue);
      this.#step('server', isDue);
      this.network.run(Math.min(STEP_US, endUs - this.network.nowUs));
    }
  }

  #step(name: 'client' | 'server', isDue: boolean): void {
    if (this.hosts[name].isFrozen) return;
    const { host, agent } = this.session[name];
    const own = agent.checkTable().find(({ isSelected }) => isSelected);
    for (const { from, relay } of host.received.splice(0)) {
      this.#hearsOnOwnWay[name] =
        own !== undefined && isSameAddress(from, own.remote) && relay?.server === own.relayServer;
      if (name === 'server' && this.#isServerDeaf) continue;
      agent.noteDataReceived(from, relay, host.platform.nowUs());
    }
    if (isDue && agent.selectedRoute !== undefined) host.sendOn(agent.selectedRoute, DATA);
    host.settle();
  }

  /** Both send where they hear the other from. For a moment after a move they do not. */
  get isAgreed(): boolean {
    return this.#hearsOnOwnWay.client && this.#hearsOnOwnWay.server;
  }

  /** Who controls is on the first path of its list that works. */
  get hasServerTheBest(): boolean {
    const best = this.session.server.agent.checkTable().find(({ state }) => state === 'succeeded');
    return best?.isSelected === true;
  }

  get kinds(): readonly (string | undefined)[] {
    const { client, server } = this.session;
    return [client.agent.selectedRoute?.kind, server.agent.selectedRoute?.kind];
  }

  spoil(way: Way, conditions: LinkConditions): void {
    this.ways[way].set({ delayUs: ONE_WAY_US, ...conditions });
  }

  heal(): void {
    for (const link of Object.values(this.ways)) link.set({ delayUs: ONE_WAY_US });
  }

  /** For messages of failed tests. */
  describe(): string {
    const table = ({ agent }: Side) =>
      agent
        .checkTable()
        .map(({ remote, relayServer, state, isSelected }) => {
          const via = relayServer === undefined ? '' : ' by relay';
          return `${isSelected ? '* ' : '  '}${remote.address}:${remote.port}${via} ${state}`;
        })
        .join('\n');
    return `client:\n${table(this.session.client)}\nserver:\n${table(this.session.server)}`;
  }
}

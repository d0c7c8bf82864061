// Two peers, each at a place of its own in the simulated world: on the Internet, behind a router at home, behind that and
// the one of a carrier. With a STUN and TURN server and signaling on the Internet, all 20 ms apart.

import type { ConfigOptions } from '../../src/core/config/values.ts';
import { type Connection, type IncomingConnection, type ListenSocket, Networking } from '../../src/index.ts';
import type { NatBehaviour, NatKind, SimulatedNat } from '../../src/netsim/nat.ts';
import { natKinds } from '../../src/netsim/nat.ts';
import { TurnServer, type TurnServerOptions } from '../../src/netsim/turn-server.ts';
import { LocalSignaling, nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';
import { SEED } from './seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;
const ONE_WAY_US = 10 * MS;
/** Between any two who are directly on the Internet. */
export const PATH_RTT_US = 2 * ONE_WAY_US;
export const STUN_HOST = '198.51.100.1';
const CREDENTIALS = { username: 'user', password: 'secret' };

/** Where a peer is. */
export interface Place {
  /** The router at home; `none`: an address on the Internet (or of the carrier). */
  readonly home: 'none' | NatKind;
  /** And the carrier's, in front of it. */
  readonly carrier?: NatKind | undefined;
}

export interface LabOptions {
  readonly alice: Place;
  readonly bob: Place;
  /** Both are behind the same device: that at home or, if there is one, the carrier's. */
  readonly shares?: 'home' | 'carrier';
  readonly hairpin?: boolean;
  readonly usesStun?: boolean;
  readonly usesTurn?: boolean;
  readonly turnOptions?: Partial<TurnServerOptions>;
  readonly config?: ConfigOptions;
  readonly seed?: number;
  /** From peer to peer. */
  readonly signalUs?: number;
  /** Bob is there, and listens. */
  readonly listens?: boolean;
}

export class NatLab {
  readonly network: SimulatedNetwork;
  readonly signaling: LocalSignaling;
  readonly turn: TurnServer;
  readonly turnHost: SimulatedHost;
  readonly hosts: { readonly alice: SimulatedHost; readonly bob: SimulatedHost };
  readonly alice: Networking;
  readonly bob: Networking;
  readonly listen: ListenSocket | undefined;
  readonly incoming: IncomingConnection[] = [];
  /** The outermost device of each, or the host itself: links lead there, from the host at the other end. */
  readonly edges: { readonly alice: SimulatedHost | SimulatedNat; readonly bob: SimulatedHost | SimulatedNat };
  readonly #options: LabOptions;
  readonly #shared = new Map<string, SimulatedNat>();

  constructor(options: LabOptions) {
    this.#options = options;
    const { seed = SEED, turnOptions, signalUs = 25 * MS, listens = true } = options;
    this.network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions: { delayUs: ONE_WAY_US } });
    this.signaling = new LocalSignaling({ delayUs: signalUs }, seed);
    this.turnHost = this.network.host('turn', { addresses: [STUN_HOST] });
    this.turn = new TurnServer(this.turnHost.platform, {
      address: STUN_HOST,
      credentials: CREDENTIALS,
      ...turnOptions,
    });
    // Another port is enough to see whether a NAT is symmetric.
    new TurnServer(this.turnHost.platform, { address: STUN_HOST, port: 3479 });
    const alice = this.#settle('alice', options.alice, 2);
    const bob = this.#settle('bob', options.bob, 3);
    this.hosts = { alice: alice.host, bob: bob.host };
    this.edges = { alice: alice.edge, bob: bob.edge };
    this.alice = this.#newPeer('alice', alice.host);
    this.bob = this.#newPeer('bob', bob.host);
    if (!listens) return;
    this.listen = this.bob.listenP2P({ virtualPort: 7, autoAccept: true });
    this.listen.on('connection', (incoming) => this.incoming.push(incoming));
  }

  #settle(name: string, place: Place, number: number) {
    const { shares } = this.#options;
    const carrier =
      place.carrier && this.#nat(`carrier of ${shares === 'carrier' ? 'both' : name}`, natKinds[place.carrier]);
    const within = shares === 'carrier' || shares === 'home' ? number : 2;
    const atCarrier = carrier && { behind: carrier, address: `100.64.0.${within}` };
    if (place.home === 'none') {
      const host = carrier
        ? this.network.host(name, { behind: carrier, addresses: [atCarrier!.address] })
        : this.network.host(name, { addresses: [`198.51.100.${10 + number}`] });
      return { host, edge: carrier ?? host };
    }
    const home = this.#nat(`home of ${shares === 'home' ? 'both' : name}`, natKinds[place.home], atCarrier);
    // All homes have the same addresses, as those in the world.
    const address = `192.168.0.${shares === 'home' ? number : 2}`;
    return { host: this.network.host(name, { behind: home, addresses: [address] }), edge: carrier ?? home };
  }

  #nat(name: string, behaviour: NatBehaviour, options: object = {}): SimulatedNat {
    const known = this.#shared.get(name);
    if (known !== undefined) return known;
    const { hairpin = false } = this.#options;
    const nat = this.network.nat(name, { ...behaviour, hairpin }, options);
    this.#shared.set(name, nat);
    return nat;
  }

  #newPeer(name: string, { platform }: SimulatedHost): Networking {
    const { usesStun = true, usesTurn = false, config = {} } = this.#options;
    const server = `${STUN_HOST}:3478`;
    const stun: ConfigOptions = usesStun ? { p2pStunServerList: server } : {};
    const { username, password } = CREDENTIALS;
    const turn: ConfigOptions = usesTurn
      ? { p2pTurnServerList: server, p2pTurnUserList: username, p2pTurnPassList: password }
      : {};
    const signaling = this.signaling.join(`str:${name}`, platform);
    return new Networking({ platform, identity: `str:${name}`, signaling, config: { ...stun, ...turn, ...config } });
  }

  open(): Connection {
    return this.alice.openP2P('str:bob', 7);
  }

  get server(): Connection | undefined {
    return this.incoming[0]?.connection;
  }

  /** Until both sides are Connected, or one is over. */
  meet(): { readonly client: Connection; readonly isConnected: boolean; readonly tookUs: number } {
    const client = this.open();
    const startUs = this.network.nowUs;
    const isConnected = () => client.state === 'Connected' && this.server?.state === 'Connected';
    const isOver = () => ENDED.has(client.state) && (this.server === undefined || ENDED.has(this.server.state));
    this.network.runUntil(() => isConnected() || isOver(), 40 * SECOND);
    return { client, isConnected: isConnected(), tookUs: this.network.nowUs - startUs };
  }
}

const ENDED = new Set(['ClosedByPeer', 'ProblemDetectedLocally', 'None']);

// Peers whose signaling is in the hands of somebody who reads, spoils, repeats and reorders signals, mixes in those of a
// third peer, and lets that one pass for another. What he does may end attempts to connect; it must never connect anybody with somebody else.

import { invariant } from '../src/core/base/errors.ts';
import type { SeededRandom } from '../src/core/base/random.ts';
import { decodeSignal, encodeSignal, type Signal } from '../src/core/wire/signal.ts';
import { type Connection, createCA, issueCertificate, Networking } from '../src/index.ts';
import { SimulatedNetwork } from '../src/netsim/network.ts';
import { nodeCrypto } from '../src/node/crypto.ts';
import type { LiveTarget } from './live.ts';
import { Mutator } from './mutator.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;
const STAGE_STEPS = 600;
const FORGED_PER_STEP = 20;
const VIRTUAL_PORT = 7;
const NAMES = ['str:alice', 'str:bob', 'str:mallory'] as const;
const IMPOSTOR = 'str:mallory';
type Name = (typeof NAMES)[number];

const createdAt = new Date(0);
const expiresAt = new Date(4_000_000_000_000);
const ca = createCA({ createdAt, expiresAt });

/** Somebody with a certificate, who calls the others and takes their calls. */
class Peer {
  readonly name: Name;
  readonly net: Networking;
  readonly #connections = new Set<Connection>();
  readonly #callees: readonly Name[];
  #calls: Connection[] = [];
  /** What was sent to whom, in total: no more can arrive there. */
  readonly sentTo = new Map<Name, number>();
  #connectedCount = 0;

  constructor(name: Name, callees: readonly Name[], network: SimulatedNetwork, carry: Stage['carry']) {
    this.name = name;
    this.#callees = callees;
    const { certificate, privateKey } = issueCertificate({
      caKey: ca.privateKey,
      identity: name,
      createdAt,
      expiresAt,
    });
    this.net = new Networking({
      platform: network.host(name).platform,
      certificate,
      privateKey: privateKey!,
      trustedCAs: ca.publicKey,
      allowWithoutAuth: 'never',
      config: { timeoutInitial: 1_000 },
      signaling: { send: (to, signal) => carry(name, to as Name, signal), onSignal: undefined },
    });
    const socket = this.net.listenP2P({ virtualPort: VIRTUAL_PORT, autoAccept: true });
    socket.on('connection', ({ connection }) => this.#take(connection));
  }

  get connectedCount(): number {
    return this.#connectedCount;
  }

  #take(connection: Connection): Connection {
    this.#connections.add(connection);
    connection.on('connected', () => this.#connectedCount++);
    return connection;
  }

  /** Calls those whom we have not called yet, sends, reads, and looks whether everybody is who we take them for. */
  act(random: SeededRandom, others: ReadonlyMap<Name, Peer>): void {
    this.#calls = this.#calls.filter(({ state }) => state !== 'None');
    if (this.#calls.length < this.#callees.length) {
      const callee = this.#callees[random.below(this.#callees.length)]!;
      this.#calls.push(this.#take(this.net.openP2P(callee, VIRTUAL_PORT)));
    }
    for (const connection of this.#connections) this.#look(connection, random, others);
  }

  #look(connection: Connection, random: SeededRandom, others: ReadonlyMap<Name, Peer>): void {
    const isOver = connection.state === 'ClosedByPeer' || connection.state === 'ProblemDetectedLocally';
    const hasEnough = connection.state === 'Connected' && random.float() < 0.02;
    const peer = others.get(`${connection.remoteIdentity}` as Name);
    if (connection.state === 'Connected') {
      const key = peer?.net.credentials.certificate?.keyId;
      invariant(key !== undefined && connection.remoteCertificate?.keyId === key, 'a peer is who it proved to be');
      const count = (this.sentTo.get(peer!.name) ?? 0) + 1;
      this.sentTo.set(peer!.name, count);
      connection.send(`${this.name} ${peer!.name} ${count}`);
    }
    for (const { data } of connection.receiveMessages()) {
      const [from, to, number] = new TextDecoder().decode(data).split(' ');
      invariant(from === peer?.name && to === this.name, 'a message is from the peer, and for us');
      invariant(Number(number) <= (peer?.sentTo.get(this.name) ?? 0), 'nothing arrives that was not sent');
    }
    if (!isOver && !hasEnough) return;
    void connection.close();
    this.#connections.delete(connection);
  }
}

/** Three peers, and who carries their signals. */
class Stage {
  readonly network: SimulatedNetwork;
  readonly peers: ReadonlyMap<Name, Peer>;
  readonly #random: SeededRandom;
  readonly #heard: Uint8Array[];
  carried = 0;
  /** Whose name the impostor's signals bear, and whose signals the impostor gets, too. */
  victim: Name | undefined;

  constructor(random: SeededRandom, heard: Uint8Array[]) {
    this.#random = random;
    this.#heard = heard;
    this.network = new SimulatedNetwork({ seed: random.u32(), crypto: nodeCrypto, conditions: { delayUs: 5 * MS } });
    const others = (name: Name) => NAMES.filter((each) => each !== name);
    this.peers = new Map(NAMES.map((name) => [name, new Peer(name, others(name), this.network, this.carry)]));
  }

  /** Some are lost, some come twice, and any may overtake. */
  readonly carry = (from: Name, to: Name, signal: Uint8Array): boolean => {
    const random = this.#random;
    const { victim } = this;
    const shown = from === IMPOSTOR && victim !== undefined ? inTheNameOf(victim, signal) : signal;
    this.#heard[random.below(256)] = shown;
    for (const chance of [0.9, 0.1]) if (random.float() < chance) this.#deliver(to, shown);
    if (to === victim && from !== IMPOSTOR) this.#deliver(IMPOSTOR, signal);
    return true;
  };

  #deliver(to: Name, signal: Uint8Array): void {
    const atUs = this.network.nowUs + this.#random.below(30 * MS);
    this.network.clock.schedule(atUs, () => this.hand(to, signal));
  }

  hand(to: Name, signal: Uint8Array): void {
    this.carried++;
    this.peers.get(to)?.net.receivedP2PCustomSignal(signal);
  }

  /** Ends it all; what is left behind. */
  end(): readonly string[] {
    for (const { net } of this.peers.values()) void net.close();
    this.network.run(20 * SECOND);
    const { openPorts, pendingAlarms } = this.network;
    return openPorts + pendingAlarms === 0 ? [] : [`${openPorts} ports and ${pendingAlarms} alarms are left`];
  }
}

function inTheNameOf(name: Name, signal: Uint8Array): Uint8Array {
  return encodeSignal({ ...decodeSignal(signal)!, fromIdentity: name });
}

export class MeddledSignals implements LiveTarget {
  readonly name = 'meddled signals';
  packets = 0;
  readonly #random: SeededRandom;
  readonly #mutator: Mutator;
  /** Also those of stages before: repeats from long ago. */
  readonly #heard: Uint8Array[] = [];
  #stage: Stage | undefined;
  #steps = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#mutator = new Mutator(random.fork());
  }

  step(): void {
    this.#stage ??= new Stage(this.#random, this.#heard);
    const stage = this.#stage;
    // Nobody can meet in a storm that never ends.
    const phase = Math.floor(this.#steps / 100) % 3;
    const isStorm = phase === 1;
    stage.victim = phase === 2 ? NAMES[Math.floor(this.#steps / 300) % 2] : undefined;
    for (let left = isStorm ? FORGED_PER_STEP : 1; left > 0; left--) this.#forge(stage, isStorm);
    for (const peer of stage.peers.values()) peer.act(this.#random, stage.peers);
    stage.network.run(this.#random.below(20 * MS));
    this.packets += stage.carried;
    stage.carried = 0;
    if (++this.#steps % STAGE_STEPS !== 0) return;
    const met = [...stage.peers.values()].reduce((sum, { connectedCount }) => sum + connectedCount, 0);
    invariant(met > 0, 'they find each other all the same');
    const left = stage.end();
    invariant(left.length === 0, 'nothing is left behind');
    this.#stage = undefined;
  }

  #forge(stage: Stage, isStorm: boolean): void {
    const random = this.#random;
    const [original, other] = [this.#heard[random.below(256)], this.#heard[random.below(256)]];
    if (original === undefined || other === undefined) return;
    const to = NAMES[random.below(NAMES.length)]!;
    const dice = random.float();
    if (!isStorm || dice < 0.2) stage.hand(to, original);
    else if (dice < 0.6) stage.hand(to, this.#graft(original, other));
    else {
      const length = this.#mutator.spoil(original, other);
      stage.hand(to, this.#mutator.bytes.slice(0, length));
    }
  }

  /** One signal with parts of another, in the name of anybody: well-formed, and wrong. */
  #graft(original: Uint8Array, other: Uint8Array): Uint8Array {
    const [ours, theirs] = [decodeSignal(original), decodeSignal(other)];
    if (ours === undefined || theirs === undefined) return original;
    const random = this.#random;
    const mayBe = <K extends keyof Signal>(key: K) => (random.float() < 0.3 ? theirs[key] : ours[key]);
    return encodeSignal({
      toConnectionId: mayBe('toConnectionId'),
      request: mayBe('request'),
      ok: mayBe('ok'),
      // A forged close ends a connection: that is the protocol. It must not do so all the time.
      closed: random.float() < 0.02 ? theirs.closed : ours.closed,
      isIceEnabled: mayBe('isIceEnabled'),
      fromIdentity: random.float() < 0.5 ? NAMES[random.below(NAMES.length)] : ours.fromIdentity,
      fromConnectionId: mayBe('fromConnectionId'),
      toIdentity: mayBe('toIdentity'),
      ackedReliable: mayBe('ackedReliable'),
      firstReliable: mayBe('firstReliable'),
      reliable: mayBe('reliable'),
      isHostedServer: false,
    });
  }

  end(): readonly string[] {
    return this.#stage?.end() ?? [];
  }
}

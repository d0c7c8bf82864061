// A network in one process and in virtual time: hosts, the links between them, and the means to run it all. Everything
// follows from the seed, so a failure seen once can be seen again.

import { NetworkingError } from '../core/base/errors.ts';
import { SeededRandom } from '../core/base/random.ts';
import type { CryptoProvider } from '../core/platform.ts';
import { VirtualClock } from './clock.ts';
import { checkConditions, type LinkConditions, type LinkDrop, LinkSimulator } from './conditions.ts';
import { type HostOptions, SimulatedHost } from './host.ts';
import { Link, obstacleOn, passageOn, type SimulatedLink } from './link.ts';
import { type NatBehaviour, type NetworkNode, Realm, routeIn, routeOut, SimulatedNat } from './nat.ts';
import { isLoopbackHost, parseHost } from './ports.ts';
import { type Datagram, INTACT, type ReceiveFate, type Surroundings } from './process.ts';

export interface NetworkOptions {
  /** Any integer. Same seed and same program: same run, to the last byte. */
  readonly seed: number;
  /** What all hosts encrypt with. */
  readonly crypto: CryptoProvider;
  /** Of every link that has none of its own; perfect if absent. */
  readonly conditions?: LinkConditions;
}

export interface NatOptions {
  /** On the outside, numeric. One that nobody else has if absent. */
  readonly address?: string;
  /** The device that it is itself behind, as at a carrier. */
  readonly behind?: SimulatedNat;
}

/** Why a datagram was not delivered; `filtered`: a NAT or firewall stopped it. */
export type DropReason =
  | LinkDrop
  | 'partitioned'
  | 'unplugged'
  | 'noRoute'
  | 'filtered'
  | Exclude<ReceiveFate, 'delivered'>;

/** One datagram whose fate is known. */
export interface TappedDatagram extends Datagram {
  /** When it was decided: on arrival for what came through, mostly at `sentAtUs` for what did not. Network time. */
  readonly atUs: number;
  readonly fate: 'delivered' | DropReason;
}

/** Datagrams so far: `sent + duplicated` is always `delivered + dropped + inFlight`. */
export interface NetworkStats {
  readonly sent: number;
  /** Second copies made by links. */
  readonly duplicated: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly droppedBy: Readonly<Record<DropReason, number>>;
  /** On links and in receive buffers of frozen processes. */
  readonly inFlight: number;
  /** Sends that returned false; not in `sent`. */
  readonly refused: number;
}

/** Both directions between two hosts. */
export interface LinkPair {
  readonly there: SimulatedLink;
  readonly back: SimulatedLink;
  /** `back` is the same as `there` if absent. */
  set(there: LinkConditions, back?: LinkConditions): void;
}

export class SimulatedNetwork {
  readonly clock = new VirtualClock();
  readonly #seed: number;
  readonly #crypto: CryptoProvider;
  #conditions: LinkConditions;
  readonly #hosts = new Map<string, SimulatedHost>();
  /** The Internet. */
  readonly #public = new Realm();
  readonly #nats = new Set<string>();
  readonly #links = new Map<NetworkNode, Map<NetworkNode, Link>>();
  readonly #taps = new Set<(datagram: TappedDatagram) => void>();
  readonly #counts = { sent: 0, duplicated: 0, delivered: 0, refused: 0 };
  readonly #droppedBy: Record<DropReason, number> = { ...NOTHING_DROPPED };
  #isAdvancing = false;

  /** Throws `InvalidParam` for conditions out of range. */
  constructor(options: NetworkOptions) {
    this.#seed = options.seed;
    this.#crypto = options.crypto;
    this.#conditions = options.conditions ?? {};
    checkConditions(this.#conditions);
  }

  /** Adds a host. Throws `InvalidParam` if its name or an address is taken, or an address is not one a host can have. */
  host(name: string, options: HostOptions = {}): SimulatedHost {
    const clockOffsetUs = options.clockOffsetUs ?? 0;
    if (!(this.nowUs + clockOffsetUs > 0)) throw invalid(`clockOffsetUs ${clockOffsetUs} makes time negative`);
    if (this.#hosts.has(name)) throw invalid(`there is already a host "${name}"`);
    const number = this.#hosts.size + 1;
    const ipv4 = `10.77.${number >> 8}.${number & 0xff}`;
    // Routers at home rewrite IPv4 only.
    const addresses = options.addresses ?? (options.behind ? [ipv4] : [ipv4, `fd77::${number.toString(16)}`]);
    const realm = options.behind?.inside ?? this.#public;
    const checked = addresses.map((address) => checkAddress(address, realm));
    if (checked.length === 0) throw invalid(`host "${name}" needs an address`);

    let processes = 0;
    const machine = { ...INTACT, addresses: checked, clockOffsetUs };
    const host: SimulatedHost = new SimulatedHost(name, machine, realm, () => ({
      ...this.#services,
      random: this.#randomFor(`process ${processes++} of ${name}`),
      machine,
      transmit: (datagram) => this.#transmit(host, datagram),
    }));
    this.#hosts.set(name, host);
    for (const address of checked) realm.nodes.set(address, host);
    return host;
  }

  /**
   * Adds a device that rewrites addresses; hosts are put behind it by their option `behind`, and so are other devices.
   * Links lead to its outside address. Throws `InvalidParam` if its name or address is taken.
   */
  nat(name: string, behaviour: NatBehaviour, options: NatOptions = {}): SimulatedNat {
    if (this.#nats.has(name)) throw invalid(`there is already a NAT "${name}"`);
    const outside = options.behind?.inside ?? this.#public;
    const address = options.address ?? `203.0.113.${this.#nats.size + 1}`;
    const nat = new SimulatedNat(name, checkAddress(address, outside), behaviour, outside);
    outside.nodes.set(nat.address, nat);
    this.#nats.add(name);
    return nat;
  }

  /** Gives a host other addresses, as a telephone on the move gets. Throws `InvalidParam` like `host`. */
  readdress(host: SimulatedHost, addresses: readonly string[]): void {
    const { nodes } = host.realm;
    const checked = addresses.map((address) => checkAddress(address, host.realm, host));
    if (checked.length === 0) throw invalid(`host "${host.name}" needs an address`);
    for (const address of host.addresses) nodes.delete(address);
    for (const address of checked) nodes.set(address, host);
    host.machine.addresses = checked;
  }

  /** Conditions of every link that has none of its own. Throws `InvalidParam` for a value out of range. */
  setConditions(conditions: LinkConditions): void {
    checkConditions(conditions);
    this.#conditions = conditions;
    for (const links of this.#links.values()) {
      for (const link of links.values()) if (!link.isOwn) link.simulator.set(conditions);
    }
  }

  /** The way from one host to another. From a host to itself (loopback) it is perfect until it is `set`. */
  link(from: NetworkNode, to: NetworkNode): SimulatedLink {
    return this.#link(from, to);
  }

  between(a: NetworkNode, b: NetworkNode): LinkPair {
    const there = this.#link(a, b);
    const back = this.#link(b, a);
    return {
      there,
      back,
      set(conditions, conditionsBack = conditions) {
        there.set(conditions);
        back.set(conditionsBack);
      },
    };
  }

  /** Nothing gets through between the two any more, what is under way included. */
  partition(a: NetworkNode, b: NetworkNode): void {
    this.#link(a, b).isCut = this.#link(b, a).isCut = true;
  }

  heal(a: NetworkNode, b: NetworkNode): void {
    this.#link(a, b).isCut = this.#link(b, a).isCut = false;
  }

  /** Shows `onDatagram` every datagram once its fate is known, before the receiver sees it. Returns how to stop that. */
  tap(onDatagram: (datagram: TappedDatagram) => void): () => void {
    this.#taps.add(onDatagram);
    return () => this.#taps.delete(onDatagram);
  }

  /** A copy. */
  get stats(): NetworkStats {
    const dropped = Object.values(this.#droppedBy).reduce((sum, count) => sum + count, 0);
    const { sent, duplicated, delivered } = this.#counts;
    const inFlight = sent + duplicated - delivered - dropped;
    return { ...this.#counts, dropped, droppedBy: { ...this.#droppedBy }, inFlight };
  }

  /** Open ports of all hosts: 0 once everything is closed. */
  get openPorts(): number {
    return [...this.#hosts.values()].reduce((sum, host) => sum + host.openPorts, 0);
  }

  /** Armed alarms of all hosts: 0 once everything is closed. */
  get pendingAlarms(): number {
    return [...this.#hosts.values()].reduce((sum, host) => sum + host.pendingAlarms, 0);
  }

  get nowUs(): number {
    return this.clock.nowUs;
  }

  /** Runs `durationUs` of virtual time. Promises make no progress meanwhile: see `advance`. */
  run(durationUs: number): void {
    this.clock.runFor(durationUs);
  }

  /** Runs until `predicate` holds, for at most `limitUs`. Returns whether it holds. Promises make no progress meanwhile. */
  runUntil(predicate: () => boolean, limitUs: number): boolean {
    const endUs = this.nowUs + limitUs;
    while (!predicate()) {
      if (!(this.clock.nextEventAtUs <= endUs)) {
        this.clock.runUntil(endUs);
        return predicate();
      }
      this.clock.step();
    }
    return true;
  }

  /** Runs `durationUs` of virtual time and lets promises go on after each instant at which something happened. */
  async advance(durationUs: number): Promise<void> {
    await this.advanceUntil(() => false, durationUs);
  }

  /**
   * As `runUntil`, with promises. `predicate` is asked once per instant. Throws `InvalidState` while another call runs:
   * an `await` was forgotten.
   */
  async advanceUntil(predicate: () => boolean, limitUs: number): Promise<boolean> {
    if (this.#isAdvancing) throw new NetworkingError('InvalidState', 'the network is being advanced already');
    this.#isAdvancing = true;
    try {
      const endUs = this.nowUs + limitUs;
      await promisesGoOn();
      while (!predicate()) {
        const instantUs = Math.min(this.clock.nextEventAtUs, endUs);
        this.clock.runUntil(instantUs);
        await promisesGoOn();
        // At the end, what promises have caused is still part of that instant.
        if (instantUs === endUs && this.clock.nextEventAtUs > endUs) return predicate();
      }
      return true;
    } finally {
      this.#isAdvancing = false;
    }
  }

  /** Advances until `promise` is settled and passes its outcome on; throws if it is still pending after `limitUs`. */
  async settle<T>(promise: Promise<T>, limitUs: number): Promise<T> {
    let isSettled = false;
    const note = () => {
      isSettled = true;
    };
    promise.then(note, note);
    if (await this.advanceUntil(() => isSettled, limitUs)) return promise;
    throw new NetworkingError('Fail', `the promise is still pending after ${limitUs} us of virtual time`);
  }

  /** What all processes share. */
  get #services(): Pick<Surroundings, 'clock' | 'crypto' | 'finish' | 'refuse' | 'addressesOf'> {
    return {
      clock: this.clock,
      crypto: this.#crypto,
      finish: (datagram, fate) => this.#finish(datagram, fate),
      refuse: () => {
        this.#counts.refused++;
      },
      addressesOf: (name) => this.#hosts.get(name)?.addresses,
    };
  }

  #transmit(sender: SimulatedHost, sent: Datagram): void {
    this.#counts.sent++;
    const hop = isLoopbackHost(sent.to.address)
      ? { node: sender, from: sent.from, to: sent.to }
      : routeOut(sender.realm, sent.from, sent.to, this.nowUs);
    if ('drop' in hop) {
      this.#finish(sent, hop.drop);
      return;
    }
    const { node, from, to } = hop;
    const datagram = { ...sent, from, to };
    const link = this.#link(sender, node);
    const passage = passageOn(link, datagram.bytes.length, this.nowUs);
    if ('drop' in passage) {
      this.#finish(datagram, passage.drop);
      return;
    }
    const { corruption } = passage;
    if (corruption) datagram.bytes[corruption.at]! ^= corruption.by;
    this.#counts.duplicated += passage.arrivalsUs.length - 1;
    passage.arrivalsUs.forEach((atUs, i) => {
      // Each receiver may do with its bytes what it likes.
      const copy = i === 0 ? datagram : { ...datagram, bytes: datagram.bytes.slice() };
      this.clock.schedule(atUs, () => this.#arrive(link, copy));
    });
  }

  #arrive(link: Link, datagram: Datagram): void {
    const obstacle = obstacleOn(link);
    const hop = routeIn({ node: link.to, from: datagram.from, to: datagram.to }, this.nowUs);
    if (obstacle) this.#finish(datagram, obstacle);
    else if ('drop' in hop) this.#finish(datagram, hop.drop);
    else if (hop.node instanceof SimulatedNat) this.#finish(datagram, 'noPort');
    else if (hop.node !== link.to && !hop.node.isPlugged) this.#finish(datagram, 'unplugged');
    else hop.node.receive({ ...datagram, from: hop.from, to: hop.to });
  }

  #finish(datagram: Datagram, fate: 'delivered' | DropReason): void {
    if (fate === 'delivered') this.#counts.delivered++;
    else this.#droppedBy[fate]++;
    for (const tap of this.#taps) tap({ ...datagram, bytes: datagram.bytes.slice(), atUs: this.nowUs, fate });
  }

  #link(from: NetworkNode, to: NetworkNode): Link {
    const known = this.#links.get(from)?.get(to);
    if (known) return known;
    const random = this.#randomFor(`link from ${from.name} to ${to.name}`);
    const link = new Link(from, to, new LinkSimulator(random, from === to ? {} : this.#conditions));
    const links = this.#links.get(from) ?? new Map<NetworkNode, Link>();
    this.#links.set(from, links.set(to, link));
    return link;
  }

  /** Depends on nothing but the seed and the name: one more host does not change what happens to the others. */
  #randomFor(name: string): SeededRandom {
    return new SeededRandom(hash(`${this.#seed} ${name}`));
  }
}

const NOTHING_DROPPED: Readonly<Record<DropReason, number>> = {
  lost: 0,
  queueFull: 0,
  tooLarge: 0,
  partitioned: 0,
  unplugged: 0,
  noRoute: 0,
  filtered: 0,
  noPort: 0,
  receiveBufferFull: 0,
};

/** As `IpAddress.host` prints it. `host` may have it already. */
function checkAddress(text: string, realm: Realm, host?: SimulatedHost): string {
  const address = parseHost(text);
  if (!address || address.isAny || address.isLoopback) throw invalid(`"${text}" cannot be the address of a host`);
  const owner = realm.nodes.get(address.host);
  if (owner && owner !== host) throw invalid(`${text} is an address of host "${owner.name}"`);
  return address.host;
}

// Each `await` of native code costs one turn, an async function up to three; this is deep enough for a chain of several
// such functions. What needs more goes on at the next instant.
const PROMISE_TURNS = 16;

async function promisesGoOn(): Promise<void> {
  for (let turn = 0; turn < PROMISE_TURNS; turn++) await undefined;
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

function invalid(message: string): NetworkingError {
  return new NetworkingError('InvalidParam', message);
}

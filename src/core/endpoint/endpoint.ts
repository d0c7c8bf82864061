// All connections of one instance: makes them, schedules them, and gathers what they want sent and said. The shell around
// it hands in datagrams and the time, and after each input takes out datagrams, events and the next deadline.

import type { IpAddress } from '../base/address.ts';
import { DeadlineHeap } from '../base/deadline-heap.ts';
import { NetworkingError } from '../base/errors.ts';
import { Fifo } from '../base/fifo.ts';
import { LONG_AGO, US_PER_MS } from '../base/time.ts';
import type { Expectation } from '../certs/verify.ts';
import { ConfigScope } from '../config/scope.ts';
import { Connection } from '../connection/connection.ts';
import type { End } from '../connection/end-reason.ts';
import type { Environment, TransmitSlot } from '../connection/environment.ts';
import type { Handshake } from '../connection/handshake.ts';
import { SECURITY_VALUES } from '../connection/settings.ts';
import { ClientHandshake } from '../connection/udp-handshake.ts';
import type { NetAddress, UdpPort } from '../platform.ts';
import { decodeControlPacket, MIN_DATAGRAM_BYTES } from '../wire/control-packets.ts';
import { isDataPacket } from '../wire/data-packet.ts';
import { encodeSignal } from '../wire/signal.ts';
import type { AdmissionOptions } from './admission.ts';
import { Listener } from './listener.ts';
import { type DatagramTarget, type Door, type EndpointEvent, Member, type Refusal } from './member.ts';
import { type PairEnd, pairSessions } from './pair.ts';
import { Rendezvous, VirtualPort } from './rendezvous.ts';

/**
 * What 65,535 low halves of ids bear: enough of them stay free for a new one to be found in a few tries. GNS stops at
 * 8191.
 */
const MAX_CONNECTIONS = 60_000;
const RECENT_IDS = 256;
const STRAY_INTERVAL_US = 250 * US_PER_MS;

export class Endpoint {
  readonly env: Environment;
  readonly config: ConfigScope;
  readonly listeners = new Set<Door>();
  /** Of P2P connections. */
  readonly rendezvous = new Rendezvous(this);
  /** Each time that a connection has done something is an event. */
  isObserved = false;
  /** By the low 16 bits of the connection id. */
  readonly #members = new Map<number, Member>();
  /** Low halves of ids that were in use lately: late packets must not find a newcomer. */
  readonly #recentIds = new Fifo<number>();
  readonly #deadlines = new DeadlineHeap<Member>();
  readonly #dirty = new Fifo<Member>();
  readonly #dirtyListeners = new Set<Listener>();
  readonly #events = new Fifo<EndpointEvent>();
  readonly #releasedPorts = new Fifo<UdpPort>();

  /** `config` is the interface's scope. */
  constructor(env: Environment, config: ConfigScope) {
    this.env = env;
    this.config = config;
  }

  get connectionCount(): number {
    return this.#members.size;
  }

  get members(): Iterable<Member> {
    return this.#members.values();
  }

  // ---- commands

  listen(port: UdpPort, config: ConfigScope, options: AdmissionOptions = {}): Listener {
    const listener = new Listener(this, port, config, options);
    this.listeners.add(listener);
    return listener;
  }

  /** Begins to connect through a port of its own, to a peer that must be as expected. */
  connect(port: UdpPort, remote: NetAddress, config: ConfigScope, nowUs: number, expected?: Expectation): Member {
    const connection = new Connection(this.env, config, this.newId(), false, { port, remote });
    const member = this.add(connection, undefined);
    const { id, route } = connection;
    connection.begin(new ClientHandshake(this.env, config, id, route.address, expected, nowUs), nowUs);
    this.touch(member);
    return member;
  }

  /** Connects two new connections with each other. They begin as Connected, and nobody is told. */
  pair(ends: readonly [PairEnd, PairEnd], nowUs: number): readonly [Member, Member] {
    const members = [this.#newEnd(ends[0]), this.#newEnd(ends[1])] as const;
    const connections = [members[0].connection, members[1].connection] as const;
    const sessions = pairSessions(this.env, ends, connections, nowUs);
    for (const [i, member] of members.entries()) {
      member.connection.establish(sessions[i]!, nowUs);
      member.connection.pollEvent();
      this.touch(member);
    }
    return members;
  }

  #newEnd({ path, config }: PairEnd): Member {
    for (const name of SECURITY_VALUES) config.lock(name);
    return this.add(new Connection(this.env, config, this.newId(), false, path), undefined);
  }

  /** Makes the connection of a client that showed its address; undefined if `answer` refuses it. */
  admit(
    listener: Listener,
    remote: NetAddress,
    answer: (connection: Connection) => Handshake | undefined,
    nowUs: number,
  ): Member | undefined {
    if (this.#members.size >= MAX_CONNECTIONS) return undefined;
    const config = new ConfigScope('connection', listener.config);
    const path = { port: listener.port, remote: { address: remote.address, port: remote.port } };
    const connection = new Connection(this.env, config, this.newId(), true, path);
    const handshake = answer(connection);
    if (handshake === undefined) return undefined;
    const member = this.add(connection, listener);
    connection.begin(handshake, nowUs);
    this.touch(member);
    return member;
  }

  /** No new connections; those that are there are closed and told so. The port closes when the last one is gone. */
  closeListener(listener: Door, end: End, linger: boolean, nowUs: number): void {
    listener.isClosing = true;
    if (listener instanceof VirtualPort) this.rendezvous.virtualPorts.delete(listener.virtualPort);
    for (const member of listener.members) {
      member.connection.close(end.reason, end.debug, linger, nowUs);
      this.touch(member);
    }
    this.#releaseListener(listener, nowUs);
  }

  /** Takes a connection in. */
  add(connection: Connection, listener: Door | undefined): Member {
    const member = new Member(connection, listener);
    this.#members.set(connection.id & 0xffff, member);
    return member;
  }

  /** Neither half is zero; the low half is unique among the living and the lately dead. */
  newId(): number {
    if (this.#members.size >= MAX_CONNECTIONS) {
      throw new NetworkingError('LimitExceeded', `an instance holds at most ${MAX_CONNECTIONS} connections`);
    }
    for (;;) {
      const id = this.env.random.u32();
      const low = id & 0xffff;
      if (low === 0 || id >>> 16 === 0 || this.#members.has(low) || this.#isRecent(low)) continue;
      return id;
    }
  }

  get isFull(): boolean {
    return this.#members.size >= MAX_CONNECTIONS;
  }

  #isRecent(low: number): boolean {
    for (let at = this.#recentIds.head; at < this.#recentIds.tail; at++)
      if (this.#recentIds.at(at) === low) return true;
    return false;
  }

  // ---- in

  /** What the port of an outgoing connection receives goes to that connection, if it comes from its peer. */
  clientTarget(member: Member): DatagramTarget {
    return {
      handleDatagram: (bytes, length, from, nowUs) => {
        const { connection } = member;
        const { remote } = connection.route.path;
        if (length < MIN_DATAGRAM_BYTES || from.port !== remote.port || from.address !== remote.address) return;
        if (isDataPacket(bytes)) connection.handleData(bytes, length, nowUs);
        else connection.handleControl(decodeControlPacket(bytes, length), length, nowUs);
        this.touch(member);
      },
    };
  }

  handleTimeout(nowUs: number): void {
    this.rendezvous.handleTimeout(nowUs);
    for (let member = this.#deadlines.popDue(nowUs); member !== undefined; member = this.#deadlines.popDue(nowUs)) {
      member.connection.handleTimeout(nowUs);
      this.touch(member);
    }
  }

  /** Nobody listened for `stallUs` at least and `deafUs` at most, until now: the peers' silence does not count. */
  onStall(stallUs: number, deafUs: number, nowUs: number): void {
    for (const { connection } of this.#members.values()) {
      connection.history.onStall(stallUs, deafUs, nowUs);
      connection.data.liveness.excuse(deafUs, nowUs);
    }
  }

  /** Something was done to this connection: let it act on it in the next `settle`. */
  touch(member: Member): void {
    if (member.isDirty) return;
    member.isDirty = true;
    this.#dirty.push(member);
  }

  /** A client's credentials were not acceptable. The client is not told. */
  onRefused(listener: Door, refusal: Refusal): void {
    this.#events.push({ kind: 'refused', listener, refusal });
  }

  touchListener(listener: Listener): void {
    this.#dirtyListeners.add(listener);
  }

  findById(id: number): Member | undefined {
    const member = this.#members.get(id & 0xffff);
    return member?.connection.id === id ? member : undefined;
  }

  /** The peer has another address; the listener knows. */
  onMoved(member: Member, from: IpAddress): void {
    this.#events.push({ kind: 'moved', member, from });
  }

  // ---- out

  /** Since all was polled last, nothing came of what came in. False as well where ICE might have something to say. */
  get isIdle(): boolean {
    const hasWork = this.#dirty.length > 0 || this.#dirtyListeners.size > 0 || this.#events.length > 0;
    return !hasWork && this.rendezvous.ground === undefined;
  }

  /** Fills `slot` with the next datagram of anyone who has one; false if nobody has, and all are settled. */
  pollTransmit(slot: TransmitSlot, nowUs: number): boolean {
    if (this.#dirtyListeners.size > 0 && this.#pollListeners(slot)) return true;
    for (let member = this.#dirty.peek(); member !== undefined; member = this.#dirty.peek()) {
      if (member.connection.pollTransmit(slot, nowUs)) return true;
      this.#dirty.shift();
      member.isDirty = false;
      this.#settle(member, nowUs);
    }
    return this.rendezvous.pollTransmit(slot, nowUs);
  }

  #pollListeners(slot: TransmitSlot): boolean {
    for (const listener of this.#dirtyListeners) {
      if (listener.pollTransmit(slot)) return true;
      this.#dirtyListeners.delete(listener);
    }
    return false;
  }

  /** The datagram that was polled last could not be sent. */
  onSendFailed(): void {
    this.#dirty.peek()?.connection.data.delivery.onSendFailed();
  }

  /** The connection has nothing more to send now: gather its events and note when it wants to be called. */
  #settle(member: Member, nowUs: number): void {
    const { connection } = member;
    for (let change = connection.pollEvent(); change !== undefined; change = connection.pollEvent()) {
      // Who closes on hearing of the end must have had what came before it.
      if (change.from === 'Connected') this.#announceMessages(member);
      if (change.from === 'Connecting') member.listener?.onAnswered(member);
      this.#events.push({ kind: 'stateChanged', member, change });
    }
    this.#announceMessages(member);
    for (let signal = connection.pollSignal(nowUs); signal !== undefined; signal = connection.pollSignal(nowUs)) {
      this.#events.push({ kind: 'signal', member, signal: encodeSignal(signal) });
    }
    if (this.isObserved) this.#events.push({ kind: 'settled', member });
    const { delivery } = connection.data;
    for (let receipt = delivery.takeReceipt(); receipt !== undefined; receipt = delivery.takeReceipt()) {
      this.#events.push({ kind: 'receipt', member, receipt });
    }
    const limit = connection.data.rateWatch.look(delivery, nowUs);
    if (limit !== undefined) this.#events.push({ kind: 'rateLimited', member, limit });
    if (delivery.pendingBytes <= member.drainBelowBytes) {
      member.drainBelowBytes = -1;
      this.#events.push({ kind: 'drained', member });
    }
    if (!member.isCloseReported && connection.state === 'FinWait' && connection.isCloseConfirmed) {
      member.isCloseReported = true;
      this.#events.push({ kind: 'closeConfirmed', member });
      // What is left to do is to answer late packets. That is no reason to keep a process alive.
      if (connection.link !== undefined) {
        const port = this.rendezvous.ground?.port;
        if (port !== undefined && this.rendezvous.isLeaving && !this.#isListening(port)) port.setRef(false);
      } else if (member.listener === undefined) connection.route.path.port.setRef(false);
    }
    if (connection.state === 'Dead') this.#remove(member, nowUs);
    else this.#deadlines.set(member, connection.nextTimeoutUs(nowUs));
  }

  #announceMessages(member: Member): void {
    const { receiver } = member.connection.data.delivery;
    if (receiver.hasStreamNews) {
      receiver.hasStreamNews = false;
      this.#events.push({ kind: 'streamsReady', member });
    }
    if (member.isAnnounced || receiver.queuedMessages === 0) return;
    member.isAnnounced = true;
    member.groupPlace?.group.update(member);
    this.#events.push({ kind: 'messagesReady', member });
  }

  /** Forgets a connection that the application did not want to know. */
  discard(member: Member, nowUs: number): void {
    member.connection.destroy(nowUs);
    while (member.connection.pollEvent() !== undefined);
    this.#remove(member, nowUs);
  }

  #remove(member: Member, nowUs: number): void {
    const low = member.connection.id & 0xffff;
    if (this.#members.get(low) !== member) return;
    this.#members.delete(low);
    this.#deadlines.set(member, Number.POSITIVE_INFINITY);
    this.#recentIds.push(low);
    if (this.#recentIds.length > RECENT_IDS) this.#recentIds.shift();
    member.groupPlace?.group.delete(member);
    this.#events.push({ kind: 'gone', member });
    if (member.listener !== undefined) {
      member.listener.forget(member);
      this.#releaseListener(member.listener, nowUs);
    } else if (member.connection.link === undefined) this.#releasedPorts.push(member.connection.route.path.port);
    this.rendezvous.forget(member);
    this.#releaseGround(nowUs);
  }

  #releaseListener(listener: Door, nowUs: number): void {
    if (!listener.isClosing || listener.members.size > 0 || !this.listeners.delete(listener)) return;
    const { port } = listener;
    const isShared = port !== undefined && port === this.rendezvous.ground?.port;
    this.#releaseGround(nowUs);
    if (port !== undefined && !isShared) this.#releasedPorts.push(port);
  }

  #releaseGround(nowUs: number): void {
    const ground = this.rendezvous.releaseIfIdle(nowUs);
    if (ground !== undefined && !this.#isListening(ground.port)) this.#releasedPorts.push(ground.port);
  }

  #isListening(port: UdpPort): boolean {
    return [...this.listeners].some((listener) => listener.port === port);
  }

  nextTimeoutUs(): number {
    return Math.min(this.#deadlines.nextUs, this.rendezvous.nextTimeoutUs());
  }

  pollEvent(): EndpointEvent | undefined {
    return this.#events.shift();
  }

  /** A port that nobody uses any more. */
  pollReleasedPort(): UdpPort | undefined {
    return this.#releasedPorts.shift();
  }
}

/** Answers to datagrams that fit nothing: at most one in a while, for the whole instance. */
export class StrayLimiter {
  #lastUs = LONG_AGO;

  mayAnswer(nowUs: number): boolean {
    if (nowUs < this.#lastUs + STRAY_INTERVAL_US) return false;
    this.#lastUs = nowUs;
    return true;
  }
}

// One connection: owns the parts, wires them, and keeps the state machine. Datagrams, commands and the time go in;
// datagrams, a deadline and events come out. Spec: 00, 01 §1.6 – §1.10, 04.

import { Fifo } from '../base/fifo.ts';
import type { Identity } from '../base/identity.ts';
import { NEVER, US_PER_MS } from '../base/time.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { LaneOptions } from '../delivery/lane-scheduler.ts';
import type { IncomingMessage, OutgoingOptions } from '../delivery/message.ts';
import type { Refusal } from '../delivery/sender.ts';
import type { NetAddress } from '../platform.ts';
import type { ConnectionClosed, ControlPacket } from '../wire/control-packets.ts';
import { recipientOf } from '../wire/data-packet.ts';
import { Outcome } from '../wire/frames.ts';
import type { Signal } from '../wire/signal.ts';
import { CloseNotice } from './close-notice.ts';
import { DataPath } from './data-path.ts';
import { applicationEnd, type End, EndReason, Ends } from './end-reason.ts';
import { type Environment, NOWHERE, type Path, type TransmitSlot } from './environment.ts';
import type { Handshake, Session, Step } from './handshake.ts';
import { History } from './history.ts';
import { type ConnectionInfo, connectionFlags, type StateChange } from './info.ts';
import { P2P_KEEPALIVE_US } from './liveness.ts';
import { Outbox } from './outbox.ts';
import { P2pLink } from './p2p-link.ts';
import { Route } from './route.ts';
import { SECURITY_VALUES } from './settings.ts';
import { type ConnectionState, FACTS, TRANSITIONS, type Trigger, visibleState } from './state-table.ts';

/** Why a message was not taken, beside what delivery says. */
export type SendRefusal = Refusal | 'closed' | 'ended' | 'notConnected';

const FIN_WAIT_US = 5_000 * US_PER_MS;

export class Connection {
  readonly id: number;
  readonly isIncoming: boolean;
  readonly config: ConfigScope;
  readonly data: DataPath;
  readonly #env: Environment;
  readonly route: Route;
  #state: ConnectionState = 'None';
  readonly history = new History();
  #handshake: Handshake | undefined;
  /** Of P2P connections, whose handshake it is, too. Set once. */
  link: P2pLink | undefined;
  #session: Session | undefined;
  readonly #notice = new CloseNotice();
  readonly #outbox = new Outbox(this.history);
  readonly #events = new Fifo<StateChange>();

  constructor(env: Environment, config: ConfigScope, id: number, isIncoming: boolean, path: Path) {
    this.#env = env;
    this.config = config;
    this.id = id;
    this.isIncoming = isIncoming;
    this.route = new Route(path);
    this.data = new DataPath(config);
    // Copied once, not followed. Spec: 06 §6.1.
    config.set('connectionUserData', config.get('connectionUserData'));
  }

  get state(): ConnectionState {
    return this.#state;
  }
  /** The peer's connection id; 0 until it has told. */
  get remoteId(): number {
    return this.#session?.remoteId ?? this.#handshake?.remoteId ?? 0;
  }
  get identity(): Identity | undefined {
    return this.#session?.identity ?? this.#handshake?.identity;
  }

  /** In FinWait: the peer has confirmed that it knows of the close, or cannot be expected to. */
  get isCloseConfirmed(): boolean {
    return this.#notice.isConfirmed || this.#notice.isByPeer;
  }

  /** Who vouches for the peer, and what it showed; undefined until it is verified. */
  get verified(): Pick<Session, 'isAuthenticated' | 'shown'> | undefined {
    return this.#session ?? (this.#handshake?.shown === undefined ? undefined : this.#handshake);
  }

  get info(): ConnectionInfo {
    const isAuthenticated = this.verified?.isAuthenticated ?? false;
    const isEncrypted = this.#session?.ciphers.isEncrypted ?? false;
    return {
      state: visibleState(this.#state),
      endReason: this.#notice.reason,
      endDebug: this.#notice.debug,
      remoteIdentity: this.identity,
      remoteAddress: this.route.address,
      isIncoming: this.isIncoming,
      flags: connectionFlags(this.route, this.data.stats.roundTrip.smoothedMs, isAuthenticated, isEncrypted),
    };
  }

  // ---- commands of the application

  /** Begins: to connect, or to wait until the application answers a client that was let in. */
  begin(handshake: Handshake, nowUs: number): void {
    this.#handshake = handshake;
    if (handshake instanceof P2pLink) this.link = handshake;
    this.#apply('start', nowUs);
    if (!this.isIncoming) this.#lockSecurity();
    this.handleTimeout(nowUs);
  }

  #lockSecurity(): void {
    for (const name of SECURITY_VALUES) this.config.lock(name);
  }

  accept(nowUs: number): 'ok' | 'notIncoming' | 'notConnecting' | 'handshakeFailed' {
    if (!this.isIncoming) return 'notIncoming';
    if (this.#state !== 'Connecting') return 'notConnecting';
    this.#lockSecurity();
    const step = this.#handshake!.accept(nowUs);
    this.act(step, nowUs);
    return step.kind === 'fail' ? 'handshakeFailed' : 'ok';
  }

  /** Why nothing can be sent any more. */
  get #refusal(): 'closed' | 'ended' | undefined {
    if (!FACTS[this.#state].isVisible) return 'closed';
    return FACTS[this.#state].isActive ? undefined : 'ended';
  }

  /** Queues a message whose payload is ours from here on; returns its number, or why it was not taken. */
  send(payload: Uint8Array, options: OutgoingOptions, nowUs: number): number | SendRefusal {
    const { isReliable, noNagle, noDelay, lane, freshness } = options;
    const refusal = this.#refusal;
    if (refusal !== undefined) return refusal;
    if (noDelay && this.#state !== 'Connected') return 'notConnected';
    this.data.refreshSettings();
    return this.data.delivery.enqueue(payload, isReliable, noNagle || noDelay, lane, nowUs, freshness);
  }

  /** Lanes of our sending side. A peer that is too old for more than one cannot stay connected. */
  configureLanes(options: readonly LaneOptions[], nowUs: number): 'ok' | 'closed' | 'ended' | 'fewerLanes' {
    const refusal = this.#refusal;
    if (refusal !== undefined) return refusal;
    if (!this.data.configureLanes(options)) return 'fewerLanes';
    this.#fail(this.data.laneViolation, nowUs);
    return 'ok';
  }

  flush(nowUs: number): 'ok' | 'closed' | 'ended' | 'notConnected' {
    const refusal = this.#refusal;
    if (refusal !== undefined) return refusal;
    this.data.delivery.flush(nowUs);
    return this.#state === 'Connected' ? 'ok' : 'notConnected';
  }

  /** The next unread message; of a stream, that of this lane. Taking messages makes room for those that had to wait. */
  receive(nowUs: number, streamLane?: number): IncomingMessage | undefined {
    const { receiver } = this.data.delivery;
    const message = receiver.take(streamLane);
    if (message !== undefined && FACTS[this.#state].carriesData && receiver.resume(nowUs) === Outcome.Fatal) {
      this.#fail({ reason: EndReason.Misc_InternalError, debug: receiver.violation }, nowUs);
    }
    return message;
  }

  /** False if the application had closed it already. */
  close(reason: number, debug: string, linger: boolean, nowUs: number): boolean {
    if (!FACTS[this.#state].isVisible) return false;
    if (FACTS[this.#state].isActive) this.#notice.set(applicationEnd(reason, debug));
    const mustFlush = linger && this.#state === 'Connected' && this.data.delivery.undeliveredBytes > 0;
    if (mustFlush) this.data.delivery.flush(nowUs);
    this.#apply(mustFlush ? 'closeLinger' : 'close', nowUs);
    return true;
  }

  /** The peer has begun anew, from the same address or under the same name: this connection is over and says nothing more. */
  supersede(nowUs: number): void {
    this.#peerEnded(Ends.superseded, nowUs);
    this.#notice.mute();
    this.#outbox.clear();
  }

  /** Gone at once and without a word. */
  destroy(nowUs: number): void {
    if (this.#state !== 'Dead') this.#apply('destroy', nowUs);
  }

  // ---- datagrams in

  /** A data packet from the peer's address. */
  handleData(bytes: Uint8Array, length: number, nowUs: number): void {
    this.data.stats.received.note(length);
    const recipient = recipientOf(bytes);
    if (recipient !== this.id) {
      if (!this.#env.mayAnswerStray(nowUs)) return;
      this.#outbox.push({ kind: 'noConnection', fromConnectionId: recipient, toConnectionId: 0 });
    } else if (FACTS[this.#state].carriesData || this.#state === 'FindingRoute') {
      this.#fail(this.route.receive(this.data, bytes, length, nowUs), nowUs);
      if (this.data.hasHeardPeer) this.#handshake?.onData?.();
      this.#checkRoute(nowUs);
      this.#checkFlushed(nowUs);
    } else if (!FACTS[this.#state].isActive) this.#sayClosed();
  }

  /** A data packet with our id from elsewhere: the peer may have another address now. `route` may change. */
  handleDataElsewhere(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): void {
    if (!FACTS[this.#state].carriesData || this.#session?.ciphers.isEncrypted !== true) return;
    this.#fail(this.route.receiveElsewhere(this.data, bytes, length, from, nowUs), nowUs);
    this.#checkFlushed(nowUs);
  }

  /** Any other datagram from the peer's address; `packet` is what it means, undefined if that is nothing. */
  handleControl(packet: ControlPacket | undefined, length: number, nowUs: number): void {
    this.data.stats.received.note(length);
    if (FACTS[this.#state].carriesData) this.data.liveness.onReceived(nowUs);
    if (packet === undefined) return;
    this.history.onReceived(packet.kind);
    if (packet.kind === 'connectionClosed') this.#onConnectionClosed(packet, nowUs);
    else if (packet.kind === 'noConnection') {
      if (packet.toConnectionId !== this.id || packet.fromConnectionId !== this.remoteId) return;
      this.#peerEnded(Ends.unknownToPeer, nowUs);
    } else this.act(this.#handshake?.onPacket(packet, this.#state, this.data.stats.roundTrip, nowUs), nowUs);
  }

  /** Does what a handshake has come to. */
  act(step: Step | undefined, nowUs: number): void {
    if (step?.kind === 'fail') this.#fail(step.end, nowUs);
    else if (step?.kind === 'say') this.#outbox.push(step.packet);
    else if (step?.kind === 'sayClosed') this.#sayClosed();
    else if (step?.kind === 'peerEnded') this.#peerEnded(step.end, nowUs);
    else if (step?.kind === 'agreed') this.establish(step.session, nowUs, step.reply);
    this.#followIce(nowUs);
  }

  #onConnectionClosed(packet: ConnectionClosed, nowUs: number): void {
    const { toConnectionId: to, fromConnectionId: from } = packet;
    const isOurs = to === this.id || (to === 0 && from !== 0 && from === this.remoteId);
    if (isOurs || this.#env.mayAnswerStray(nowUs)) {
      this.#outbox.push({ kind: 'noConnection', fromConnectionId: to, toConnectionId: from });
    }
    const debug = packet.debug === '' ? 'The peer closed the connection' : packet.debug;
    if (isOurs) this.#peerEnded({ reason: packet.reason, debug }, nowUs);
  }

  /** A signal that is meant for this connection, from whom it may come. */
  handleSignal(signal: Signal, nowUs: number): void {
    this.act(this.link!.onSignal(signal, this.#state, this.#notice, nowUs), nowUs);
  }

  /** Goes the way that ICE has found, and asks the peer for a sign of life there. Call when ICE has news. */
  #followIce(nowUs: number): void {
    const found = this.link?.pollPath(nowUs);
    if (found === undefined) return;
    this.route.set(this.link!.path!);
    this.data.stats.roundTrip.addMeasured(found.rttUs, nowUs);
    this.data.probe();
    this.#checkRoute(nowUs);
  }

  /** The peer's data came through, and we know where to send ours. */
  #checkRoute(nowUs: number): void {
    if (this.#state === 'FindingRoute' && this.data.hasHeardPeer && this.#hasPath) {
      this.data.delivery.isHeld = false;
      this.#apply('establish', nowUs);
    }
  }

  #peerEnded(end: End, nowUs: number): void {
    this.#notice.confirm();
    if (TRANSITIONS[this.#state].peerClose === 'ClosedByPeer' && this.#state !== 'ClosedByPeer') {
      this.#notice.set(end);
      this.#notice.isByPeer = true;
    }
    if (TRANSITIONS[this.#state].peerClose !== undefined) this.#apply('peerClose', nowUs);
  }

  // ---- time

  /** Call at `nextTimeoutUs`, or whenever it suits. */
  handleTimeout(nowUs: number): void {
    this.#followIce(nowUs);
    if (this.#state === 'Connecting') {
      if (nowUs < this.#phaseEndUs()) this.act(this.#handshake!.onTime(nowUs), nowUs);
      else this.#fail(this.#handshake!.timeout, nowUs);
    } else if (this.#state === 'FindingRoute') {
      this.data.onTime(nowUs);
      if (nowUs >= this.#phaseEndUs()) this.#fail(this.link!.giveUp(), nowUs);
    } else if (FACTS[this.#state].carriesData) {
      this.data.refreshSettings();
      if (this.data.onTime(nowUs)) this.#fail(Ends.timedOut, nowUs);
      else this.#checkFlushed(nowUs);
    } else if (this.#state === 'FinWait' && nowUs >= this.history.stateSinceUs + FIN_WAIT_US)
      this.#apply('expire', nowUs);
  }

  #phaseEndUs(): number {
    return this.history.countedSinceUs + this.config.get('timeoutInitial') * US_PER_MS;
  }

  nextTimeoutUs(nowUs: number): number {
    if (!this.#outbox.isEmpty) return nowUs;
    return Math.min(this.#stateDueUs(nowUs), this.link?.signalDueUs(this.#state, this.history.stateSinceUs) ?? NEVER);
  }

  #stateDueUs(nowUs: number): number {
    if (this.#state === 'Connecting') return Math.min(this.#handshake?.dueUs ?? NEVER, this.#phaseEndUs());
    if (this.#state === 'FindingRoute') {
      return Math.min(this.#phaseEndUs(), this.#mayTransmit ? this.data.nextTimeoutUs(nowUs, NEVER) : NEVER);
    }
    if (FACTS[this.#state].carriesData) {
      this.data.refreshSettings();
      return Math.min(this.data.nextTimeoutUs(nowUs), this.route.probeDueUs());
    }
    return Math.min(this.#notice.dueUs, this.#state === 'FinWait' ? this.history.stateSinceUs + FIN_WAIT_US : NEVER);
  }

  get #mayTransmit(): boolean {
    return FACTS[this.#state].carriesData || (this.#state === 'FindingRoute' && this.#hasPath);
  }
  get #hasPath(): boolean {
    return this.route.path !== NOWHERE;
  }

  // ---- datagrams and events out

  /** Fills `slot` with the next datagram; false if none is due. */
  pollTransmit(slot: TransmitSlot, nowUs: number): boolean {
    if (this.#notice.isDue(nowUs)) this.#sayClosed();
    slot.path = this.route.path;
    slot.length = this.#outbox.write(slot.bytes);
    if (slot.length === 0 && this.#mayTransmit) this.route.transmit(this.data, slot, this.remoteId, nowUs);
    if (slot.length === 0) return false;
    this.data.stats.sent.note(slot.length);
    slot.length = slot.path.wrap?.(slot.bytes, slot.length) ?? slot.length;
    return true;
  }

  pollEvent(): StateChange | undefined {
    return this.#events.shift();
  }

  /** The next signal for the application to carry, if one is due. */
  pollSignal(nowUs: number): Signal | undefined {
    return this.link?.pollSignal(this.#state, this.history.stateSinceUs, nowUs);
  }

  /** By signal where there is no other way, or nobody answered there. */
  #sayClosed(): void {
    if (this.#notice.isMuted) return;
    if (this.#hasPath) this.#outbox.push(this.#notice.packet(this.id, this.remoteId));
    if (!this.#hasPath || this.#notice.isRepeated) this.link?.sayClosed(this.#notice);
  }

  // ---- the state machine

  /** Keys are there: after a handshake, or from the beginning for one end of a pair. */
  establish(session: Session, nowUs: number, reply?: ControlPacket): void {
    if (reply !== undefined) this.#outbox.push(reply);
    this.#session = session;
    this.data.start(session.ciphers, session.protocolVersion, nowUs);
    // Signals tell who the peer is, but not that it can be reached.
    this.data.delivery.isHeld = this.link !== undefined;
    if (this.link !== undefined) this.data.liveness.keepaliveUs = P2P_KEEPALIVE_US;
    this.#apply(this.link === undefined ? 'establish' : 'findRoute', nowUs);
    this.#fail(this.data.laneViolation, nowUs);
    this.#checkRoute(nowUs);
  }

  #fail(end: End | undefined, nowUs: number): void {
    if (end === undefined) return;
    if (FACTS[this.#state].isActive) this.#notice.set(end);
    if (TRANSITIONS[this.#state].fail !== undefined) this.#apply('fail', nowUs);
  }

  #checkFlushed(nowUs: number): void {
    if (this.#state === 'Linger' && this.data.delivery.undeliveredBytes === 0) this.#apply('flushed', nowUs);
  }

  /** The only place where the state changes. */
  #apply(trigger: Trigger, nowUs: number): void {
    const from = this.#state;
    const to = TRANSITIONS[from][trigger];
    if (to === undefined) throw new Error(`invariant broken: no transition from ${from} by ${trigger}`);
    if (to === from) return;
    const [was, is] = [FACTS[from], FACTS[to]];
    this.#state = to;
    this.history.onState(to, nowUs);
    this.#events.push({ from, to, info: this.info, undeliveredBytes: this.data.delivery.undeliveredBytes });
    const { delivery } = this.data;
    if (was.isVisible && !is.isVisible) delivery.receiver.dropUnread();
    if (to === 'Linger') delivery.receiver.isDiscarding = true;
    if (was.isActive && !is.isActive) {
      delivery.stop();
      if (!this.#notice.isByPeer && to !== 'Dead') this.#notice.start(this.data.stats.roundTrip.smoothedMs, nowUs);
    }
    if (to === 'FinWait' && !was.isActive) this.#sayClosed();
    if (to === 'Dead') {
      this.#outbox.clear();
      this.link?.close();
    }
  }
}

// One connection: owns the parts, wires them, and keeps the state machine. Datagrams, commands and the time go in;
// datagrams, a deadline and events come out. Spec: 00, 01 §1.6 – §1.10, 04.

import { Fifo } from '../base/fifo.ts';
import type { Identity } from '../base/identity.ts';
import { NEVER, US_PER_MS } from '../base/time.ts';
import type { Expectation, VerifyFailure } from '../certs/verify.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { LaneOptions } from '../delivery/lane-scheduler.ts';
import type { IncomingMessage, OutgoingOptions } from '../delivery/message.ts';
import type { Refusal } from '../delivery/sender.ts';
import type { NetAddress } from '../platform.ts';
import type { ConnectionClosed, ControlPacket } from '../wire/control-packets.ts';
import { recipientOf } from '../wire/data-packet.ts';
import { Outcome } from '../wire/frames.ts';
import { CloseNotice } from './close-notice.ts';
import { DataPath } from './data-path.ts';
import { applicationEnd, type End, EndReason, Ends } from './end-reason.ts';
import type { Environment, Path, TransmitSlot } from './environment.ts';
import { History } from './history.ts';
import { type ConnectionInfo, connectionFlags, type StateChange } from './info.ts';
import { Outbox } from './outbox.ts';
import { Route } from './route.ts';
import { SECURITY_VALUES } from './settings.ts';
import { type ConnectionState, FACTS, TRANSITIONS, type Trigger, visibleState } from './state-table.ts';
import { type Arrival, ClientHandshake, type ClientStep, ServerHandshake, type Session } from './udp-handshake.ts';

/** Why a message was not taken, beside what delivery says. */
export type SendRefusal = Refusal | 'closed' | 'ended' | 'notConnected';

const HANDSHAKE_RETRY_US = 500 * US_PER_MS;
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
  #client: ClientHandshake | undefined;
  #server: ServerHandshake | undefined;
  #session: Session | undefined;
  #handshakeDueUs = NEVER;
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
    return this.#session?.remoteId ?? this.#server?.remoteId ?? this.#client?.remoteId ?? 0;
  }
  get identity(): Identity | undefined {
    return this.#session?.identity ?? this.#server?.identity ?? this.#client?.remoteIdentity;
  }

  /** In FinWait: the peer has confirmed that it knows of the close, or cannot be expected to. */
  get isCloseConfirmed(): boolean {
    return this.#notice.isConfirmed || this.#notice.isByPeer;
  }

  /** Who vouches for the peer, and what it showed; undefined until it is verified. */
  get verified(): Pick<Session, 'isAuthenticated' | 'shown'> | undefined {
    return this.#session ?? this.#server;
  }

  get info(): ConnectionInfo {
    const isAuthenticated = this.verified?.isAuthenticated ?? false;
    return {
      state: visibleState(this.#state),
      endReason: this.#notice.reason,
      endDebug: this.#notice.debug,
      remoteIdentity: this.identity,
      remoteAddress: this.route.address,
      isIncoming: this.isIncoming,
      flags: connectionFlags(this.route.address, isAuthenticated, this.#session?.ciphers.isEncrypted ?? false),
    };
  }

  // ---- commands of the application

  /** Begins to connect, to a peer that must be as expected. */
  connect(nowUs: number, expected?: Expectation): void {
    this.#client = new ClientHandshake(this.#env, this.config, this.id, this.route.address, expected);
    this.#apply('start', nowUs);
    for (const name of SECURITY_VALUES) this.config.lock(name);
    this.#handshakeDueUs = nowUs;
    this.handleTimeout(nowUs);
  }

  /** Enters a client's request; what is wrong with its credentials if the connection is of no use. */
  receiveRequest({ request, identity, length }: Arrival, nowUs: number): VerifyFailure | undefined {
    const { roundTrip, received } = this.data.stats;
    const { address } = this.route;
    const begun = ServerHandshake.begin(this.#env, this.config, address, request, identity, roundTrip, nowUs);
    if ('kind' in begun) return begun;
    this.#server = begun;
    received.note(length);
    this.#apply('start', nowUs);
    return undefined;
  }

  accept(nowUs: number): 'ok' | 'notIncoming' | 'notConnecting' | 'handshakeFailed' {
    if (!this.isIncoming) return 'notIncoming';
    if (this.#state !== 'Connecting') return 'notConnecting';
    for (const name of SECURITY_VALUES) this.config.lock(name);
    const session = this.#server!.accept(this.id);
    if ('reason' in session) {
      this.#fail(session, nowUs);
      return 'handshakeFailed';
    }
    this.#outbox.push(this.#server!.connectOk(this.id, nowUs));
    this.establish(session, nowUs);
    return 'ok';
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
    if (FACTS[this.#state].isActive) this.#setEnd(applicationEnd(reason, debug));
    const mustFlush = linger && this.#state === 'Connected' && this.data.delivery.undeliveredBytes > 0;
    if (mustFlush) this.data.delivery.flush(nowUs);
    this.#apply(mustFlush ? 'closeLinger' : 'close', nowUs);
    return true;
  }

  /** The peer has begun anew from the same address: this connection is over and says nothing more. */
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
    } else if (FACTS[this.#state].carriesData) {
      this.#fail(this.route.receive(this.data, bytes, length, nowUs), nowUs);
      if (this.data.stats.window.highest > 1) this.#server = undefined; // who sends data has our answer
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
    switch (packet.kind) {
      case 'challengeRequest':
        if (packet.connectionId === this.remoteId) this.#answerRequest(nowUs);
        break;
      case 'connectRequest':
        if (packet.clientConnectionId === this.remoteId) this.#answerRequest(nowUs);
        break;
      case 'challengeReply':
        if (this.#client === undefined || this.#state !== 'Connecting') return;
        this.#take(this.#client.onChallengeReply(packet, this.data.stats.roundTrip, nowUs), nowUs);
        break;
      case 'connectOk':
        if (this.#client === undefined) return;
        if (this.#state === 'Connecting') {
          this.#take(this.#client.onConnectOk(packet, this.data.stats.roundTrip, this.identity, nowUs), nowUs);
        } else if (!FACTS[this.#state].isActive && this.#client.identityOf(packet) !== undefined) this.#sayClosed();
        break;
      case 'connectionClosed':
        this.#onConnectionClosed(packet, nowUs);
        break;
      case 'noConnection':
        if (packet.toConnectionId !== this.id || packet.fromConnectionId !== this.remoteId) return;
        this.#peerEnded(Ends.unknownToPeer, nowUs);
    }
  }

  /** The client did not hear our reply, or does not know that we closed. */
  #answerRequest(nowUs: number): void {
    if (!FACTS[this.#state].isActive) this.#sayClosed();
    else if (this.#server !== undefined && FACTS[this.#state].carriesData) {
      this.#outbox.push(this.#server.connectOk(this.id, nowUs));
    }
  }

  #take(step: ClientStep | undefined, nowUs: number): void {
    if (step === undefined) return;
    if (step.kind === 'fail') this.#fail(step.failure, nowUs);
    else if (step.kind === 'establish') this.establish(step.session, nowUs);
    else {
      this.#outbox.push(step.packet);
      this.#handshakeDueUs = nowUs + HANDSHAKE_RETRY_US;
    }
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

  #peerEnded(end: End, nowUs: number): void {
    this.#notice.confirm();
    if (TRANSITIONS[this.#state].peerClose === 'ClosedByPeer' && this.#state !== 'ClosedByPeer') {
      this.#setEnd(end);
      this.#notice.isByPeer = true;
    }
    if (TRANSITIONS[this.#state].peerClose !== undefined) this.#apply('peerClose', nowUs);
  }

  // ---- time

  /** Call at `nextTimeoutUs`, or whenever it suits. */
  handleTimeout(nowUs: number): void {
    if (this.#state === 'Connecting') this.#onConnectingTime(nowUs);
    else if (FACTS[this.#state].carriesData) {
      this.data.refreshSettings();
      if (this.data.onTime(nowUs)) this.#fail(Ends.timedOut, nowUs);
      else this.#checkFlushed(nowUs);
    } else if (this.#state === 'FinWait' && nowUs >= this.history.stateSinceUs + FIN_WAIT_US)
      this.#apply('expire', nowUs);
  }

  #onConnectingTime(nowUs: number): void {
    const obstacle = this.#client?.obstacle;
    if (obstacle !== undefined) this.#fail(obstacle, nowUs);
    else if (nowUs >= this.#connectingEndUs()) {
      this.#fail(this.#client?.timeout ?? Ends.acceptTimedOut, nowUs);
    } else if (nowUs >= this.#handshakeDueUs) {
      this.#outbox.push(this.#client!.challengeRequest(nowUs));
      this.#handshakeDueUs = nowUs + HANDSHAKE_RETRY_US;
    }
  }

  #connectingEndUs(): number {
    const { stateSinceUs, excusedUs } = this.history;
    return stateSinceUs + excusedUs + this.config.get('timeoutInitial') * US_PER_MS;
  }

  nextTimeoutUs(nowUs: number): number {
    if (!this.#outbox.isEmpty) return nowUs;
    if (this.#state === 'Connecting') return Math.min(this.#handshakeDueUs, this.#connectingEndUs());
    if (FACTS[this.#state].carriesData) {
      this.data.refreshSettings();
      return Math.min(this.data.nextTimeoutUs(nowUs), this.route.probeDueUs());
    }
    return Math.min(this.#notice.dueUs, this.#state === 'FinWait' ? this.history.stateSinceUs + FIN_WAIT_US : NEVER);
  }

  // ---- datagrams and events out

  /** Fills `slot` with the next datagram; false if none is due. */
  pollTransmit(slot: TransmitSlot, nowUs: number): boolean {
    if (this.#notice.isDue(nowUs)) this.#sayClosed();
    slot.path = this.route.path;
    slot.length = this.#outbox.write(slot.bytes);
    const mayBeData = slot.length === 0 && FACTS[this.#state].carriesData;
    if (mayBeData) this.route.transmit(this.data, slot, this.remoteId, nowUs);
    if (slot.length === 0) return false;
    this.data.stats.sent.note(slot.length);
    return true;
  }

  /** The datagram filled last could not be sent. */
  onSendFailed(): void {
    this.data.delivery.onSendFailed();
  }

  pollEvent(): StateChange | undefined {
    return this.#events.shift();
  }

  #sayClosed(): void {
    if (!this.#notice.isMuted) this.#outbox.push(this.#notice.packet(this.id, this.remoteId));
  }

  // ---- the state machine

  /** Keys are there: after a handshake, or from the beginning for one end of a pair. */
  establish(session: Session, nowUs: number): void {
    this.#session = session;
    this.data.start(session.ciphers.sealer, session.ciphers.opener, session.protocolVersion, nowUs);
    this.#apply('establish', nowUs);
    this.#fail(this.data.laneViolation, nowUs);
  }

  #fail(end: End | undefined, nowUs: number): void {
    if (end === undefined) return;
    if (FACTS[this.#state].isActive) this.#setEnd(end);
    if (TRANSITIONS[this.#state].fail !== undefined) this.#apply('fail', nowUs);
  }

  #setEnd(end: End): void {
    this.#notice.reason = end.reason;
    this.#notice.debug = end.debug;
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
    if (to === 'Dead') this.#outbox.clear();
  }
}

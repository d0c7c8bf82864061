// A connection as the application holds it: GNS's connection handle, with methods.

import { EventEmitter } from 'node:events';
import type { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import type { Identity } from '../core/base/identity.ts';
import type { ConfigScope } from '../core/config/scope.ts';
import { type ConnectionInfo, isVisibleChange, type StateChange } from '../core/connection/info.ts';
import type { RateLimit } from '../core/connection/rate-watch.ts';
import { type ConnectionState, FACTS, visibleState } from '../core/connection/state-table.ts';
import type { LaneOptions } from '../core/delivery/lane-scheduler.ts';
import type { IncomingMessage, Receipt } from '../core/delivery/message.ts';
import type { Member } from '../core/endpoint/member.ts';
import { ConnectionError } from './connection-error.ts';
import { describe, shortDescription } from './describe.ts';
import type { Driver } from './driver.ts';
import { type Diagnosis, explain } from './explain.ts';
import { type LaneStream, LaneStreams } from './lane-stream.ts';
import { nextOf } from './next-of.ts';
import { type PeerCertificate, peerCertificate } from './peer-certificate.ts';
import { checkLanes, outgoingOptions, payloadOf, refusalError, type SendOptions } from './sending.ts';
import { type ConnectionStatus, connectionStatus } from './status.ts';

export interface CloseOptions {
  /** 1000 – 1999 for ordinary ends, 2000 – 2999 for unusual ones; anything else becomes 1999. Default: 1000. */
  readonly reason?: number;
  /** For people; at most 127 bytes of UTF-8 reach the peer. Default: a standard text. */
  readonly debug?: string;
  /**
   * Deliver the reliable messages first that the peer does not have yet: for as long as it takes, or until the peer is
   * silent for `timeoutConnected`. Only in state Connected. Default: false.
   */
  readonly linger?: boolean;
}

/** How a close went. */
export interface CloseResult {
  /** The peer acknowledged every reliable byte that was sent. */
  readonly delivered: boolean;
  /** The peer knows that the connection is closed: it said so, or it had closed itself. */
  readonly confirmed: boolean;
  /** Reliable bytes, framing included, that the peer did not acknowledge. */
  readonly undeliveredBytes: number;
  /** Why the connection ended, as in `info`: the peer's reason if it closed first. */
  readonly endReason: number;
  readonly endDebug: string;
}

export interface ConnectionEvents {
  /** The visible state changed; `change.info` holds for that moment, the connection may be further already. */
  state: [change: StateChange];
  /** Every change, FinWait, Linger and Dead included. */
  internalState: [change: StateChange];
  /** The connection is established. */
  connected: [];
  /**
   * The peer closed, or a problem was found. Unread messages can still be read. The connection stays, in memory and
   * with its port, until `close` is called.
   */
  ended: [info: ConnectionInfo];
  /** As long as somebody listens, messages are handed out as they come; those that came before, at once. */
  message: [message: IncomingMessage];
  /** What became of a message that was sent with `receipt`. */
  receipt: [receipt: Receipt];
  /**
   * The peer has another address now, which it has proven: `remoteAddress`. `from` was the one before. Only on
   * connections that came in through a listen socket, and not if `ipFollowAddressChange` is 0.
   */
  addressChanged: [from: IpAddress];
  /** A full send buffer has become half empty. */
  drain: [];
  /**
   * For more than a second there has been data to send that `sendRateMin` and `sendRateMax` do not let out. Told once,
   * and again after ten seconds without.
   */
  rateLimited: [limit: RateLimit];
  /** There are messages to fetch; told again once all have been fetched. Not told while `message` has listeners. */
  readable: [];
  /** Node's own. */
  newListener: [event: string | symbol];
}

/**
 * A connection with one peer, made by `Networking.connect`, `Networking.open` or `IncomingConnection.accept`. Every
 * connection wants to be closed in the end, also one that the peer has closed. Receive with the event `message`, with
 * `for await`, or with `receiveMessages`: one of them.
 */
export class Connection
  extends EventEmitter<ConnectionEvents>
  implements AsyncIterable<IncomingMessage>, AsyncDisposable
{
  /** @internal */
  readonly member: Member;
  /** @internal */
  readonly streams = new LaneStreams(this);
  readonly #driver: Driver;
  /** Anything of yours. */
  userData: unknown;
  /** For your logs. */
  name = '';
  #closing: { readonly promise: Promise<CloseResult>; readonly resolve: (result: CloseResult) => void } | undefined;

  /** @internal */
  constructor(member: Member, driver: Driver) {
    super();
    this.member = member;
    this.#driver = driver;
    this.on('newListener', (event) => {
      // Messages may have come before anybody listened.
      if (event === 'message') driver.platform.defer(() => this.#handOut());
    });
  }

  get #core() {
    return this.member.connection;
  }

  /** The connection id, which is GNS's handle. Random, not 0. */
  get id(): number {
    return this.#core.id;
  }
  /** It came in through a listen socket. */
  get isIncoming(): boolean {
    return this.#core.isIncoming;
  }
  /** Once closed by this side it is None. */
  get state(): ConnectionState {
    return visibleState(this.#core.state);
  }
  /** Tells FinWait, Linger and Dead apart, which `state` shows as None. */
  get internalState(): ConnectionState {
    return this.#core.state;
  }
  /** A snapshot: state, end reason, peer, flags. */
  get info(): ConnectionInfo {
    return this.#core.info;
  }
  /** Undefined until the peer has told. */
  get remoteIdentity(): Identity | undefined {
    return this.#core.identity;
  }
  get remoteAddress(): IpAddress {
    return this.#core.info.remoteAddress;
  }
  /** What the peer showed, and whether an authority vouches for it; undefined until then. */
  get remoteCertificate(): PeerCertificate | undefined {
    return peerCertificate(this.#core, this.#driver.platform.crypto);
  }
  /** The connection's own configuration values; those it does not set come from the listen socket or the instance. */
  get config(): ConfigScope {
    return this.#core.config;
  }

  /** A snapshot of ping, quality, rates and queues. */
  status(): ConnectionStatus {
    return connectionStatus(this.#core, this.#driver.platform.nowUs());
  }

  /** Why it failed or is slow, with advice. Changes nothing. */
  explain(): Diagnosis {
    return explain(this.#core, this.#driver.platform.nowUs());
  }

  /** All that is known of it, on many lines for a person to read. */
  describe(): string {
    return describe(this.#core, this.name, this.#driver.platform.nowUs());
  }

  /** In short, as GNS has it: `#<id> UDP str:x@1.2.3.4:5678 'name'`. */
  override toString(): string {
    return shortDescription(this.#core, this.name);
  }

  /**
   * Queues a message and returns its number on the lane. Strings are sent as UTF-8; bytes are copied. Throws
   * `NetworkingError` with code `MessageTooLarge`, `LimitExceeded` (the send buffer is full: nothing was queued),
   * `NoConnection`, `Ignored` or `InvalidParam`.
   */
  send(data: Uint8Array | string, options: SendOptions = {}): number {
    return this.sendOwned(payloadOf(data), options);
  }

  // For bytes that nobody changes any more.
  /** @internal */
  sendOwned(payload: Uint8Array, options: SendOptions): number {
    const nowUs = this.#driver.platform.nowUs();
    const result = this.#core.send(payload, outgoingOptions(options, nowUs), nowUs);
    if (result === 'sendBufferFull') this.#watchDrain();
    if (typeof result !== 'number') throw refusalError(result, 'send', payload.length, options.lane ?? 0);
    this.#touch();
    return result;
  }

  /** Bytes of messages, framing included, that are queued and not yet sent; at most `sendBufferSize`. */
  get bufferedBytes(): number {
    return this.#core.data.delivery.pendingBytes;
  }

  /**
   * Resolves when no more than half of the send buffer is in use: at once, or with the next `drain`. Rejects with code
   * `NoConnection` if the connection ends or is closed before.
   */
  async writable(): Promise<void> {
    while (this.bufferedBytes > this.#lowWaterBytes) {
      if (!FACTS[this.#core.state].isActive || !FACTS[this.#core.state].isVisible) break;
      this.#watchDrain();
      await nextOf<ConnectionEvents>(this, 'drain', 'state');
    }
    if (FACTS[this.#core.state].isActive && FACTS[this.#core.state].isVisible) return;
    throw new NetworkingError('NoConnection', 'cannot wait for room in the send buffer: the connection has ended');
  }

  get #lowWaterBytes(): number {
    return this.config.get('sendBufferSize') / 2;
  }

  #watchDrain(): void {
    this.member.drainBelowBytes = this.#lowWaterBytes;
    this.#touch();
  }

  /**
   * Lanes for what this side sends: each has its own order, so that a lost packet holds up only the lanes it carried.
   * Lanes of a lower `priority` number are served first, strictly; those of equal priority share by `weight`. At most
   * 255, and never fewer than before. Towards C++ GNS use at most 8: it receives more, but sends on no more itself.
   * Throws `InvalidParam`, `NoConnection`, and `InvalidState` if the connection has ended.
   */
  configureLanes(lanes: readonly LaneOptions[]): void {
    checkLanes(lanes);
    const options = lanes.map(({ priority = 0, weight = 1 }) => ({ priority, weight }));
    const result = this.#core.configureLanes(options, this.#driver.platform.nowUs());
    this.#touch();
    if (result === 'ok') return;
    if (result === 'closed')
      throw new NetworkingError('NoConnection', 'cannot configure lanes: the connection was closed');
    if (result === 'ended')
      throw new NetworkingError('InvalidState', 'cannot configure lanes: the connection has ended');
    const before = this.#core.data.delivery.laneOptions.length;
    throw new NetworkingError(
      'InvalidParam',
      `cannot configure ${lanes.length} lanes: there are ${before} already, and lanes stay`,
    );
  }

  /**
   * The lane's reliable messages as a stream of bytes, instead of as messages. The peer uses one too, or takes empty
   * messages for the end. Throws `InvalidParam`, `DuplicateRequest` if there is one, `NoConnection` if it has ended.
   */
  laneStream(lane: number): LaneStream {
    return this.streams.open(lane);
  }

  /** Nothing queued waits for company any more. Throws `Ignored` if not connected yet, and when `send` does. */
  flush(): void {
    const result = this.#core.flush(this.#driver.platform.nowUs());
    this.#touch();
    if (result === 'ok') return;
    throw refusalError(result, 'flush', 0, 0);
  }

  /**
   * What arrives unreliably on `lane` after something newer is thrown away: sequenced delivery, for state of which only
   * the latest counts. Throws `InvalidParam` for a lane that cannot be.
   */
  dropLate(lane: number, drops = true): void {
    if (!Number.isInteger(lane) || lane < 0 || lane > 255) {
      throw new NetworkingError('InvalidParam', `cannot drop late messages of lane ${lane}: lanes are 0 to 255`);
    }
    this.#core.data.delivery.receiver.dropLate(lane, drops);
  }

  /** Up to `max` messages that have arrived, oldest first. */
  receiveMessages(max = Number.POSITIVE_INFINITY): IncomingMessage[] {
    const messages: IncomingMessage[] = [];
    while (messages.length < max) {
      const message = this.receiveNext();
      if (message === undefined) break;
      messages.push(message);
    }
    return messages;
  }

  // Of a stream: the next message on its lane.
  /** @internal */
  receiveNext(streamLane?: number): IncomingMessage | undefined {
    const message = FACTS[this.#core.state].isVisible
      ? this.#core.receive(this.#driver.platform.nowUs(), streamLane)
      : undefined;
    // None left: the next one is announced again.
    if (this.#core.data.delivery.receiver.queuedMessages === 0) this.member.isAnnounced = false;
    if (message !== undefined) this.#touch();
    return message;
  }

  /**
   * Closes the handle. Unread messages are discarded. The promise says whether the peer has everything and knows of the
   * close; it settles when the peer has confirmed, or five seconds after it was told first (with `linger` that may be
   * much later than now). Never rejects; closing twice is harmless and gives the same promise. Options have no effect
   * on a connection that has ended already.
   */
  close(options: CloseOptions = {}): Promise<CloseResult> {
    if (this.#closing !== undefined) return this.#closing.promise;
    let resolve: (result: CloseResult) => void = () => {};
    const promise = new Promise<CloseResult>((settle) => {
      resolve = settle;
    });
    this.#closing = { promise, resolve };
    this.#core.close(options.reason ?? 0, options.debug ?? '', options.linger ?? false, this.#driver.platform.nowUs());
    this.#settleClose();
    this.#touch();
    return promise;
  }

  /** Resolves once connected; rejects with a `ConnectionError` that says why not. */
  async connected(): Promise<this> {
    while (this.state !== 'Connected') {
      if (!FACTS[this.#core.state].isActive) throw new ConnectionError(this.info, this.explain());
      await new Promise((resolve) => this.once('state', resolve));
    }
    return this;
  }

  /** Messages as they come, until the connection ends; leaving the loop closes it with linger. */
  async *[Symbol.asyncIterator](): AsyncGenerator<IncomingMessage, void, undefined> {
    try {
      for (;;) {
        const message = this.receiveNext();
        if (message !== undefined) yield message;
        else if (!FACTS[this.#core.state].isActive || !FACTS[this.#core.state].isVisible) return;
        else await nextOf<ConnectionEvents>(this, 'readable', 'state');
      }
    } finally {
      await this.close({ linger: true });
    }
  }

  /** Closes with linger. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close({ linger: true });
  }

  #touch(): void {
    this.#driver.touch(this.member);
  }

  // ---- called by the instance

  /** @internal */
  onStateChange(change: StateChange): void {
    this.emit('internalState', change);
    this.#settleClose();
    if (!isVisibleChange(change)) return;
    this.emit('state', { ...change, from: visibleState(change.from), to: visibleState(change.to) });
    if (change.to === 'Connected') this.emit('connected');
    else if (change.to === 'ClosedByPeer' || change.to === 'ProblemDetectedLocally') this.emit('ended', change.info);
  }

  /** @internal */
  onMessagesReady(): void {
    if (this.listenerCount('message') > 0) this.#handOut();
    else this.emit('readable');
  }

  /** @internal */
  onDrained(): void {
    this.emit('drain');
  }

  /** @internal */
  onCloseConfirmed(): void {
    this.#settleClose();
  }

  #handOut(): void {
    const { receiver } = this.#core.data.delivery;
    while (receiver.queuedMessages > 0 && this.listenerCount('message') > 0) {
      const message = this.receiveNext();
      if (message === undefined) return;
      this.emit('message', message);
    }
  }

  #settleClose(): void {
    const isOver = this.#core.state === 'Dead' || (this.#core.state === 'FinWait' && this.#core.isCloseConfirmed);
    if (this.#closing === undefined || !isOver) return;
    const { endReason, endDebug } = this.#core.info;
    const { undeliveredBytes } = this.#core.data.delivery;
    const confirmed = this.#core.isCloseConfirmed;
    this.#closing.resolve({ delivered: undeliveredBytes === 0, confirmed, undeliveredBytes, endReason, endDebug });
  }
}

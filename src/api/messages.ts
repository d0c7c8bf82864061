// Ad-hoc messages as the application sees them: to a peer by its name, without a connection to look after. GNS's
// ISteamNetworkingMessages. Spec: 08.

import { EventEmitter } from 'node:events';
import { NetworkingError } from '../core/base/errors.ts';
import type { Identity } from '../core/base/identity.ts';
import { US_PER_MS } from '../core/base/time.ts';
import type { ConnectionInfo } from '../core/connection/info.ts';
import { MAX_MESSAGE_BYTES } from '../core/delivery/message.ts';
import type { SessionMessage } from '../core/endpoint/channel-inbox.ts';
import type { Endpoint } from '../core/endpoint/endpoint.ts';
import type { EndpointEvent, Member } from '../core/endpoint/member.ts';
import { MESSAGES_VIRTUAL_PORT, type VirtualPort } from '../core/endpoint/rendezvous.ts';
import { type SessionEnd, Sessions } from '../core/endpoint/sessions.ts';
import type { Alarm } from '../core/platform.ts';
import { CHANNEL_HEADER_BYTES } from '../core/wire/channel-header.ts';
import { identityOf } from './connect.ts';
import type { CloseOptions, Connection } from './connection.ts';
import type { Driver } from './driver.ts';
import { nextOf } from './next-of.ts';
import type { P2P } from './p2p.ts';
import { outgoingOptions, payloadOf, refusalError } from './sending.ts';
import { type ConnectionStatus, connectionStatus } from './status.ts';

/** GNS's. */
const DEFAULT_IDLE_MS = 180_000;
/** Of the application's own bytes; no more fits with the header that says which channel it is. GNS takes no more, too. */
const MAX_PAYLOAD_BYTES = MAX_MESSAGE_BYTES - CHANNEL_HEADER_BYTES;
const CLOSED_REASON = 1001;

export interface MessagesOptions {
  /** A session in which nothing was sent or received for so long is closed. Default: 180,000, which is GNS's. */
  readonly idleTimeoutMs?: number;
}

export interface SendToUserOptions {
  /** Any 32-bit integer: the receiver's number for this kind of message. Default: 0. */
  readonly channel?: number;
  /** As for `Connection.send`. What is sent before there is a connection goes reliably in any case. Default: true. */
  readonly reliable?: boolean;
  readonly noNagle?: boolean;
  readonly noDelay?: boolean;
  /** Try again if the session has failed, instead of throwing `ConnectFailed`. Default: false. */
  readonly autoRestart?: boolean;
}

export interface MessagesEvents {
  /** As long as somebody listens, messages of all channels are handed out as they come; those that came before, at once. */
  message: [message: SessionMessage];
  /** There are messages to fetch. Not told while `message` has listeners. */
  readable: [];
  /** A peer wants to send us messages. Sending it one is consent, too. Without an answer it fails after `timeoutInitial`. */
  request: [request: SessionRequest];
  /** No connection came about. The session stays broken until it is closed, or a send says `autoRestart`. */
  failed: [end: SessionEnd];
  /**
   * The session's connection has ended: the peer closed it, or was silent for too long, or nothing was to be said. The
   * next message makes a new one; those of `undeliveredBytes` may not have arrived. Not told after our own
   * `closeSessionWithUser`. GNS does not tell.
   */
  closed: [end: SessionEnd];
  /** `close` was called. */
  close: [];
  /** Node's own. */
  newListener: [event: string | symbol];
}

/** A peer that waits for our consent. */
export class SessionRequest {
  readonly identity: Identity;
  readonly #messages: Messages;

  /** @internal */
  constructor(identity: Identity, messages: Messages) {
    this.identity = identity;
    this.#messages = messages;
  }

  /** False if the peer has gone meanwhile. */
  accept(): boolean {
    return this.#messages.acceptSessionWithUser(this.identity);
  }

  /** The peer is told with its next attempt. */
  reject(): void {
    this.#messages.closeSessionWithUser(this.identity);
  }
}

/** What the instance does for its messages. */
export interface MessagesHost {
  readonly endpoint: Endpoint;
  readonly driver: Driver;
  readonly p2p: P2P;
  wrap(member: Member): Connection;
}

/**
 * Messages to peers by their names, made by `Networking.messages`. Connections come and go by themselves. Receive with
 * the event `message`, with `for await` over `channel`, or with `receiveMessagesOnChannel`: one of them.
 */
export class Messages extends EventEmitter<MessagesEvents> implements AsyncDisposable {
  readonly #host: MessagesHost;
  readonly #sessions: Sessions;
  readonly #door: VirtualPort;
  readonly #alarm: Alarm;
  #isPlanned = false;
  #isClosed = false;

  /** @internal */
  constructor(host: MessagesHost, { idleTimeoutMs = DEFAULT_IDLE_MS }: MessagesOptions = {}) {
    super();
    if (!(idleTimeoutMs > 0)) {
      throw new NetworkingError('InvalidParam', `idleTimeoutMs is a number of milliseconds, not ${idleTimeoutMs}`);
    }
    if (!host.p2p.hasSignaling) {
      throw new NetworkingError('InvalidState', 'cannot exchange messages: this instance has no signaling');
    }
    this.#host = host;
    this.#sessions = new Sessions(host.endpoint, idleTimeoutMs * US_PER_MS);
    this.#door = host.p2p.openDoor(MESSAGES_VIRTUAL_PORT, { symmetricConnect: 1 });
    this.#alarm = host.driver.platform.newAlarm((nowUs) => {
      this.#sessions.handleTimeout(nowUs);
      this.#settle();
    });
    // The port keeps the process alive, not the clock.
    this.#alarm.setRef(false);
    this.on('newListener', (event) => {
      if (event === 'message') this.#plan();
    });
  }

  /** Those with whom there is a session, whatever has become of it. */
  get sessions(): Identity[] {
    return this.#sessions.identities;
  }
  /** Messages without a channel, which no peer sends that means well. */
  get droppedCount(): number {
    return this.#sessions.droppedMessages;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }

  #nowUs(): number {
    return this.#host.driver.platform.nowUs();
  }

  /**
   * Sends at most 524,283 bytes, and returns the message's number; a session begins if there is none. To ourselves, the
   * message is passed in memory. Throws `InvalidParam`, `MessageTooLarge`, `LimitExceeded` (too much waits already:
   * nothing was queued; see `writable`), `ConnectFailed` if the session has failed, `Ignored` for `noDelay` while it
   * is not connected, `InvalidState` once closed, and as `openP2P` does.
   */
  sendMessageToUser(to: string | Identity, data: Uint8Array | string, options: SendToUserOptions = {}): number {
    if (this.#isClosed) throw new NetworkingError('InvalidState', 'cannot send: close was called');
    const { channel = 0, autoRestart = false, reliable = true, noNagle = false, noDelay = false } = options;
    checkChannel(channel);
    const identity = identityOf(to);
    if (identity.isLocalHost && !identity.equals(this.#host.endpoint.env.identity)) {
      throw new NetworkingError('InvalidParam', `cannot send to ${identity}: it is nobody's name`);
    }
    const payload = payloadOf(data);
    if (payload.length > MAX_PAYLOAD_BYTES) {
      const why = `a message has at most ${MAX_PAYLOAD_BYTES} bytes, not ${payload.length}`;
      throw new NetworkingError('MessageTooLarge', `cannot send: ${why}`);
    }
    const nowUs = this.#nowUs();
    const message = {
      identity,
      channel,
      payload,
      options: outgoingOptions({ reliable, noNagle, noDelay }, nowUs),
      autoRestart,
    };
    try {
      const result = this.#sessions.send(message, () => this.#connect(identity), nowUs);
      if (typeof result === 'number') return result;
      throw refusalError(result, 'send', payload.length, 0);
    } finally {
      this.#plan();
    }
  }

  #connect(identity: Identity): Member {
    return this.#host.p2p.connect(identity, MESSAGES_VIRTUAL_PORT, { config: { symmetricConnect: 1 } });
  }

  /**
   * Resolves when no more than half of the session's send buffer is in use: at once if there is no connection. Rejects
   * with code `NoConnection` if it ends before.
   */
  async writable(identity: string | Identity): Promise<void> {
    const member = this.#sessions.memberOf(identityOf(identity));
    if (member !== undefined) await this.#host.wrap(member).writable();
  }

  /** Up to `max` messages that have arrived on this channel, from whomever, oldest first. */
  receiveMessagesOnChannel(channel: number, max = Number.POSITIVE_INFINITY): SessionMessage[] {
    checkChannel(channel);
    const messages: SessionMessage[] = [];
    while (messages.length < max) {
      const message = this.#receive(channel);
      if (message === undefined) break;
      messages.push(message);
    }
    return messages;
  }

  #receive(channel?: number): SessionMessage | undefined {
    const message = this.#sessions.receive(channel, this.#nowUs());
    if (message !== undefined) this.#host.driver.poke();
    return message;
  }

  /** Messages on this channel as they come, until `close`. */
  async *channel(channel: number): AsyncGenerator<SessionMessage, void, undefined> {
    checkChannel(channel);
    for (;;) {
      const message = this.#receive(channel);
      if (message !== undefined) yield message;
      else if (this.#isClosed) return;
      else await nextOf<MessagesEvents>(this, 'readable', 'close');
    }
  }

  /** Consents to a session that a peer asks for; counts as use of any other. False if there is none, or no connection. */
  acceptSessionWithUser(identity: string | Identity): boolean {
    const isThere = this.#sessions.accept(identityOf(identity), this.#nowUs());
    this.#plan();
    return isThere;
  }

  /**
   * Ends a session, or turns down one that was asked for. What is unread, or was not delivered yet, is lost. False if
   * there is none.
   */
  closeSessionWithUser(identity: string | Identity): boolean {
    const wasThere = this.#sessions.close(identityOf(identity), this.#nowUs());
    this.#plan();
    return wasThere;
  }

  /**
   * Throws away what this peer sent on this channel and is unread. When that was the last channel on which it sent
   * something, the session is closed. False if it never sent anything there.
   */
  closeChannelWithUser(identity: string | Identity, channel: number): boolean {
    const wasOpen = this.#sessions.closeChannel(identityOf(identity), channel, this.#nowUs());
    this.#plan();
    return wasOpen;
  }

  /**
   * Of the connection behind a session: its state, and why it failed if it did. Undefined without a session, and while
   * the session has none.
   */
  sessionInfo(identity: string | Identity): ConnectionInfo | undefined {
    return this.#sessions.infoOf(identityOf(identity));
  }

  /** Ping, quality, rates and queues of the connection behind a session, if there is one now. */
  sessionStatus(identity: string | Identity): ConnectionStatus | undefined {
    const member = this.#sessions.memberOf(identityOf(identity));
    return member === undefined ? undefined : connectionStatus(member.connection, this.#nowUs());
  }

  /**
   * Ends all sessions and hears no more requests. Resolves when the peers know, or after 5 s; later with `linger`, which
   * delivers first what was sent reliably. Unread messages can still be fetched.
   */
  async close({ reason = CLOSED_REASON, debug = '', linger = false }: CloseOptions = {}): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { endpoint, driver, wrap } = this.#host;
    const closing = this.#sessions.members.map((member) => wrap(member).close({ reason, debug, linger }));
    endpoint.closeListener(this.#door, { reason, debug }, linger, this.#nowUs());
    this.#alarm.set(Number.POSITIVE_INFINITY);
    driver.poke();
    this.emit('close');
    await Promise.all(closing);
  }

  /** Closes with linger. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close({ linger: true });
  }

  // ---- called by the instance

  // The connection is a session's, and nobody else's business.
  /** @internal */
  owns(member: Member): boolean {
    return this.#sessions.has(member);
  }

  /** @internal */
  onEvent(event: EndpointEvent): void {
    if (event.kind !== 'stateChanged' && event.kind !== 'messagesReady') return;
    const { member } = event;
    const nowUs = this.#nowUs();
    if (event.kind === 'messagesReady') this.#sessions.onMessages(member, nowUs);
    else if (event.change.to === 'Connecting' && member.listener === this.#door) this.#onCall(member, nowUs);
    else this.#sessions.onStateChange(member, event.change, nowUs);
    this.#settle();
  }

  #onCall(member: Member, nowUs: number): void {
    if (!this.#isClosed) this.#sessions.onIncoming(member, nowUs);
  }

  /** To be done soon, but not while the application waits for an answer. */
  #plan(): void {
    this.#host.driver.poke();
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#host.driver.platform.defer(() => {
      this.#isPlanned = false;
      this.#settle();
    });
  }

  /** Tells what there is to tell, messages first: they came before an end that was told of. */
  #settle(): void {
    try {
      this.#handOut();
      for (let event = this.#sessions.pollEvent(); event !== undefined; event = this.#sessions.pollEvent()) {
        if (event.kind === 'request') this.emit('request', new SessionRequest(event.identity, this));
        else {
          const { identity, info, undeliveredBytes } = event;
          this.emit(event.kind, { identity, info, undeliveredBytes });
        }
      }
    } finally {
      if (this.#sessions.hasEvents) this.#plan();
      if (!this.#isClosed) this.#alarm.set(this.#sessions.nextTimeoutUs());
    }
  }

  #handOut(): void {
    while (this.listenerCount('message') > 0) {
      const message = this.#receive();
      if (message === undefined) return;
      this.emit('message', message);
    }
    if (this.#sessions.hasUnread) this.emit('readable');
  }
}

function checkChannel(channel: number): void {
  if (Number.isInteger(channel) && channel === (channel | 0)) return;
  throw new NetworkingError('InvalidParam', `a channel is a whole number of 32 bits with sign, not ${channel}`);
}

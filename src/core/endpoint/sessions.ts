// Ad-hoc messages: a session for each peer that we exchange them with. It has a connection while there is something to
// say, gets a new one when it has none, and is forgotten when nothing happens for long. Spec: 08.

import { DeadlineHeap, type Scheduled } from '../base/deadline-heap.ts';
import { NetworkingError } from '../base/errors.ts';
import { Fifo } from '../base/fifo.ts';
import type { Identity } from '../base/identity.ts';
import { NEVER, US_PER_SECOND } from '../base/time.ts';
import type { SendRefusal } from '../connection/connection.ts';
import type { End } from '../connection/end-reason.ts';
import type { ConnectionInfo, StateChange } from '../connection/info.ts';
import { FACTS } from '../connection/state-table.ts';
import type { IncomingMessage, OutgoingOptions } from '../delivery/message.ts';
import { CHANNEL_HEADER_BYTES, readChannel, withChannel } from '../wire/channel-header.ts';
import { ChannelInbox, type SessionMessage } from './channel-inbox.ts';
import type { Endpoint } from './endpoint.ts';
import type { Member } from './member.ts';

/** GNS's reasons for ends of sessions, in the range of applications. */
const CLOSED: End = { reason: 1001, debug: 'CloseSessionWithUser' };
const IDLE: End = { reason: 1002, debug: 'Session Idle Timeout' };
const ONE_IS_ENOUGH: End = { reason: 0, debug: 'There is a session already' };
/** When an idle session is looked at again that cannot go yet. */
const BUSY_RETRY_US = US_PER_SECOND;
/** A peer can name four billion channels: so many are remembered as open. */
const MAX_OPEN_CHANNELS = 4096;
/** What is sent before there is a connection: as GNS does, reliably, whatever was asked for. */
const EARLY: OutgoingOptions = { isReliable: true, noNagle: false, noDelay: false, lane: 0, freshness: undefined };

/** What the application is to be told. */
export type SessionEvent =
  /** Somebody wants to send us messages, and waits for our consent. */
  | { readonly kind: 'request'; readonly identity: Identity }
  /** `failed`: before there was a connection. `closed`: after. */
  | ({ readonly kind: 'failed' | 'closed' } & SessionEnd);

export interface SessionEnd {
  readonly identity: Identity;
  /** Of the connection that the session had: `endReason` and `endDebug` say why it ended. */
  readonly info: ConnectionInfo;
  /** Reliable bytes, framing included, that the peer did not acknowledge. */
  readonly undeliveredBytes: number;
}

class Session implements Scheduled {
  readonly identity: Identity;
  /** What it goes by; undefined while there is nothing to say, or to ourselves. */
  member: Member | undefined;
  /** It never got a connection: nothing is sent until the application wants another try. */
  failure: ConnectionInfo | undefined;
  wasConnected = false;
  usedAtUs: number;
  /** Messages came on these. */
  readonly openChannels = new Set<number>();
  unreadMessages = 0;
  unreadBytes = 0;
  /** To ourselves. */
  loopedMessages = 0;
  deadlineUs = NEVER;
  heapIndex = -1;

  constructor(identity: Identity, nowUs: number) {
    this.identity = identity;
    this.usedAtUs = nowUs;
  }
}

export interface UserMessage {
  readonly identity: Identity;
  readonly channel: number;
  /** Ours from here on. */
  readonly payload: Uint8Array;
  readonly options: OutgoingOptions;
  /** Try again if there was no way to the peer. */
  readonly autoRestart: boolean;
}

export class Sessions {
  /** Messages too short to have a channel. */
  droppedMessages = 0;
  readonly #endpoint: Endpoint;
  readonly #idleUs: number;
  readonly #byIdentity = new Map<string, Session>();
  readonly #byMember = new Map<Member, Session>();
  readonly #deadlines = new DeadlineHeap<Session>();
  readonly #inbox = new ChannelInbox();
  readonly #events = new Fifo<SessionEvent>();

  constructor(endpoint: Endpoint, idleUs: number) {
    this.#endpoint = endpoint;
    this.#idleUs = idleUs;
  }

  get identities(): Identity[] {
    return [...this.#byIdentity.values()].map(({ identity }) => identity);
  }
  get members(): Member[] {
    return [...this.#byMember.keys()];
  }

  has(member: Member): boolean {
    return this.#byMember.has(member);
  }

  // ---- commands

  /**
   * Sends; a session that has no connection gets one from `connect`. Returns the message's number, or why it was not
   * taken. Throws `ConnectFailed` for a broken session, `LimitExceeded`, and as `connect` does.
   */
  send(message: UserMessage, connect: () => Member, nowUs: number): number | SendRefusal {
    const { identity, channel, payload, options, autoRestart } = message;
    if (identity.equals(this.#endpoint.env.identity)) return this.#loop(message, nowUs);
    const known = this.#find(identity);
    if (known !== undefined) this.#notice(known, nowUs);
    if (known?.failure !== undefined && !autoRestart) {
      const { endReason, endDebug } = known.failure;
      const why = `there was no way to it: ${endDebug} (${endReason}); autoRestart tries again`;
      throw new NetworkingError('ConnectFailed', `cannot send to ${identity}: ${why}`);
    }
    const session = known ?? new Session(identity, nowUs);
    if (session.member === undefined) {
      this.#attach(session, connect());
      this.#add(session);
    }
    const member = session.member!;
    const { connection } = member;
    if (connection.isIncoming && connection.state === 'Connecting') connection.accept(nowUs);
    session.usedAtUs = nowUs;
    this.#endpoint.touch(member);
    return connection.send(withChannel(channel, payload), connection.state === 'Connected' ? options : EARLY, nowUs);
  }

  /** What we say to ourselves needs no network. */
  #loop({ identity, channel, payload, options }: UserMessage, nowUs: number): number {
    const session = this.#findOrAdd(identity, nowUs);
    const { config } = this.#endpoint;
    const bytes = session.unreadBytes + payload.length;
    if (session.unreadMessages >= config.get('recvBufferMessages') || bytes > config.get('recvBufferSize')) {
      throw new NetworkingError('LimitExceeded', `cannot send to ourselves: ${session.unreadMessages} wait unread`);
    }
    const messageNumber = ++session.loopedMessages;
    this.#store(session, {
      identity,
      channel,
      data: payload,
      messageNumber,
      reliable: options.isReliable,
      receivedAtUs: nowUs,
    });
    return messageNumber;
  }

  /** False if there is nobody to accept. Accepting once more does no harm. */
  accept(identity: Identity, nowUs: number): boolean {
    const session = this.#find(identity);
    if (session !== undefined) this.#notice(session, nowUs);
    if (session?.member === undefined) return false;
    const { connection } = session.member;
    if (connection.isIncoming && connection.state === 'Connecting') connection.accept(nowUs);
    session.usedAtUs = nowUs;
    this.#endpoint.touch(session.member);
    return true;
  }

  /** What is unread or not sent is lost. False if there is no session. */
  close(identity: Identity, nowUs: number): boolean {
    const session = this.#find(identity);
    if (session === undefined) return false;
    this.#hangUp(session, CLOSED, nowUs);
    this.#inbox.discard(identity);
    this.#forget(session);
    return true;
  }

  /** What is unread of it is lost; with the last open channel the session is closed. False if it is not open. */
  closeChannel(identity: Identity, channel: number, nowUs: number): boolean {
    const session = this.#find(identity);
    if (session?.openChannels.delete(channel) !== true) return false;
    for (const message of this.#inbox.discard(identity, channel)) this.#unstore(session, message, nowUs);
    if (session.openChannels.size === 0) this.close(identity, nowUs);
    return true;
  }

  /** Of a session that has a connection. */
  memberOf(identity: Identity): Member | undefined {
    return this.#find(identity)?.member;
  }

  /** Of the connection, or of the one that could not be made. */
  infoOf(identity: Identity): ConnectionInfo | undefined {
    const session = this.#find(identity);
    return session?.member?.connection.info ?? session?.failure;
  }

  /** The oldest unread message on this channel, or on all. */
  receive(channel: number | undefined, nowUs: number): SessionMessage | undefined {
    const message = this.#inbox.take(channel);
    if (message !== undefined) this.#unstore(this.#find(message.identity)!, message, nowUs);
    return message;
  }

  get hasUnread(): boolean {
    return !this.#inbox.isEmpty;
  }

  // ---- what happens to connections

  /** Somebody called. */
  onIncoming(member: Member, nowUs: number): void {
    const { connection } = member;
    // We may have sent something meanwhile, and found this waiting; or it is closed already.
    if (this.#byMember.has(member) || !FACTS[connection.state].isVisible) return;
    const session = this.#findOrAdd(connection.identity!, nowUs);
    this.#notice(session, nowUs);
    if (session.member !== undefined) {
      connection.close(ONE_IS_ENOUGH.reason, ONE_IS_ENOUGH.debug, false, nowUs);
      return;
    }
    this.#attach(session, member);
    session.usedAtUs = nowUs;
    const isAccepted = connection.state !== 'Connecting' && FACTS[connection.state].isActive;
    if (!isAccepted) this.#events.push({ kind: 'request', identity: session.identity });
  }

  onStateChange(member: Member, { to }: StateChange, nowUs: number): void {
    const session = this.#byMember.get(member);
    if (session === undefined) return;
    if (!FACTS[to].isVisible) this.#detach(session);
    else if (!FACTS[to].isActive) this.#notice(session, nowUs);
    else {
      session.usedAtUs = nowUs;
      session.wasConnected ||= to === 'Connected';
    }
  }

  onMessages(member: Member, nowUs: number): void {
    const session = this.#byMember.get(member);
    if (session !== undefined) this.#fetch(session, false, nowUs);
  }

  /** Tells of an end of the session's connection that nobody has noticed yet. */
  #notice(session: Session, nowUs: number): void {
    if (session.member === undefined || FACTS[session.member.connection.state].isActive) return;
    this.#fetch(session, true, nowUs);
    const { connection } = session.member;
    const { info } = connection;
    const { undeliveredBytes } = connection.data.delivery;
    if (!session.wasConnected) session.failure = info;
    const kind = session.wasConnected ? 'closed' : 'failed';
    this.#events.push({ kind, identity: session.identity, info, undeliveredBytes });
    this.#hangUp(session, CLOSED, nowUs);
  }

  // ---- messages

  /** Takes what has arrived, as much of it as may wait unread; the rest holds up the peer. */
  #fetch(session: Session, takesAll: boolean, nowUs: number): void {
    const member = session.member!;
    const { connection } = member;
    const { receiver } = connection.data.delivery;
    const { recvBufferMessages, recvBufferBytes } = receiver.settings;
    while (receiver.queuedMessages > 0) {
      const isFull = session.unreadMessages >= recvBufferMessages || session.unreadBytes >= recvBufferBytes;
      if (isFull && !takesAll) return;
      this.#take(session, connection.receive(nowUs)!);
      this.#endpoint.touch(member);
    }
    // The next one is announced again.
    member.isAnnounced = false;
  }

  #take(session: Session, { data, messageNumber, reliable, receivedAtUs }: IncomingMessage): void {
    const channel = readChannel(data);
    if (channel === undefined) {
      this.droppedMessages++;
      return;
    }
    const payload = data.subarray(CHANNEL_HEADER_BYTES);
    const { identity } = session;
    session.usedAtUs = Math.max(session.usedAtUs, receivedAtUs);
    this.#store(session, { identity, channel, data: payload, messageNumber, reliable, receivedAtUs });
  }

  #store(session: Session, message: SessionMessage): void {
    if (session.openChannels.size < MAX_OPEN_CHANNELS) session.openChannels.add(message.channel);
    session.unreadMessages++;
    session.unreadBytes += message.data.length;
    this.#inbox.push(message);
  }

  #unstore(session: Session, message: SessionMessage, nowUs: number): void {
    session.unreadMessages--;
    session.unreadBytes -= message.data.length;
    if (session.member !== undefined) this.#fetch(session, false, nowUs);
  }

  // ---- time

  nextTimeoutUs(): number {
    return this.#deadlines.nextUs;
  }

  handleTimeout(nowUs: number): void {
    for (let session = this.#deadlines.popDue(nowUs); session; session = this.#deadlines.popDue(nowUs)) {
      const dueUs = session.usedAtUs + this.#idleUs;
      if (nowUs < dueUs) this.#deadlines.set(session, dueUs);
      else if (isBusy(session)) this.#deadlines.set(session, nowUs + BUSY_RETRY_US);
      else this.#idleOut(session, nowUs);
    }
  }

  #idleOut(session: Session, nowUs: number): void {
    const connection = session.member?.connection;
    this.#hangUp(session, IDLE, nowUs);
    this.#forget(session);
    if (connection === undefined) return;
    const { identity } = session;
    this.#events.push({ kind: 'closed', identity, info: connection.info, undeliveredBytes: 0 });
  }

  pollEvent(): SessionEvent | undefined {
    return this.#events.shift();
  }
  get hasEvents(): boolean {
    return this.#events.length > 0;
  }

  // ---- the table

  #find(identity: Identity): Session | undefined {
    return this.#byIdentity.get(identity.toString());
  }

  #findOrAdd(identity: Identity, nowUs: number): Session {
    const session = this.#find(identity) ?? new Session(identity, nowUs);
    this.#add(session);
    return session;
  }

  #add(session: Session): void {
    this.#byIdentity.set(session.identity.toString(), session);
    if (session.heapIndex < 0) this.#deadlines.set(session, session.usedAtUs + this.#idleUs);
  }

  #forget(session: Session): void {
    this.#byIdentity.delete(session.identity.toString());
    this.#deadlines.set(session, NEVER);
  }

  #attach(session: Session, member: Member): void {
    session.member = member;
    session.failure = undefined;
    session.wasConnected = false;
    this.#byMember.set(member, session);
  }

  #detach(session: Session): void {
    this.#byMember.delete(session.member!);
    session.member = undefined;
  }

  /** Closes the connection, if there is one. An end that it has come to already stays what it is. */
  #hangUp(session: Session, { reason, debug }: End, nowUs: number): void {
    const { member } = session;
    if (member === undefined) return;
    this.#detach(session);
    member.connection.close(reason, debug, false, nowUs);
    this.#endpoint.touch(member);
  }
}

/** Something is under way, or waits to be read. */
function isBusy({ member, unreadMessages }: Session): boolean {
  if (unreadMessages > 0) return true;
  if (member === undefined) return false;
  const { delivery } = member.connection.data;
  return delivery.undeliveredBytes > 0 || delivery.receiver.hasPartialMessage;
}

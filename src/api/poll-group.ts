// Many connections read as one: a game server fetches the messages of all its clients in the order in which they came.
// Messages stay in the queues of their connections. Spec: 04 §4.5 "Poll groups", 05 §5.4.4.

import { EventEmitter } from 'node:events';
import { NetworkingError } from '../core/base/errors.ts';
import type { StateChange } from '../core/connection/info.ts';
import type { IncomingMessage } from '../core/delivery/message.ts';
import type { Member } from '../core/endpoint/member.ts';
import { MessageGroup } from '../core/endpoint/message-group.ts';
import type { Connection } from './connection.ts';
import type { Driver } from './driver.ts';
import { nextOf } from './next-of.ts';

/** A message, and the connection that it came through. */
export interface GroupMessage {
  readonly connection: Connection;
  readonly message: IncomingMessage;
}

export interface PollGroupEvents {
  /** As long as somebody listens, messages are handed out as they come; those that came before, soon. */
  message: [received: GroupMessage];
  /** A connection has messages to fetch, and had none before. Not told while `message` has listeners. */
  readable: [];
  /** `close` was called. */
  close: [];
  /** Node's own. */
  newListener: [event: string | symbol];
}

/** Which group a connection is in. */
const GROUPS = new WeakMap<Connection, PollGroup>();

/** A listener for all: emitters call it on the connection that it is about. */
function leaveWhenDead(this: Connection, { to }: StateChange): void {
  if (to === 'Dead') GROUPS.get(this)?.delete(this);
}

/**
 * Made by `Networking.createPollGroup`. Taking a message from the group takes it from the connection, and the other way
 * round; a connection that has `message` listeners of its own gives to those first. Closing a connection discards what
 * it has unread, here too.
 */
export class PollGroup extends EventEmitter<PollGroupEvents> implements AsyncIterable<GroupMessage>, Disposable {
  readonly #driver: Driver;
  readonly #group = new MessageGroup();
  readonly #connections = new Map<Member, Connection>();
  #isClosed = false;
  readonly #onReadable = () => this.#announce();

  /** @internal */
  constructor(driver: Driver) {
    super();
    this.#driver = driver;
    this.on('newListener', (event) => {
      // Messages may have come before anybody listened.
      if (event === 'message') driver.platform.defer(() => this.#handOut());
    });
  }

  /** How many connections are in the group. */
  get size(): number {
    return this.#connections.size;
  }

  has(connection: Connection): boolean {
    return GROUPS.get(connection) === this;
  }

  /** The connections of the group, in the order in which they joined. */
  get connections(): Iterable<Connection> {
    return [...this.#connections.values()];
  }

  /**
   * A connection is in at most one group: it leaves the other. What it has unread is in the group at once. It leaves by
   * itself when it is gone. Throws `InvalidParam` if it was closed, `InvalidState` if the group was.
   */
  add(connection: Connection): this {
    if (this.#isClosed) throw new NetworkingError('InvalidState', 'cannot add a connection: the poll group was closed');
    if (connection.state === 'None') {
      throw new NetworkingError('InvalidParam', `cannot add connection ${connection.id}: it was closed by this side`);
    }
    if (this.has(connection)) return this;
    GROUPS.get(connection)?.delete(connection);
    GROUPS.set(connection, this);
    const { member } = connection;
    this.#connections.set(member, connection);
    this.#group.add(member);
    connection.on('readable', this.#onReadable);
    connection.on('internalState', leaveWhenDead);
    this.#driver.platform.defer(this.#onReadable);
    return this;
  }

  /** Takes the connection out of the group, with its unread messages; false if it was not in it. */
  delete(connection: Connection): boolean {
    if (!this.has(connection)) return false;
    GROUPS.delete(connection);
    this.#connections.delete(connection.member);
    this.#group.delete(connection.member);
    connection.off('readable', this.#onReadable);
    connection.off('internalState', leaveWhenDead);
    return true;
  }

  /** Up to `max` messages that have arrived, oldest first. */
  receiveMessages(max = Number.POSITIVE_INFINITY): GroupMessage[] {
    const received: GroupMessage[] = [];
    while (received.length < max) {
      const next = this.#receive();
      if (next === undefined) break;
      received.push(next);
    }
    return received;
  }

  #receive(): GroupMessage | undefined {
    for (;;) {
      const member = this.#group.first();
      const connection = member === undefined ? undefined : this.#connections.get(member);
      if (member === undefined || connection === undefined) return undefined;
      const message = connection.receiveNext();
      this.#group.update(member);
      if (message !== undefined) return { connection, message };
    }
  }

  #announce(): void {
    if (this.listenerCount('message') > 0) this.#handOut();
    else if (this.#group.first() !== undefined) this.emit('readable');
  }

  #handOut(): void {
    while (this.listenerCount('message') > 0) {
      const received = this.#receive();
      if (received === undefined) return;
      this.emit('message', received);
    }
  }

  /** Messages as they come, until the group is closed. Leaving the loop changes nothing. */
  async *[Symbol.asyncIterator](): AsyncGenerator<GroupMessage, void, undefined> {
    while (!this.#isClosed) {
      const received = this.#receive();
      if (received !== undefined) yield received;
      else await nextOf<PollGroupEvents>(this, 'readable', 'close');
    }
  }

  /** Lets go of all connections; they keep their unread messages. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const connection of this.#connections.values()) this.delete(connection);
    this.emit('close');
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

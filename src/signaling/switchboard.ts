// The inside of a signaling server: who is here, who is in which room, and whom a message is for. Several servers become
// one over a backplane. No I/O of its own: sockets are above, the backplane beside.

import { Allowance } from '../core/base/allowance.ts';
import { NetworkingError } from '../core/base/errors.ts';
import { Identity } from '../core/base/identity.ts';
import { US_PER_MS } from '../core/base/time.ts';
import { MAX_SIGNAL_BYTES } from './signaling.ts';

/** What a server tells a client. */
export type Notice =
  | { readonly kind: 'signal'; readonly from: string; readonly signal: Uint8Array }
  | { readonly kind: 'joined' | 'left'; readonly code: string; readonly identity: string }
  /** Somebody else has come under this identity. */
  | { readonly kind: 'replaced' };

/** A client that is here. */
export interface Client {
  readonly identity: string;
  notify(notice: Notice): void;
}

/** What joins servers: every message goes to all who subscribed to its subject, the sender included or not. */
export interface Backplane {
  /** Subjects are letters, digits and dots. */
  publish(subject: string, message: string): void;
  /** Returns how to end it. */
  subscribe(subject: string, onMessage: (message: string) => void): () => void;
  close(): Promise<void>;
}

export interface SwitchboardOptions {
  readonly backplane?: Backplane;
  /** Random bytes for codes and for the name of this server. */
  readonly randomBytes: (count: number) => Uint8Array;
}

/** No letters or digits that are taken for others when read aloud. */
const CODE_ALPHABET = '23456789ABCDEFGHJKMNPQRSTUVWXYZ';
const CODE_LENGTH = 6;
const MAX_ROOM_MEMBERS = 64;
/** Other servers have so long to say who is in a room. */
const ROLL_CALL_MS = 250;
/** Servers tell others that they are there; those that do not are forgotten with all their members. */
const ALIVE_EVERY_MS = 5_000;
const FORGET_AFTER_MS = 16_000;
/** Signals of one client: so many at once, so many per second in the long run. */
const SIGNAL_BURST = 200;
const SIGNALS_PER_SEC = 50;

interface Attendance {
  readonly client: Client;
  code: string | undefined;
  /** To send signals. */
  readonly allowance: Allowance;
  readonly unsubscribe: () => void;
}

interface Room {
  /** By identity, with the server that they are on; '' is this one. */
  readonly members: Map<string, string>;
  readonly unsubscribe: () => void;
}

type BackplaneMessage =
  | { readonly kind: 'signal'; readonly from: string; readonly signal: string }
  | { readonly kind: 'taken'; readonly server: string }
  | { readonly kind: 'joined' | 'left'; readonly identity: string; readonly server: string }
  | { readonly kind: 'whoIsHere'; readonly server: string }
  | { readonly kind: 'present'; readonly code: string; readonly members: readonly string[]; readonly server: string }
  | { readonly kind: 'alive'; readonly server: string };

export class Switchboard {
  readonly #options: SwitchboardOptions;
  readonly #backplane: Backplane | undefined;
  /** What other servers know this one by. */
  readonly #name: string;
  readonly #attendances = new Map<string, Attendance>();
  readonly #rooms = new Map<string, Room>();
  /** When other servers were heard of last. */
  readonly #servers = new Map<string, number>();
  readonly #endings: (() => void)[] = [];
  /** Signals that were dropped: too many, too long, or for nobody. */
  droppedSignals = 0;

  constructor(options: SwitchboardOptions) {
    this.#options = options;
    this.#backplane = options.backplane;
    this.#name = Buffer.from(options.randomBytes(8)).toString('hex');
    if (this.#backplane === undefined) return;
    this.#subscribe('servers', (message) => this.#onServer(message));
    this.#subscribe(`server.${this.#name}`, (message) => this.#onServer(message));
    const heartbeat = setInterval(() => this.#beat(), ALIVE_EVERY_MS);
    heartbeat.unref();
    this.#endings.push(() => clearInterval(heartbeat));
    this.#beat();
  }

  get clientCount(): number {
    return this.#attendances.size;
  }

  get roomCount(): number {
    return this.#rooms.size;
  }

  /** A client comes; whoever had its identity before is told that it is replaced. */
  enter(client: Client): void {
    const { identity } = client;
    const predecessor = this.#attendances.get(identity);
    if (predecessor !== undefined) {
      this.leave(predecessor.client);
      predecessor.client.notify({ kind: 'replaced' });
    }
    const subject = subjectOf(identity);
    this.#publish(subject, { kind: 'taken', server: this.#name });
    const unsubscribe =
      this.#backplane?.subscribe(subject, (text) => this.#onPersonal(identity, parse(text))) ?? (() => {});
    const allowance = new Allowance(SIGNALS_PER_SEC, SIGNAL_BURST);
    this.#attendances.set(identity, { client, code: undefined, allowance, unsubscribe });
  }

  leave(client: Client): void {
    const attendance = this.#attendances.get(client.identity);
    if (attendance?.client !== client) return;
    this.leaveRoom(client);
    attendance.unsubscribe();
    this.#attendances.delete(client.identity);
  }

  /** Passes a signal on, to whichever server the recipient is on. */
  send(from: Client, to: string, signal: Uint8Array): void {
    const attendance = this.#attendances.get(from.identity);
    if (
      attendance?.client !== from ||
      signal.length > MAX_SIGNAL_BYTES ||
      !attendance.allowance.take(Date.now() * US_PER_MS)
    ) {
      this.droppedSignals++;
      return;
    }
    const recipient = this.#attendances.get(to);
    if (recipient !== undefined) recipient.client.notify({ kind: 'signal', from: from.identity, signal });
    else if (this.#backplane === undefined || Identity.parse(to) === undefined) this.droppedSignals++;
    else {
      const text = Buffer.from(signal).toString('base64');
      this.#publish(subjectOf(to), { kind: 'signal', from: from.identity, signal: text });
    }
  }

  // ---- rooms

  /** Opens a room and enters it; its code is new. */
  createRoom(client: Client): string {
    let code: string;
    do code = this.#newCode();
    while (this.#rooms.has(code));
    this.#enterRoom(client, code, this.#openRoom(code));
    return code;
  }

  /**
   * Enters a room; resolves with those who are there. Rejects with `InvalidParam` if there is no such room, unless the
   * client was in there before: then the server that knew of it is gone, and the room is opened anew.
   */
  async joinRoom(client: Client, text: string, isReturn = false): Promise<readonly string[]> {
    const code = readCode(text);
    if (code === undefined) throw new NetworkingError('InvalidParam', `"${text}" is not the code of a room`);
    let room = this.#rooms.get(code);
    if (room === undefined && this.#backplane !== undefined) {
      room = this.#openRoom(code);
      this.#publish(`room.${code}`, { kind: 'whoIsHere', server: this.#name });
      await new Promise((resolve) => setTimeout(resolve, ROLL_CALL_MS));
    }
    const others = [...(room?.members.keys() ?? [])].filter((identity) => identity !== client.identity);
    if (isReturn) room ??= this.#openRoom(code);
    else if (room === undefined || room.members.size === 0) {
      if (room !== undefined) this.#closeIfUnused(code, room);
      throw new NetworkingError('InvalidParam', `there is no room with the code ${code}`);
    }
    if (others.length >= MAX_ROOM_MEMBERS) {
      throw new NetworkingError('LimitExceeded', `the room ${code} is full: ${others.length} are in it`);
    }
    this.#enterRoom(client, code, room);
    return others;
  }

  leaveRoom(client: Client): void {
    const attendance = this.#attendances.get(client.identity);
    const code = attendance?.code;
    const room = code === undefined ? undefined : this.#rooms.get(code);
    if (attendance === undefined || code === undefined || room === undefined) return;
    attendance.code = undefined;
    this.#changeRoom(code, room, 'left', client.identity, '');
    this.#publish(`room.${code}`, { kind: 'left', identity: client.identity, server: this.#name });
    this.#closeIfUnused(code, room);
  }

  /** Clients are not told: their connections close. */
  close(): void {
    for (const { client } of [...this.#attendances.values()]) this.leave(client);
    for (const end of this.#endings) end();
  }

  #newCode(): string {
    const bytes = this.#options.randomBytes(CODE_LENGTH);
    return Array.from(bytes, (byte) => CODE_ALPHABET[byte % CODE_ALPHABET.length]).join('');
  }

  #openRoom(code: string): Room {
    const known = this.#rooms.get(code);
    if (known !== undefined) return known;
    const unsubscribe =
      this.#backplane?.subscribe(`room.${code}`, (text) => this.#onRoom(code, parse(text))) ?? (() => {});
    const room = { members: new Map<string, string>(), unsubscribe };
    this.#rooms.set(code, room);
    return room;
  }

  #enterRoom(client: Client, code: string, room: Room): void {
    const attendance = this.#attendances.get(client.identity);
    // It may have gone while others were asked.
    if (attendance?.client !== client) this.#closeIfUnused(code, room);
    if (attendance?.client !== client || attendance.code === code) return;
    this.leaveRoom(client);
    attendance.code = code;
    this.#changeRoom(code, room, 'joined', client.identity, '');
    this.#publish(`room.${code}`, { kind: 'joined', identity: client.identity, server: this.#name });
  }

  /** Nobody of ours is in there: what others do there is their business. */
  #closeIfUnused(code: string, room: Room): void {
    for (const server of room.members.values()) if (server === '') return;
    room.unsubscribe();
    this.#rooms.delete(code);
  }

  /** Tells our members what is new to them. */
  #changeRoom(code: string, room: Room, kind: 'joined' | 'left', identity: string, server: string): void {
    const isNews = room.members.has(identity) === (kind === 'left');
    // Somebody who has moved to another server is still there.
    if (kind === 'left' && room.members.get(identity) !== server) return;
    if (kind === 'joined') room.members.set(identity, server);
    else room.members.delete(identity);
    if (!isNews) return;
    for (const [member, at] of room.members) {
      if (at === '' && member !== identity) this.#attendances.get(member)?.client.notify({ kind, code, identity });
    }
  }

  // ---- from other servers

  #onPersonal(identity: string, message: BackplaneMessage | undefined): void {
    const attendance = this.#attendances.get(identity);
    if (attendance === undefined || message === undefined) return;
    if (message.kind === 'signal') {
      const signal = Buffer.from(message.signal, 'base64');
      attendance.client.notify({ kind: 'signal', from: message.from, signal });
    } else if (message.kind === 'taken' && message.server !== this.#name) {
      this.leave(attendance.client);
      attendance.client.notify({ kind: 'replaced' });
    }
  }

  #onRoom(code: string, message: BackplaneMessage | undefined): void {
    const room = this.#rooms.get(code);
    if (room === undefined || message === undefined || !('server' in message) || message.server === this.#name) return;
    if (message.kind === 'whoIsHere') {
      const members = [...room.members].flatMap(([identity, server]) => (server === '' ? [identity] : []));
      if (members.length === 0) return;
      this.#publish(`server.${message.server}`, { kind: 'present', code, members, server: this.#name });
    } else if (message.kind === 'joined' || message.kind === 'left') {
      this.#servers.set(message.server, Date.now());
      this.#changeRoom(code, room, message.kind, message.identity, message.server);
    }
  }

  #onServer(message: BackplaneMessage | undefined): void {
    if (message === undefined || !('server' in message) || message.server === this.#name) return;
    this.#servers.set(message.server, Date.now());
    if (message.kind !== 'present') return;
    const room = this.#rooms.get(message.code);
    if (room === undefined) return;
    for (const identity of message.members) this.#changeRoom(message.code, room, 'joined', identity, message.server);
  }

  #beat(): void {
    this.#publish('servers', { kind: 'alive', server: this.#name });
    const oldestMs = Date.now() - FORGET_AFTER_MS;
    for (const [server, heardMs] of this.#servers) {
      if (heardMs >= oldestMs) continue;
      this.#servers.delete(server);
      for (const [code, room] of this.#rooms) {
        for (const [identity, at] of room.members) {
          if (at === server) this.#changeRoom(code, room, 'left', identity, server);
        }
      }
    }
  }

  #publish(subject: string, message: BackplaneMessage): void {
    this.#backplane?.publish(subject, JSON.stringify(message));
  }

  #subscribe(subject: string, onMessage: (message: BackplaneMessage | undefined) => void): void {
    const end = this.#backplane?.subscribe(subject, (text) => onMessage(parse(text)));
    if (end !== undefined) this.#endings.push(end);
  }
}

/** A code as people write it: in any case, with blanks or hyphens. */
export function readCode(text: string): string | undefined {
  const code = text.replace(/[\s-]/g, '').toUpperCase();
  return code.length === CODE_LENGTH && [...code].every((letter) => CODE_ALPHABET.includes(letter)) ? code : undefined;
}

/** Whatever an identity consists of. */
function subjectOf(identity: string): string {
  return `to.${Buffer.from(identity).toString('hex')}`;
}

/** The backplane is ours, but it is a network all the same. */
function parse(text: string): BackplaneMessage | undefined {
  try {
    const message = JSON.parse(text) as BackplaneMessage;
    return message !== null && typeof message === 'object' && typeof message.kind === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}

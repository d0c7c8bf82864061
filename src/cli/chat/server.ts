// A chat room: gives everybody a name, and passes on what they say.

import {
  type ClientRefusal,
  type Connection,
  EndReason,
  type IncomingConnection,
  type Networking,
} from '../../index.ts';
import { nickOf, printable, readLine, writeLine } from './text.ts';

export interface RoomOptions {
  readonly host: string;
  readonly port: number;
  /** The name of whoever keeps the room. */
  readonly nick: string;
  /** Something happened or was said; for the keeper to read. */
  readonly print: (text: string) => void;
}

export class Room {
  /** Where it is to be found. */
  readonly address: string;
  readonly #nicks = new Map<Connection, string>();
  readonly #print: (text: string) => void;
  #nick: string;
  #lastRefusal = '';

  /** Throws as `Networking.listen` does. */
  constructor(networking: Networking, { host, port, nick, print }: RoomOptions) {
    this.#print = print;
    this.#nick = nick;
    const socket = networking.listen({ host, port });
    this.address = String(socket.address);
    socket.on('connection', (incoming) => this.#welcome(incoming));
    socket.on('refused', (refusal) => this.#tellRefusal(refusal));
  }

  /** Clients ask again and again. */
  #tellRefusal({ remoteAddress, remoteIdentity, detail }: ClientRefusal): void {
    const who =
      remoteIdentity === undefined ? remoteAddress : `${printable(String(remoteIdentity))} at ${remoteAddress}`;
    const line = `${who} stays out: ${printable(detail)}.`;
    if (line !== this.#lastRefusal) this.#print(line);
    this.#lastRefusal = line;
  }

  #welcome(incoming: IncomingConnection): void {
    const connection = incoming.accept();
    const nick = this.#newNick();
    const others = [...this.#nicks.values(), this.#nick];
    this.#send(connection, `Welcome. You are known as ${nick}; say "/nick NAME" to change that.`);
    this.#send(connection, `Also here: ${others.join(', ')}.`);
    const proven = incoming.remoteCertificate?.isCaSigned === true;
    this.#tell(proven ? `${nick} has come in: ${printable(String(incoming.remoteIdentity))}.` : `${nick} has come in.`);
    this.#nicks.set(connection, nick);
    connection.name = nick;
    connection.on('message', ({ data }) => this.#handleLine(connection, readLine(data)));
    connection.on('ended', ({ state, endReason, endDebug }) => {
      void connection.close();
      const name = this.#nicks.get(connection);
      this.#nicks.delete(connection);
      const hasLeft = state === 'ClosedByPeer' && endReason <= EndReason.AppException_Max;
      this.#tell(hasLeft ? `${name} has left.` : `${name} was lost: ${printable(endDebug)}.`);
    });
  }

  #newNick(): string {
    const taken = new Set(this.#nicks.values());
    let nick: string;
    do nick = `Guest${Math.floor(10_000 + Math.random() * 90_000)}`;
    while (taken.has(nick));
    return nick;
  }

  #handleLine(connection: Connection, line: string): void {
    const nick = this.#nicks.get(connection);
    if (nick === undefined) return;
    if (!/^\/nick\b/.test(line)) {
      this.#tell(`${nick}: ${line}`, connection);
      return;
    }
    const name = nickOf(line);
    if (name === undefined) {
      this.#send(connection, 'Say "/nick NAME".');
      return;
    }
    this.#nicks.set(connection, name);
    connection.name = name;
    this.#send(connection, `You are now known as ${name}.`);
    this.#tell(`${nick} is now known as ${name}.`, connection);
  }

  /** The keeper says something, or takes another name. */
  say(line: string): void {
    const name = nickOf(line);
    const text = name === undefined ? `${this.#nick}: ${line}` : `${this.#nick} is now known as ${name}.`;
    if (name !== undefined) this.#nick = name;
    for (const connection of this.#nicks.keys()) this.#send(connection, text);
  }

  /** Says goodbye; resolves when everybody has heard it or cannot any more. */
  async close(): Promise<void> {
    const closing = [...this.#nicks.keys()].map((connection) => {
      this.#send(connection, 'The room is closing. Goodbye.');
      return connection.close({ debug: 'The room was closed', linger: true });
    });
    await Promise.all(closing);
  }

  /** Everybody but one, and the keeper. */
  #tell(text: string, except?: Connection): void {
    this.#print(text);
    for (const connection of this.#nicks.keys()) if (connection !== except) this.#send(connection, text);
  }

  #send(connection: Connection, text: string): void {
    try {
      connection.send(writeLine(text) ?? text);
    } catch {
      // It has ended, and its `ended` event is under way; or it does not read, and misses this.
    }
  }
}

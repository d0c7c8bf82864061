// The signaling protocol of GNS's examples: lines of text over TCP, one client per identity, no proof of anything. For
// tests, and for playing with programs that speak it. Spec: 07 §7.15.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { NetworkingError } from '../core/base/errors.ts';
import { Identity } from '../core/base/identity.ts';
import { MAX_SIGNAL_BYTES, type Signaling } from './signaling.ts';

export const TRIVIAL_PORT = 10_000;
const MAX_LINE_BYTES = 2 * MAX_SIGNAL_BYTES + 256;
/** Signals that wait for a connection; then the oldest goes. */
const MAX_QUEUED = 32;
const RECONNECT_MS = [250, 500, 1_000, 2_000, 4_000] as const;
/** What a client does not read in time is not kept for it. */
const MAX_UNSENT_BYTES = 1 << 20;

export interface TrivialClientOptions {
  readonly host?: string;
  readonly port?: number;
  /** As `Identity` prints it; without spaces. */
  readonly identity: string;
}

/** Reconnects by itself for as long as it is open. */
export class TrivialSignaling implements Signaling {
  readonly identity: string;
  onSignal: ((signal: Uint8Array, from: string) => void) | undefined;
  readonly #host: string;
  readonly #port: number;
  readonly #queue: string[] = [];
  #socket: Socket | undefined;
  #isConnected = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /** Throws `InvalidParam` for an identity that has no line of its own. */
  constructor({ host = '127.0.0.1', port = TRIVIAL_PORT, identity }: TrivialClientOptions) {
    if (!isSpeakable(identity)) {
      throw new NetworkingError('InvalidParam', `"${identity}" is no identity without spaces`);
    }
    this.identity = identity;
    this.#host = host;
    this.#port = port;
    this.#connect();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  send(to: string, signal: Uint8Array): boolean {
    if (this.#isClosed || !isSpeakable(to) || signal.length > MAX_SIGNAL_BYTES) return false;
    const line = `${to} ${Buffer.from(signal).toString('hex')}\n`;
    if (this.#isConnected) this.#socket!.write(line);
    else {
      this.#queue.push(line);
      if (this.#queue.length > MAX_QUEUED) this.#queue.shift();
    }
    return true;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#socket?.destroy();
  }

  #connect(): void {
    const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
    this.#socket = socket;
    socket.on('connect', () => {
      this.#isConnected = true;
      this.#failures = 0;
      socket.write(`${this.identity}\n${this.#queue.splice(0).join('')}`);
    });
    readLines(socket, (line) => this.#receive(line));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#isConnected = false;
      if (this.#isClosed) return;
      const delayMs = RECONNECT_MS[Math.min(this.#failures++, RECONNECT_MS.length - 1)];
      this.#retry = setTimeout(() => this.#connect(), delayMs);
    });
  }

  #receive(line: string): void {
    const message = parseLine(line);
    if (message !== undefined) this.onSignal?.(Buffer.from(message.payload, 'hex'), message.peer);
  }
}

/** Everybody may come under any name; who comes last under a name has it. */
export class TrivialSignalingServer {
  readonly #server: Server;
  readonly #clients = new Map<string, Socket>();
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  /** Resolves when it listens; rejects with `BindFailed`. */
  static async listen(port: number = TRIVIAL_PORT, host = '127.0.0.1'): Promise<TrivialSignalingServer> {
    const server = new TrivialSignalingServer();
    await listening(server.#server, port, host);
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Resolves when all connections are gone. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let identity: string | undefined;
    readLines(socket, (line) => {
      if (identity === undefined) {
        identity = line.trim();
        if (!isSpeakable(identity)) socket.destroy();
        else {
          this.#clients.get(identity)?.destroy();
          this.#clients.set(identity, socket);
        }
        return;
      }
      const message = parseLine(line);
      const recipient = message && this.#clients.get(message.peer);
      if (recipient === undefined || recipient.writableLength > MAX_UNSENT_BYTES) return;
      recipient.write(`${identity} ${message!.payload}\n`);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (identity !== undefined && this.#clients.get(identity) === socket) this.#clients.delete(identity);
    });
  }
}

/** Resolves when `server` listens; rejects with `BindFailed`. */
export function listening(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason = cause.code ?? cause.message;
      reject(new NetworkingError('BindFailed', `cannot listen on TCP port ${port} of ${host}: ${reason}`, { cause }));
    });
    server.listen(port, host, resolve);
  });
}

function isSpeakable(identity: string): boolean {
  return !/\s/.test(identity) && Identity.parse(identity) !== undefined;
}

function parseLine(line: string): { readonly peer: string; readonly payload: string } | undefined {
  const [, peer, payload] = /^(\S+) ((?:[0-9a-fA-F]{2})+)\s*$/.exec(line) ?? [];
  return peer === undefined || payload === undefined ? undefined : { peer, payload };
}

/** Who sends a line without end is cut off. */
function readLines(socket: Socket, onLine: (line: string) => void): void {
  let rest = '';
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) if (line.length <= MAX_LINE_BYTES && !socket.destroyed) onLine(line);
    if (rest.length > MAX_LINE_BYTES) socket.destroy();
  });
}

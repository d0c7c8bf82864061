// A signaling server for real use: WebSocket, rooms with codes that people can read aloud, identities proven by
// certificates. Alone, or one of a fleet.

import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { NetworkingError } from '../core/base/errors.ts';
import { Identity } from '../core/base/identity.ts';
import { addAuthorities } from '../core/certs/issue.ts';
import { TrustStore } from '../core/certs/trust-store.ts';
import { nodeCrypto } from '../node/crypto.ts';
import { check, newChallenge } from './credentials.ts';
import { type Backplane, type Client, type Notice, readCode, Switchboard } from './switchboard.ts';
import { listening } from './trivial.ts';
import {
  type ClientMessage,
  CloseCode,
  MAX_MESSAGE_BYTES,
  parseMessage,
  type ServerMessage,
} from './websocket-messages.ts';

export const SIGNALING_PORT = 27_080;

export interface SignalingServerOptions {
  /** 27080 if absent; 0 takes any. */
  readonly port?: number;
  /** This machine only (127.0.0.1) if absent. */
  readonly host?: string;
  /**
   * Whose certificates prove an identity, as in `Networking`: public keys and certificates of authorities, the text of a
   * file or bytes. Without it everybody is who they say they are.
   */
  readonly trustedCAs?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** The host that clients have in their URL, checked where proofs are. Any if absent. */
  readonly audience?: string;
  /** What joins this server to others; it is closed with the server. */
  readonly backplane?: Backplane;
  /** More clients are turned away. 10,000 if absent. */
  readonly maxClients?: number;
}

const HELLO_WITHIN_MS = 5_000;
/** Clients that say nothing are asked; those that do not answer are gone. */
const PING_EVERY_MS = 15_000;
const MAX_UNSENT_BYTES = 1 << 20;
const DEFAULT_MAX_CLIENTS = 10_000;

export class SignalingServer {
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly #switchboard: Switchboard;
  readonly #options: SignalingServerOptions;
  readonly #trust: TrustStore | undefined;
  readonly #pings: ReturnType<typeof setInterval>;

  private constructor(options: SignalingServerOptions) {
    this.#options = options;
    this.#trust = trustIn(options.trustedCAs);
    const { backplane } = options;
    this.#switchboard = new Switchboard({ randomBytes, ...(backplane === undefined ? {} : { backplane }) });
    this.#http = createServer((_request, response) => {
      response.end(`signaling, ${this.#switchboard.clientCount} here\n`);
    });
    this.#sockets = new WebSocketServer({ server: this.#http, maxPayload: MAX_MESSAGE_BYTES });
    this.#sockets.on('connection', (socket, request) => this.#serve(socket, request.headers.host ?? ''));
    // Of the HTTP server below, which `listen` reports.
    this.#sockets.on('error', () => {});
    this.#pings = setInterval(() => this.#ping(), PING_EVERY_MS);
  }

  /** Resolves when it listens; rejects with `BindFailed`. */
  static async listen(options: SignalingServerOptions = {}): Promise<SignalingServer> {
    const server = new SignalingServer(options);
    try {
      await listening(server.#http, options.port ?? SIGNALING_PORT, options.host ?? '127.0.0.1');
    } catch (error) {
      clearInterval(server.#pings);
      throw error;
    }
    return server;
  }

  get port(): number {
    const address = this.#http.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get clientCount(): number {
    return this.#switchboard.clientCount;
  }

  get roomCount(): number {
    return this.#switchboard.roomCount;
  }

  /** Sends all clients away, and resolves when they are gone. */
  async close(): Promise<void> {
    clearInterval(this.#pings);
    this.#switchboard.close();
    for (const socket of this.#sockets.clients) socket.close(CloseCode.GoingAway, 'the server goes away');
    const gone = new Promise((resolve) => this.#http.close(resolve));
    this.#sockets.close();
    setTimeout(() => {
      for (const socket of this.#sockets.clients) socket.terminate();
      this.#http.closeAllConnections();
    }, 500).unref();
    await gone;
    await this.#options.backplane?.close();
  }

  #ping(): void {
    for (const socket of this.#sockets.clients) {
      const guest = guests.get(socket);
      if (guest?.isSilent === true) socket.terminate();
      else {
        if (guest !== undefined) guest.isSilent = true;
        socket.ping();
      }
    }
  }

  #serve(socket: WebSocket, host: string): void {
    const guest = new Guest(socket, this.#switchboard, this.#trust, this.#options.audience ?? host);
    guests.set(socket, guest);
    const { maxClients = DEFAULT_MAX_CLIENTS } = this.#options;
    if (this.#sockets.clients.size > maxClients) socket.close(CloseCode.GoingAway, 'the server is full');
  }
}

const guests = new WeakMap<WebSocket, Guest>();

/** One connection: nobody until it has said who it is. */
class Guest implements Client {
  identity = '';
  isSilent = false;
  readonly #socket: WebSocket;
  readonly #switchboard: Switchboard;
  readonly #trust: TrustStore | undefined;
  readonly #audience: string;
  readonly #challenge = newChallenge();

  constructor(socket: WebSocket, switchboard: Switchboard, trust: TrustStore | undefined, audience: string) {
    this.#socket = socket;
    this.#switchboard = switchboard;
    this.#trust = trust;
    this.#audience = audience;
    const patience = setTimeout(() => socket.close(CloseCode.TooSlow, 'who are you?'), HELLO_WITHIN_MS);
    socket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    socket.on('pong', () => {
      this.isSilent = false;
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      clearTimeout(patience);
      if (this.identity !== '') switchboard.leave(this);
    });
    socket.once('message', () => clearTimeout(patience));
    this.#tell({ kind: 'challenge', challenge: this.#challenge, needsProof: trust !== undefined });
  }

  notify(notice: Notice): void {
    if (notice.kind === 'replaced') {
      this.#socket.close(CloseCode.Replaced, 'somebody else has come under this identity');
    } else if (notice.kind === 'signal') {
      const signal = Buffer.from(notice.signal).toString('base64');
      this.#tell({ kind: 'signal', from: notice.from, signal });
    } else this.#tell(notice);
  }

  #tell(message: ServerMessage): void {
    // Who does not read loses signals, like on any network; it may not fill our memory.
    if (this.#socket.bufferedAmount < MAX_UNSENT_BYTES) this.#socket.send(JSON.stringify(message));
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    this.isSilent = false;
    const message = isBinary ? undefined : parseMessage<ClientMessage>(String(data));
    if (message === undefined || !this.#isTaken(message)) {
      this.#socket.close(CloseCode.Nonsense, 'that makes no sense here');
    }
  }

  /** False if the message is not what a client may say now. */
  #isTaken(message: ClientMessage): boolean {
    if (this.identity === '') return message.kind === 'hello' && this.#introduce(message);
    switch (message.kind) {
      case 'signal':
        if (typeof message.to !== 'string' || typeof message.signal !== 'string') return false;
        this.#switchboard.send(this, message.to, Buffer.from(message.signal, 'base64'));
        return true;
      case 'create': {
        const code = this.#switchboard.createRoom(this);
        this.#tell({ kind: 'room', about: message.about, code, members: [] });
        return true;
      }
      case 'join':
        if (typeof message.code !== 'string') return false;
        void this.#join(message.about, message.code, message.isReturn === true);
        return true;
      case 'leave':
        this.#switchboard.leaveRoom(this);
        return true;
      default:
        return false;
    }
  }

  async #join(about: number, code: string, isReturn: boolean): Promise<void> {
    try {
      const members = await this.#switchboard.joinRoom(this, code, isReturn);
      this.#tell({ kind: 'room', about, code: readCode(code)!, members });
    } catch (error) {
      if (!(error instanceof NetworkingError)) throw error;
      this.#tell({ kind: 'failed', about, why: error.message });
    }
  }

  #introduce({ identity: text, certificate, signature }: ClientMessage & { readonly kind: 'hello' }): boolean {
    const identity = typeof text === 'string' ? Identity.parse(text)?.toString() : undefined;
    if (identity === undefined) return false;
    const refusal = this.#refusal(identity, certificate, signature);
    if (refusal !== undefined) {
      // The close frame has room for 123 bytes.
      this.#socket.close(CloseCode.Refused, refusal.slice(0, 120));
      return true;
    }
    this.identity = identity;
    this.#switchboard.enter(this);
    this.#tell({ kind: 'welcome', identity });
    return true;
  }

  #refusal(identity: string, certificate: unknown, signature: unknown): string | undefined {
    const trust = this.#trust;
    if (trust === undefined) return undefined;
    if (typeof certificate !== 'string' || typeof signature !== 'string') return 'a certificate is needed here';
    const proof = { certificate, signature };
    const checked = check(proof, this.#challenge, this.#audience, trust, nodeCrypto);
    if ('refusal' in checked) return checked.refusal;
    return checked.identity === identity
      ? undefined
      : `the certificate is for ${checked.identity}, not for ${identity}`;
  }
}

function trustIn(authorities: SignalingServerOptions['trustedCAs']): TrustStore | undefined {
  if (authorities === undefined) return undefined;
  const store = new TrustStore(nodeCrypto);
  const list = typeof authorities === 'string' || authorities instanceof Uint8Array ? [authorities] : authorities;
  for (const each of list) addAuthorities(nodeCrypto, store, each);
  return store;
}

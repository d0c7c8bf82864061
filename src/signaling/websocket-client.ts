// A client of the WebSocket signaling service: finds a server of a list that works, comes back when the connection is
// lost, and keeps its place in its room.

import { EventEmitter } from 'node:events';
import { WebSocket } from 'ws';
import { NetworkingError } from '../core/base/errors.ts';
import { Identity } from '../core/base/identity.ts';
import type { LocalCertificate } from '../core/certs/certificate.ts';
import { readCertificates, readPrivateKey } from '../core/certs/issue.ts';
import { nodeCrypto } from '../node/crypto.ts';
import { prove } from './credentials.ts';
import { MAX_SIGNAL_BYTES, type Signaling } from './signaling.ts';
import {
  type ClientMessage,
  CloseCode,
  MAX_MESSAGE_BYTES,
  parseMessage,
  type ServerMessage,
} from './websocket-messages.ts';

export interface WebSocketSignalingOptions {
  /** Servers of one fleet, `ws://` or `wss://`; the first that answers is taken. */
  readonly urls: readonly string[];
  /** As `Identity` prints it. */
  readonly identity: string;
  /** Proves the identity where the server asks for it: the one that peers see, as in `Networking`, with its key. */
  readonly certificate?: string | Uint8Array;
  readonly privateKey?: string | Uint8Array;
}

/** A room as this client sees it. */
export interface Room {
  /** What to tell those who shall come. */
  readonly code: string;
  /** The others, by identity. */
  readonly members: ReadonlySet<string>;
}

interface SignalingEvents {
  /** It is connected, at first or again. */
  open: [];
  /** The connection is lost; it is being restored unless `error` says that this is of no use. */
  lost: [why: string];
  /** Why the service will not have us; nothing more is tried. */
  refused: [error: NetworkingError];
  joined: [identity: string];
  left: [identity: string];
}

const ANSWER_WITHIN_MS = 5_000;
const CONNECT_WITHIN_MS = 4_000;
const RETRY_MS = [100, 300, 1_000, 2_000, 4_000] as const;
/** Servers ask every 15 s whether we are there. */
const SILENT_AFTER_MS = 40_000;
/** Of no use to come again. */
const FINAL_CODES: ReadonlySet<number> = new Set([CloseCode.Refused, CloseCode.Replaced, CloseCode.Nonsense]);

interface Question {
  resolve(room: ServerMessage & { readonly kind: 'room' }): void;
  reject(error: NetworkingError): void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class WebSocketSignaling extends EventEmitter<SignalingEvents> implements Signaling {
  readonly identity: string;
  onSignal: ((signal: Uint8Array, from: string) => void) | undefined;
  readonly #options: WebSocketSignalingOptions;
  readonly #certificate: LocalCertificate | undefined;
  #socket: WebSocket | undefined;
  #isWelcome = false;
  /** Which of the servers. */
  #server = 0;
  /** Since the last welcome. */
  #failures = 0;
  #isClosed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #questions = new Map<number, Question>();
  #questionCount = 0;
  #room: { readonly code: string; readonly members: Set<string> } | undefined;

  /** Begins to connect. Throws `InvalidParam` for an identity or an address that is none. */
  constructor(options: WebSocketSignalingOptions) {
    super();
    const { urls, identity } = options;
    if (Identity.parse(identity) === undefined) throw invalid(`"${identity}" is no identity`);
    if (urls.length === 0) throw invalid('no signaling server is named');
    for (const url of urls)
      if (!/^wss?:/.test(url) || !URL.canParse(url)) throw invalid(`"${url}" is no ws:// address`);
    this.#options = options;
    this.#certificate = localCertificate(options);
    this.identity = identity;
    this.#connect();
  }

  /** Resolves when a server has welcomed us. Rejects with `ConnectFailed` when one will not have us, or none answers. */
  static async connect(options: WebSocketSignalingOptions): Promise<WebSocketSignaling> {
    const signaling = new WebSocketSignaling(options);
    const tries = options.urls.length + 1;
    await new Promise<void>((resolve, reject) => {
      let failures = 0;
      signaling.once('open', resolve);
      signaling.once('refused', reject);
      signaling.on('lost', (why) => {
        if (++failures < tries) return;
        signaling.close();
        const servers = options.urls.join(', ');
        reject(new NetworkingError('ConnectFailed', `no signaling server answers (${servers}): ${why}`));
      });
    });
    signaling.removeAllListeners('refused').removeAllListeners('lost');
    return signaling;
  }

  get isConnected(): boolean {
    return this.#isWelcome;
  }

  /** The room that we are in. */
  get room(): Room | undefined {
    return this.#room;
  }

  send(to: string, signal: Uint8Array): boolean {
    if (!this.#isWelcome || signal.length > MAX_SIGNAL_BYTES) return false;
    this.#tell({ kind: 'signal', to, signal: Buffer.from(signal).toString('base64') });
    return true;
  }

  /** Opens a room and enters it. Rejects with `NoConnection` without a server. */
  async createRoom(): Promise<Room> {
    return this.#enter(await this.#ask((about) => ({ kind: 'create', about })));
  }

  /** Enters a room. Rejects with `InvalidParam` if there is none with this code, with `NoConnection` without a server. */
  async joinRoom(code: string): Promise<Room> {
    return this.#enter(await this.#ask((about) => ({ kind: 'join', about, code })));
  }

  leaveRoom(): void {
    this.#room = undefined;
    if (this.#isWelcome) this.#tell({ kind: 'leave' });
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#forgetQuestions('signaling was closed');
    this.#socket?.close();
  }

  #enter({ code, members }: ServerMessage & { readonly kind: 'room' }): Room {
    this.#room = { code, members: new Set(members) };
    return this.#room;
  }

  #ask(make: (about: number) => ClientMessage): Promise<ServerMessage & { readonly kind: 'room' }> {
    if (!this.#isWelcome) {
      return Promise.reject(new NetworkingError('NoConnection', 'there is no connection to a signaling server'));
    }
    const about = ++this.#questionCount;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#questions.delete(about);
        reject(new NetworkingError('NoConnection', 'the signaling server does not answer'));
      }, ANSWER_WITHIN_MS);
      this.#questions.set(about, { resolve, reject, timer });
      this.#tell(make(about));
    });
  }

  #tell(message: ClientMessage): void {
    this.#socket?.send(JSON.stringify(message));
  }

  // ---- the connection

  #connect(): void {
    const { urls } = this.#options;
    const url = urls[this.#server % urls.length]!;
    const socket = new WebSocket(url, { maxPayload: MAX_MESSAGE_BYTES, handshakeTimeout: CONNECT_WITHIN_MS });
    this.#socket = socket;
    let why = `${url} cannot be reached`;
    socket.on('error', (error) => {
      why = `${url}: ${error.message || (error as NodeJS.ErrnoException).code}`;
    });
    socket.on('message', (data) => {
      this.#watch();
      const message = parseMessage<ServerMessage>(String(data));
      if (message !== undefined) this.#onMessage(message, new URL(url).host);
    });
    socket.on('ping', () => this.#watch());
    socket.on('close', (code, reason) => this.#onClose(code, reason.length > 0 ? `${url}: ${reason}` : why));
  }

  /** A server that says nothing for long is gone, whatever TCP believes. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#socket?.terminate(), SILENT_AFTER_MS);
  }

  #onClose(code: number, why: string): void {
    clearTimeout(this.#timer);
    this.#isWelcome = false;
    this.#forgetQuestions('the connection to the signaling server was lost');
    if (this.#isClosed) return;
    if (FINAL_CODES.has(code)) {
      this.#isClosed = true;
      const error = new NetworkingError('ConnectFailed', `the signaling server refused ${this.identity}: ${why}`);
      this.emit('refused', error);
      return;
    }
    this.#server++;
    const round = Math.floor(this.#failures++ / this.#options.urls.length);
    const delayMs = RETRY_MS[Math.min(round, RETRY_MS.length - 1)]!;
    // Those who lost the same server do not all come at once.
    this.#timer = setTimeout(() => this.#connect(), delayMs * (0.5 + Math.random()));
    this.emit('lost', why);
  }

  #onMessage(message: ServerMessage, host: string): void {
    switch (message.kind) {
      case 'challenge': {
        const certificate = this.#certificate;
        const proof = certificate === undefined ? {} : prove(certificate, message.challenge, host);
        this.#tell({ kind: 'hello', identity: this.identity, ...proof });
        return;
      }
      case 'welcome':
        this.#isWelcome = true;
        this.#failures = 0;
        void this.#comeBack();
        this.emit('open');
        return;
      case 'signal':
        this.onSignal?.(Buffer.from(message.signal, 'base64'), message.from);
        return;
      case 'room':
        this.#answered(message.about)?.resolve(message);
        return;
      case 'failed':
        this.#answered(message.about)?.reject(invalid(message.why));
        return;
      case 'joined':
      case 'left':
        this.#onRoomChange(message.kind, message.code, message.identity);
    }
  }

  #onRoomChange(kind: 'joined' | 'left', code: string, identity: string): void {
    if (this.#room?.code !== code) return;
    if (kind === 'joined') this.#room.members.add(identity);
    else this.#room.members.delete(identity);
    this.emit(kind, identity);
  }

  /** To the room of before, now perhaps on another server. Others may have been lost with the old one. */
  async #comeBack(): Promise<void> {
    const before = this.#room;
    if (before === undefined) return;
    try {
      const { members } = await this.#ask((about) => ({ kind: 'join', about, code: before.code, isReturn: true }));
      if (this.#room !== before) return;
      const now = new Set(members);
      for (const identity of [...before.members])
        if (!now.has(identity)) this.#onRoomChange('left', before.code, identity);
      for (const identity of now)
        if (!before.members.has(identity)) this.#onRoomChange('joined', before.code, identity);
    } catch {
      // The connection is lost again: the next one tries it.
    }
  }

  #answered(about: number): Question | undefined {
    const question = this.#questions.get(about);
    this.#questions.delete(about);
    clearTimeout(question?.timer);
    return question;
  }

  #forgetQuestions(why: string): void {
    for (const about of [...this.#questions.keys()]) {
      this.#answered(about)?.reject(new NetworkingError('NoConnection', why));
    }
  }
}

function invalid(message: string): NetworkingError {
  return new NetworkingError('InvalidParam', message);
}

/** Throws `InvalidParam` for what is none, or has no key. */
function localCertificate({ certificate, privateKey }: WebSocketSignalingOptions): LocalCertificate | undefined {
  if (certificate === undefined) return undefined;
  if (privateKey === undefined) throw invalid('the private key of the certificate is missing');
  return { signed: readCertificates(certificate)[0]!, key: readPrivateKey(nodeCrypto, privateKey) };
}

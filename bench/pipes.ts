// What is compared: one interface over this library and over what Node offers. A pipe carries whole messages; the reader
// of a bench needs to know nothing else of what is underneath.
//
// `dgram` and `floor` are the yardsticks: UDP with a window and the plainest possible acknowledgements, so that neither
// can shine by overrunning its receiver; the floor also encrypts each packet with AES-256-GCM. Neither sends anything
// again, orders, or knows of more than one peer. Nothing that encrypts packets one by one in Node can be faster.

import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import dgram from 'node:dgram';
import net from 'node:net';
import tls from 'node:tls';
import { type ConfigOptions, type Connection, Networking } from '../src/index.ts';
import { openNpmPipe } from './npm-peers.ts';

/** What carries the messages, and how; goes from process to process as JSON. */
export interface Wire {
  readonly kind: string;
  /** Of this library only. */
  readonly reliable?: boolean;
  readonly noNagle?: boolean;
  readonly config?: ConfigOptions;
  /** Of this library's listener only: several sockets on one port, and which. */
  readonly reusePort?: boolean;
  readonly port?: number;
}

export interface PacketCounts {
  readonly sent: number;
  readonly received: number;
}

/** One end. The two callbacks are set by whoever uses it. */
export interface Pipe {
  /** Takes the message in any case; false if the sender had better wait for `onWritable`. `bytes` may be reused. */
  send(bytes: Uint8Array): boolean;
  onMessage: (bytes: Uint8Array) => void;
  onWritable: () => void;
  /** Datagrams of this pipe so far; undefined where there are none to count. */
  packets?(): PacketCounts;
}

export interface PipeListener {
  readonly port: number;
}

export async function listenPipe(wire: Wire, host: string, onPipe: (pipe: Pipe) => void): Promise<PipeListener> {
  switch (wire.kind) {
    case 'dgram':
    case 'floor':
      return listenDatagrams(wire.kind, host, onPipe);
    case 'tcp':
      return listenStream(net.createServer({ noDelay: true }), 'connection', host, onPipe);
    case 'tls':
      return listenStream(tls.createServer(TLS_SERVER), 'secureConnection', host, onPipe);
    case 'ours':
      return listenOurs(wire, host, onPipe);
    default:
      return openNpmPipe(wire.kind).listen(host, onPipe);
  }
}

export async function connectPipe(wire: Wire, host: string, port: number): Promise<Pipe> {
  switch (wire.kind) {
    case 'dgram':
    case 'floor': {
      const socket = await bindSocket(host === '127.0.0.1' ? host : '0.0.0.0');
      const pipe = new DatagramPipe(socket, wire.kind === 'floor', port, host);
      socket.on('message', (bytes) => pipe.handle(bytes));
      return pipe;
    }
    case 'tcp':
      return connected(net.connect({ host, port, noDelay: true }), 'connect');
    case 'tls':
      return connected(tls.connect({ host, port, ...TLS_CLIENT }), 'secureConnect');
    case 'ours':
      return new OurPipe(await ourNetworking(wire).connect(`${host}:${port}`), wire);
    default:
      return openNpmPipe(wire.kind).connect(host, port);
  }
}

// ---- UDP, plain and encrypted

/** Numeric addresses need no lookup, and Node sends at once if the answer comes at once. */
const NO_LOOKUP: dgram.SocketOptions['lookup'] = (host, _options, callback) => callback(null, host, 4);
const KEY = createSecretKey(new Uint8Array(32).fill(7));
const TAG_OPTIONS = { authTagLength: 16 } as const;
const HEADER_BYTES = 5;
const Kind = { Piece: 1, LastPiece: 2, Ack: 3 } as const;
/** What this library puts into a packet, too. */
const PIECE_BYTES = 1200;
/** Fits into a receive buffer of 4 MiB however the kernel counts. */
const WINDOW_PACKETS = 1024;
const ACK_EVERY_PACKETS = 64;
/** Acknowledgements that do not come were lost: go on. */
const STUCK_MS = 20;
const RING_PACKETS = 2048;

async function bindSocket(host: string): Promise<dgram.Socket> {
  const socket = dgram.createSocket({ type: 'udp4', lookup: NO_LOOKUP });
  await new Promise<void>((resolve) => socket.bind(0, host, resolve));
  socket.setRecvBufferSize(4 << 20);
  socket.setSendBufferSize(1 << 20);
  return socket;
}

async function listenDatagrams(kind: string, host: string, onPipe: (pipe: Pipe) => void): Promise<PipeListener> {
  const socket = await bindSocket(host);
  const pipes = new Map<number, DatagramPipe>();
  socket.on('message', (bytes, from) => {
    let pipe = pipes.get(from.port);
    if (pipe === undefined) {
      pipe = new DatagramPipe(socket, kind === 'floor', from.port, from.address);
      pipes.set(from.port, pipe);
      onPipe(pipe);
    }
    pipe.handle(bytes);
  });
  return { port: socket.address().port };
}

class DatagramPipe implements Pipe {
  onMessage: (bytes: Uint8Array) => void = () => {};
  onWritable: () => void = () => {};
  readonly #socket: dgram.Socket;
  readonly #key: KeyObject | undefined;
  readonly #port: number;
  readonly #host: string;
  readonly #sendNonce = Buffer.alloc(12);
  readonly #receiveNonce = Buffer.alloc(12);
  /** The system may still read from a buffer while the next packet is made. */
  readonly #ring = Array.from({ length: RING_PACKETS }, () => Buffer.allocUnsafeSlow(HEADER_BYTES + PIECE_BYTES + 16));
  #sent = 0;
  #acked = 0;
  #received = 0;
  #isWaiting = false;
  #assembly = Buffer.alloc(0);
  #assembled = 0;

  constructor(socket: dgram.Socket, isEncrypted: boolean, port: number, host: string) {
    this.#socket = socket;
    this.#key = isEncrypted ? KEY : undefined;
    this.#port = port;
    this.#host = host;
  }

  send(bytes: Uint8Array): boolean {
    if (bytes.length <= PIECE_BYTES) this.#sendPacket(Kind.LastPiece, bytes);
    else {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const end = Math.min(at + PIECE_BYTES, bytes.length);
        this.#sendPacket(end === bytes.length ? Kind.LastPiece : Kind.Piece, bytes.subarray(at, end));
      }
    }
    if (this.#sent - this.#acked < WINDOW_PACKETS) return true;
    this.#isWaiting = true;
    this.#watch(this.#acked);
    return false;
  }

  #watch(ackedBefore: number): void {
    setTimeout(() => {
      if (!this.#isWaiting) return;
      if (this.#acked !== ackedBefore) {
        this.#watch(this.#acked);
        return;
      }
      this.#acked = this.#sent;
      this.#resume();
    }, STUCK_MS).unref();
  }

  #resume(): void {
    if (!this.#isWaiting || this.#sent - this.#acked > WINDOW_PACKETS / 2) return;
    this.#isWaiting = false;
    this.onWritable();
  }

  #sendPacket(kind: number, payload: Uint8Array): void {
    const packet = this.#ring[this.#sent % RING_PACKETS]!;
    packet[0] = kind;
    packet.writeUInt32LE(this.#sent++, 1);
    let end = HEADER_BYTES;
    if (this.#key === undefined) {
      packet.set(payload, end);
      end += payload.length;
    } else {
      this.#sendNonce.writeUInt32LE(this.#sent, 0);
      const cipher = createCipheriv('aes-256-gcm', this.#key, this.#sendNonce, TAG_OPTIONS);
      packet.set(cipher.update(payload), end);
      end += payload.length;
      cipher.final();
      packet.set(cipher.getAuthTag(), end);
      end += 16;
    }
    this.#socket.send(packet, 0, end, this.#port, this.#host);
  }

  handle(packet: Buffer): void {
    const payload = this.#open(packet);
    const kind = packet[0]!;
    if (kind === Kind.Ack) {
      this.#acked = Math.max(this.#acked, payload.readUInt32LE(0));
      this.#resume();
      return;
    }
    this.#received++;
    if (this.#received % ACK_EVERY_PACKETS === 0) {
      const ack = Buffer.allocUnsafe(4);
      ack.writeUInt32LE(packet.readUInt32LE(1), 0);
      this.#sendPacket(Kind.Ack, ack);
    }
    if (kind === Kind.LastPiece && this.#assembled === 0) this.onMessage(payload);
    else this.#assemble(payload, kind === Kind.LastPiece);
  }

  #open(packet: Buffer): Buffer {
    if (this.#key === undefined) return packet.subarray(HEADER_BYTES);
    this.#receiveNonce.writeUInt32LE((packet.readUInt32LE(1) + 1) >>> 0, 0);
    const decipher = createDecipheriv('aes-256-gcm', this.#key, this.#receiveNonce, TAG_OPTIONS);
    decipher.setAuthTag(packet.subarray(packet.length - 16));
    const payload = decipher.update(packet.subarray(HEADER_BYTES, packet.length - 16));
    decipher.final();
    return payload;
  }

  #assemble(piece: Buffer, isLast: boolean): void {
    if (this.#assembly.length < this.#assembled + piece.length) {
      this.#assembly = Buffer.concat(
        [this.#assembly.subarray(0, this.#assembled)],
        (this.#assembled + piece.length) * 2,
      );
    }
    this.#assembly.set(piece, this.#assembled);
    this.#assembled += piece.length;
    if (!isLast) return;
    const message = new Uint8Array(this.#assembly.subarray(0, this.#assembled));
    this.#assembled = 0;
    this.onMessage(message);
  }

  packets(): PacketCounts {
    return { sent: this.#sent, received: this.#received };
  }
}

// ---- TCP, plain and encrypted

const PSK = Buffer.alloc(32, 9);
// The cipher that the others use; a shared key, so that no certificate is needed.
const TLS_COMMON = { ciphers: 'PSK-AES256-GCM-SHA384', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
const TLS_SERVER: tls.TlsOptions = { ...TLS_COMMON, pskCallback: () => PSK, pskIdentityHint: 'bench', noDelay: true };
const TLS_CLIENT: tls.ConnectionOptions = {
  ...TLS_COMMON,
  pskCallback: () => ({ psk: PSK, identity: 'bench' }),
  checkServerIdentity: () => undefined,
};
const LENGTH_BYTES = 4;

async function listenStream(
  server: net.Server,
  event: string,
  host: string,
  onPipe: (pipe: Pipe) => void,
): Promise<PipeListener> {
  server.on(event, (socket: net.Socket) => onPipe(new StreamPipe(socket)));
  await new Promise<void>((resolve) => server.listen(0, host, 4096, resolve));
  return { port: (server.address() as net.AddressInfo).port };
}

async function connected(socket: net.Socket, event: string): Promise<Pipe> {
  await new Promise<void>((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.once('error', reject);
  });
  socket.setNoDelay(true);
  return new StreamPipe(socket);
}

/** Messages in a byte stream, each behind its length; one write per message. */
class StreamPipe implements Pipe {
  onMessage: (bytes: Uint8Array) => void = () => {};
  onWritable: () => void = () => {};
  readonly #socket: net.Socket;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('drain', () => this.onWritable());
    socket.on('data', (chunk: Buffer) => this.#handle(chunk));
    socket.on('error', () => {});
  }

  send(bytes: Uint8Array): boolean {
    const framed = Buffer.allocUnsafe(LENGTH_BYTES + bytes.length);
    framed.writeUInt32LE(bytes.length, 0);
    framed.set(bytes, LENGTH_BYTES);
    return this.#socket.write(framed);
  }

  #handle(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + bytes.readUInt32LE(0);
      if (bytes.length < end) break;
      this.onMessage(bytes.subarray(LENGTH_BYTES, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }
}

// ---- this library

/** What a program that wants throughput would set; the send buffer stays as it is. `wire.config` goes on top. */
const OUR_CONFIG: ConfigOptions = {
  sendRateMin: 100_000_000,
  sendRateMax: 100_000_000,
  recvBufferSize: 64 << 20,
  recvBufferMessages: 1 << 20,
};

function ourNetworking(wire: Wire): Networking {
  return new Networking({ config: { ...OUR_CONFIG, ...wire.config } });
}

function listenOurs(wire: Wire, host: string, onPipe: (pipe: Pipe) => void): PipeListener {
  const options = { host, port: wire.port ?? 0, autoAccept: true, reusePort: wire.reusePort ?? false };
  const socket = ourNetworking(wire).listen(options);
  socket.on('connection', ({ connection }) => onPipe(new OurPipe(connection, wire)));
  return { port: socket.address.port };
}

class OurPipe implements Pipe {
  onMessage: (bytes: Uint8Array) => void = () => {};
  onWritable: () => void = () => {};
  readonly #connection: Connection;
  readonly #options: { readonly reliable: boolean; readonly noNagle: boolean };
  readonly #highWaterBytes: number;

  constructor(connection: Connection, wire: Wire) {
    this.#connection = connection;
    this.#options = { reliable: wire.reliable ?? true, noNagle: wire.noNagle ?? false };
    this.#highWaterBytes = connection.config.get('sendBufferSize') * 0.75;
    connection.on('message', ({ data }) => this.onMessage(data));
    connection.on('ended', ({ endReason, endDebug }) => {
      throw new Error(`the connection ended: ${endDebug} (${endReason})`);
    });
  }

  send(bytes: Uint8Array): boolean {
    this.#connection.send(bytes, this.#options);
    if (this.#connection.bufferedBytes < this.#highWaterBytes) return true;
    void this.#connection.writable().then(() => this.onWritable());
    return false;
  }

  packets(): PacketCounts {
    const { packetsSent, packetsReceived } = this.#connection.status();
    return { sent: packetsSent, received: packetsReceived };
  }
}

// A peer that says whatever a test wants, and a bench for our endpoint: virtual time, datagrams in memory, no sockets.
// The peer knows the codecs, the key schedule and the ciphers, and nothing of our connections. Spec: 01, 02.

import { ByteReader } from '../../src/core/base/bytes.ts';
import { Identity } from '../../src/core/base/identity.ts';
import { SeededRandom } from '../../src/core/base/random.ts';
import { describeKey } from '../../src/core/certs/certificate.ts';
import { TrustStore } from '../../src/core/certs/trust-store.ts';
import { ConfigScope } from '../../src/core/config/scope.ts';
import type { ConfigOptions } from '../../src/core/config/values.ts';
import { type Environment, TransmitSlot } from '../../src/core/connection/environment.ts';
import { deriveSessionKeys } from '../../src/core/crypto/key-schedule.ts';
import { gcmCipher, nullCipher, type PacketCipher } from '../../src/core/crypto/packet-cipher.ts';
import type { AdmissionOptions } from '../../src/core/endpoint/admission.ts';
import { Endpoint, StrayLimiter } from '../../src/core/endpoint/endpoint.ts';
import type { Listener } from '../../src/core/endpoint/listener.ts';
import type { DatagramTarget, EndpointEvent, Member } from '../../src/core/endpoint/member.ts';
import type { NetAddress, UdpPort } from '../../src/core/platform.ts';
import {
  type ChallengeRequest,
  type ConnectOk,
  type ConnectRequest,
  type ControlPacket,
  decodeControlPacket,
  encodeControlPacket,
} from '../../src/core/wire/control-packets.ts';
import {
  type Certificate,
  decodeCryptInfo,
  encodeCertificate,
  encodeCryptInfo,
  type SignedCertificate,
  type SignedCryptInfo,
} from '../../src/core/wire/crypt-messages.ts';
import { DataHeader, expandU16, writeDataHeader } from '../../src/core/wire/data-packet.ts';
import { type IdentityFields, NO_IDENTITY_FIELDS, writeIdentity } from '../../src/core/wire/identity-fields.ts';
import { decodeStatsBlob, type StatsBlob } from '../../src/core/wire/stats-messages.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';

/** Where our endpoint is, on every port that it opens; and the wall clock there. */
export const BENCH_ADDRESS: NetAddress = { address: '127.0.0.1', port: 27_015 };
export const BENCH_UNIX_TIME_S = 1_800_000_000;
const START_US = 10_000_000;

export interface SentDatagram {
  readonly to: NetAddress;
  readonly bytes: Uint8Array;
  readonly atUs: number;
}

export interface BenchOptions {
  readonly identity?: Identity;
  readonly config?: ConfigOptions;
  readonly trust?: TrustStore;
  readonly certificate?: Environment['certificate'];
}

/** One endpoint of ours, with the application at its side. */
export class Bench {
  nowUs = START_US;
  readonly endpoint: Endpoint;
  readonly config = new ConfigScope('global');
  /** All that our side ever sent. */
  readonly sent: SentDatagram[] = [];
  readonly events: EndpointEvent[] = [];
  /** Ports that were given back. */
  readonly releasedPorts: UdpPort[] = [];
  /** What the application does when it is told something; by default it accepts everybody. */
  onEvent: (event: EndpointEvent) => void = (event) => this.acceptIfIncoming(event);
  readonly #slot = new TransmitSlot();
  #target: DatagramTarget | undefined;

  constructor(options: BenchOptions = {}) {
    if (options.config !== undefined) this.config.setAll(options.config);
    const strays = new StrayLimiter();
    const env: Environment = {
      crypto: nodeCrypto,
      random: new SeededRandom(1),
      identity: options.identity ?? Identity.localHost,
      appId: 0,
      trust: options.trust ?? new TrustStore(nodeCrypto),
      certificate: options.certificate,
      unixTimeS: () => BENCH_UNIX_TIME_S,
      mayAnswerStray: (nowUs) => strays.mayAnswer(nowUs),
    };
    this.endpoint = new Endpoint(env, new ConfigScope('interface', this.config));
  }

  #port(): UdpPort {
    return { local: BENCH_ADDRESS, send: () => true, setRef: () => {}, close: () => {} };
  }

  listen(options: AdmissionOptions = {}): Listener {
    const config = new ConfigScope('listenSocket', this.endpoint.config);
    const listener = this.endpoint.listen(this.#port(), config, options);
    this.#target = listener;
    return listener;
  }

  connect(remote: NetAddress): Member {
    const config = new ConfigScope('connection', this.endpoint.config);
    const member = this.endpoint.connect(this.#port(), remote, config, this.nowUs);
    this.#target = this.endpoint.clientTarget(member);
    this.settle();
    return member;
  }

  acceptIfIncoming(event: EndpointEvent): void {
    if (event.kind !== 'stateChanged' || event.change.to !== 'Connecting' || !event.change.info.isIncoming) return;
    event.member.connection.accept(this.nowUs);
    this.endpoint.touch(event.member);
  }

  deliver(bytes: Uint8Array, from: NetAddress): void {
    this.#target?.handleDatagram(bytes, bytes.length, from, this.nowUs);
    this.settle();
  }

  /** Runs what the application does with one connection, and what follows from it. */
  act<T>(member: Member, action: (connection: Member['connection'], nowUs: number) => T): T {
    const result = action(member.connection, this.nowUs);
    this.endpoint.touch(member);
    this.settle();
    return result;
  }

  settle(): void {
    this.#transmit();
    for (let event = this.endpoint.pollEvent(); event !== undefined; event = this.endpoint.pollEvent()) {
      this.events.push(event);
      this.onEvent(event);
      this.#transmit();
    }
    for (let port = this.endpoint.pollReleasedPort(); port; port = this.endpoint.pollReleasedPort()) {
      this.releasedPorts.push(port);
    }
  }

  #transmit(): void {
    while (this.endpoint.pollTransmit(this.#slot, this.nowUs)) {
      const { bytes, length, path } = this.#slot;
      this.sent.push({ to: path!.remote, bytes: bytes.slice(0, length), atUs: this.nowUs });
    }
  }

  /** Lets time pass; every deadline in between is met on time. */
  advance(us: number): void {
    const endUs = this.nowUs + us;
    for (let next = this.endpoint.nextTimeoutUs(); next <= endUs; next = this.endpoint.nextTimeoutUs()) {
      this.nowUs = Math.max(this.nowUs, next);
      this.endpoint.handleTimeout(this.nowUs);
      this.settle();
    }
    this.nowUs = endUs;
  }
}

/** How the peer presents itself. What is left out is as a well-behaved peer has it. */
export interface PeerOptions {
  readonly address?: NetAddress;
  readonly id?: number;
  /** Fields of its certificate, and of the key exchange. */
  readonly certificate?: Partial<Certificate>;
  readonly protocolVersion?: number;
  readonly ciphers?: readonly number[];
  readonly exchangeKeyType?: number;
  /** What it says its public X25519 key is. */
  readonly exchangeKey?: Uint8Array;
  /** Behind the last field of the key exchange. */
  readonly infoTail?: Uint8Array;
  /** In place of an unsigned certificate; a last change to what is sent. */
  readonly sign?: (certificate: Certificate) => SignedCertificate | undefined;
  readonly changeCrypt?: (crypt: SignedCryptInfo) => SignedCryptInfo | undefined;
  /** Beside the certificate, in the message. */
  readonly identity?: IdentityFields;
}

export interface DataOptions {
  /** Of `packetNumber`, otherwise the next. */
  readonly number?: number;
  /** Byte 0 without the bits for blob and gap. */
  readonly first?: number;
  readonly to?: number;
  /** Behind the header, with its length in front. */
  readonly blob?: Uint8Array;
  readonly gap?: number;
  readonly isCorrupt?: boolean;
  /** In place of the ciphertext. */
  readonly chunk?: Uint8Array;
}

export interface ReceivedData {
  readonly number: number;
  readonly plaintext: Uint8Array;
  readonly blob: StatsBlob | undefined;
}

/** A blob of two flags: tell me at once that you got this. */
export const REPLY_NOW_BLOB = Uint8Array.of(2, 0x18, 6);

export class CraftedPeer {
  readonly bench: Bench;
  readonly address: NetAddress;
  id: number;
  remoteId = 0;
  readonly cert: SignedCertificate | undefined;
  crypt: SignedCryptInfo | undefined;
  readonly identity: IdentityFields;
  /** Of the next data packet. */
  nextNumber = 2;
  readonly #signingKey = nodeCrypto.signingKey();
  readonly #exchangeKey = nodeCrypto.exchangeKey();
  readonly #nonce = 0x1122_3344_5566_7788n;
  readonly #options: PeerOptions;
  #sealer: PacketCipher | undefined;
  #opener: PacketCipher | undefined;
  #seen = 0;
  #highest = 1;

  constructor(bench: Bench, options: PeerOptions = {}) {
    this.bench = bench;
    this.#options = options;
    this.address = options.address ?? { address: '127.0.0.1', port: 4_000 };
    this.id = options.id ?? 0x1234_5678;
    const certificate = {
      ...describeKey(this.#signingKey.publicKey),
      appIds: [0],
      identity: writeIdentity(Identity.string('crafted')),
      ...options.certificate,
    };
    const unsigned = { cert: encodeCertificate(certificate), caKeyId: undefined, caSignature: undefined };
    this.cert = options.sign === undefined ? unsigned : options.sign(certificate);
    this.crypt = this.makeCrypt(options.ciphers ?? [2]);
    this.identity = options.identity ?? NO_IDENTITY_FIELDS;
  }

  makeCrypt(ciphers: readonly number[]): SignedCryptInfo | undefined {
    const options = this.#options;
    const info = encodeCryptInfo({
      keyType: options.exchangeKeyType ?? 1,
      key: options.exchangeKey ?? this.#exchangeKey.publicKey,
      nonce: this.#nonce,
      protocolVersion: options.protocolVersion ?? 13,
      ciphers: ciphers as readonly (1 | 2)[],
    });
    const whole = Uint8Array.of(...info, ...(options.infoTail ?? []));
    const crypt = { info: whole, signature: this.#signingKey.sign(whole) };
    return options.changeCrypt === undefined ? crypt : options.changeCrypt(crypt);
  }

  // ---- control packets

  sendBytes(bytes: Uint8Array): void {
    this.bench.deliver(bytes, this.address);
  }

  send(packet: ControlPacket): void {
    const out = new Uint8Array(1300);
    this.sendBytes(out.slice(0, encodeControlPacket(packet, out)));
  }

  /** The datagrams for us that we have not looked at. */
  take(): readonly SentDatagram[] {
    const { sent } = this.bench;
    const news = sent.slice(this.#seen).filter(({ to }) => to.port === this.address.port);
    this.#seen = sent.length;
    return news;
  }

  /** Control packets among them. */
  takeControl(): readonly ControlPacket[] {
    return this.take().flatMap(({ bytes }) => decodeControlPacket(bytes, bytes.length) ?? []);
  }

  // ---- as a client

  challengeRequest(fields: Partial<ChallengeRequest> = {}): ChallengeRequest {
    return { kind: 'challengeRequest', connectionId: this.id, timestamp: 7n, protocolVersion: 13, ...fields };
  }

  /** Asks for a challenge and returns it; 0 without a reply. */
  askChallenge(fields: Partial<ChallengeRequest> = {}): bigint {
    this.take();
    this.send(this.challengeRequest(fields));
    const reply = this.takeControl().find((packet) => packet.kind === 'challengeReply');
    return reply?.challenge ?? 0n;
  }

  connectRequest(challenge: bigint, fields: Partial<ConnectRequest> = {}): ConnectRequest {
    const { cert, crypt, identity } = this;
    const own = { clientConnectionId: this.id, challenge, timestamp: 8n, pingEstimateMs: undefined };
    return { kind: 'connectRequest', ...own, cert, crypt, identity, ...fields };
  }

  /** Sends a request and takes in the answer, for which it waits 250 ms. */
  request(packet: ConnectRequest): ControlPacket | undefined {
    this.take();
    this.send(packet);
    let [reply] = this.takeControl();
    if (reply === undefined) {
      this.bench.advance(250_000);
      [reply] = this.takeControl();
    }
    if (reply?.kind === 'connectOk') this.takeConnectOk(reply);
    return reply;
  }

  /** The whole handshake of a client; the answer to its request. */
  connect(fields: Partial<ConnectRequest> = {}): ControlPacket | undefined {
    return this.request(this.connectRequest(this.askChallenge(), fields));
  }

  takeConnectOk(ok: ConnectOk): void {
    this.#deriveKeys(ok, ok.serverConnectionId, true);
  }

  // ---- as a server

  /** Derives the keys, as of a server that is about to answer `request` with our `cert` and `crypt`. */
  takeRequest(request: ConnectRequest): void {
    this.#deriveKeys(request, request.clientConnectionId, false);
  }

  #deriveKeys(remote: ConnectOk | ConnectRequest, remoteId: number, isClient: boolean): void {
    this.remoteId = remoteId;
    const remoteInfo = decodeCryptInfo(remote.crypt!.info)!;
    const sharedSecret = this.#exchangeKey.agree(remoteInfo.key);
    if (sharedSecret === undefined || this.cert === undefined || this.crypt === undefined) return;
    const own = { id: this.id, nonce: this.#nonce, cert: this.cert.cert, info: this.crypt.info };
    const other = { id: remoteId, nonce: remoteInfo.nonce, cert: remote.cert!.cert, info: remote.crypt!.info };
    const [client, server] = isClient ? [own, other] : [other, own];
    const keys = deriveSessionKeys(nodeCrypto, {
      sharedSecret,
      clientNonce: client.nonce,
      serverNonce: server.nonce,
      clientConnectionId: client.id,
      serverConnectionId: server.id,
      clientCert: client.cert,
      serverCert: server.cert,
      clientInfo: client.info,
      serverInfo: server.info,
    });
    const { clientToServer, serverToClient } = keys;
    const [out, into] = isClient ? [clientToServer, serverToClient] : [serverToClient, clientToServer];
    const chosen = decodeCryptInfo(server.info)!.ciphers;
    const isPlain = chosen.length === 1 && chosen[0] === 1;
    this.#sealer = isPlain ? nullCipher() : gcmCipher(nodeCrypto.aead(out.key), out.iv);
    this.#opener = isPlain ? nullCipher() : gcmCipher(nodeCrypto.aead(into.key), into.iv);
  }

  // ---- data packets

  sendData(plaintext: Uint8Array, options: DataOptions = {}): void {
    const number = options.number ?? this.nextNumber;
    this.nextNumber = Math.max(this.nextNumber, number + 1);
    const out = new Uint8Array(2400);
    const start = writeDataHeader(out, options.to ?? this.remoteId, number, NOTHING, 0, -1);
    const { blob = NOTHING, gap } = options;
    const hasBlob = options.blob !== undefined;
    out[0] = (options.first ?? 0x80) | (hasBlob ? 1 : 0) | (gap === undefined ? 0 : 2);
    out.set(blob, start);
    let at = start + blob.length;
    if (gap !== undefined) {
      out.set([gap & 0xff, gap >> 8], at);
      at += 2;
    }
    if (options.chunk === undefined) at += this.#sealer!.seal(number, plaintext, plaintext.length, out, at);
    else {
      out.set(options.chunk, at);
      at += options.chunk.length;
    }
    if (options.isCorrupt === true) out[at - 1]! ^= 1;
    this.sendBytes(out.slice(0, at));
  }

  /** The data packets among the datagrams that we have not looked at. Those that are not genuine are an error. */
  takeData(): readonly ReceivedData[] {
    return this.take().flatMap(({ bytes }) => ((bytes[0]! & 0x80) === 0 ? [] : [this.readData(bytes)]));
  }

  readData(bytes: Uint8Array): ReceivedData {
    const reader = new ByteReader();
    reader.reset(bytes, 0, bytes.length);
    const header = new DataHeader();
    if (!header.read(reader)) throw new Error('our side wrote a broken header');
    const number = expandU16(header.wireNumber, this.#highest);
    this.#highest = Math.max(this.#highest, number);
    const plaintext = this.#opener!.open(number, bytes, header.chunkStart, bytes.length);
    if (plaintext === undefined) throw new Error(`packet ${number} of our side cannot be decrypted`);
    const hasBlob = header.blobEnd > header.blobStart;
    const blob = hasBlob ? decodeStatsBlob(bytes, header.blobStart, header.blobEnd) : undefined;
    return { number, plaintext, blob };
  }
}

const NOTHING = new Uint8Array(0);

// A STUN and TURN server on any platform, for simulated networks and tests: small, strict, and able to be difficult.
// RFC 8489, RFC 8656 (UDP only; permissions by host, channels, long-term credentials).
import {
  bytesOf,
  decodeStun,
  isStun,
  StunAttribute,
  StunClass,
  type StunMessage,
  StunMethod,
  StunWriter,
} from '../core/ice/stun.ts';
import type { NetAddress, Platform, UdpPort } from '../core/platform.ts';

export interface TurnServerOptions {
  /** Numeric; relayed addresses are on it too. */
  readonly address: string;
  /** 3478 if absent. */
  readonly port?: number;
  /** Without, no TURN: it answers Binding requests only. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Of allocations; 600 s if absent. */
  readonly lifetimeUs?: number;
  /** 300 s if absent. */
  readonly permissionUs?: number;
  /** 600 s if absent. */
  readonly channelUs?: number;
  /** How long a nonce is good; for ever if absent. */
  readonly nonceUs?: number;
  /** Where Allocate requests are sent on to (300). */
  readonly alternate?: NetAddress;
  /** Hosts that nobody may talk to (403). */
  readonly forbiddenHosts?: readonly string[];
}

const REALM = 'netsim';
const DEFAULT_PORT = 3478;
const US_PER_SECOND = 1_000_000;

interface Allocation {
  readonly client: NetAddress;
  readonly port: UdpPort;
  readonly transactionId: string;
  expiresAtUs: number;
  /** Until when, by host. */
  readonly permissions: Map<string, number>;
  readonly channels: Map<number, { readonly peer: NetAddress; expiresAtUs: number }>;
}

export class TurnServer {
  readonly address: NetAddress;
  /** Requests, by method, and what went through relays. */
  readonly counts = { binding: 0, allocate: 0, refresh: 0, permission: 0, channelBind: 0, sends: 0, channelData: 0 };
  readonly #platform: Platform;
  readonly #options: TurnServerOptions;
  readonly #port: UdpPort;
  readonly #allocations = new Map<string, Allocation>();
  readonly #key: Uint8Array;
  #nonce = '';
  #nonceSinceUs = Number.NEGATIVE_INFINITY;

  constructor(platform: Platform, options: TurnServerOptions) {
    this.#platform = platform;
    this.#options = options;
    const { username, password } = options.credentials ?? { username: '', password: '' };
    this.#key = platform.crypto.md5(bytesOf(`${username}:${REALM}:${password}`));
    this.#port = platform.openUdp(
      { address: options.address, port: options.port ?? DEFAULT_PORT },
      { onDatagram: (bytes, from, nowUs) => this.#handle(bytes, plain(from), nowUs) },
    );
    this.address = { address: options.address, port: this.#port.local.port };
  }

  get allocations(): number {
    return this.#allocations.size;
  }

  /** Forgets all, as if it was started anew. */
  forgetAll(): void {
    for (const allocation of this.#allocations.values()) allocation.port.close();
    this.#allocations.clear();
  }

  close(): void {
    this.forgetAll();
    this.#port.close();
  }

  #handle(bytes: Uint8Array, from: NetAddress, nowUs: number): void {
    if (bytes.length > 4 && bytes[0]! >= 0x40 && bytes[0]! < 0x50) {
      this.#handleChannelData(bytes, from, nowUs);
      return;
    }
    const message = isStun(bytes, 0, bytes.length) ? decodeStun(bytes, 0, bytes.length) : undefined;
    if (message === undefined || message.fingerprint === 'wrong') return;
    if (message.class === StunClass.Indication) this.#handleSend(message, from, nowUs);
    if (message.class !== StunClass.Request) return;
    if (message.method === StunMethod.Binding) {
      this.counts.binding++;
      const answer = this.#answer(message, StunClass.Success).addAddress(StunAttribute.XorMappedAddress, from);
      this.#send(answer.addFingerprint(), from);
    } else if (this.#options.credentials !== undefined && this.#isAllowed(message, from, nowUs)) {
      this.#handleTurn(message, from, nowUs);
    }
  }

  /** Answers 401 and 438 itself. */
  #isAllowed(message: StunMessage, from: NetAddress, nowUs: number): boolean {
    if (nowUs - this.#nonceSinceUs >= (this.#options.nonceUs ?? Number.POSITIVE_INFINITY) || this.#nonce === '') {
      this.#nonce = this.#platform.random.u32().toString(16).padStart(8, '0');
      this.#nonceSinceUs = nowUs;
    }
    const isGenuine =
      message.text(StunAttribute.Username) === this.#options.credentials?.username &&
      message.isGenuine(this.#platform.crypto, this.#key);
    if (isGenuine && message.text(StunAttribute.Nonce) === this.#nonce) return true;
    const answer = this.#answer(message, StunClass.Error).addError(isGenuine ? 438 : 401, 'Who are you');
    answer.addText(StunAttribute.Realm, REALM).addText(StunAttribute.Nonce, this.#nonce);
    this.#send(answer.addFingerprint(), from);
    return false;
  }

  #handleTurn(message: StunMessage, from: NetAddress, nowUs: number): void {
    const known = this.#allocationOf(from, nowUs);
    if (message.method === StunMethod.Allocate) this.#handleAllocate(message, from, known, nowUs);
    else if (known === undefined) this.#refuse(message, from, 437);
    else if (message.method === StunMethod.Refresh) this.#handleRefresh(message, known, nowUs);
    else if (message.method === StunMethod.CreatePermission) this.#handlePermission(message, known, nowUs);
    else if (message.method === StunMethod.ChannelBind) this.#handleChannelBind(message, known, nowUs);
    else this.#refuse(message, from, 400);
  }

  #handleAllocate(message: StunMessage, from: NetAddress, known: Allocation | undefined, nowUs: number): void {
    this.counts.allocate++;
    const { alternate, address, lifetimeUs = 600 * US_PER_SECOND } = this.#options;
    const transactionId = bytesText(message.transactionId);
    if (alternate !== undefined) {
      const answer = this.#answer(message, StunClass.Error).addError(300, 'Try Alternate');
      this.#finish(answer.addAddress(StunAttribute.AlternateServer, alternate), from);
      return;
    }
    const isRepeated = known?.transactionId === transactionId;
    if (known !== undefined && !isRepeated) {
      this.#refuse(message, from, 437);
      return;
    }
    if (message.value(StunAttribute.RequestedTransport)?.[0] !== 17) {
      this.#refuse(message, from, 442);
      return;
    }
    const allocation = known ?? this.#open(from, transactionId, address, nowUs + lifetimeUs);
    const relayed = { address, port: allocation.port.local.port };
    const answer = this.#answer(message, StunClass.Success)
      .addAddress(StunAttribute.XorRelayedAddress, relayed)
      .addAddress(StunAttribute.XorMappedAddress, from)
      .addU32(StunAttribute.Lifetime, lifetimeUs / US_PER_SECOND);
    this.#finish(answer, from);
  }

  #open(client: NetAddress, transactionId: string, address: string, expiresAtUs: number): Allocation {
    const onDatagram = (bytes: Uint8Array, from: NetAddress, nowUs: number) =>
      this.#handleFromPeer(allocation, bytes, plain(from), nowUs);
    const port = this.#platform.openUdp({ address, port: 0 }, { onDatagram });
    const allocation: Allocation = {
      client,
      port,
      transactionId,
      expiresAtUs,
      permissions: new Map(),
      channels: new Map(),
    };
    this.#allocations.set(keyOf(client), allocation);
    return allocation;
  }

  #handleRefresh(message: StunMessage, allocation: Allocation, nowUs: number): void {
    this.counts.refresh++;
    const wantedS = message.u32(StunAttribute.Lifetime);
    const lifetimeUs = wantedS === 0 ? 0 : (this.#options.lifetimeUs ?? 600 * US_PER_SECOND);
    allocation.expiresAtUs = nowUs + lifetimeUs;
    if (lifetimeUs === 0) this.#forget(allocation);
    const answer = this.#answer(message, StunClass.Success);
    this.#finish(answer.addU32(StunAttribute.Lifetime, lifetimeUs / US_PER_SECOND), allocation.client);
  }

  #handlePermission(message: StunMessage, allocation: Allocation, nowUs: number): void {
    this.counts.permission++;
    const peer = message.address(StunAttribute.XorPeerAddress);
    if (this.#permit(message, allocation, peer, nowUs)) {
      this.#finish(this.#answer(message, StunClass.Success), allocation.client);
    }
  }

  #permit(message: StunMessage, allocation: Allocation, peer: NetAddress | undefined, nowUs: number): boolean {
    const isForbidden = peer !== undefined && this.#options.forbiddenHosts?.includes(peer.address);
    if (peer === undefined || isForbidden) {
      this.#refuse(message, allocation.client, peer === undefined ? 400 : 403);
      return false;
    }
    allocation.permissions.set(peer.address, nowUs + (this.#options.permissionUs ?? 300 * US_PER_SECOND));
    return true;
  }

  #handleChannelBind(message: StunMessage, allocation: Allocation, nowUs: number): void {
    this.counts.channelBind++;
    const peer = message.address(StunAttribute.XorPeerAddress);
    const channel = (message.u32(StunAttribute.ChannelNumber) ?? 0) >>> 16;
    const bound = allocation.channels.get(channel);
    const isTaken = bound !== undefined && peer !== undefined && keyOf(bound.peer) !== keyOf(peer);
    if (channel < 0x4000 || channel > 0x4fff || isTaken) {
      this.#refuse(message, allocation.client, 400);
      return;
    }
    if (!this.#permit(message, allocation, peer, nowUs) || peer === undefined) return;
    allocation.channels.set(channel, { peer, expiresAtUs: nowUs + (this.#options.channelUs ?? 600 * US_PER_SECOND) });
    this.#finish(this.#answer(message, StunClass.Success), allocation.client);
  }

  // ---- data

  #handleSend(message: StunMessage, from: NetAddress, nowUs: number): void {
    const allocation = this.#allocationOf(from, nowUs);
    const peer = message.address(StunAttribute.XorPeerAddress);
    const data = message.value(StunAttribute.Data);
    if (allocation === undefined || peer === undefined || data === undefined) return;
    if (!isPermitted(allocation, peer.address, nowUs)) return;
    this.counts.sends++;
    allocation.port.send(data, data.length, peer);
  }

  #handleChannelData(bytes: Uint8Array, from: NetAddress, nowUs: number): void {
    const allocation = this.#allocationOf(from, nowUs);
    const bound = allocation?.channels.get((bytes[0]! << 8) | bytes[1]!);
    const length = (bytes[2]! << 8) | bytes[3]!;
    if (allocation === undefined || bound === undefined || bound.expiresAtUs <= nowUs) return;
    if (length > bytes.length - 4 || !isPermitted(allocation, bound.peer.address, nowUs)) return;
    this.counts.channelData++;
    allocation.port.send(bytes.subarray(4, 4 + length), length, bound.peer);
  }

  #handleFromPeer(allocation: Allocation, bytes: Uint8Array, from: NetAddress, nowUs: number): void {
    if (allocation.expiresAtUs <= nowUs || !isPermitted(allocation, from.address, nowUs)) return;
    for (const [channel, { peer, expiresAtUs }] of allocation.channels) {
      if (expiresAtUs <= nowUs || keyOf(peer) !== keyOf(from)) continue;
      const framed = new Uint8Array(4 + bytes.length);
      framed.set([channel >> 8, channel & 0xff, bytes.length >> 8, bytes.length & 0xff]);
      framed.set(bytes, 4);
      this.#port.send(framed, framed.length, allocation.client);
      return;
    }
    const transactionId = new Uint8Array(12);
    this.#platform.random.fill(transactionId);
    const indication = new StunWriter(StunMethod.Data, StunClass.Indication, transactionId)
      .addAddress(StunAttribute.XorPeerAddress, from)
      .add(StunAttribute.Data, bytes);
    this.#send(indication, allocation.client);
  }

  // ---- small things

  #allocationOf(client: NetAddress, nowUs: number): Allocation | undefined {
    const allocation = this.#allocations.get(keyOf(client));
    if (allocation === undefined || allocation.expiresAtUs > nowUs) return allocation;
    this.#forget(allocation);
    return undefined;
  }

  #forget(allocation: Allocation): void {
    allocation.port.close();
    this.#allocations.delete(keyOf(allocation.client));
  }

  #answer(message: StunMessage, messageClass: number): StunWriter {
    return new StunWriter(message.method, messageClass, message.transactionId);
  }

  #refuse(message: StunMessage, to: NetAddress, code: number): void {
    this.#finish(this.#answer(message, StunClass.Error).addError(code, 'No'), to);
  }

  #finish(answer: StunWriter, to: NetAddress): void {
    this.#send(answer.addIntegrity(this.#platform.crypto, this.#key).addFingerprint(), to);
  }

  #send(writer: StunWriter, to: NetAddress): void {
    const bytes = writer.finish();
    this.#port.send(bytes, bytes.length, to);
  }
}

function isPermitted(allocation: Allocation, host: string, nowUs: number): boolean {
  return (allocation.permissions.get(host) ?? 0) > nowUs;
}

function keyOf({ address, port }: NetAddress): string {
  return `${address} ${port}`;
}

function plain(net: NetAddress): NetAddress {
  return net.address.startsWith('::ffff:') ? { address: net.address.slice(7), port: net.port } : net;
}

function bytesText(bytes: Uint8Array): string {
  return bytes.join('.');
}

// STUN messages: reading, checking and writing them. Spec: "STUN messages" (7.10); RFC 8489, with the attributes of
// RFC 8445 and 8656.
import { IpAddress } from '../base/address.ts';
import type { CryptoProvider, NetAddress } from '../platform.ts';

export const StunMethod = {
  Binding: 0x001,
  Allocate: 0x003,
  Refresh: 0x004,
  Send: 0x006,
  Data: 0x007,
  CreatePermission: 0x008,
  ChannelBind: 0x009,
} as const;

export const StunClass = { Request: 0, Indication: 1, Success: 2, Error: 3 } as const;

export const StunAttribute = {
  MappedAddress: 0x0001,
  Username: 0x0006,
  MessageIntegrity: 0x0008,
  ErrorCode: 0x0009,
  ChannelNumber: 0x000c,
  Lifetime: 0x000d,
  XorPeerAddress: 0x0012,
  Data: 0x0013,
  Realm: 0x0014,
  Nonce: 0x0015,
  XorRelayedAddress: 0x0016,
  RequestedAddressFamily: 0x0017,
  RequestedTransport: 0x0019,
  MessageIntegritySha256: 0x001c,
  XorMappedAddress: 0x0020,
  Priority: 0x0024,
  UseCandidate: 0x0025,
  AlternateServer: 0x8023,
  Fingerprint: 0x8028,
  IceControlled: 0x8029,
  IceControlling: 0x802a,
} as const;

export const STUN_HEADER_BYTES = 20;
export const TRANSACTION_ID_BYTES = 12;
const COOKIE = 0x2112a442;
const INTEGRITY_BYTES = 20;
const FINGERPRINT_XOR = 0x5354554e;
const IPV4_FAMILY = 1;
const IPV6_FAMILY = 2;
/** Far more than any message has; keeps the work on hostile ones small. */
const MAX_ATTRIBUTES = 64;
/** Attributes below must be understood by who gets them. */
const FIRST_OPTIONAL = 0x8000;
const UNDERSTOOD: ReadonlySet<number> = new Set(Object.values(StunAttribute));

/** Whether `bytes[start..end)` claims to be STUN: enough to tell it from a data or control packet. */
export function isStun(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length < STUN_HEADER_BYTES || bytes[start]! >= 0x40) return false;
  return u32(bytes, start + 4) === COOKIE && u16(bytes, start + 2) + STUN_HEADER_BYTES === length && length % 4 === 0;
}

/** Undefined if it is not STUN, or is broken. Never throws. */
export function decodeStun(bytes: Uint8Array, start: number, end: number): StunMessage | undefined {
  if (!isStun(bytes, start, end)) return undefined;
  const attributes: Attribute[] = [];
  let integrityAt = -1;
  let fingerprintAt = -1;
  let at = start + STUN_HEADER_BYTES;
  while (at < end) {
    const type = u16(bytes, at);
    const length = u16(bytes, at + 2);
    const next = at + 4 + ((length + 3) & ~3);
    if (next > end || fingerprintAt >= 0 || attributes.length >= MAX_ATTRIBUTES) return undefined;
    if (type === StunAttribute.Fingerprint) {
      if (length !== 4) return undefined;
      fingerprintAt = at;
    } else if (type === StunAttribute.MessageIntegrity && integrityAt < 0) {
      if (length !== INTEGRITY_BYTES) return undefined;
      integrityAt = at;
    } else if (integrityAt < 0) {
      // What follows the integrity is not protected by it, and ignored.
      attributes.push({ type, start: at + 4, end: at + 4 + length });
    }
    at = next;
  }
  return new StunMessage(bytes.slice(start, end), start, attributes, integrityAt, fingerprintAt);
}

interface Attribute {
  readonly type: number;
  readonly start: number;
  readonly end: number;
}

/** One decoded message; it has bytes of its own. Of repeated attributes the first counts. */
export class StunMessage {
  readonly bytes: Uint8Array;
  readonly method: number;
  readonly class: number;
  readonly #attributes: readonly Attribute[];
  readonly #integrityAt: number;
  readonly #fingerprintAt: number;

  /** Offsets are in the buffer that was decoded, where the message began at `origin`. */
  constructor(
    bytes: Uint8Array,
    origin: number,
    attributes: readonly Attribute[],
    integrityAt: number,
    fingerprintAt: number,
  ) {
    const type = u16(bytes, 0);
    this.bytes = bytes;
    this.method = (type & 0xf) | ((type >> 1) & 0x70) | ((type >> 2) & 0xf80);
    this.class = ((type >> 4) & 1) | ((type >> 7) & 2);
    this.#attributes = attributes.map((found) => ({
      type: found.type,
      start: found.start - origin,
      end: found.end - origin,
    }));
    this.#integrityAt = integrityAt < 0 ? -1 : integrityAt - origin;
    this.#fingerprintAt = fingerprintAt < 0 ? -1 : fingerprintAt - origin;
  }

  /** A view of the 12 bytes. */
  get transactionId(): Uint8Array {
    return this.bytes.subarray(8, STUN_HEADER_BYTES);
  }

  /** Types in order, without integrity and fingerprint. */
  get attributeTypes(): readonly number[] {
    return this.#attributes.map(({ type }) => type);
  }

  /** An attribute that must be understood is none of those we know. */
  get hasUnknownRequired(): boolean {
    return this.#attributes.some(({ type }) => type < FIRST_OPTIONAL && !UNDERSTOOD.has(type));
  }

  get hasIntegrity(): boolean {
    return this.#integrityAt >= 0;
  }

  has(type: number): boolean {
    return this.#attributes.some((attribute) => attribute.type === type);
  }

  /** A view of the value. */
  value(type: number): Uint8Array | undefined {
    const found = this.#attributes.find((attribute) => attribute.type === type);
    return found && this.bytes.subarray(found.start, found.end);
  }

  /** Bytes as Latin-1, which keeps every byte: names are compared, not shown. */
  text(type: number): string | undefined {
    const value = this.value(type);
    return value && latin1(value);
  }

  u32(type: number): number | undefined {
    const value = this.value(type);
    return value?.length === 4 ? u32(value, 0) : undefined;
  }

  /** From an attribute with or without XOR; undefined if it is absent or malformed. */
  address(type: number): NetAddress | undefined {
    const value = this.value(type);
    if (value === undefined || value.length < 8) return undefined;
    const isPlain = type === StunAttribute.MappedAddress || type === StunAttribute.AlternateServer;
    const length = value[1] === IPV4_FAMILY ? 4 : 16;
    if (value.length !== 4 + length || (length === 16 && value[1] !== IPV6_FAMILY)) return undefined;
    const bytes = new Uint8Array(16);
    if (length === 4) bytes[10] = bytes[11] = 0xff;
    for (let i = 0; i < length; i++) bytes[16 - length + i] = value[4 + i]! ^ (isPlain ? 0 : this.bytes[4 + i]!);
    const port = u16(value, 2) ^ (isPlain ? 0 : COOKIE >>> 16);
    return { address: IpAddress.fromBytes(bytes, 0).host, port };
  }

  /** 300–699; undefined if there is none. */
  get errorCode(): number | undefined {
    const value = this.value(StunAttribute.ErrorCode);
    return value === undefined || value.length < 4 ? undefined : (value[2]! & 7) * 100 + value[3]!;
  }

  get fingerprint(): 'absent' | 'right' | 'wrong' {
    const at = this.#fingerprintAt;
    if (at < 0) return 'absent';
    return u32(this.bytes, at + 4) === fingerprintOf(this.bytes, at) ? 'right' : 'wrong';
  }

  /** False also if there is no MESSAGE-INTEGRITY. */
  isGenuine(crypto: CryptoProvider, key: Uint8Array): boolean {
    const at = this.#integrityAt;
    if (at < 0) return false;
    const expected = integrityOf(crypto, key, this.bytes, at);
    let difference = 0;
    for (let i = 0; i < INTEGRITY_BYTES; i++) difference |= expected[i]! ^ this.bytes[at + 4 + i]!;
    return difference === 0;
  }
}

/** Writes one message, attribute by attribute. Integrity, then fingerprint, come last. */
export class StunWriter {
  #bytes = new Uint8Array(256);
  #length = STUN_HEADER_BYTES;

  constructor(method: number, messageClass: number, transactionId: Uint8Array) {
    const type =
      (method & 0xf) |
      ((method & 0x70) << 1) |
      ((method & 0xf80) << 2) |
      ((messageClass & 1) << 4) |
      ((messageClass & 2) << 7);
    putU16(this.#bytes, 0, type);
    putU32(this.#bytes, 4, COOKIE);
    this.#bytes.set(transactionId, 8);
  }

  add(type: number, value: Uint8Array = NOTHING): this {
    const next = this.#length + 4 + ((value.length + 3) & ~3);
    if (next > this.#bytes.length) {
      const larger = new Uint8Array(2 * next);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    putU16(this.#bytes, this.#length, type);
    putU16(this.#bytes, this.#length + 2, value.length);
    this.#bytes.set(value, this.#length + 4);
    this.#length = next;
    putU16(this.#bytes, 2, next - STUN_HEADER_BYTES);
    return this;
  }

  /** As Latin-1. */
  addText(type: number, text: string): this {
    return this.add(type, bytesOf(text));
  }

  addU32(type: number, value: number): this {
    const bytes = new Uint8Array(4);
    putU32(bytes, 0, value);
    return this.add(type, bytes);
  }

  /** `address` is numeric, else nothing is added. */
  addAddress(type: number, address: NetAddress): this {
    const parsed = IpAddress.parse(address.address);
    if (parsed === undefined) return this;
    const isPlain = type === StunAttribute.MappedAddress || type === StunAttribute.AlternateServer;
    const from = parsed.isIPv4 ? 12 : 0;
    const value = new Uint8Array(20 - from);
    value[1] = parsed.isIPv4 ? IPV4_FAMILY : IPV6_FAMILY;
    putU16(value, 2, address.port ^ (isPlain ? 0 : COOKIE >>> 16));
    for (let i = from; i < 16; i++) value[4 + i - from] = parsed.bytes[i]! ^ (isPlain ? 0 : this.#bytes[4 + i - from]!);
    return this.add(type, value);
  }

  addError(code: number, reason: string): this {
    const text = bytesOf(reason);
    const value = new Uint8Array(4 + text.length);
    value[2] = Math.floor(code / 100);
    value[3] = code % 100;
    value.set(text, 4);
    return this.add(StunAttribute.ErrorCode, value);
  }

  addIntegrity(crypto: CryptoProvider, key: Uint8Array): this {
    const code = integrityOf(crypto, key, this.#bytes, this.#length);
    return this.add(StunAttribute.MessageIntegrity, code);
  }

  addFingerprint(): this {
    // The length in the header counts the fingerprint already while it is computed.
    putU16(this.#bytes, 2, this.#length + 8 - STUN_HEADER_BYTES);
    return this.addU32(StunAttribute.Fingerprint, fingerprintOf(this.#bytes, this.#length));
  }

  /** A buffer of its own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

const NOTHING = new Uint8Array(0);

/** One byte a character: the reverse of `latin1`. Names of people are to be in UTF-8 before. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** Of a message whose MESSAGE-INTEGRITY is, or will be, at `at`. */
function integrityOf(crypto: CryptoProvider, key: Uint8Array, bytes: Uint8Array, at: number): Uint8Array {
  const header = bytes.slice(0, STUN_HEADER_BYTES);
  putU16(header, 2, at + 4 + INTEGRITY_BYTES - STUN_HEADER_BYTES);
  return crypto.hmacSha1(key, header, bytes.subarray(STUN_HEADER_BYTES, at));
}

function fingerprintOf(bytes: Uint8Array, end: number): number {
  let crc = 0xffffffff;
  for (let i = 0; i < end; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff ^ FINGERPRINT_XOR) >>> 0;
}

/** CRC-32 of ISO 3309. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

// Network order, unlike everything else in this house.
function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 0x10000 + u16(bytes, at + 2);
}

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, value >>> 16);
  putU16(bytes, at + 2, value & 0xffff);
}

// The datagrams by which programs on a local network find each other. A format of our own: C++ GNS has nothing like it.
// docs/lan.md has it byte by byte; all integers are little-endian.

import { ByteReader, writeU16, writeU32 } from '../core/base/bytes.ts';
import { NetworkingError } from '../core/base/errors.ts';
import { Identity, MAX_IDENTITY_BYTES } from '../core/base/identity.ts';
import { MAX_SIGNAL_BYTES } from '../signaling/signaling.ts';

export const MAX_NAME_BYTES = 64;
export const MAX_USER_DATA_BYTES = 256;
export const SESSION_ID_BYTES = 8;
/** A program may ask for the sessions of all applications. */
export const ANY_APP = 0;

/** What others are told of a session, and of somebody who takes signals. */
export interface Announcement {
  readonly kind: 'announcement';
  /** 8 random bytes as hex: one life of one announcer. */
  readonly sessionId: string;
  /** Grows with each change: what is older is ignored. */
  readonly revision: number;
  readonly appId: number;
  /** For how long it is believed. */
  readonly lifetimeS: number;
  readonly name: string;
  /** As `Identity` prints it; may be empty in a session. Nobody proves it. */
  readonly identity: string;
  /** UDP port of the listen socket; 0 if there is none. */
  readonly port: number;
  /** Where `connectP2P` may connect to; undefined if there is nothing. */
  readonly virtualPort: number | undefined;
  /** Whether this is a game session, or only somebody who takes signals. */
  readonly isSession: boolean;
  readonly userData: Uint8Array;
}

export type LanPacket =
  | Announcement
  /** Asks for sessions, or for whoever takes signals for `identity` if that is not empty. */
  | { readonly kind: 'query'; readonly appId: number; readonly nonce: number; readonly identity: string }
  | { readonly kind: 'goodbye'; readonly sessionId: string }
  | { readonly kind: 'signal'; readonly from: string; readonly to: string; readonly signal: Uint8Array };

const MAGIC = 0x4c53_4e47; // "GNSL"
const VERSION = 1;
const Kind = { query: 1, announcement: 2, goodbye: 3, signal: 4 } as const;
const Flag = { virtualPort: 1, session: 2 } as const;
const HEADER_BYTES = 6;
const MAX_ANNOUNCEMENT_BYTES =
  HEADER_BYTES + SESSION_ID_BYTES + 15 + 1 + MAX_NAME_BYTES + 1 + MAX_IDENTITY_BYTES + 2 + MAX_USER_DATA_BYTES;
/** All queries are as long as the longest answer, so that nobody gets more than was sent in their name. */
export const QUERY_BYTES = MAX_ANNOUNCEMENT_BYTES;
export const MAX_LAN_PACKET_BYTES = HEADER_BYTES + 2 * (1 + MAX_IDENTITY_BYTES) + 2 + MAX_SIGNAL_BYTES;

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws `InvalidParam` for a text or a number that does not fit; all other input of ours does. */
export function encodeLanPacket(packet: LanPacket): Uint8Array {
  const out = new Uint8Array(packet.kind === 'signal' ? MAX_LAN_PACKET_BYTES : MAX_ANNOUNCEMENT_BYTES);
  let at = writeU32(out, 0, MAGIC);
  out[at++] = VERSION;
  out[at++] = Kind[packet.kind];
  switch (packet.kind) {
    case 'query':
      at = writeU32(out, at, checkInteger('appId', packet.appId, 0xffff_ffff));
      at = writeU32(out, at, packet.nonce);
      writeText(out, at, 'identity', packet.identity, MAX_IDENTITY_BYTES);
      return out;
    case 'announcement':
      return out.subarray(0, writeAnnouncement(out, at, packet));
    case 'goodbye':
      return out.subarray(0, writeHex(out, at, packet.sessionId));
    case 'signal':
      at = writeText(out, at, 'identity', packet.from, MAX_IDENTITY_BYTES);
      at = writeText(out, at, 'identity', packet.to, MAX_IDENTITY_BYTES);
      return out.subarray(0, writeData(out, at, 'signal', packet.signal, MAX_SIGNAL_BYTES));
  }
}

function writeAnnouncement(out: Uint8Array, start: number, a: Announcement): number {
  let at = writeHex(out, start, a.sessionId);
  at = writeU32(out, at, a.revision);
  at = writeU32(out, at, checkInteger('appId', a.appId, 0xffff_ffff));
  at = writeU16(out, at, checkInteger('lifetimeS', a.lifetimeS, 0xffff));
  at = writeU16(out, at, checkInteger('port', a.port, 0xffff));
  out[at++] = (a.virtualPort === undefined ? 0 : Flag.virtualPort) | (a.isSession ? Flag.session : 0);
  at = writeU16(out, at, checkInteger('virtualPort', a.virtualPort ?? 0, 0xffff));
  at = writeText(out, at, 'name', a.name, MAX_NAME_BYTES);
  at = writeText(out, at, 'identity', a.identity, MAX_IDENTITY_BYTES);
  return writeData(out, at, 'userData', a.userData, MAX_USER_DATA_BYTES);
}

/** Undefined for whatever is not exactly such a datagram. */
export function decodeLanPacket(bytes: Uint8Array): LanPacket | undefined {
  if (bytes.length > MAX_LAN_PACKET_BYTES) return undefined;
  const reader = new ByteReader();
  reader.reset(bytes, 0, bytes.length);
  if (reader.u32() !== MAGIC || reader.u8() !== VERSION) return undefined;
  const packet = readPacket(reader);
  return reader.truncated || (reader.remaining > 0 && packet?.kind !== 'query') ? undefined : packet;
}

function readPacket(reader: ByteReader): LanPacket | undefined {
  switch (reader.u8()) {
    case Kind.query: {
      if (reader.bytes.length < QUERY_BYTES) return undefined;
      const appId = reader.u32();
      const nonce = reader.u32();
      const identity = readIdentity(reader);
      return identity === undefined ? undefined : { kind: 'query', appId, nonce, identity };
    }
    case Kind.announcement:
      return readAnnouncement(reader);
    case Kind.goodbye:
      return { kind: 'goodbye', sessionId: readHex(reader) };
    case Kind.signal: {
      const from = readIdentity(reader);
      const to = readIdentity(reader);
      const signal = readBytes(reader, reader.u16(), MAX_SIGNAL_BYTES);
      return from && to && signal ? { kind: 'signal', from, to, signal } : undefined;
    }
    default:
      return undefined;
  }
}

function readAnnouncement(reader: ByteReader): Announcement | undefined {
  const sessionId = readHex(reader);
  const revision = reader.u32();
  const appId = reader.u32();
  const lifetimeS = reader.u16();
  const port = reader.u16();
  const flags = reader.u8();
  const written = reader.u16();
  const virtualPort = (flags & Flag.virtualPort) === 0 ? undefined : written;
  const isSession = (flags & Flag.session) !== 0;
  const name = readText(reader, MAX_NAME_BYTES);
  const identity = readIdentity(reader);
  const userData = readBytes(reader, reader.u16(), MAX_USER_DATA_BYTES);
  if (name === undefined || identity === undefined || userData === undefined || lifetimeS === 0) return undefined;
  const fields = { appId, lifetimeS, name, identity, port, virtualPort, isSession, userData };
  return { kind: 'announcement', sessionId, revision, ...fields };
}

// ---- pieces

function checkInteger(what: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new NetworkingError('InvalidParam', `${what} ${value} is not a whole number from 0 to ${max}`);
}

function writeText(out: Uint8Array, at: number, what: string, text: string, maxBytes: number): number {
  const bytes = utf8.encode(text);
  if (bytes.length > maxBytes) {
    throw new NetworkingError('InvalidParam', `${what} "${text}" has ${bytes.length} bytes; at most ${maxBytes}`);
  }
  out[at] = bytes.length;
  out.set(bytes, at + 1);
  return at + 1 + bytes.length;
}

function writeData(out: Uint8Array, at: number, what: string, data: Uint8Array, maxBytes: number): number {
  if (data.length > maxBytes) {
    throw new NetworkingError('InvalidParam', `${what} has ${data.length} bytes; at most ${maxBytes}`);
  }
  writeU16(out, at, data.length);
  out.set(data, at + 2);
  return at + 2 + data.length;
}

function writeHex(out: Uint8Array, at: number, hex: string): number {
  for (let i = 0; i < hex.length / 2; i++) out[at + i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return at + hex.length / 2;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function readHex(reader: ByteReader): string {
  return toHex(readBytes(reader, SESSION_ID_BYTES, SESSION_ID_BYTES) ?? new Uint8Array(SESSION_ID_BYTES));
}

function readBytes(reader: ByteReader, length: number, maxBytes: number): Uint8Array | undefined {
  if (length > maxBytes) return undefined;
  const start = reader.take(length);
  // Not `slice`, which of a Buffer would only be a view.
  return start < 0 ? undefined : new Uint8Array(reader.bytes.subarray(start, start + length));
}

function readText(reader: ByteReader, maxBytes: number): string | undefined {
  const bytes = readBytes(reader, reader.u8(), maxBytes);
  if (bytes === undefined) return undefined;
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Empty, or the printed form of an identity in the one way that it prints. */
function readIdentity(reader: ByteReader): string | undefined {
  const text = readText(reader, MAX_IDENTITY_BYTES);
  return text === undefined || text === '' || String(Identity.parse(text)) === text ? text : undefined;
}

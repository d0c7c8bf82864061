// Candidates: what is signaled of an address, how good it is, and what kind of address it is. Spec: "Agent" (7.9).
import { IpAddress } from '../base/address.ts';
import type { NetAddress } from '../platform.ts';

export type CandidateType = 'host' | 'srflx' | 'prflx' | 'relay';

/** Each with its type preference and its number in foundations. Those of GNS; RFC 8445, 5.1.2.2. */
const TYPES: Readonly<Record<CandidateType, { readonly preference: number; readonly number: number }>> = {
  host: { preference: 126, number: 1 },
  prflx: { preference: 110, number: 4 },
  srflx: { preference: 100, number: 2 },
  relay: { preference: 0, number: 3 },
};

export interface Candidate {
  readonly foundation: string;
  readonly priority: number;
  /** In plain form: see `plainAddress`. */
  readonly address: NetAddress;
  readonly type: CandidateType;
}

const MAX_TEXT_LENGTH = 500;
const MAX_FOUNDATION_LENGTH = 64;
const MAX_PORT = 0xffff;
const MAX_PRIORITY = 0xffffffff;
/** First fields of a candidate: six that count, the word "typ", and the type. */
const FIELDS = 8;

/** Undefined if it is malformed, names a host (mDNS), or is not UDP. Never throws. */
export function parseCandidate(text: string): Candidate | undefined {
  if (text.length > MAX_TEXT_LENGTH || !text.startsWith('candidate:')) return undefined;
  const fields = text.slice('candidate:'.length).split(' ');
  if (fields.length < FIELDS || fields.length % 2 !== 0 || fields.includes('')) return undefined;
  const [foundation = '', component = '', transport = '', priorityText = '', host = '', portText = ''] = fields;
  const priority = parseWhole(priorityText, MAX_PRIORITY);
  const port = parseWhole(portText, MAX_PORT);
  const ip = /^[0-9a-f:.]+$/i.test(host) ? IpAddress.parse(host) : undefined;
  const type = fields[7] ?? '';
  if (!isCandidateType(type) || fields[6] !== 'typ' || transport.toLowerCase() !== 'udp') return undefined;
  if (foundation.length > MAX_FOUNDATION_LENGTH || parseWhole(component, MAX_PRIORITY) === undefined) return undefined;
  if (priority === undefined || port === undefined || port === 0 || ip === undefined || ip.port !== 0) return undefined;
  return { foundation, priority, address: { address: ip.host, port }, type };
}

export function formatCandidate({ foundation, priority, address, type }: Candidate): string {
  return `candidate:${foundation} 0 udp ${priority} ${address.address} ${address.port} typ ${type}`;
}

function isCandidateType(text: string): text is CandidateType {
  return Object.hasOwn(TYPES, text);
}

function parseWhole(text: string, max: number): number | undefined {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : max + 1;
  return value <= max ? value : undefined;
}

/** The address family whose sockets reach each other. */
export type Family = 'IPv4' | 'IPv6';

export function familyOf(host: string): Family {
  return host.includes(':') ? 'IPv6' : 'IPv4';
}

/** Of our `order`th address (from 0): earlier ones are better. */
export function candidatePriority(type: CandidateType, order: number): number {
  return TYPES[type].preference * 0x1000000 + (0xffff - order) * 0x100 + 0xff;
}

/** Equal for candidates that share base, server and type, as in GNS. Peers take it as an opaque word. */
export function foundationOf(type: CandidateType, base: NetAddress, server: NetAddress | undefined): string {
  const sum = byteSum(base.address) + byteSum(server?.address ?? '0.0.0.0');
  return String((base.port + (server?.port ?? 0) + ((sum & 0xffff) << 15) + TYPES[type].number) >>> 0);
}

function byteSum(host: string): number {
  let sum = 0;
  for (const byte of IpAddress.parse(host)?.bytes ?? []) sum += byte;
  return sum;
}

export type AddressClass = 'localhost' | 'lan' | 'public' | 'unusable';

/** Whether an address means anything to others. Link-local ones count as LAN. */
export function addressClass(host: string): AddressClass {
  const ip = IpAddress.parse(host);
  if (ip === undefined || ip.isAny) return 'unusable';
  if (ip.isLoopback) return 'localhost';
  const [a = 0, b = 0] = ip.isIPv4 ? ip.bytes.subarray(12) : ip.bytes;
  if (!ip.isIPv4) {
    if (a === 0xff) return 'unusable';
    return (a & 0xfe) === 0xfc || (a === 0xfe && (b & 0xc0) === 0x80) ? 'lan' : 'public';
  }
  if (a === 0 || a >= 224) return 'unusable';
  const isLan = a === 10 || (a === 172 && (b & 0xf0) === 16) || (a === 192 && b === 168) || (a === 169 && b === 254);
  return isLan ? 'lan' : 'public';
}

/** Needs a scope to be reached, which cannot be signaled. */
export function isLinkLocal(host: string): boolean {
  return host.startsWith('169.254.') || /^fe[89ab]/i.test(host);
}

/** Whether both are in one network of this prefix length; never across families. */
export function isSameNetwork(a: string, b: string, prefixLength: number): boolean {
  if (familyOf(a) !== familyOf(b)) return false;
  const [first, second] = [IpAddress.parse(a)?.bytes, IpAddress.parse(b)?.bytes];
  if (first === undefined || second === undefined) return false;
  const bits = prefixLength + (familyOf(a) === 'IPv4' ? 96 : 0);
  for (let i = 0; i < 16; i++) {
    const mask = (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff;
    if ((first[i]! & mask) !== (second[i]! & mask)) return false;
  }
  return true;
}

const IPV4_MAPPED = '::ffff:';

/** IPv4 as `a.b.c.d`, whatever kind of socket it came from. */
export function plainAddress(net: NetAddress): NetAddress {
  const { address, port } = net;
  const isMapped = address.startsWith(IPV4_MAPPED) && address.includes('.');
  return isMapped ? { address: address.slice(IPV4_MAPPED.length), port } : net;
}

/** Both in plain form. */
export function isSameAddress(a: NetAddress, b: NetAddress): boolean {
  return a.port === b.port && a.address === b.address;
}

/** `net` in any form, `plain` in plain form. Allocates nothing. */
export function isAddressOf(net: NetAddress, plain: NetAddress): boolean {
  if (net.port !== plain.port) return false;
  const { address } = net;
  if (address === plain.address) return true;
  return (
    address.length === plain.address.length + IPV4_MAPPED.length &&
    address.startsWith(IPV4_MAPPED) &&
    address.endsWith(plain.address)
  );
}

// An IP address with a port: read, print, compare. IPv4 is kept as `::ffff:a.b.c.d`, so there is one form for both.
// Spec: "Identity and address helpers" (5.7), "Identity strings" (1.13).
import type { NetAddress } from '../platform.ts';
import { NetworkingError } from './errors.ts';

const ADDRESS_BYTES = 16;
const ADDRESS_AND_PORT_BYTES = 18;
const MAX_PORT = 0xffff;
/** Longer than any address with scope and port; keeps the work on hostile text small. */
const MAX_TEXT_LENGTH = 100;

/** Immutable. Port 0 means "no port". */
export class IpAddress {
  /** 16 bytes in network order. Read only: the address shares them. */
  readonly bytes: Uint8Array;
  readonly port: number;

  private constructor(bytes: Uint8Array, port: number) {
    this.bytes = bytes;
    this.port = port;
  }

  /**
   * Reads `a.b.c.d`, `a.b.c.d:port`, IPv6 with or without brackets, `[IPv6]:port`, and the bracketless ports of
   * RFC 5952 (`::1#80`, `::1.80`, `::1p80`, `::1 port 80`). A scope (`%eth0`) is dropped.
   * Undefined if it is anything else.
   */
  static parse(text: string): IpAddress | undefined {
    if (text.length > MAX_TEXT_LENGTH) return undefined;
    for (const [pattern, parseAddress] of FORMS) {
      const [, host, portText = '0'] = pattern.exec(text) ?? [];
      const bytes = host === undefined ? undefined : parseAddress(host);
      const port = parseDecimal(portText, MAX_PORT);
      if (bytes && port !== undefined) return new IpAddress(bytes, port);
    }
    return undefined;
  }

  /** Copies 16 bytes. Throws `InvalidParam` for another length or a port that is none. */
  static fromBytes(bytes: Uint8Array, port: number): IpAddress {
    if (bytes.length !== ADDRESS_BYTES) {
      throw new NetworkingError('InvalidParam', `an IP address has ${ADDRESS_BYTES} bytes, not ${bytes.length}`);
    }
    return new IpAddress(bytes.slice(), checkPort(port));
  }

  /** From the platform's form. Throws `InvalidParam` if the address is not numeric. */
  static fromNet(net: NetAddress): IpAddress {
    const bytes = parseHost(net.address);
    if (!bytes) throw new NetworkingError('InvalidParam', `"${net.address}" is not a numeric IP address`);
    return new IpAddress(bytes, checkPort(net.port));
  }

  /** The wire form: 16 bytes and a big-endian port. Undefined for another length. */
  static fromBytes18(bytes: Uint8Array): IpAddress | undefined {
    if (bytes.length !== ADDRESS_AND_PORT_BYTES) return undefined;
    return new IpAddress(bytes.slice(0, ADDRESS_BYTES), (bytes[16]! << 8) | bytes[17]!);
  }

  toBytes18(): Uint8Array {
    const out = new Uint8Array(ADDRESS_AND_PORT_BYTES);
    out.set(this.bytes);
    out[16] = this.port >> 8;
    out[17] = this.port;
    return out;
  }

  get isIPv4(): boolean {
    return IPV4_PREFIX.every((byte, i) => this.bytes[i] === byte);
  }

  /** `::` or `0.0.0.0`: every local address. */
  get isAny(): boolean {
    return this.host === '::' || this.host === '0.0.0.0';
  }

  /** Exactly `::1` or `127.0.0.1`, with any port. */
  get isLocalHost(): boolean {
    return this.host === '::1' || this.host === '127.0.0.1';
  }

  /** `::1` or any of `127.0.0.0/8`. */
  get isLoopback(): boolean {
    return this.host === '::1' || (this.isIPv4 && this.bytes[12] === 127);
  }

  /** Numeric text without the port. */
  get host(): string {
    const { bytes } = this;
    return this.isIPv4 ? `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}` : formatIPv6(bytes);
  }

  /** With the port unless it is 0: `1.2.3.4:80`, `[::1]:80`, `::1`. */
  toString(): string {
    if (this.port === 0) return this.host;
    return this.isIPv4 ? `${this.host}:${this.port}` : `[${this.host}]:${this.port}`;
  }

  /** Throws `InvalidParam` if `port` is none. */
  withPort(port: number): IpAddress {
    return new IpAddress(this.bytes, checkPort(port));
  }

  /** Same address and same port. */
  equals(other: IpAddress): boolean {
    return this.port === other.port && this.bytes.every((byte, i) => byte === other.bytes[i]);
  }
}

const IPV4_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const;

/** What `parse` understands: a pattern with the host and, if there is one, the port; and how to read the host. */
const FORMS = [
  [/^(.*)$/, parseHost],
  [/^(.*):(\d+)$/, parseIPv4],
  [/^\[(.*)\](?::(\d+))?$/, parseIPv6],
  [/^(.*?)(?:#|\.|p| port )(\d+)$/, parseIPv6],
] as const;

function checkPort(port: number): number {
  if (Number.isInteger(port) && port >= 0 && port <= MAX_PORT) return port;
  throw new NetworkingError('InvalidParam', `port ${port} is not a whole number from 0 to ${MAX_PORT}`);
}

/** Canonical decimal only: a leading zero means octal to some and decimal to others. */
function parseDecimal(text: string, max: number): number | undefined {
  const value = /^(?:0|[1-9]\d{0,4})$/.test(text) ? Number(text) : max + 1;
  return value <= max ? value : undefined;
}

function parseHost(text: string): Uint8Array | undefined {
  // As a dual-stack port gives the addresses of its IPv4 peers.
  const mapped = text.startsWith(MAPPED) ? parseIPv4(text, MAPPED.length) : undefined;
  return mapped ?? parseIPv4(text) ?? parseIPv6(text);
}

const MAPPED = '::ffff:';
const DOT = 0x2e;
const ZERO = 0x30;

/** Digit by digit, as every handshake needs it. As strict as `parseDecimal`. */
function parseIPv4(text: string, start = 0): Uint8Array | undefined {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  bytes.set(IPV4_PREFIX);
  let at: number = IPV4_PREFIX.length;
  let octet = -1;
  for (let i = start; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT;
    if (code === DOT) {
      if (octet < 0 || at === ADDRESS_BYTES) return undefined;
      bytes[at++] = octet;
      octet = -1;
    } else {
      if (code < ZERO || code > ZERO + 9 || octet === 0) return undefined;
      octet = Math.max(octet, 0) * 10 + code - ZERO;
      if (octet > 0xff) return undefined;
    }
  }
  return at === ADDRESS_BYTES ? bytes : undefined;
}

function parseIPv6(text: string): Uint8Array | undefined {
  const [head, rest, ...more] = expandDottedTail(text.replace(/%[\w.~-]+$/, '')).split('::');
  if (head === undefined || more.length > 0) return undefined;
  const before = head === '' && rest !== undefined ? [] : head.split(':');
  const after = rest === undefined || rest === '' ? [] : rest.split(':');
  const missing = 8 - before.length - after.length;
  if (rest === undefined ? missing !== 0 : missing < 1) return undefined;

  const groups = [...before, ...new Array<string>(missing).fill('0'), ...after];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return Uint8Array.from(groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16)]));
}

/** `::ffff:1.2.3.4` as `::ffff:102:304`; any other text as it is. */
function expandDottedTail(text: string): string {
  const start = text.lastIndexOf(':') + 1;
  const ipv4 = start > 0 ? parseIPv4(text.slice(start)) : undefined;
  return ipv4 ? text.slice(0, start) + hexGroups(ipv4).slice(6).join(':') : text;
}

function hexGroups(bytes: Uint8Array): string[] {
  return Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
}

/** RFC 5952: lower case, no leading zeros, the first of the longest runs of two or more zero groups as `::`. */
function formatIPv6(bytes: Uint8Array): string {
  const groups = hexGroups(bytes);
  let runStart = 0;
  let runLength = 1;
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === '0') end++;
    if (end - start > runLength) [runStart, runLength] = [start, end - start];
  }
  if (runLength < 2) return groups.join(':');
  return `${groups.slice(0, runStart).join(':')}::${groups.slice(runStart + runLength).join(':')}`;
}

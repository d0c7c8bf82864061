// Addresses that a certificate is meant for: one, or all with the same beginning. Spec: "Messages" (2.1), field 13.
import { IpAddress } from '../base/address.ts';

/** The first `bits` of `bytes` (IPv4 in its mapped form) decide. */
export interface IpRange {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

const IPV6_BITS = 128;
const MAPPED_BITS = 96;

/** Reads `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`; undefined if it is anything else. */
export function parseIpRange(text: string): IpRange | undefined {
  const [host = '', length, ...rest] = text.split('/');
  const address = IpAddress.parse(host);
  if (address === undefined || address.port !== 0 || rest.length > 0) return undefined;
  const skipped = address.isIPv4 ? MAPPED_BITS : 0;
  if (length === undefined) return { bytes: address.bytes, bits: IPV6_BITS };
  const bits = /^\d{1,3}$/.test(length) ? Number(length) + skipped : Number.POSITIVE_INFINITY;
  return bits <= IPV6_BITS ? { bytes: address.bytes, bits } : undefined;
}

/** Whether `address` is in one of these; an unreadable one holds nothing. */
export function isInRanges(address: IpAddress, ranges: readonly string[]): boolean {
  return ranges.some((text) => {
    const range = parseIpRange(text);
    return range !== undefined && hasBeginning(address.bytes, range);
  });
}

function hasBeginning(bytes: Uint8Array, range: IpRange): boolean {
  const whole = range.bits >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== range.bytes[i]) return false;
  const rest = range.bits & 7;
  return rest === 0 || ((bytes[whole]! ^ range.bytes[whole]!) & (0xff00 >> rest) & 0xff) === 0;
}

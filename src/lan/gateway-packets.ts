// The datagrams of PCP (RFC 6887) and NAT-PMP (RFC 6886), as far as the mapping of one UDP port needs them. All integers
// are big-endian.

import { IpAddress } from '../core/base/address.ts';

/** Where gateways listen, and where they tell all hosts of a reboot. */
export const GATEWAY_PORT = 5351;
export const NONCE_BYTES = 12;
const PCP_VERSION = 2;
const PCP_MAP_BYTES = 60;
const MAX_PCP_BYTES = 1_100;
const UDP_PROTOCOL = 17;
const Opcode = { pcpAnnounce: 0, pcpMap: 1, pmpAddress: 0, pmpMapUdp: 1 } as const;
const RESPONSE = 0x80;

export interface MapRequest {
  readonly nonce: Uint8Array;
  readonly internalPort: number;
  /** What we would like, or have; 0 for any. */
  readonly externalPort: number;
  readonly externalAddress: IpAddress;
  /** Ours, as the gateway sees it. */
  readonly clientAddress: IpAddress;
  /** 0 ends the mapping. */
  readonly lifetimeS: number;
}

/** What a gateway says. `result` 0 is success, others are of the protocol's list. */
export type GatewayResponse =
  | { readonly kind: 'pcpMap'; readonly result: number; readonly epochS: number; readonly mapping: PcpMapping }
  /** A refusal that need not repeat the request. */
  | { readonly kind: 'pcpAnnounce'; readonly result: number; readonly epochS: number }
  | { readonly kind: 'pmpAddress'; readonly result: number; readonly epochS: number; readonly address: IpAddress }
  | { readonly kind: 'pmpMap'; readonly result: number; readonly epochS: number; readonly mapping: PmpMapping }
  /** The gateway speaks NAT-PMP only. */
  | { readonly kind: 'pmpOnly' };

interface PmpMapping {
  readonly internalPort: number;
  readonly externalPort: number;
  readonly lifetimeS: number;
}

interface PcpMapping extends PmpMapping {
  readonly nonce: Uint8Array;
  readonly externalAddress: IpAddress;
}

export function encodePcpMap(request: MapRequest): Uint8Array {
  const bytes = new Uint8Array(PCP_MAP_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = PCP_VERSION;
  bytes[1] = Opcode.pcpMap;
  view.setUint32(4, request.lifetimeS);
  bytes.set(request.clientAddress.bytes, 8);
  bytes.set(request.nonce, 24);
  bytes[36] = UDP_PROTOCOL;
  view.setUint16(40, request.internalPort);
  view.setUint16(42, request.externalPort);
  bytes.set(request.externalAddress.bytes, 44);
  return bytes;
}

export function encodePmpMap({ internalPort, externalPort, lifetimeS }: MapRequest): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[1] = Opcode.pmpMapUdp;
  view.setUint16(4, internalPort);
  // RFC 6886, 3.4: an end has no external port.
  view.setUint16(6, lifetimeS === 0 ? 0 : externalPort);
  view.setUint32(8, lifetimeS);
  return bytes;
}

export function encodePmpAddressRequest(): Uint8Array {
  return new Uint8Array(2);
}

/** Undefined for whatever is no response of a gateway that we could have asked for. */
export function decodeGatewayResponse(bytes: Uint8Array): GatewayResponse | undefined {
  if (bytes.length < 4 || bytes.length > MAX_PCP_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes[0] === PCP_VERSION) return decodePcp(bytes, view);
  return bytes[0] === 0 ? decodePmp(bytes, view) : undefined;
}

function decodePcp(bytes: Uint8Array, view: DataView): GatewayResponse | undefined {
  if (bytes.length < 24 || bytes.length % 4 !== 0) return undefined;
  const result = bytes[3]!;
  const epochS = view.getUint32(8);
  if (bytes[1] === (RESPONSE | Opcode.pcpAnnounce)) return { kind: 'pcpAnnounce', result, epochS };
  if (bytes[1] !== (RESPONSE | Opcode.pcpMap) || bytes.length < PCP_MAP_BYTES) return undefined;
  if (bytes[36] !== UDP_PROTOCOL) return undefined;
  const mapping = {
    nonce: new Uint8Array(bytes.subarray(24, 24 + NONCE_BYTES)),
    internalPort: view.getUint16(40),
    externalPort: view.getUint16(42),
    externalAddress: IpAddress.fromBytes(new Uint8Array(bytes.subarray(44, 60)), 0),
    lifetimeS: view.getUint32(4),
  };
  return { kind: 'pcpMap', result, epochS, mapping };
}

function decodePmp(bytes: Uint8Array, view: DataView): GatewayResponse | undefined {
  const result = view.getUint16(2);
  // RFC 6886, 3.5: what it answers to another version.
  if (result === PMP_UNSUPPORTED_VERSION) return { kind: 'pmpOnly' };
  if (bytes.length < 8) return undefined;
  const epochS = view.getUint32(4);
  if (bytes[1] === (RESPONSE | Opcode.pmpAddress) && bytes.length === 12) {
    const address = IpAddress.fromNet({ address: Array.from(bytes.subarray(8)).join('.'), port: 0 });
    return { kind: 'pmpAddress', result, epochS, address };
  }
  if (bytes[1] !== (RESPONSE | Opcode.pmpMapUdp)) return undefined;
  // A refusal may be as short as its head.
  if (bytes.length !== 16 && result === 0) return undefined;
  const isWhole = bytes.length === 16;
  const internalPort = isWhole ? view.getUint16(8) : 0;
  const externalPort = isWhole ? view.getUint16(10) : 0;
  return {
    kind: 'pmpMap',
    result,
    epochS,
    mapping: { internalPort, externalPort, lifetimeS: isWhole ? view.getUint32(12) : 0 },
  };
}

const PMP_UNSUPPORTED_VERSION = 1;

/** The gateway speaks another version of PCP, or none. */
export const PCP_UNSUPPORTED_VERSION = 1;

/** The end of a sentence for people. RFC 6887, 7.4. */
export function pcpResultText(result: number): string {
  return PCP_TEXTS[result] ?? `it answers with PCP result ${result}`;
}

const PCP_TEXTS: Readonly<Record<number, string>> = {
  1: 'it does not speak this version of PCP',
  2: 'it is not allowed to this host',
  3: 'it finds the request malformed',
  4: 'it cannot map ports',
  5: 'it does not support an option',
  6: 'it finds an option malformed',
  7: 'it has no network itself at present',
  8: 'it has no room for another mapping at present',
  9: 'it does not map UDP',
  10: 'this host has as many mappings as it may have',
  11: 'it cannot provide this external port',
  12: 'there is another NAT between this host and it',
  13: 'too many remote peers',
};

/** As `pcpResultText`; RFC 6886, 3.5. */
export function pmpResultText(result: number): string {
  return PMP_TEXTS[result] ?? `it answers with NAT-PMP result ${result}`;
}

const PMP_TEXTS: Readonly<Record<number, string>> = {
  2: 'it is not allowed to this host',
  3: 'it has no network itself at present',
  4: 'it has no room for another mapping at present',
  5: 'it cannot map ports',
};

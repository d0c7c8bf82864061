// What all connections of one instance share, and where the datagrams of one go.

import type { Identity } from '../base/identity.ts';
import type { LocalCertificate } from '../certs/certificate.ts';
import type { TrustStore } from '../certs/trust-store.ts';
import type { CryptoProvider, NetAddress, Random, SigningKey, UdpPort } from '../platform.ts';
import { MAX_LARGE_DATAGRAM_BYTES } from '../wire/data-packet.ts';

export const PROTOCOL_VERSION = 13;

export interface Environment {
  readonly crypto: CryptoProvider;
  readonly random: Random;
  /** Who we are; `ip:::1` where the application did not say. */
  readonly identity: Identity;
  readonly appId: number;
  readonly trust: TrustStore;
  /** Issued by an authority and not expired; undefined where we only have what we make ourselves. */
  readonly certificate: LocalCertificate | undefined;
  /** For what we make ourselves; undefined: a key that nobody knows beforehand. */
  readonly signingKey?: SigningKey | undefined;
  /** Whether peers have to be where their certificates say. GNS does not look. */
  readonly checksAddresses?: boolean;
  /** The wall clock, for the validity of certificates. */
  unixTimeS(nowUs: number): number;
  /** Whether a datagram that fits nothing may be answered now: at most one in 250 ms. */
  mayAnswerStray(nowUs: number): boolean;
}

/** Where the datagrams of a connection go, and through which port. */
export interface Path {
  readonly port: UdpPort;
  readonly remote: NetAddress;
  /** What is special about it: no network at all, the local network, a relay, or that there is no path yet. */
  readonly kind?: 'memory' | 'lan' | 'relay' | 'none';
  /** Makes `bytes[0..length)` ready for a relay, in place; returns the new length. */
  readonly wrap?: (bytes: Uint8Array, length: number) => number;
}

/** The path of those who look for one yet. */
export const NOWHERE: Path = {
  port: { local: { address: '::', port: 0 }, send: () => false, setRef: () => {}, close: () => {} },
  remote: { address: '::', port: 0 },
  kind: 'none',
};

/** What a relay wants around a datagram. */
const MAX_WRAP_BYTES = 64;

/** Caller-owned, filled by `pollTransmit`; one for all, reused for every datagram. */
export class TransmitSlot {
  readonly bytes = new Uint8Array(MAX_LARGE_DATAGRAM_BYTES + MAX_WRAP_BYTES);
  length = 0;
  path: Path | undefined;
}

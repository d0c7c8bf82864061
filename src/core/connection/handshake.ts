// How two ends come to terms, as a connection sees it: by packets (udp-handshake.ts) or by signals (p2p-link.ts). A
// handshake answers "what now?" with a step; the connection takes it.

import type { Identity } from '../base/identity.ts';
import type { ShownCertificate } from '../certs/certificate.ts';
import type { RoundTrip } from '../stats/round-trip.ts';
import type { ControlPacket } from '../wire/control-packets.ts';
import type { End } from './end-reason.ts';
import type { SessionCiphers } from './key-exchange.ts';
import type { ConnectionState } from './state-table.ts';

/** All that a handshake found out. */
export interface Session {
  readonly remoteId: number;
  readonly identity: Identity;
  readonly isAuthenticated: boolean;
  readonly protocolVersion: number;
  readonly ciphers: SessionCiphers;
  /** Undefined where nothing was shown: for one end of a pair. */
  readonly shown?: ShownCertificate | undefined;
}

/** What the connection is to do. */
export type Step =
  | { readonly kind: 'say'; readonly packet: ControlPacket }
  /** The peer does not know that the connection has ended. */
  | { readonly kind: 'sayClosed' }
  | { readonly kind: 'fail'; readonly end: End }
  | { readonly kind: 'peerEnded'; readonly end: End }
  /** Both sides have the keys. `reply` is to go out before anything else. */
  | { readonly kind: 'agreed'; readonly session: Session; readonly reply?: ControlPacket };

export interface Handshake {
  /** The peer's connection id; 0 until it has told. */
  readonly remoteId: number;
  readonly identity: Identity | undefined;
  readonly isAuthenticated: boolean;
  /** What the peer showed, once it is verified. */
  readonly shown: ShownCertificate | undefined;
  /** What the connection ends with if nothing comes of it in time. */
  readonly timeout: End;
  /** The application accepted. Not for those who asked. */
  accept(nowUs: number): Step;
  /** A packet from the peer that has to do with coming to terms. `state` is the connection's. */
  onPacket(packet: ControlPacket, state: ConnectionState, roundTrip: RoundTrip, nowUs: number): Step | undefined;
  /** The peer sends data: it has our answer. */
  onData?(): void;
  /** While Connecting: what is due. */
  onTime(nowUs: number): Step | undefined;
  /** When `onTime` has something to do. */
  readonly dueUs: number;
}

/** A step that ends the connection. */
export function failed(end: End): Step {
  return { kind: 'fail', end };
}

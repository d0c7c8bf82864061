// A way that datagrams take to a peer: straight, or through a TURN server of ours. Spec: 7.11, 7.13.
import type { NetAddress } from '../platform.ts';

/** `host`: neither side is translated; `srflx`: a NAT is between; `relay`: a TURN server, ours or the peer's. */
export type RouteKind = 'host' | 'srflx' | 'relay';

/** Wraps datagrams for a peer behind a TURN server of ours. */
export interface Relay {
  /** The TURN server: where wrapped datagrams go. */
  readonly server: NetAddress;
  /** What `wrap` adds at most. */
  readonly overheadBytes: number;
  /** Wraps `bytes[0..length)` in place; returns the new length. `bytes` has room for `overheadBytes` more. */
  wrap(bytes: Uint8Array, length: number, remote: NetAddress): number;
}

/** What a `Route` is made of. */
export interface RouteParts {
  readonly remote: NetAddress;
  readonly to: NetAddress;
  readonly relay: Relay | undefined;
  /** The peer as `relay` knows it. */
  readonly peer: NetAddress;
  readonly kind: RouteKind;
  readonly isLan: boolean;
  readonly rttUs: number;
}

/** Immutable; a new one is made when another pair of candidates is selected. Addresses are as the port writes them. */
export class Route {
  /** The peer's address: that of its NAT or of its TURN server, if it is behind one. */
  readonly remote: NetAddress;
  /** Where wrapped datagrams are to be sent: the peer, or our TURN server. */
  readonly to: NetAddress;
  /** Our TURN server, if the route goes through one. */
  readonly relay: Relay | undefined;
  readonly kind: RouteKind;
  /** The peer is in a local network of ours. */
  readonly isLan: boolean;
  /** As measured by the check that led to this route. */
  readonly rttUs: number;
  readonly #peer: NetAddress;

  constructor(parts: RouteParts) {
    this.remote = parts.remote;
    this.to = parts.to;
    this.relay = parts.relay;
    this.kind = parts.kind;
    this.isLan = parts.isLan;
    this.rttUs = parts.rttUs;
    this.#peer = parts.peer;
  }

  /** Makes `bytes[0..length)` ready to be sent to `to`, in place; returns the new length: the same if it is straight. */
  wrap(bytes: Uint8Array, length: number): number {
    return this.relay === undefined ? length : this.relay.wrap(bytes, length, this.#peer);
  }
}

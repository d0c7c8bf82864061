// What a connection tells about itself: a plain snapshot. Spec: 04 §4.6, 05 §5.8.

import type { IpAddress } from '../base/address.ts';
import type { Identity } from '../base/identity.ts';
import type { Route } from './route.ts';
import { type ConnectionState, visibleState } from './state-table.ts';

export interface ConnectionInfo {
  /** As the application sees it: FinWait, Linger and Dead appear as None. */
  readonly state: ConnectionState;
  /** Why it ended: one of `EndReason`, a number of the application (1000 – 2999), or whatever the peer said; 0 before. */
  readonly endReason: number;
  readonly endDebug: string;
  /** Undefined until the peer has told. */
  readonly remoteIdentity: Identity | undefined;
  /** `::` where there is none: in memory, not known yet, or hidden behind a relay. */
  readonly remoteAddress: IpAddress;
  readonly isIncoming: boolean;
  readonly flags: ConnectionFlags;
}

export interface ConnectionFlags {
  /** No trusted authority vouches for the peer's identity. */
  readonly unauthenticated: boolean;
  /** Not encrypted, or not yet decided. */
  readonly unencrypted: boolean;
  /** Messages are passed in memory. */
  readonly loopbackBuffers: boolean;
  /** The peer is on this machine, or near in the same network. */
  readonly fast: boolean;
  /** Packets take a detour through a relay. */
  readonly relayed: boolean;
}

/** GNS's bits. */
export const CONNECTION_FLAG_BITS = {
  unauthenticated: 1,
  unencrypted: 2,
  loopbackBuffers: 4,
  fast: 8,
  relayed: 16,
} as const satisfies Record<keyof ConnectionFlags, number>;

/** Such a ping within a local network counts as fast. */
const FAST_PING_MS = 5;

export function connectionFlags(
  { path, address }: Route,
  pingMs: number,
  isAuthenticated: boolean,
  isEncrypted: boolean,
): ConnectionFlags {
  // That nothing of it can be overheard or forged counts as protection.
  const isInMemory = path.kind === 'memory';
  const isLanFast = path.kind === 'lan' && pingMs >= 0 && pingMs <= FAST_PING_MS;
  return {
    unauthenticated: !isAuthenticated && !isInMemory,
    unencrypted: !isEncrypted && !isInMemory,
    loopbackBuffers: isInMemory,
    fast: address.isLoopback || isInMemory || isLanFast,
    relayed: path.kind === 'relay',
  };
}

export function flagBits(flags: ConnectionFlags): number {
  let bits = 0;
  for (const [name, bit] of Object.entries(CONNECTION_FLAG_BITS)) {
    if (flags[name as keyof ConnectionFlags]) bits |= bit;
  }
  return bits;
}

/** A change, hidden states included; `info` is what held at that moment. */
export interface StateChange {
  readonly from: ConnectionState;
  readonly to: ConnectionState;
  readonly info: ConnectionInfo;
  /** Reliable bytes that the peer had not acknowledged then; nobody keeps them once the connection has ended. */
  readonly undeliveredBytes: number;
}

/** The same states, or none, as far as the application sees them. */
export function isVisibleChange(change: StateChange): boolean {
  return visibleState(change.from) !== visibleState(change.to);
}

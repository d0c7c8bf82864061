// Which sessions there are on the local network: what announcements say, for as long as it is believed. No I/O, no clock.

import { IpAddress } from '../core/base/address.ts';
import { Allowance } from '../core/base/allowance.ts';
import { NEVER, US_PER_SECOND } from '../core/base/time.ts';
import type { NetAddress } from '../core/platform.ts';
import type { Announcement } from './lan-packet.ts';

/** A game session that somebody announces. Nothing of it is proven. */
export interface LanSession {
  /** One life of one announcer: 16 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly appId: number;
  /** As `Identity` prints it; empty if it was not told. */
  readonly identity: string;
  /** Where the announcements come from, the best to connect to first: IPv4, IPv6, loopback, IPv6 of the link. */
  readonly addresses: readonly string[];
  /** The first of `addresses`. */
  readonly address: string;
  /** UDP port of the listen socket, for `connect`; 0 if there is none. */
  readonly port: number;
  /** For `connectP2P`; undefined if there is nothing. */
  readonly virtualPort: number | undefined;
  /** What the application adds: at most 256 bytes. */
  readonly userData: Uint8Array;
}

export interface SessionChange {
  readonly kind: 'found' | 'changed' | 'lost';
  readonly session: LanSession;
}

// Far more than a network has; beyond it somebody invents them.
const MAX_SESSIONS = 1_024;
const MAX_SESSIONS_PER_SOURCE = 32;
const MAX_ADDRESSES = 16;
/** Longer than this nothing is believed without being said again. */
const MAX_LIFETIME_S = 300;

interface Entry {
  announcement: Announcement;
  session: LanSession;
  /** Until when each address is believed. */
  readonly expiriesUs: Map<string, number>;
  readonly source: string;
}

export class SessionTable {
  readonly #entries = new Map<string, Entry>();
  #nextTimeoutUs = NEVER;

  get sessions(): readonly LanSession[] {
    return Array.from(this.#entries.values(), ({ session }) => session);
  }

  get nextTimeoutUs(): number {
    return this.#nextTimeoutUs;
  }

  handleAnnouncement(announcement: Announcement, from: NetAddress, nowUs: number): SessionChange | undefined {
    const expiryUs = nowUs + Math.min(announcement.lifetimeS, MAX_LIFETIME_S) * US_PER_SECOND;
    const known = this.#entries.get(announcement.sessionId);
    if (known === undefined && this.#isFull(from.address)) return undefined;
    if (known !== undefined && announcement.revision < known.announcement.revision) return undefined;
    const expiriesUs = known?.expiriesUs ?? new Map<string, number>();
    if (expiriesUs.has(from.address) || expiriesUs.size < MAX_ADDRESSES) expiriesUs.set(from.address, expiryUs);
    this.#nextTimeoutUs = Math.min(this.#nextTimeoutUs, expiryUs);

    const session = describe(announcement, expiriesUs);
    const isNews =
      known === undefined ||
      announcement.revision > known.announcement.revision ||
      session.address !== known.session.address;
    const entry = { announcement, session, expiriesUs, source: known?.source ?? from.address };
    this.#entries.set(announcement.sessionId, entry);
    if (!isNews) return undefined;
    return { kind: known === undefined ? 'found' : 'changed', session };
  }

  /** Counts only from an address that the session was announced from. */
  handleGoodbye(sessionId: string, from: NetAddress): SessionChange | undefined {
    const entry = this.#entries.get(sessionId);
    if (entry === undefined || !entry.expiriesUs.has(from.address)) return undefined;
    this.#entries.delete(sessionId);
    return { kind: 'lost', session: entry.session };
  }

  handleTimeout(nowUs: number): SessionChange[] {
    const changes: SessionChange[] = [];
    this.#nextTimeoutUs = NEVER;
    for (const [id, entry] of this.#entries) {
      for (const [address, expiryUs] of entry.expiriesUs) {
        if (expiryUs <= nowUs) entry.expiriesUs.delete(address);
        else this.#nextTimeoutUs = Math.min(this.#nextTimeoutUs, expiryUs);
      }
      const before = entry.session;
      if (entry.expiriesUs.size === 0) {
        this.#entries.delete(id);
        changes.push({ kind: 'lost', session: before });
        continue;
      }
      entry.session = describe(entry.announcement, entry.expiriesUs);
      if (entry.session.address !== before.address) changes.push({ kind: 'changed', session: entry.session });
    }
    return changes;
  }

  #isFull(source: string): boolean {
    if (this.#entries.size >= MAX_SESSIONS) return true;
    let count = 0;
    for (const entry of this.#entries.values()) if (entry.source === source) count++;
    return count >= MAX_SESSIONS_PER_SOURCE;
  }
}

function describe(announcement: Announcement, expiriesUs: ReadonlyMap<string, number>): LanSession {
  const { sessionId: id, name, appId, identity, port, virtualPort, userData } = announcement;
  const addresses = [...expiriesUs.keys()].sort((a, b) => rank(a) - rank(b));
  return { id, name, appId, identity, addresses, address: addresses[0]!, port, virtualPort, userData };
}

/** Addresses of the link come last: they mean nothing without their interface. */
function rank(address: string): number {
  if (/^fe[89ab]/i.test(address)) return 3;
  const parsed = IpAddress.parse(address);
  if (parsed === undefined || parsed.isLoopback) return 2;
  return parsed.isIPv4 ? 0 : 1;
}

// A host with many programs asks and announces on several interfaces at once.
const PACKETS_PER_SEC = 50;
const PACKETS_AT_ONCE = 100;
const MAX_SOURCES = 1_024;

/** How much each address is listened to. */
export class SourceLimits {
  readonly #allowances = new Map<string, Allowance>();

  take(address: string, nowUs: number): boolean {
    let allowance = this.#allowances.get(address);
    if (allowance === undefined) {
      // The oldest goes: a stranger who takes many addresses gets no more than the network gives.
      if (this.#allowances.size >= MAX_SOURCES) this.#allowances.delete(this.#allowances.keys().next().value!);
      allowance = new Allowance(PACKETS_PER_SEC, PACKETS_AT_ONCE);
      this.#allowances.set(address, allowance);
    }
    return allowance.take(nowUs);
  }
}

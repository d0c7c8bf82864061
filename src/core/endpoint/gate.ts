// What strangers may cost a listen socket: counts what they send and get, and limits how often they are answered, how many
// may come in, in total and from one address, and how many may wait for the application. Its tables have a fixed size,
// however many addresses there are. Spec: 01 §1.4, 10.5.

import type { IpAddress } from '../base/address.ts';
import { Allowance } from '../base/allowance.ts';
import { US_PER_SECOND } from '../base/time.ts';
import { sipHash24 } from '../crypto/siphash.ts';

/** Infinity: no limit. */
export interface ListenLimits {
  /** Answers a second to those who have not shown their address, 1000 of them at once. Default: 10,000. */
  readonly challengesPerSec?: number;
  /** Requests a second that are looked at closely: each costs signature checks. Default: 1000, and as many at once. */
  readonly handshakesPerSec?: number;
  /** The same from one address, or one /64 of IPv6. Default: 100, and twice as many at once. */
  readonly handshakesPerSecPerSource?: number;
  /** Connections that wait for the application to accept them. Default: 1000. */
  readonly waiting?: number;
  /** The same from one address, or one /64 of IPv6. Default: 100. */
  readonly waitingPerSource?: number;
}

export const DEFAULT_LIMITS: Required<ListenLimits> = {
  challengesPerSec: 10_000,
  handshakesPerSec: 1_000,
  handshakesPerSecPerSource: 100,
  waiting: 1_000,
  waitingPerSource: 100,
};

/** Why a datagram of a stranger led to nothing. */
export const DROP_REASONS = {
  stray: 'no connection has this address and id',
  malformed: 'nothing that can be understood',
  closing: 'the socket takes no more clients',
  challengeLimit: 'more questions than `challengesPerSec`',
  badCookie: 'a challenge cookie that is old, made up, or not for this address',
  sourceLimit: 'more than one address may: `handshakesPerSecPerSource` or `waitingPerSource`',
  handshakeLimit: 'more requests than `handshakesPerSec`',
  waitingLimit: 'more connections than `waiting` wait for the application',
  refused: 'the application refused by `admit`',
  credentials: 'identity, certificate or signature are not acceptable',
  full: 'the instance holds all the connections that it can',
} as const;
export type DropReason = keyof typeof DROP_REASONS;

/** What came from addresses that no connection has, and what went to them; bytes of UDP payload. */
export interface StrangerStats {
  readonly receivedDatagrams: number;
  readonly receivedBytes: number;
  readonly sentDatagrams: number;
  readonly sentBytes: number;
  /** `sentBytes` / `receivedBytes`; 0 before anything came. */
  readonly amplification: number;
  /** Became connections. */
  readonly admitted: number;
  readonly dropped: Readonly<Record<DropReason, number>>;
}

/** A flood that begins must not buy a second's worth of answers while the players wait. */
const MAX_CHALLENGES_AT_ONCE = 1_000;

export class Gate {
  readonly #limits: Required<ListenLimits>;
  readonly #challenges: Allowance;
  readonly #handshakes: Allowance;
  readonly #sources: SourceTable;
  #waiting = 0;
  #receivedDatagrams = 0;
  #receivedBytes = 0;
  #sentDatagrams = 0;
  #sentBytes = 0;
  #admitted = 0;
  readonly #dropped = Object.fromEntries(Object.keys(DROP_REASONS).map((reason) => [reason, 0])) as Record<
    DropReason,
    number
  >;

  /** `key`: 16 secret bytes, so that nobody can aim at the place of another in the tables. */
  constructor(limits: ListenLimits, key: Uint8Array) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    const { challengesPerSec, handshakesPerSec, handshakesPerSecPerSource } = this.#limits;
    this.#challenges = new Allowance(challengesPerSec, Math.min(atOnce(challengesPerSec), MAX_CHALLENGES_AT_ONCE));
    this.#handshakes = new Allowance(handshakesPerSec, atOnce(handshakesPerSec));
    this.#sources = new SourceTable(handshakesPerSecPerSource, 2 * atOnce(handshakesPerSecPerSource), key);
  }

  onReceived(bytes: number): void {
    this.#receivedDatagrams++;
    this.#receivedBytes += bytes;
  }

  onSent(bytes: number): void {
    this.#sentDatagrams++;
    this.#sentBytes += bytes;
  }

  drop(reason: DropReason): void {
    this.#dropped[reason]++;
  }

  /** Whether a stranger who may not be where it says may be answered. */
  mayAnswer(nowUs: number): boolean {
    return this.#challenges.take(nowUs);
  }

  /**
   * Why a stranger who has shown its address may not be looked at now. Only the limit on waiting connections is for those
   * on this machine: they could do worse, and their addresses cannot be forged from elsewhere.
   */
  obstacle(address: IpAddress, nowUs: number): DropReason | undefined {
    if (this.#waiting >= this.#limits.waiting) return 'waitingLimit';
    if (address.isLoopback) return undefined;
    if (this.#sources.waitingFrom(address) >= this.#limits.waitingPerSource) return 'sourceLimit';
    if (!this.#sources.take(address, nowUs)) return 'sourceLimit';
    return this.#handshakes.take(nowUs) ? undefined : 'handshakeLimit';
  }

  /** A connection waits for the application from now on. */
  onAdmitted(address: IpAddress): void {
    this.#admitted++;
    this.#waiting++;
    this.#sources.noteWaiting(address, 1);
  }

  /** It does so no more. */
  onAnswered(address: IpAddress): void {
    this.#waiting--;
    this.#sources.noteWaiting(address, -1);
  }

  get stats(): StrangerStats {
    return {
      receivedDatagrams: this.#receivedDatagrams,
      receivedBytes: this.#receivedBytes,
      sentDatagrams: this.#sentDatagrams,
      sentBytes: this.#sentBytes,
      amplification: this.#receivedBytes === 0 ? 0 : this.#sentBytes / this.#receivedBytes,
      admitted: this.#admitted,
      dropped: { ...this.#dropped },
    };
  }
}

/** A limit below one a second is one in a while; one of zero is none. */
function atOnce(perSec: number): number {
  return perSec > 0 ? Math.max(1, perSec) : 0;
}

const ROWS = 2;
const COLUMNS = 1024;
const IPV4_PREFIX_BYTES = 12;
const IPV6_SOURCE_BYTES = 8;

/**
 * Counts for sources, in a table that does not grow: each source has a place in either row, by a keyed hash, and shares it
 * with others. Where the rows differ, the one that is better for the source is right.
 */
class SourceTable {
  readonly #perSec: number;
  readonly #atOnce: number;
  readonly #key: Uint8Array;
  readonly #spent = new Float64Array(ROWS * COLUMNS);
  readonly #spentAtUs = new Float64Array(ROWS * COLUMNS);
  readonly #waiting = new Uint16Array(ROWS * COLUMNS);

  constructor(perSec: number, atOnce: number, key: Uint8Array) {
    this.#perSec = perSec;
    this.#atOnce = atOnce;
    this.#key = Uint8Array.from(key);
  }

  #places({ isIPv4, bytes }: IpAddress): readonly [number, number] {
    const source = isIPv4 ? bytes.subarray(IPV4_PREFIX_BYTES) : bytes.subarray(0, IPV6_SOURCE_BYTES);
    const { high, low } = sipHash24(this.#key, source);
    return [high % COLUMNS, COLUMNS + (low % COLUMNS)];
  }

  /** Takes one of what the source may in this second; false if nothing is left. */
  take(address: IpAddress, nowUs: number): boolean {
    if (this.#perSec === Number.POSITIVE_INFINITY) return true;
    const places = this.#places(address);
    let least = Number.POSITIVE_INFINITY;
    for (const place of places) {
      const restored = ((nowUs - this.#spentAtUs[place]!) * this.#perSec) / US_PER_SECOND;
      this.#spent[place] = Math.max(0, this.#spent[place]! - restored);
      this.#spentAtUs[place] = nowUs;
      least = Math.min(least, this.#spent[place]);
    }
    if (least + 1 > this.#atOnce) return false;
    for (const place of places) this.#spent[place]!++;
    return true;
  }

  waitingFrom(address: IpAddress): number {
    const [a, b] = this.#places(address);
    return Math.min(this.#waiting[a]!, this.#waiting[b]!);
  }

  noteWaiting(address: IpAddress, change: 1 | -1): void {
    for (const place of this.#places(address)) this.#waiting[place]! += change;
  }
}

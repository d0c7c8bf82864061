// How long a round trip takes: the few newest samples, and all of them for the lifetime record. Spec: 04 §4.8, §4.10.

import { LONG_AGO } from '../base/time.ts';
import { type Histogram, newHistogram, noteIn, Reservoir } from './distribution.ts';

/** Upper ends of the buckets, in ms; the last bucket takes the rest. */
export const PING_BUCKETS_MS: readonly number[] = [25, 50, 75, 100, 125, 150, 200, 300];
/** Samples in quick succession count as one. */
const HOLD_US = 100_000;
export const MAX_PING_SAMPLE_US = 2_000_000;

export class RoundTrip {
  /** Whole milliseconds, -1 where there is none yet. */
  #newestMs = -1;
  #middleMs = -1;
  #oldestMs = -1;
  #newestAtUs = LONG_AGO;
  #holdUntilUs = LONG_AGO;
  readonly histogram: Histogram = newHistogram(PING_BUCKETS_MS.length + 1);
  readonly reservoir = new Reservoir();

  /** A measured round trip; what is out of range is ignored. */
  addMeasured(rttUs: number, nowUs: number): void {
    if (rttUs >= 0 && rttUs <= MAX_PING_SAMPLE_US) this.add(Math.floor((rttUs + 500) / 1000), nowUs);
  }

  /** From an ack, which is truncated; a clock of the peer that runs slow may take it a little below zero. */
  addAckSample(rttUs: number, nowUs: number): void {
    const pingMs = Math.trunc(rttUs / 1000);
    if (pingMs >= -1 && rttUs <= MAX_PING_SAMPLE_US) this.add(Math.max(0, pingMs), nowUs);
  }

  /** A sample in whole milliseconds. */
  add(pingMs: number, nowUs: number): void {
    if (this.#oldestMs >= 0 && nowUs < this.#holdUntilUs) {
      if (pingMs < this.#newestMs) this.#newestMs = pingMs;
    } else {
      this.#oldestMs = this.#middleMs;
      this.#middleMs = this.#newestMs;
      this.#newestMs = pingMs;
      this.#holdUntilUs = this.#oldestMs < 0 ? LONG_AGO : nowUs + HOLD_US;
    }
    this.#newestAtUs = nowUs;
    noteIn(this.histogram, PING_BUCKETS_MS, pingMs);
    this.reservoir.add(pingMs);
  }

  /** When the newest sample came; long ago if there is none. */
  get newestAtUs(): number {
    return this.#newestAtUs;
  }

  /** In whole ms, -1 without a sample. */
  get smoothedMs(): number {
    const [a, b, c] = [this.#newestMs, this.#middleMs, this.#oldestMs];
    if (b < 0) return a;
    if (c < 0) return Math.min(a, b);
    return (a + b + c - Math.max(a, b, c)) >> 1;
  }

  /** The longest of the current samples in ms, -1 without one. */
  get worstMs(): number {
    return Math.max(this.#newestMs, this.#middleMs, this.#oldestMs);
  }
}

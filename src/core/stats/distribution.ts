// Counting by size, and percentiles of very many samples in little memory. Spec: 04 §4.8 – §4.10.

export type Histogram = number[];

export function newHistogram(buckets: number): Histogram {
  return new Array<number>(buckets).fill(0);
}

/** Counts `value` in the first bucket whose upper end it does not exceed, or in the last. */
export function noteIn(histogram: Histogram, upperEnds: readonly number[], value: number): void {
  let bucket = 0;
  while (bucket < upperEnds.length && value > upperEnds[bucket]!) bucket++;
  histogram[bucket]!++;
}

const MAX_SAMPLES = 1000;

const NO_SAMPLES = new Uint16Array(0);
const LEAST_SAMPLES = 8;

/** Keeps a fair choice of at most 1000 samples, whole numbers below 2^16. */
export class Reservoir {
  #samples = NO_SAMPLES;
  #count = 0;
  #seen = 0;
  #chance = 0x2545f491;

  add(sample: number): void {
    this.#seen++;
    if (this.#count < MAX_SAMPLES) {
      if (this.#count === this.#samples.length) this.#grow();
      this.#samples[this.#count++] = sample;
      return;
    }
    // Fair enough for statistics, and the same in every run.
    this.#chance = (Math.imul(this.#chance, 1_664_525) + 1_013_904_223) >>> 0;
    const place = Math.floor((this.#chance / 0x1_0000_0000) * this.#seen);
    if (place < MAX_SAMPLES) this.#samples[place] = sample;
  }

  get count(): number {
    return this.#count;
  }

  #grow(): void {
    const samples = new Uint16Array(Math.min(MAX_SAMPLES, Math.max(LEAST_SAMPLES, 2 * this.#count)));
    samples.set(this.#samples);
    this.#samples = samples;
  }

  /** The value below which `share` (0 … 1) of the samples lie, interpolated and truncated; undefined with fewer than `atLeast`. */
  percentile(share: number, atLeast: number): number | undefined {
    if (this.#count < atLeast || this.#count === 0) return undefined;
    const ordered = this.#samples.slice(0, this.#count).sort();
    const index = share * (ordered.length - 1);
    const low = Math.floor(index);
    const below = ordered[low]!;
    const above = ordered[Math.min(low + 1, ordered.length - 1)]!;
    return Math.trunc(below + (above - below) * (index - low));
  }
}

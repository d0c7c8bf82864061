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

/** Keeps a fair choice of at most 1000 samples. */
export class Reservoir {
  readonly #samples: number[] = [];
  #seen = 0;
  #chance = 0x2545f491;

  add(sample: number): void {
    this.#seen++;
    if (this.#samples.length < MAX_SAMPLES) {
      this.#samples.push(sample);
      return;
    }
    // Fair enough for statistics, and the same in every run.
    this.#chance = (Math.imul(this.#chance, 1_664_525) + 1_013_904_223) >>> 0;
    const place = Math.floor((this.#chance / 0x1_0000_0000) * this.#seen);
    if (place < MAX_SAMPLES) this.#samples[place] = sample;
  }

  get count(): number {
    return this.#samples.length;
  }

  /** The value below which `share` (0 … 1) of the samples lie, interpolated and truncated; undefined with fewer than `atLeast`. */
  percentile(share: number, atLeast: number): number | undefined {
    const sorted = this.#samples;
    if (sorted.length < atLeast || sorted.length === 0) return undefined;
    const ordered = [...sorted].sort((a, b) => a - b);
    const index = share * (ordered.length - 1);
    const low = Math.floor(index);
    const below = ordered[low]!;
    const above = ordered[Math.min(low + 1, ordered.length - 1)]!;
    return Math.trunc(below + (above - below) * (index - low));
  }
}

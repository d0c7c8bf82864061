// How long the messages of the `rate` command were under way.

import type { IncomingMessage } from '../../index.ts';
import { monotonicUs } from './clock.ts';
import { distribution } from './distribution.ts';
import type { Fields } from './report.ts';

/** `RATE`, little endian; then sequence number (u32), monotonic and real time of sending (u64, ns), pattern. */
export const RATE_MAGIC = 0x4554_4152;
export const RATE_HEADER_BYTES = 24;
const MONOTONIC_OFFSET = 8;
const REAL_OFFSET = 16;

export type LatencyClock = 'mono' | 'real';

/** The wall clock in nanoseconds since 1970. */
export function realNs(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1_000)) * 1_000n;
}

/** Of one connection. */
export class LatencyLog {
  readonly #totalUs: number[] = [];
  readonly #arrivalUs: number[] = [];
  readonly #sequences: number[] = [];
  #highest = -1;
  #outOfOrder = 0;

  add(message: IncomingMessage, clock: LatencyClock, instanceNowUs: number): void {
    const view = new DataView(message.data.buffer, message.data.byteOffset, message.data.length);
    const sequence = view.getUint32(4, true);
    const us =
      clock === 'real'
        ? Number(realNs() - view.getBigUint64(REAL_OFFSET, true)) / 1e3
        : monotonicUs() - Number(view.getBigUint64(MONOTONIC_OFFSET, true)) / 1e3;
    this.#totalUs.push(us);
    this.#arrivalUs.push(us - (instanceNowUs - message.receivedAtUs));
    this.#sequences.push(sequence);
    if (sequence < this.#highest) this.#outOfOrder++;
    else this.#highest = sequence;
  }

  get fields(): Fields {
    const total = distribution(this.#totalUs);
    const distinct = new Set(this.#sequences).size;
    if (distinct === 0) return total;
    return {
      ...total,
      // Sequence numbers start at 0, so what is missing below the highest one seen is lost.
      lost: this.#highest + 1 - distinct,
      duplicates: this.#sequences.length - distinct,
      out_of_order: this.#outOfOrder,
      arrival: distribution(this.#arrivalUs),
    };
  }
}

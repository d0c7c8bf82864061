// HOT PATH
// Which packet numbers were received: refuses what came twice or too late, and counts what is missing.
// Spec: 01 §1.9 "Packet numbers", 04 §4.9.

import { expandU16 } from '../wire/data-packet.ts';

const BLOCK = 64;
/** A jump of this many packets or more is not counted as loss: something else went wrong. */
const LURCH = 100;

export type Arrival = 'new' | 'duplicate' | 'tooOld';

export class SequenceWindow {
  /** Highest number processed. */
  highest = 0;
  lost = 0;
  outOfOrder = 0;
  duplicates = 0;
  lurches = 0;
  /** Bits for [B, B + 64) and the 64 numbers before, B = highest & ~63; in words of 32. */
  #bits0 = 0xffff_ffff;
  #bits1 = 0xffff_ffff;
  #bits2 = 0xffff_ffff;
  #bits3 = 0xffff_ffff;

  /** All numbers up to `highest` count as received. */
  start(highest: number): void {
    this.#jump(highest);
  }

  /** The full number that these 16 bits mean. */
  expand(wire: number): number {
    return expandU16(wire, this.highest);
  }

  /** Whether the packet may be processed; counts it if not. */
  check(number: number): Arrival {
    if (number > this.highest) return 'new';
    const base = this.highest - (this.highest % BLOCK);
    const place = number - base + BLOCK;
    if (place < 0) {
      this.outOfOrder++;
      return 'tooOld';
    }
    const word = place < 32 ? this.#bits0 : place < 64 ? this.#bits1 : place < 96 ? this.#bits2 : this.#bits3;
    if (((word >>> (place & 31)) & 1) === 0) return 'new';
    this.duplicates++;
    return 'duplicate';
  }

  /** The packet was processed. */
  mark(number: number): void {
    if (number < this.highest) {
      this.#set(number - (this.highest - (this.highest % BLOCK)) + BLOCK);
      this.outOfOrder++;
      // It had been counted as lost when the packets behind it overtook it.
      if (this.lost > 0) this.lost--;
      return;
    }
    const skipped = number - this.highest - 1;
    if (skipped >= LURCH - 1) {
      this.lurches++;
      this.#jump(number);
      return;
    }
    this.lost += skipped;
    const blocks = Math.floor(number / BLOCK) - Math.floor(this.highest / BLOCK);
    if (blocks === 1) {
      this.#bits0 = this.#bits2;
      this.#bits1 = this.#bits3;
      this.#bits2 = this.#bits3 = 0;
    } else if (blocks > 1) {
      this.#bits0 = this.#bits1 = this.#bits2 = this.#bits3 = 0;
    }
    this.highest = number;
    this.#set((number % BLOCK) + BLOCK);
  }

  #jump(number: number): void {
    this.highest = number;
    this.#bits0 = this.#bits1 = 0xffff_ffff;
    this.#bits2 = this.#bits3 = 0;
    for (let place = 0; place <= number % BLOCK; place++) this.#set(place + BLOCK);
  }

  #set(place: number): void {
    const bit = 1 << (place & 31);
    if (place < 32) this.#bits0 |= bit;
    else if (place < 64) this.#bits1 |= bit;
    else if (place < 96) this.#bits2 |= bit;
    else this.#bits3 |= bit;
  }
}

// HOT PATH
// The bytes of one lane's reliable stream that arrived and were not yet delivered, gaps included. Spec: 03 §3.6.

import { copyBytes, EMPTY_BYTES } from '../base/bytes.ts';

/** Abuse limits of GNS: a peer that scatters bytes must not make us keep books of them. */
const MAX_GAPS_TO_EXTEND = 30;
const MAX_GAPS_TO_SPLIT = 20;

export class StreamBuffer {
  /** Stream position of the first undelivered byte, and the one behind the last buffered byte. */
  start = 1;
  end = 1;
  /** The bytes of [start, end) begin at `#bytes[offset]`. */
  #bytes = EMPTY_BYTES;
  #offset = 0;
  /** What lies before `#offset` belongs to others. */
  #isLent = false;
  /** Most bytes that lay here since the buffer was made or moved. */
  #peak = 0;
  /** Missing ranges inside [start, end), ascending: starts and ends. */
  readonly #gapStarts: number[] = [];
  readonly #gapEnds: number[] = [];

  /** Where delivery must stop for now. */
  get contiguousEnd(): number {
    return this.#gapStarts.length > 0 ? this.#gapStarts[0]! : this.end;
  }

  /** The buffered bytes, of which [offset, offset + contiguousEnd - start) may be read. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
  get offset(): number {
    return this.#offset;
  }

  /** Stores the stream bytes [position, …). False if the limits do not allow it; then nothing changes. */
  store(position: number, bytes: Uint8Array, from: number, to: number, maxBytes: number): boolean {
    const stop = position + to - from;
    const begin = Math.max(position, this.start);
    if (stop <= begin) return true;
    if (stop - this.start > maxBytes) return false;
    if (begin > this.end) {
      if (this.#gapStarts.length >= MAX_GAPS_TO_EXTEND) return false;
      this.#gapStarts.push(this.end);
      this.#gapEnds.push(begin);
    } else if (begin < this.end && !this.#fillGaps(begin, Math.min(stop, this.end))) {
      return false;
    }
    this.#reserve(stop);
    copyBytes(this.#bytes, this.#offset + begin - this.start, bytes, from + begin - position, to);
    if (stop > this.end) this.end = stop;
    if (this.end - this.start > this.#peak) this.#peak = this.end - this.start;
    return true;
  }

  /** Takes [begin, stop) out of the gaps. False if that would split a gap when there are many. */
  #fillGaps(begin: number, stop: number): boolean {
    for (let i = this.#gapStarts.length - 1; i >= 0; i--) {
      const gapStart = this.#gapStarts[i]!;
      const gapEnd = this.#gapEnds[i]!;
      if (stop <= gapStart) continue;
      if (begin >= gapEnd) break;
      if (begin > gapStart && stop < gapEnd) {
        if (this.#gapStarts.length >= MAX_GAPS_TO_SPLIT) return false;
        this.#gapStarts.splice(i + 1, 0, stop);
        this.#gapEnds.splice(i, 0, begin);
        break;
      }
      if (begin > gapStart) this.#gapEnds[i] = begin;
      else if (stop < gapEnd) this.#gapStarts[i] = stop;
      else {
        this.#gapStarts.splice(i, 1);
        this.#gapEnds.splice(i, 1);
      }
    }
    return true;
  }

  /** The bytes [from, to) of `bytes`, which are about to be consumed, for somebody to keep. */
  take(from: number, to: number): Uint8Array {
    // Small ones are copied, since each would keep the whole buffer; and a large buffer is better used again.
    const isWorthLending = this.#bytes.length === MIN_CAPACITY && (to - from) * MAX_KEPT_TIMES >= MIN_CAPACITY;
    if (!isWorthLending) return this.#bytes.slice(from, to);
    this.#isLent = true;
    return this.#bytes.subarray(from, to);
  }

  /** The first `count` contiguous bytes were delivered. */
  consume(count: number): void {
    this.start += count;
    this.#offset += count;
    if (this.start === this.end) {
      if (!this.#isLent) this.#offset = 0;
      // An idle connection should not sit on what a burst needed.
      if (this.#bytes.length > KEEP_BYTES) this.#replace(EMPTY_BYTES);
    }
  }

  /** Skips bytes that were delivered without passing through an (empty) buffer. */
  advance(count: number): void {
    this.start += count;
    this.end = this.start;
  }

  #reserve(stop: number): void {
    const needed = stop - this.start;
    if (this.#offset + needed <= this.#bytes.length) return;
    const used = this.end - this.start;
    // Moving is cheap as long as it frees at least as much as it copies. But what a burst needed is not kept for ever.
    const isTooLarge = this.#bytes.length > MIN_CAPACITY && Math.max(this.#peak, needed) * 2 <= MIN_CAPACITY;
    if (!this.#isLent && !isTooLarge && needed <= this.#bytes.length && this.#offset >= used) {
      this.#bytes.copyWithin(0, this.#offset, this.#offset + used);
      this.#offset = this.#peak = 0;
      return;
    }
    const target = new Uint8Array(Math.max(MIN_CAPACITY, 2 ** Math.ceil(Math.log2(needed * 1.5))));
    copyBytes(target, 0, this.#bytes, this.#offset, this.#offset + used);
    this.#replace(target);
  }

  #replace(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#offset = this.#peak = 0;
    this.#isLent = false;
  }
}

const MIN_CAPACITY = 8192;
const KEEP_BYTES = 65_536;
/** What is lent keeps memory of at most so many times its size. */
const MAX_KEPT_TIMES = 8;

// Spoils packets as a seed says: small wounds that leave most of a packet valid, so that what lies deep is reached too.

import type { SeededRandom } from '../src/core/base/random.ts';

/** No mutated input is longer. */
export const MAX_INPUT_BYTES = 2048;

/** Where counters overflow, flags end and varints change their length. */
const EDGES = [0, 1, 2, 0x0f, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x5f, 0x60, 0x7f, 0x80, 0x88, 0x8f, 0x90, 0x9f, 0xfe, 0xff];
const WIDE_EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_ffff];
const MAX_WOUNDS = 6;

export class Mutator {
  readonly random: SeededRandom;
  /** The input at hand; what lies behind its length is left over from others. */
  readonly bytes = new Uint8Array(MAX_INPUT_BYTES);
  #length = 0;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  /** Writes a spoilt `original` to `bytes`, parts of `other` perhaps in it; returns its length. */
  spoil(original: Uint8Array, other: Uint8Array): number {
    this.#length = Math.min(original.length, MAX_INPUT_BYTES);
    this.bytes.set(this.#length === original.length ? original : original.subarray(0, this.#length));
    let wounds = 1;
    while (wounds < MAX_WOUNDS && this.random.float() < 0.5) wounds++;
    for (; wounds > 0; wounds--) this.#wound(other);
    return this.#length;
  }

  #wound(other: Uint8Array): void {
    const { bytes, random } = this;
    const length = this.#length;
    const at = random.below(length + 1);
    switch (random.below(length === 0 ? 2 : 12)) {
      case 0:
        this.#insert(at, 1 + random.below(8), () => random.u32());
        break;
      case 1:
        this.#splice(at, other);
        break;
      case 2:
        this.#remove(at, 1 + random.below(8));
        break;
      case 3:
        this.#length = at;
        break;
      case 4:
        this.#repeat(at, 1 + random.below(16));
        break;
      case 5:
        this.#writeWide(at, WIDE_EDGES[random.below(WIDE_EDGES.length)]!);
        break;
      case 6:
      case 7:
        if (at < length) bytes[at] = EDGES[random.below(EDGES.length)]!;
        break;
      case 8:
        if (at < length) bytes[at]! += random.float() < 0.5 ? 1 : -1;
        break;
      case 9:
        if (at < length) bytes[at] = random.u32();
        break;
      default:
        if (at < length) bytes[at]! ^= 1 << random.below(8);
    }
  }

  #insert(at: number, count: number, byteOf: (index: number) => number): void {
    const fits = Math.min(count, MAX_INPUT_BYTES - this.#length);
    this.bytes.copyWithin(at + fits, at, this.#length);
    for (let i = 0; i < fits; i++) this.bytes[at + i] = byteOf(i);
    this.#length += fits;
  }

  #remove(at: number, count: number): void {
    const end = Math.min(at + count, this.#length);
    this.bytes.copyWithin(at, end, this.#length);
    this.#length -= end - at;
  }

  #repeat(at: number, count: number): void {
    const piece = this.bytes.slice(at, Math.min(at + count, this.#length));
    this.#insert(at, piece.length, (i) => piece[i]!);
  }

  /** The head of this one, the tail of the other one. */
  #splice(at: number, other: Uint8Array): void {
    const from = this.random.below(other.length + 1);
    const count = Math.min(other.length - from, MAX_INPUT_BYTES - at);
    this.bytes.set(other.subarray(from, from + count), at);
    this.#length = at + count;
  }

  #writeWide(at: number, value: number): void {
    const width = [2, 3, 4, 8][this.random.below(4)]!;
    for (let i = 0; i < width && at + i < this.#length; i++) this.bytes[at + i] = i < 4 ? value >>> (8 * i) : 0;
  }
}

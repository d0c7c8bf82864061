// Random numbers that a seed repeats exactly: for simulation and tests, never for keys.
import type { Random } from '../platform.ts';

/** xoshiro128** by Blackman and Vigna: 128 bits of state, every 32-bit output equally likely. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Any number; only its low 32 bits count. */
  constructor(seed: number) {
    this.#a = scramble(seed);
    this.#b = scramble(seed + GOLDEN_RATIO);
    this.#c = scramble(seed + 2 * GOLDEN_RATIO);
    this.#d = scramble(seed + 3 * GOLDEN_RATIO);
  }

  u32(): number {
    const scaled = Math.imul(this.#b, 5);
    const result = Math.imul(rotateLeft(scaled, 7), 9);
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotateLeft(this.#d, 11);
    return result >>> 0;
  }

  /** Uniform in 0 (included) … 1 (excluded), in steps of 2^-32. */
  float(): number {
    return this.u32() / 0x1_0000_0000;
  }

  /** Uniform among the whole numbers 0 … `count` - 1; `count` is at most 2^32. */
  below(count: number): number {
    return Math.floor(this.float() * count);
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.u32() >>> 24;
  }

  /** A generator of its own, so that how much one part uses does not change what another part sees. */
  fork(): SeededRandom {
    return new SeededRandom(this.u32());
  }
}

const GOLDEN_RATIO = 0x9e3779b9;

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** The finalizer of MurmurHash3: neighbouring seeds give unrelated states. It is a bijection, so not all four are 0. */
function scramble(seed: number): number {
  let mixed = seed | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

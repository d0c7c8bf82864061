// Challenge cookies: how a server makes a client prove its address without remembering it. Spec: "Challenge" (1.4).
import { readU32, writeU16 } from '../base/bytes.ts';

/** A 64-bit number as two unsigned halves. */
export interface Halves {
  readonly high: number;
  readonly low: number;
}

/** SipHash-2-4 (Aumasson and Bernstein) of all of `message`; `key` is 16 bytes. */
export function sipHash24(key: Uint8Array, message: Uint8Array): Halves {
  for (let half = 0; half < 4; half++) {
    state[half] = INITIAL_STATE[half]! ^ readU32(key, 4 * half);
    state[half + 4] = INITIAL_STATE[half + 4]! ^ readU32(key, 4 * half);
  }
  const tailStart = message.length - (message.length % 8);
  for (let at = 0; at < tailStart; at += 8) absorb(readU32(message, at), readU32(message, at + 4));

  lastBlock.fill(0);
  for (let at = tailStart; at < message.length; at++) lastBlock[at - tailStart] = message[at]!;
  lastBlock[7] = message.length;
  absorb(readU32(lastBlock, 0), readU32(lastBlock, 4));

  state[V2] = state[V2]! ^ 0xff;
  for (let round = 0; round < 4; round++) sipRound();
  return {
    low: (state[V0]! ^ state[V1]! ^ state[V2]! ^ state[V3]!) >>> 0,
    high: (state[V0 + 1]! ^ state[V1 + 1]! ^ state[V2 + 1]! ^ state[V3 + 1]!) >>> 0,
  };
}

// The four 64-bit words, the low half of each before the high half. Shared by all calls, which never overlap.
const V0 = 0;
const V1 = 2;
const V2 = 4;
const V3 = 6;
const state = new Int32Array(8);
const lastBlock = new Uint8Array(8);
// "somepseudorandomlygeneratedbytes"
const INITIAL_STATE = [
  0x70736575, 0x736f6d65, 0x6e646f6d, 0x646f7261, 0x6e657261, 0x6c796765, 0x79746573, 0x74656462,
] as const;

function absorb(low: number, high: number): void {
  state[V3] = state[V3]! ^ low;
  state[V3 + 1] = state[V3 + 1]! ^ high;
  sipRound();
  sipRound();
  state[V0] = state[V0]! ^ low;
  state[V0 + 1] = state[V0 + 1]! ^ high;
}

function sipRound(): void {
  add(V0, V1);
  rotateAndXor(V1, 13, V0);
  swapHalves(V0);
  add(V2, V3);
  rotateAndXor(V3, 16, V2);
  add(V0, V3);
  rotateAndXor(V3, 21, V0);
  add(V2, V1);
  rotateAndXor(V1, 17, V2);
  swapHalves(V2);
}

/** `target` += `source`. */
function add(target: number, source: number): void {
  const low = (state[target]! >>> 0) + (state[source]! >>> 0);
  const carry = low >= 0x1_0000_0000 ? 1 : 0;
  state[target] = low;
  state[target + 1] = state[target + 1]! + state[source + 1]! + carry;
}

/** `target` = `target` rotated left by `bits`, xor `source`. */
function rotateAndXor(target: number, bits: number, source: number): void {
  const low = state[target]!;
  const high = state[target + 1]!;
  state[target] = ((low << bits) | (high >>> (32 - bits))) ^ state[source]!;
  state[target + 1] = ((high << bits) | (low >>> (32 - bits))) ^ state[source + 1]!;
}

/** Rotates by 32 bits. */
function swapHalves(target: number): void {
  const low = state[target]!;
  state[target] = state[target + 1]!;
  state[target + 1] = low;
}

/** About a second: 2^20 us. */
const TICK_US = 0x10_0000;
const TICK_MASK = 0xffff;
const MAX_AGE_TICKS = 3;
const ADDRESS_AT = 4;
const ADDRESS_BYTES = 16;

/** Issues cookies and recognises its own, for 3 to 4 seconds and for the address they were issued to. */
export class ChallengeCookies {
  readonly #key: Uint8Array;
  /** Tick, port, address: what the cookie is a hash of. */
  readonly #input = new Uint8Array(ADDRESS_AT + ADDRESS_BYTES);

  /** `key`: 16 secret random bytes, which are copied. */
  constructor(key: Uint8Array) {
    this.#key = Uint8Array.from(key);
  }

  /** `address` is 16 bytes in network order, IPv4 mapped. */
  issue(address: Uint8Array, port: number, nowUs: number): bigint {
    return this.#cookie(address, port, tickOf(nowUs));
  }

  isFresh(challenge: bigint, address: Uint8Array, port: number, nowUs: number): boolean {
    const issuedAtTick = Number(BigInt.asUintN(16, challenge));
    const ageTicks = (tickOf(nowUs) - issuedAtTick) & TICK_MASK;
    return ageTicks <= MAX_AGE_TICKS && challenge === this.#cookie(address, port, issuedAtTick);
  }

  /** The hash, with the tick in place of its low 16 bits. */
  #cookie(address: Uint8Array, port: number, tick: number): bigint {
    writeU16(this.#input, 0, tick);
    writeU16(this.#input, 2, port);
    this.#input.set(address, ADDRESS_AT);
    const { high, low } = sipHash24(this.#key, this.#input);
    return (BigInt(high) << 32n) | BigInt(((low & ~TICK_MASK) | tick) >>> 0);
  }
}

function tickOf(nowUs: number): number {
  return Math.floor(nowUs / TICK_US) & TICK_MASK;
}

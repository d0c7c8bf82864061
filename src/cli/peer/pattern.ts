// The test pattern that messages are filled with and checked against, and the hash that tells payloads apart.

/** `x` of xorshift32 before the first output: never 0, which it could not leave. */
function patternStart(seed: number, index: number): number {
  return (seed + index) | 0 || 0x9e3779b9 | 0;
}

function patternNext(x: number): number {
  x ^= x << 13;
  x ^= x >>> 17;
  return x ^ (x << 5);
}

/** Fills `bytes[start..]` with the message that has this index under this seed. */
export function fillPattern(seed: number, index: number, bytes: Uint8Array, start = 0): void {
  let x = patternStart(seed, index);
  let at = start;
  const whole = bytes.length - 3;
  while (at < whole) {
    x = patternNext(x);
    bytes[at++] = x;
    bytes[at++] = x >>> 8;
    bytes[at++] = x >>> 16;
    bytes[at++] = x >>> 24;
  }
  x = patternNext(x);
  for (; at < bytes.length; x >>>= 8) bytes[at++] = x;
}

/** Offset of the first byte that is not as in the pattern; -1 if all are. */
export function findMismatch(seed: number, index: number, bytes: Uint8Array): number {
  let x = patternStart(seed, index);
  let word = 0;
  for (let at = 0; at < bytes.length; at++, word >>>= 8) {
    if (at % 4 === 0) word = x = patternNext(x);
    if (bytes[at] !== (word & 0xff)) return at;
  }
  return -1;
}

/** 32-bit FNV-1a. */
export function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

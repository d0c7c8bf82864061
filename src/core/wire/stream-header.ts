// HOT PATH
// The header in front of every message inside a lane's reliable byte stream. Spec: 03 §3.3.

import { varIntBytes, writeVarInt } from '../base/bytes.ts';

const HAS_NUMBER = 0x40;
const HAS_SIZE = 0x20;
const LOW_SIZE_BITS = 0x1f;
const MAX_NUMBER_GAP = 1_000_000;
const MAX_UPPER_SIZE = 2 ** 27 - 1;
/** Longest varint; a header that goes on longer never becomes complete. */
const MAX_VARINT_BYTES = 10;

/** `gap`: message number minus that of the reliable message before on this lane. */
export function streamHeaderBytes(gap: number, size: number): number {
  return 1 + (gap >= 2 ? varIntBytes(gap) : 0) + (size > LOW_SIZE_BITS ? varIntBytes(size >>> 5) : 0);
}

export function writeStreamHeader(out: Uint8Array, at: number, gap: number, size: number): number {
  out[at++] = (gap >= 2 ? HAS_NUMBER : 0) | (size > LOW_SIZE_BITS ? HAS_SIZE : 0) | (size & LOW_SIZE_BITS);
  if (gap >= 2) at = writeVarInt(out, at, gap);
  return size > LOW_SIZE_BITS ? writeVarInt(out, at, size >>> 5) : at;
}

/** The header read last; reused. */
export class StreamHeader {
  gap = 1;
  size = 0;
  /** Length of the header itself. */
  bytes = 0;

  /** Reads the header at `start`. 'incomplete' asks for more bytes, 'invalid' for the end of the connection. */
  read(bytes: Uint8Array, start: number, end: number): 'ok' | 'incomplete' | 'invalid' {
    if (start >= end) return 'incomplete';
    const lead = bytes[start]!;
    if (lead >= 0x80) return 'invalid';
    let at = start + 1;
    this.gap = 1;
    this.size = lead & LOW_SIZE_BITS;
    if ((lead & HAS_NUMBER) !== 0) {
      at = this.#varInt(bytes, at, end);
      if (at < 0) return 'incomplete';
      this.gap = this.#value;
      if (this.gap > MAX_NUMBER_GAP) return 'invalid';
    }
    if ((lead & HAS_SIZE) !== 0) {
      at = this.#varInt(bytes, at, end);
      if (at < 0) return 'incomplete';
      if (this.#value > MAX_UPPER_SIZE) return 'invalid';
      this.size += this.#value * 0x20;
    }
    this.bytes = at - start;
    return 'ok';
  }

  #value = 0;

  /** The position behind the varint, or -1 if it is not complete. */
  #varInt(bytes: Uint8Array, start: number, end: number): number {
    let value = 0;
    let scale = 1;
    for (let at = start; at < end && at < start + MAX_VARINT_BYTES; at++) {
      const byte = bytes[at]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.#value = value;
        return at + 1;
      }
      scale *= 0x80;
    }
    return -1;
  }
}

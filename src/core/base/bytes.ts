// HOT PATH
// Cursors over bytes: a reader that cannot run off the end, and variable-length integers. All integers are little-endian.

/** Reading past the end gives 0 and sets `truncated`; it never throws and never reads outside. Check once per frame. */
export class ByteReader {
  bytes: Uint8Array = EMPTY_BYTES;
  pos = 0;
  end = 0;
  truncated = false;

  reset(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.pos = start;
    this.end = end;
    this.truncated = false;
  }

  get remaining(): number {
    return this.end - this.pos;
  }

  /** Skips `count` bytes and returns where they started, or -1. */
  take(count: number): number {
    const start = this.pos;
    if (count > this.end - start) {
      this.truncated = true;
      this.pos = this.end;
      return -1;
    }
    this.pos = start + count;
    return start;
  }

  u8(): number {
    if (this.pos >= this.end) {
      this.truncated = true;
      return 0;
    }
    return this.bytes[this.pos++]!;
  }

  u16(): number {
    const at = this.take(2);
    return at < 0 ? 0 : readU16(this.bytes, at);
  }

  u24(): number {
    const at = this.take(3);
    return at < 0 ? 0 : readU16(this.bytes, at) + this.bytes[at + 2]! * 0x10000;
  }

  u32(): number {
    const at = this.take(4);
    return at < 0 ? 0 : readU32(this.bytes, at);
  }

  u48(): number {
    const at = this.take(6);
    return at < 0 ? 0 : readU32(this.bytes, at) + readU16(this.bytes, at + 4) * 0x1_0000_0000;
  }

  /** Exact below 2^53, rounded above: callers refuse such values by range. */
  u64(): number {
    const at = this.take(8);
    return at < 0 ? 0 : readU32(this.bytes, at) + readU32(this.bytes, at + 4) * 0x1_0000_0000;
  }

  /** At most `maxBytes` long (5 for 32 bits, 10 for 64); a longer one counts as truncated. Rounded above 2^53. */
  varInt(maxBytes: number): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < maxBytes; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    this.truncated = true;
    return 0;
  }
}

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

export function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Each writer returns the position behind what it wrote. */
export function writeU16(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  return at + 2;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
  return at + 4;
}

export function writeU48(bytes: Uint8Array, at: number, value: number): number {
  return writeU16(bytes, writeU32(bytes, at, value % 0x1_0000_0000), Math.floor(value / 0x1_0000_0000));
}

export function writeVarInt(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

export function varIntBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

/** Copies `source[start..end)`: short runs byte by byte, which beats the call into the runtime below some 32 bytes. */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length > 32) {
    target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at);
  } else {
    for (let i = 0; i < length; i++) target[at + i] = source[start + i]!;
  }
  return at + length;
}

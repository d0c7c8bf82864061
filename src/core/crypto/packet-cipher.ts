// Protects the payload of data packets, in one direction of one connection. Spec: "Packet protection" (2.8).
// HOT PATH
import { copyBytes, readU32, writeU32 } from '../base/bytes.ts';
import type { Aead } from '../platform.ts';

export interface PacketCipher {
  /** What `seal` adds to the plaintext. */
  readonly overheadBytes: number;
  /** Encrypts `plain[0..length)` into `out` at `outStart`; returns the bytes written. Never twice with one number. */
  seal(packetNumber: number, plain: Uint8Array, length: number, out: Uint8Array, outStart: number): number;
  /** The plaintext of `bytes[start..end)`, which the caller may keep; undefined if it is not genuine. */
  open(packetNumber: number, bytes: Uint8Array, start: number, end: number): Uint8Array | undefined;
}

/** AES-256-GCM; `iv` is 12 bytes and is copied. */
export function gcmCipher(aead: Aead, iv: Uint8Array): PacketCipher {
  return new GcmCipher(aead, iv);
}

/** The negotiated absence of encryption: nothing is hidden and nothing is checked. */
export function nullCipher(): PacketCipher {
  return NULL_CIPHER;
}

const TAG_BYTES = 16;
const TWO_TO_32 = 0x1_0000_0000;
/** Of the packet at hand; shared by all ciphers. */
const NONCE = new Uint8Array(12);

class GcmCipher implements PacketCipher {
  readonly overheadBytes = TAG_BYTES;
  readonly #aead: Aead;
  readonly #ivLow: number;
  readonly #ivHigh: number;
  readonly #ivTail: number;

  constructor(aead: Aead, iv: Uint8Array) {
    this.#aead = aead;
    this.#ivLow = readU32(iv, 0);
    this.#ivHigh = readU32(iv, 4);
    this.#ivTail = readU32(iv, 8);
  }

  seal(packetNumber: number, plain: Uint8Array, length: number, out: Uint8Array, outStart: number): number {
    this.#setNonce(packetNumber);
    return this.#aead.seal(NONCE, plain, length, out, outStart);
  }

  open(packetNumber: number, bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
    const plainBytes = end - start - TAG_BYTES;
    if (plainBytes < 0) return undefined;
    this.#setNonce(packetNumber);
    return this.#aead.open(NONCE, bytes, start, end);
  }

  /** IV + packet number, in 64 bits that wrap around. */
  #setNonce(packetNumber: number): void {
    const low = this.#ivLow + (packetNumber % TWO_TO_32);
    const carry = low >= TWO_TO_32 ? 1 : 0;
    writeU32(NONCE, 0, low);
    writeU32(NONCE, 4, this.#ivHigh + Math.floor(packetNumber / TWO_TO_32) + carry);
    writeU32(NONCE, 8, this.#ivTail);
  }
}

const NULL_CIPHER: PacketCipher = {
  overheadBytes: 0,

  seal(_packetNumber, plain, length, out, outStart) {
    return copyBytes(out, outStart, plain, 0, length) - outStart;
  },

  open(_packetNumber, bytes, start, end) {
    return bytes.subarray(start, end);
  },
};

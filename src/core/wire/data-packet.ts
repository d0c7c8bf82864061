// HOT PATH
// The data datagram: its header, and the 16 bits of packet number on the wire. Spec: 01 §1.9, §1.12.

import { type ByteReader, readU16, readU32, writeU16, writeU32 } from '../base/bytes.ts';

/** What GNS sends and takes at most. */
export const MAX_DATAGRAM_BYTES = 1300;
/** What we send and take at most where the peer is one of ours. Larger ones gain little, and cost buffers. */
export const MAX_LARGE_DATAGRAM_BYTES = 8192;
export const DATA_HEADER_BYTES = 7;
/** Largest chunk behind the header that is sent: leaves room for the header and a small statistics blob. */
export const MAX_SENT_CHUNK_BYTES = 1248;
export const MTU_TO_CHUNK_BYTES = MAX_DATAGRAM_BYTES - MAX_SENT_CHUNK_BYTES;
/** Largest plaintext that is accepted from peers which do not know of larger datagrams. */
export const MAX_PLAINTEXT_BYTES = 1300;

const DATA_BIT = 0x80;
const FLAG_STATS = 0x01;
const FLAG_GAP = 0x02;
/** Unit of the time-since-previous-packet field. */
const GAP_UNIT_US = 16;

/** The first bit tells data from control. */
export function isDataPacket(bytes: Uint8Array): boolean {
  return (bytes[0]! & DATA_BIT) !== 0;
}

/** The connection id that a data datagram of at least `DATA_HEADER_BYTES` is addressed to. */
export function recipientOf(bytes: Uint8Array): number {
  return readU32(bytes, 1);
}

/** One received header; reused for every packet. */
export class DataHeader {
  wireNumber = 0;
  /** Where the statistics blob lies; both 0 if there is none. */
  blobStart = 0;
  blobEnd = 0;
  /** Sender's time since its previous packet, or -1. */
  gapUs = -1;
  /** Where the (encrypted) frames begin. */
  chunkStart = 0;

  /** False if the datagram is cut short: then it is dropped whole. `reader` covers the datagram. */
  read(reader: ByteReader): boolean {
    const flags = reader.u8();
    reader.take(4);
    this.wireNumber = reader.u16();
    this.blobStart = this.blobEnd = 0;
    this.gapUs = -1;
    if ((flags & FLAG_STATS) !== 0) {
      const length = reader.varInt(5);
      this.blobStart = reader.take(length);
      this.blobEnd = this.blobStart + length;
    }
    if ((flags & FLAG_GAP) !== 0) this.gapUs = reader.u16() * GAP_UNIT_US;
    this.chunkStart = reader.pos;
    return !reader.truncated;
  }
}

/** Largest gap that is reported; a longer one says nothing about jitter. */
export const MAX_GAP_US = 250_000;

/**
 * Writes the header and returns where the chunk goes. The blob, `blobBytes` long (below 16384), is already in
 * `blob`; `gapUs` is -1 to leave that field out.
 */
export function writeDataHeader(
  out: Uint8Array,
  recipient: number,
  packetNumber: number,
  blob: Uint8Array,
  blobBytes: number,
  gapUs: number,
): number {
  out[0] = DATA_BIT | (blobBytes > 0 ? FLAG_STATS : 0) | (gapUs >= 0 ? FLAG_GAP : 0);
  let at = writeU16(out, writeU32(out, 1, recipient), packetNumber % 0x10000);
  if (blobBytes > 0) {
    if (blobBytes >= 0x80) out[at++] = (blobBytes & 0x7f) | 0x80;
    out[at++] = blobBytes >= 0x80 ? blobBytes >>> 7 : blobBytes;
    for (let i = 0; i < blobBytes; i++) out[at + i] = blob[i]!;
    at += blobBytes;
  }
  if (gapUs >= 0) at = writeU16(out, at, Math.floor(gapUs / GAP_UNIT_US));
  return at;
}

/** The number nearest to `reference` that ends in these 16 bits (halfway rounds down, as a signed difference does). */
export function expandU16(wire: number, reference: number): number {
  const difference = (wire - (reference % 0x10000)) & 0xffff;
  return reference + (difference >= 0x8000 ? difference - 0x10000 : difference);
}

/** The same for 32 bits. */
export function expandU32(wire: number, reference: number): number {
  return reference + ((wire - (reference % 0x1_0000_0000)) | 0);
}

/** Little-endian 16 bits of a datagram, for callers that only peek. */
export function wireNumberOf(bytes: Uint8Array): number {
  return readU16(bytes, 5);
}

// HOT PATH
// Writes the frames of one packet in the encodings that GNS produces, and says beforehand how long they get.
// Spec: 03 §3.2 – §3.4, §3.8.

import { copyBytes, varIntBytes, writeU16, writeU32, writeU48, writeVarInt } from '../base/bytes.ts';
import { FrameBit, FrameLead } from './frames.ts';

/** The size byte of a segment holds 8 bits, the lead byte three more; 0 … 4 are sizes. */
export const MAX_SEGMENT_BYTES = 4 * 256 + 255;
/** Lead, packet number, delay. */
export const ACK_HEADER_BYTES = 5;
export const MAX_STOP_WAITING_BYTES = 9;

const NO_CONTEXT = -1;

export class FrameWriter {
  bytes: Uint8Array;
  pos = 0;
  #message = NO_CONTEXT;
  #position = NO_CONTEXT;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  begin(): void {
    this.pos = 0;
    this.#message = this.#position = NO_CONTEXT;
  }

  /** `offset` = this packet's number - oldest wanted - 1. */
  stopWaiting(offset: number): void {
    const { bytes } = this;
    if (offset < 0x100) {
      bytes[this.pos] = FrameLead.StopWaiting;
      bytes[this.pos + 1] = offset;
      this.pos += 2;
    } else if (offset < 0x10000) {
      bytes[this.pos] = FrameLead.StopWaiting | 1;
      this.pos = writeU16(bytes, this.pos + 1, offset);
    } else if (offset < 0x100_0000) {
      bytes[this.pos] = FrameLead.StopWaiting | 2;
      this.pos = writeU16(bytes, this.pos + 1, offset % 0x10000);
      bytes[this.pos++] = Math.floor(offset / 0x10000);
    } else {
      bytes[this.pos] = FrameLead.StopWaiting | 3;
      this.pos = writeU32(bytes, this.pos + 1, offset % 0x1_0000_0000);
      this.pos = writeU32(bytes, this.pos, Math.floor(offset / 0x1_0000_0000));
    }
  }

  /** `delayUnits` in 32 us, 0xffff for "not measured". The caller adds `blockCount` blocks, newest first. */
  ackHeader(latest: number, delayUnits: number, blockCount: number): void {
    const { bytes } = this;
    bytes[this.pos] = FrameLead.Ack | FrameBit.AckShort | Math.min(blockCount, FrameBit.AckCountFollows);
    this.pos = writeU16(bytes, writeU16(bytes, this.pos + 1, latest % 0x10000), delayUnits);
    if (blockCount >= FrameBit.AckCountFollows) bytes[this.pos++] = blockCount;
  }

  ackBlock(acks: number, nacks: number): void {
    const { bytes } = this;
    const lead = this.pos++;
    bytes[lead] = ((acks & 7) << 4) | (nacks & 7) | (acks > 7 ? 0x80 : 0) | (nacks > 7 ? 0x08 : 0);
    if (acks > 7) this.pos = writeVarInt(bytes, this.pos, acks >>> 3);
    if (nacks > 7) this.pos = writeVarInt(bytes, this.pos, nacks >>> 3);
  }

  selectLane(lane: number): void {
    this.#message = this.#position = NO_CONTEXT;
    if (lane >= 1 && lane <= 7) {
      this.bytes[this.pos++] = FrameLead.SelectLane | (lane - 1);
    } else {
      this.bytes[this.pos++] = FrameLead.SelectLane | 7;
      this.pos = writeVarInt(this.bytes, this.pos, lane);
    }
  }

  /**
   * `message` does not go back within a context, where each reliable segment counts as a message too.
   * `isFinal`: nothing follows in this packet, so the size need not be said.
   */
  unreliableSegment(
    message: number,
    offset: number,
    isLast: boolean,
    data: Uint8Array,
    start: number,
    end: number,
    isFinal: boolean,
  ): void {
    const { bytes } = this;
    const lead = this.pos++;
    let bits: number = FrameLead.UnreliableSegment | (isLast ? FrameBit.LastSegment : 0);
    if (this.#message === NO_CONTEXT) {
      bits |= FrameBit.MessageNumber;
      this.pos = writeU32(bytes, this.pos, message % 0x1_0000_0000);
    } else if (message !== this.#message + 1) {
      bits |= FrameBit.MessageNumber;
      this.pos = writeVarInt(bytes, this.pos, message - this.#message);
    }
    if (offset > 0) {
      bits |= FrameBit.Offset;
      this.pos = writeVarInt(bytes, this.pos, offset);
    }
    this.#message = message;
    bytes[lead] = bits | this.#size(end - start, isFinal);
    this.pos = copyBytes(bytes, this.pos, data, start, end);
  }

  /** Only the header: the caller appends exactly `size` bytes of the stream with `append`. */
  reliableSegment(position: number, size: number, isFinal: boolean): void {
    const { bytes } = this;
    const lead = this.pos++;
    const gap = position - this.#position;
    let width = 2;
    if (this.#position === NO_CONTEXT) {
      this.pos = writeU48(bytes, this.pos, position % 0x1_0000_0000_0000);
    } else if (gap === 0) {
      width = 0;
    } else if (gap < 0x100) {
      width = 1;
      bytes[this.pos++] = gap;
    } else if (gap < 0x10000) {
      this.pos = writeU16(bytes, this.pos, gap);
    } else {
      width = 3;
      this.pos = writeU32(bytes, this.pos, gap);
    }
    this.#position = position + size;
    if (this.#message !== NO_CONTEXT) this.#message++;
    bytes[lead] = FrameLead.ReliableSegment | (width << 3) | this.#size(size, isFinal);
  }

  append(data: Uint8Array, start: number, end: number): void {
    this.pos = copyBytes(this.bytes, this.pos, data, start, end);
  }

  /** The size bits of the lead byte; writes the size byte where there is one. */
  #size(size: number, isFinal: boolean): number {
    if (isFinal) return FrameBit.SizeIsRest;
    this.bytes[this.pos++] = size;
    return size >>> 8;
  }
}

export function stopWaitingBytes(offset: number): number {
  return offset < 0x100 ? 2 : offset < 0x10000 ? 3 : offset < 0x100_0000 ? 4 : MAX_STOP_WAITING_BYTES;
}

export function ackBlockBytes(acks: number, nacks: number): number {
  return 1 + (acks > 7 ? varIntBytes(acks >>> 3) : 0) + (nacks > 7 ? varIntBytes(nacks >>> 3) : 0);
}

export function selectLaneBytes(lane: number): number {
  return lane >= 1 && lane <= 7 ? 1 : 1 + varIntBytes(lane);
}

/** Without the size byte. `previousMessage` is the message number of the context, -1 at its start. */
export function unreliableHeaderBytes(previousMessage: number, message: number, offset: number): number {
  const number = previousMessage < 0 ? 4 : message === previousMessage + 1 ? 0 : varIntBytes(message - previousMessage);
  return 1 + number + (offset > 0 ? varIntBytes(offset) : 0);
}

/** Without the size byte. `previousEnd` is the end of the segment before in this context, -1 at its start. */
export function reliableHeaderBytes(previousEnd: number, position: number): number {
  if (previousEnd < 0) return 7;
  const gap = position - previousEnd;
  return gap === 0 ? 1 : gap < 0x100 ? 2 : gap < 0x10000 ? 3 : 5;
}

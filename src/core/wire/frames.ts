// HOT PATH
// The payload of a data packet: what a frame is called, and how a received payload is taken apart. Spec: 03 §3.1, §3.2.

import type { ByteReader } from '../base/bytes.ts';
import { expandU16, expandU32 } from './data-packet.ts';

/** The lead byte of a frame: `base | low bits`. 0x60–0x7f, 0x84–0x87 and 0xa0–0xff are reserved. */
export const FrameLead = {
  UnreliableSegment: 0x00,
  ReliableSegment: 0x40,
  Reserved: 0x60,
  StopWaiting: 0x80,
  ReservedBehindStopWaiting: 0x84,
  SelectLane: 0x88,
  Ack: 0x90,
  ReservedBehindAck: 0xa0,
} as const;

/** Low bits of the lead byte. */
export const FrameBit = {
  /** Unreliable: this segment ends its message. */
  LastSegment: 0x20,
  /** Unreliable: an explicit message number (absolute, or relative to the one before). */
  MessageNumber: 0x10,
  /** Unreliable: an explicit offset. */
  Offset: 0x08,
  /** Segments, low three bits: all that is left of the packet. */
  SizeIsRest: 0x07,
  /** Ack: 16-bit packet number (else 32). */
  AckShort: 0x08,
  /** Ack, low three bits: the block count follows in a byte. */
  AckCountFollows: 0x07,
} as const;

/** What a received packet came to, worst last. Spec: 03 §3.9. */
export const Outcome = {
  Ok: 0,
  /** Processed, but to be reported as lost: something in it had to be refused. */
  Refused: 1,
  /** The rest of the packet is ignored and its number not marked as received. */
  Discarded: 2,
  /** The peer broke the protocol. */
  Fatal: 3,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** Runs of an ack frame, newest first; reused for every frame. */
export class AckBlocks {
  count = 0;
  readonly acks = new Uint32Array(256);
  readonly nacks = new Uint32Array(256);
}

/** Takes decoded frames. Offsets point into the bytes given to `decodeFrames`; nothing is copied. */
export interface FrameSink {
  /** Packet number that our side will send next: the base for received ack numbers. */
  readonly nextPacketNumber: number;
  /** More segments than this in one packet are not decoded, and the packet is refused. */
  readonly maxSegmentsPerPacket: number;
  /** Called for lane 0 at the start of every packet, then for each select-lane frame. */
  onSelectLane(lane: number): void;
  /** Of the selected lane: the highest message number seen, and the position behind the last buffered stream byte. */
  highestMessageNumber(): number;
  streamEnd(): number;
  onUnreliableSegment(
    message: number,
    offset: number,
    isLast: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Outcome;
  onReliableSegment(position: number, bytes: Uint8Array, start: number, end: number): Outcome;
  /** Packets before this number need no account any more. */
  onStopWaiting(oldestWanted: number): Outcome;
  /** `delayUs` is -1 if the peer did not measure it. */
  onAck(latest: number, delayUs: number, blocks: AckBlocks): Outcome;
}

export const MAX_LANES = 256;
const ACK_DELAY_UNIT_US = 32;
const ACK_DELAY_UNKNOWN = 0xffff;
const MAX_ACK_RUN = 100_000;
const MAX_SAFE = Number.MAX_SAFE_INTEGER;
const NO_CONTEXT = -1;

export class FrameDecoder {
  /** Why the last `decode` was fatal; names the frame. */
  violation = '';
  readonly #blocks = new AckBlocks();
  #segments = 0;
  /** Context of the selected lane: the last message number, and the end of the last reliable segment. */
  #message = NO_CONTEXT;
  #position = NO_CONTEXT;

  /** Feeds all frames between the reader's position and end to `sink`; returns the worst outcome. */
  decode(reader: ByteReader, packetNumber: number, sink: FrameSink): Outcome {
    let worst: Outcome = Outcome.Ok;
    this.#segments = 0;
    this.#selectLane(0, sink);
    while (reader.pos < reader.end) {
      const outcome = this.#decodeFrame(reader.u8(), reader, packetNumber, sink);
      if (reader.truncated) return this.#fatal('a frame runs past the end of its packet');
      if (outcome === Outcome.Refused && this.#segments > sink.maxSegmentsPerPacket) return outcome;
      if (outcome >= Outcome.Discarded) return outcome;
      if (outcome > worst) worst = outcome;
    }
    return worst;
  }

  /** The sink's own reasons share the one place where a violation is explained. */
  #fatal(violation: string): Outcome {
    this.violation = violation;
    return Outcome.Fatal;
  }

  #selectLane(lane: number, sink: FrameSink): void {
    this.#message = this.#position = NO_CONTEXT;
    sink.onSelectLane(lane);
  }

  #decodeFrame(lead: number, reader: ByteReader, packetNumber: number, sink: FrameSink): Outcome {
    if (lead < FrameLead.ReliableSegment) return this.#unreliable(lead, reader, sink);
    if (lead < FrameLead.Reserved) return this.#reliable(lead, reader, sink);
    if (lead < FrameLead.StopWaiting) return this.#fatal('reserved frame');
    if (lead < FrameLead.ReservedBehindStopWaiting) return this.#stopWaiting(lead, reader, packetNumber, sink);
    if (lead < FrameLead.SelectLane) return this.#fatal('reserved frame');
    if (lead < FrameLead.Ack) {
      const lane = (lead & 7) < 7 ? (lead & 7) + 1 : reader.varInt(5);
      if (lane >= MAX_LANES) return this.#fatal('lane number out of range');
      if (!reader.truncated) this.#selectLane(lane, sink);
      return Outcome.Ok;
    }
    if (lead < FrameLead.ReservedBehindAck) return this.#ack(lead, reader, sink);
    return this.#fatal('reserved frame');
  }

  /** Size of the segment data, which starts at the reader's position afterwards; -1 if it is not acceptable. */
  #segmentSize(lead: number, reader: ByteReader): number {
    const code = lead & 7;
    if (code === FrameBit.SizeIsRest) return reader.remaining;
    if (code > 4) return -1;
    const size = code * 256 + reader.u8();
    return size > reader.remaining ? -1 : size;
  }

  #unreliable(lead: number, reader: ByteReader, sink: FrameSink): Outcome {
    let message = this.#message;
    const isExplicit = (lead & FrameBit.MessageNumber) !== 0;
    if (message === NO_CONTEXT) {
      const highest = sink.highestMessageNumber();
      message = isExplicit ? expandU32(reader.u32(), highest) : expandU16(reader.u16(), highest);
      if (message <= 0 && !reader.truncated) return this.#fatal('message number out of range');
    } else {
      message += isExplicit ? reader.varInt(10) : 1;
      if (message > MAX_SAFE) return this.#fatal('message number out of range');
    }
    const offset = (lead & FrameBit.Offset) !== 0 ? reader.varInt(5) : 0;
    const size = this.#segmentSize(lead, reader);
    if (reader.truncated) return Outcome.Ok;
    if (size < 0) return this.#fatal('segment size out of range');
    if (++this.#segments > sink.maxSegmentsPerPacket) return Outcome.Refused;
    this.#message = message;
    const start = reader.take(size);
    const isLast = (lead & FrameBit.LastSegment) !== 0;
    return this.#judged(
      sink.onUnreliableSegment(message, offset, isLast, reader.bytes, start, start + size),
      'unreliable segment',
    );
  }

  #reliable(lead: number, reader: ByteReader, sink: FrameSink): Outcome {
    const width = (lead >>> 3) & 3;
    const position = this.#position === NO_CONTEXT ? absolute(width, reader, sink) : this.#relative(width, reader);
    const size = this.#segmentSize(lead, reader);
    if (reader.truncated) return Outcome.Ok;
    if (position <= 0 || position > MAX_SAFE) return this.#fatal('stream position out of range');
    if (size < 0) return this.#fatal('segment size out of range');
    if (++this.#segments > sink.maxSegmentsPerPacket) return Outcome.Refused;
    this.#position = position + size;
    if (this.#message !== NO_CONTEXT) this.#message++;
    const start = reader.take(size);
    return this.#judged(sink.onReliableSegment(position, reader.bytes, start, start + size), 'reliable stream');
  }

  #relative(width: number, reader: ByteReader): number {
    if (width === 0) return this.#position;
    if (width === 1) return this.#position + reader.u8();
    return this.#position + (width === 2 ? reader.u16() : reader.u32());
  }

  #stopWaiting(lead: number, reader: ByteReader, packetNumber: number, sink: FrameSink): Outcome {
    const width = lead & 3;
    const offset = width === 0 ? reader.u8() : width === 1 ? reader.u16() : width === 2 ? reader.u24() : reader.u64();
    if (reader.truncated) return Outcome.Ok;
    const oldestWanted = packetNumber - offset - 1;
    if (oldestWanted < 0) return this.#fatal('stop waiting below zero');
    return this.#judged(sink.onStopWaiting(oldestWanted), 'stop waiting');
  }

  #ack(lead: number, reader: ByteReader, sink: FrameSink): Outcome {
    const next = sink.nextPacketNumber;
    const latest = (lead & FrameBit.AckShort) !== 0 ? expandU16(reader.u16(), next) : expandU32(reader.u32(), next);
    const delay = reader.u16();
    const count = (lead & 7) === FrameBit.AckCountFollows ? reader.u8() : lead & 7;
    if (reader.truncated) return Outcome.Ok;
    if (latest < 0) return this.#fatal('ack below zero');
    if (latest >= next) return Outcome.Discarded;
    let oldest = latest + 1;
    const blocks = this.#blocks;
    blocks.count = count;
    for (let i = 0; i < count; i++) {
      const lengths = reader.u8();
      const acks = ((lengths >>> 4) & 7) + ((lengths & 0x80) !== 0 ? runLength(reader) : 0);
      const nacks = (lengths & 7) + ((lengths & 0x08) !== 0 ? runLength(reader) : 0);
      if (reader.truncated) return Outcome.Ok;
      oldest -= acks + nacks;
      if (oldest < 0 || acks > MAX_RUN_WITH_BITS || nacks > MAX_RUN_WITH_BITS)
        return this.#fatal('ack blocks out of range');
      blocks.acks[i] = acks;
      blocks.nacks[i] = nacks;
    }
    const delayUs = delay === ACK_DELAY_UNKNOWN ? -1 : delay * ACK_DELAY_UNIT_US;
    return this.#judged(sink.onAck(latest, delayUs, blocks), 'ack');
  }

  #judged(outcome: Outcome, what: string): Outcome {
    if (outcome === Outcome.Fatal) this.violation = what;
    return outcome;
  }
}

const MAX_RUN_WITH_BITS = MAX_ACK_RUN * 8 + 7;

/** The upper part of a run that did not fit in three bits; out of range where it exceeds what the spec allows. */
function runLength(reader: ByteReader): number {
  return reader.varInt(10) * 8;
}

/** Low bits of a stream position, completed from what is buffered already; corrected upward only. */
function absolute(width: number, reader: ByteReader, sink: FrameSink): number {
  if (width === 3) return -1;
  const low = width === 0 ? reader.u24() : width === 1 ? reader.u32() : reader.u48();
  const modulus = width === 0 ? 0x100_0000 : width === 1 ? 0x1_0000_0000 : 0x1_0000_0000_0000;
  const end = sink.streamEnd();
  const position = end - (end % modulus) + low;
  return position + Math.floor((modulus - 1) / 2) < end ? position + modulus : position;
}

// HOT PATH
// What goes into the packet that is being filled, before a byte of it is written: only when all is chosen is it known
// which segment comes last (and so needs no size) and how far the stream segment of each lane reaches.
// Spec: 03 §3.11 "Filling a packet".
//
// Per lane the order on the wire is: retransmissions, one new stretch of the stream, unreliable segments. Reliable
// segments come first because behind an unreliable one each of them would count as a message number.

import { varIntBytes } from '../base/bytes.ts';
import { empty } from '../base/fifo.ts';
import {
  MAX_SEGMENT_BYTES,
  reliableHeaderBytes,
  selectLaneBytes,
  unreliableHeaderBytes,
} from '../wire/frame-writer.ts';
import type { OutgoingMessage } from './message.ts';
import { SendLane, type SentSegment } from './send-lane.ts';

/** A message is not split for less than this. */
const MIN_SPLIT_BYTES = 16;
const SIZE_BYTE = 1;
/** Lead and size of one more segment of the same stretch. */
const SEAM_BYTES = 2;
/** Lead, message number and size, without the offset, of one more segment of the same unreliable message. */
const PIECE_SEAM_BYTES = 3;
/** Lane selection, header and size of a segment at their longest. */
export const MAX_SEGMENT_OVERHEAD = 12;
/** Not worth looking for something that fits. */
const MIN_RETRANSMISSION_SPACE = 2;
const MIN_MESSAGE_SPACE = 4;

class LanePart {
  lane: SendLane = NO_LANE;
  readonly retransmissions: SentSegment[] = [];
  /** New stream bytes. */
  streamBytes = 0;
  streamHeaderBytes = 0;
  unreliableSegments = 0;
  /** End of the last reliable segment, and the last message number, of the context; -1 at its start. */
  contextEnd = -1;
  contextMessage = -1;
  /** The messages that are served, how much of each, and where its piece starts. */
  readonly messages: OutgoingMessage[] = [];
  readonly messageBytes: number[] = [];
  readonly messageStarts: number[] = [];
}

export class PacketPlan {
  laneCount = 0;
  /** By lane index, lane 0 first. */
  readonly lanes: LanePart[] = [];
  #space = 0;
  #left = 0;
  /** Of a segment of the stream. */
  maxSegmentBytes = 0;
  /** A stretch of the stream may have several segments. */
  #isLarge = false;

  begin(spaceBytes: number, maxSegmentBytes: number, isLarge: boolean): void {
    this.clear();
    this.#space = this.#left = spaceBytes;
    this.maxSegmentBytes = maxSegmentBytes;
    this.#isLarge = isLarge;
  }

  clear(): void {
    for (let i = 0; i < this.laneCount; i++) {
      const part = this.lanes[i]!;
      empty(part.retransmissions);
      empty(part.messages);
      empty(part.messageBytes);
      empty(part.messageStarts);
      part.streamBytes = part.unreliableSegments = 0;
      part.contextEnd = part.contextMessage = -1;
    }
    this.laneCount = 0;
  }

  /** Bytes of all that was added. The last segment does without its size byte. */
  get usedBytes(): number {
    return this.laneCount === 0 ? 0 : this.#space - this.#left - SIZE_BYTE;
  }

  segmentsOf(part: LanePart): number {
    return part.retransmissions.length + (part.streamBytes > 0 ? 1 : 0) + part.unreliableSegments;
  }

  /** False: there is no room, and nothing else may take the room that is left. */
  addRetransmission(segment: SentSegment): boolean {
    if (this.#left <= MIN_RETRANSMISSION_SPACE) return false;
    const part = this.#partOf(segment.lane);
    const size = segment.end - segment.start;
    const header = this.#openingBytes(part) + reliableHeaderBytes(part.contextEnd, segment.start);
    if (header + size > this.#left) return this.#give(part);
    part.retransmissions.push(segment);
    part.contextEnd = segment.end;
    this.#left -= header + size + SIZE_BYTE;
    return true;
  }

  /**
   * Adds a segment that may not be lost, if it fits, `keepBytes` remain for others, and it lies behind what the packet
   * has of its lane: positions only go up.
   */
  addCopy(segment: SentSegment, keepBytes: number): boolean {
    const size = segment.end - segment.start;
    if (size + MAX_SEGMENT_OVERHEAD + keepBytes > this.#left) return false;
    return segment.start >= this.#partOf(segment.lane).contextEnd && this.addRetransmission(segment);
  }

  /** Adds the rest of a lane's first unserved message, or as much as fits. False: the packet is full. */
  addMessage(lane: SendLane, message: OutgoingMessage): boolean {
    if (this.#left <= MIN_MESSAGE_SPACE) return false;
    const part = this.#partOf(lane);
    const added = message.isReliable ? this.#addReliable(part, message) : this.#addUnreliable(part, message);
    return added || this.#give(part);
  }

  #addReliable(part: LanePart, message: OutgoingMessage): boolean {
    const rest = message.totalBytes - message.sentBytes;
    const isFirst = part.streamBytes === 0;
    const header = isFirst ? this.#openingBytes(part) + reliableHeaderBytes(part.contextEnd, part.lane.streamEnd) : 0;
    // The stretch that is open already has paid for its header and size byte; the last segment gets its size byte back.
    const room = this.#roomInStretch(part.streamBytes, isFirst ? this.#left - header : this.#left + SIZE_BYTE);
    let size = rest;
    if (rest > room) {
      // A header is never split from the first byte of its message.
      const least = Math.min(MIN_SPLIT_BYTES, rest) + (message.sentBytes === 0 ? message.headerBytes : 0);
      if (room < least) return false;
      size = room;
    }
    this.#left -= size + (isFirst ? header + SIZE_BYTE : 0) + this.#seamBytes(part.streamBytes, size);
    part.streamBytes += size;
    this.#serve(part, message, size);
    return size === rest;
  }

  /** What can be added to a stretch, where `leftBytes` are left in the packet. */
  #roomInStretch(streamBytes: number, leftBytes: number): number {
    if (!this.#isLarge) return Math.min(leftBytes, this.maxSegmentBytes - streamBytes);
    return leftBytes - this.#seamBytes(streamBytes, leftBytes);
  }

  /** What it costs that a stretch goes on in further segments when so much is added. */
  #seamBytes(streamBytes: number, addedBytes: number): number {
    if (!this.#isLarge) return 0;
    const before = Math.max(1, Math.ceil(streamBytes / this.maxSegmentBytes));
    return (Math.ceil((streamBytes + addedBytes) / this.maxSegmentBytes) - before) * SEAM_BYTES;
  }

  #addUnreliable(part: LanePart, message: OutgoingMessage): boolean {
    const rest = message.payload.length - message.sentBytes;
    const header =
      this.#openingBytes(part) + unreliableHeaderBytes(part.contextMessage, message.number, message.sentBytes);
    const most = Math.min(rest, this.#left - header);
    const room = this.#left - header - pieceSeamBytes(message.sentBytes, most);
    let size = rest;
    if (rest > room) {
      if (room < Math.min(MIN_SPLIT_BYTES, rest)) return false;
      size = room;
    }
    part.unreliableSegments++;
    part.contextMessage = message.number;
    this.#serve(part, message, size);
    this.#left -= header + size + pieceSeamBytes(message.sentBytes, size) + SIZE_BYTE;
    return size === rest;
  }

  #serve(part: LanePart, message: OutgoingMessage, bytes: number): void {
    part.messages.push(message);
    part.messageBytes.push(bytes);
    part.messageStarts.push(message.sentBytes);
  }

  /** Cost of selecting the lane, for the first segment on it. */
  #openingBytes(part: LanePart): number {
    return part.lane.index === 0 || this.segmentsOf(part) > 0 ? 0 : selectLaneBytes(part.lane.index);
  }

  #partOf(lane: SendLane): LanePart {
    for (let i = 0; i < this.laneCount; i++) if (this.lanes[i]!.lane === lane) return this.lanes[i]!;
    let part = this.lanes[this.laneCount];
    if (part === undefined) {
      part = new LanePart();
      this.lanes.push(part);
    }
    part.lane = lane;
    // Keep them in lane order: a lane below those chosen before moves up.
    let at = this.laneCount++;
    for (; at > 0 && this.lanes[at - 1]!.lane.index > lane.index; at--) this.lanes[at] = this.lanes[at - 1]!;
    this.lanes[at] = part;
    return part;
  }

  /** Takes back a lane that was opened for nothing. */
  #give(part: LanePart): false {
    if (this.segmentsOf(part) > 0) return false;
    const at = this.lanes.indexOf(part);
    this.lanes.copyWithin(at, at + 1, this.laneCount);
    this.lanes[--this.laneCount] = part;
    return false;
  }
}

/** What it costs that a piece of an unreliable message is longer than a segment: further headers and sizes. */
function pieceSeamBytes(offset: number, bytes: number): number {
  let seams = 0;
  for (let at = MAX_SEGMENT_BYTES; at < bytes; at += MAX_SEGMENT_BYTES)
    seams += PIECE_SEAM_BYTES + varIntBytes(offset + at);
  return seams;
}

const NO_LANE = new SendLane(-1);

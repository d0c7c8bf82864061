// HOT PATH
// One lane's outgoing side: the queue of messages, and the reliable stream with what is unacknowledged of it.
// Spec: 03 §3.10, §3.11.
//
// A segment is a range of the stream that went out in one packet. Unlike GNS we let a segment span several messages: a
// packet of small messages then costs one header and one record. Receivers must take that (03 §3.3).

import { EMPTY_BYTES } from '../base/bytes.ts';
import { Fifo } from '../base/fifo.ts';
import type { FrameWriter } from '../wire/frame-writer.ts';
import { streamHeaderBytes, writeStreamHeader } from '../wire/stream-header.ts';
import { type Fate, type Freshness, OutgoingMessage, type Receipt } from './message.ts';

export const SegmentState = { InFlight: 0, Lost: 1, Acked: 2 } as const;
export type SegmentState = (typeof SegmentState)[keyof typeof SegmentState];

/** A range of a lane's stream that was sent; always retransmitted whole. Pooled. */
export class SentSegment {
  lane: SendLane = NO_LANE;
  /** Place in the lane's `segments`. */
  sequence = 0;
  start = 0;
  end = 0;
  state: SegmentState = SegmentState.InFlight;
  /** The packet that carried it last. */
  packetNumber = 0;
  /** When it went last. */
  sentAtUs = 0;
  /** In so many more packets it may go before its fate is known. */
  copiesLeft = 0;
  /** How many packet records still point here. */
  references = 0;
}

export class SendLane {
  readonly index: number;
  /** Messages not yet wholly put into packets. */
  readonly queue = new Fifo<OutgoingMessage>();
  /** Reliable messages of which something was sent and not all is acknowledged, in stream order. */
  readonly unacked = new Fifo<OutgoingMessage>();
  /** Segments not yet acknowledged, or behind one that is not, in stream order. */
  readonly segments = new Fifo<SentSegment>();
  pendingReliableBytes = 0;
  pendingUnreliableBytes = 0;
  /** Sent and not acknowledged, lost segments excluded (these are pending again). */
  inFlightBytes = 0;
  lostSegments = 0;
  /** While a packet is planned: sequence of the first queued message that is not in the plan. */
  plannedTo = 0;
  lostBytes = 0;
  /** Queued unreliable messages that want a receipt. */
  queuedTracked = 0;
  /** Position of the next new stream byte; the first byte of a stream has position 1. */
  streamEnd = 1;
  /** Everything before this position is acknowledged. */
  ackedEnd = 1;
  #lastNumber = 0;
  #lastReliableNumber = 0;
  /** No lost segment has a lower sequence. */
  #lostFrom = 0;
  /** Segments in flight that are to go again unasked; none has a lower sequence than `#copyFrom`. */
  segmentsToCopy = 0;
  #copyFrom = 0;
  /** Unsent messages that have a key. */
  #byKey: Map<string | number, OutgoingMessage> | undefined;
  /** Of unsent messages that may be dropped; none of them is in the queue before `#droppableFrom`. */
  #droppableBytes = 0;
  #droppableFrom = 0;
  #header = EMPTY_BYTES;
  readonly #receipts: Receipt[];

  /** `receipts` gets the fates of messages that want one. */
  constructor(index: number, receipts: Receipt[] = []) {
    this.index = index;
    this.#receipts = receipts;
  }

  /** Messages queued so far: the number of the last one. */
  get queuedMessages(): number {
    return this.#lastNumber;
  }

  /** How far the stream is ahead of what is acknowledged. */
  get unackedSpan(): number {
    return this.streamEnd - this.ackedEnd;
  }

  /** Takes over `payload`; returns the message. */
  enqueue(payload: Uint8Array, isReliable: boolean, nagleUntilUs: number, freshness?: Freshness): OutgoingMessage {
    if (freshness?.key !== undefined) this.#replace(freshness.key);
    const number = ++this.#lastNumber;
    const gap = number - this.#lastReliableNumber;
    const headerBytes = isReliable ? streamHeaderBytes(gap, payload.length) : 0;
    const message = new OutgoingMessage(payload, number, isReliable, nagleUntilUs, gap, headerBytes, freshness);
    if (isReliable) {
      this.#lastReliableNumber = number;
      this.pendingReliableBytes += message.totalBytes;
    } else {
      this.pendingUnreliableBytes += message.totalBytes;
      if (freshness?.wantsReceipt === true) this.queuedTracked++;
    }
    message.sequence = this.queue.push(message);
    if (freshness?.key !== undefined) {
      this.#byKey ??= new Map();
      this.#byKey.set(freshness.key, message);
    }
    if (message.isDroppable) this.#droppableBytes += message.totalBytes;
    return message;
  }

  /** An unsent message with this key is out of date. */
  #replace(key: string | number): void {
    const message = this.#byKey?.get(key);
    if (message !== undefined) this.drop(message, 'replaced');
  }

  /** Drops the oldest unsent messages that may be, until `bytes` are won. False if there are not enough of them. */
  makeRoom(bytes: number): boolean {
    if (this.#droppableBytes < bytes) return false;
    const enoughBytes = this.#droppableBytes - bytes;
    for (; this.#droppableBytes > enoughBytes; this.#droppableFrom++) {
      const message = this.queue.at(this.#droppableFrom);
      if (message?.isDroppable === true && !message.isDropped) this.drop(message, 'replaced');
    }
    return true;
  }

  /** Takes an unsent message out of the queue. It keeps its place there until those before it are gone. */
  drop(message: OutgoingMessage, fate: Fate): void {
    this.#settleFreshness(message);
    if (message.isReliable) {
      this.pendingReliableBytes -= message.totalBytes;
      this.#closeGap(message);
    } else {
      this.pendingUnreliableBytes -= message.totalBytes;
      if (message.freshness?.wantsReceipt === true) this.queuedTracked--;
    }
    message.isDropped = true;
    message.payload = EMPTY_BYTES;
    message.headerBytes = 0;
    this.#shiftDropped();
    this.report(message, fate);
  }

  #shiftDropped(): void {
    while (this.queue.peek()?.isDropped === true) this.queue.shift();
  }

  /** From here on it is sent whole, or not at all: nothing replaces it. */
  #settleFreshness(message: OutgoingMessage): void {
    const key = message.freshness?.key;
    if (key !== undefined && this.#byKey?.get(key) === message) this.#byKey.delete(key);
    if (message.isDroppable) this.#droppableBytes -= message.totalBytes;
  }

  /** The reliable message behind a dropped one counts from the one before it. */
  #closeGap(dropped: OutgoingMessage): void {
    for (let at = dropped.sequence + 1; at < this.queue.tail; at++) {
      const message = this.queue.at(at)!;
      if (!message.isReliable || message.isDropped) continue;
      message.numberGap += dropped.numberGap;
      const headerBytes = streamHeaderBytes(message.numberGap, message.payload.length);
      this.pendingReliableBytes += headerBytes - message.headerBytes;
      if (message.isDroppable) this.#droppableBytes += headerBytes - message.headerBytes;
      message.headerBytes = headerBytes;
      return;
    }
    this.#lastReliableNumber = dropped.number - dropped.numberGap;
  }

  report(message: OutgoingMessage, fate: Fate): void {
    if (message.freshness?.wantsReceipt !== true) return;
    this.#receipts.push({ lane: this.index, messageNumber: message.number, fate });
  }

  /** The connection is over: what the peer did not confirm is lost. */
  giveUp(): void {
    for (let message = this.unacked.shift(); message !== undefined; message = this.unacked.shift()) {
      this.report(message, 'lost');
    }
    for (let message = this.queue.shift(); message !== undefined; message = this.queue.shift()) {
      if (message.isDropped) continue;
      const isReported = message.isReliable ? message.streamStart >= 0 : message.isLost;
      if (!isReported) this.report(message, 'lost');
    }
  }

  /** Something of the first queued message goes into a packet. A reliable one gets its place in the stream. */
  commit(message: OutgoingMessage, bytes: number): void {
    if (message.freshness !== undefined && message.sentBytes === 0) this.#settleFreshness(message);
    if (message.isReliable) {
      if (message.streamStart < 0) {
        message.streamStart = this.streamEnd;
        this.unacked.push(message);
      }
      this.streamEnd += bytes;
      this.pendingReliableBytes -= bytes;
      this.inFlightBytes += bytes;
    } else {
      this.pendingUnreliableBytes -= bytes;
    }
    message.sentBytes += bytes;
    if (message.sentBytes < message.totalBytes) return;
    this.queue.shift();
    this.#shiftDropped();
    if (!message.isReliable && message.freshness?.wantsReceipt === true) this.queuedTracked--;
  }

  /** Remembers that `packetNumber` carried the new stream bytes [start, end). */
  recordNew(segment: SentSegment, start: number, end: number, packetNumber: number): void {
    segment.lane = this;
    segment.start = start;
    segment.end = end;
    segment.state = SegmentState.InFlight;
    segment.packetNumber = packetNumber;
    segment.references = 0;
    segment.copiesLeft = 0;
    segment.sequence = this.segments.push(segment);
  }

  /** It went at `nowUs` and is to go in `copies` more packets. */
  planCopies(segment: SentSegment, copies: number, nowUs: number): void {
    if (segment.copiesLeft === 0) this.segmentsToCopy++;
    segment.copiesLeft = copies;
    segment.sentAtUs = nowUs;
    if (segment.sequence < this.#copyFrom) this.#copyFrom = segment.sequence;
  }

  /** A copy went with `packetNumber`: only if that is lost, too, the segment is. */
  markCopied(segment: SentSegment, packetNumber: number, nowUs: number): void {
    segment.packetNumber = packetNumber;
    segment.sentAtUs = nowUs;
    if (--segment.copiesLeft === 0) this.segmentsToCopy--;
  }

  dropCopies(segment: SentSegment): void {
    if (segment.copiesLeft > 0) this.segmentsToCopy--;
    segment.copiesLeft = 0;
  }

  /** The first segment to copy at or behind `sequence`, in stream order. */
  nextToCopy(sequence: number): SentSegment | undefined {
    if (this.segmentsToCopy === 0) return undefined;
    const from = Math.max(sequence, this.#copyFrom, this.segments.head);
    for (let at = from; at < this.segments.tail; at++) {
      const segment = this.segments.at(at)!;
      if (segment.copiesLeft === 0) continue;
      if (sequence <= this.#copyFrom) this.#copyFrom = at;
      return segment;
    }
    return undefined;
  }

  markLost(segment: SentSegment): void {
    segment.state = SegmentState.Lost;
    this.dropCopies(segment);
    this.lostSegments++;
    this.lostBytes += segment.end - segment.start;
    this.inFlightBytes -= segment.end - segment.start;
    if (segment.sequence < this.#lostFrom) this.#lostFrom = segment.sequence;
  }

  markRetransmitted(segment: SentSegment, packetNumber: number): void {
    this.#forgetLoss(segment);
    segment.state = SegmentState.InFlight;
    segment.packetNumber = packetNumber;
    this.inFlightBytes += segment.end - segment.start;
  }

  /** The first lost segment at or behind `sequence`, in stream order. */
  nextLost(sequence: number): SentSegment | undefined {
    if (this.lostSegments === 0) return undefined;
    const from = Math.max(sequence, this.#lostFrom, this.segments.head);
    for (let at = from; at < this.segments.tail; at++) {
      const segment = this.segments.at(at)!;
      if (segment.state !== SegmentState.Lost) continue;
      if (sequence <= this.#lostFrom) this.#lostFrom = at;
      return segment;
    }
    return undefined;
  }

  markAcked(segment: SentSegment): void {
    if (segment.state === SegmentState.Lost) this.#forgetLoss(segment);
    else this.inFlightBytes -= segment.end - segment.start;
    this.dropCopies(segment);
    segment.state = SegmentState.Acked;
  }

  /** Removes the first segment if it is acknowledged, and the messages that are complete with it. */
  shiftAcked(): SentSegment | undefined {
    const first = this.segments.peek();
    if (first === undefined || first.state !== SegmentState.Acked) return undefined;
    this.segments.shift();
    this.ackedEnd = first.end;
    for (let message = this.unacked.peek(); message !== undefined; message = this.unacked.peek()) {
      if (message.streamStart + message.totalBytes > first.end) break;
      this.unacked.shift();
      this.report(message, 'acked');
    }
    return first;
  }

  #forgetLoss(segment: SentSegment): void {
    this.lostSegments--;
    this.lostBytes -= segment.end - segment.start;
  }

  /** Writes the stream bytes [start, end), all of which were committed and are not yet acknowledged. */
  writeStream(writer: FrameWriter, start: number, end: number): void {
    let at = start;
    for (let sequence = this.#messageAt(start); at < end; sequence++) {
      const message = this.unacked.at(sequence)!;
      const bodyStart = message.streamStart + message.headerBytes;
      if (at < bodyStart) {
        if (this.#header.length === 0) this.#header = new Uint8Array(16);
        writeStreamHeader(this.#header, 0, message.numberGap, message.payload.length);
        writer.append(this.#header, at - message.streamStart, Math.min(end, bodyStart) - message.streamStart);
        at = Math.min(end, bodyStart);
      }
      const stop = Math.min(end, message.streamStart + message.totalBytes);
      if (stop > at) writer.append(message.payload, at - bodyStart, stop - bodyStart);
      at = Math.max(at, stop);
    }
  }

  /** Sequence of the unacknowledged message that holds this stream position. */
  #messageAt(position: number): number {
    let low = this.unacked.head;
    let high = this.unacked.tail - 1;
    // New data is at the very end nearly always.
    if (this.unacked.at(high)!.streamStart <= position) return high;
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      if (this.unacked.at(middle)!.streamStart <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

const NO_LANE = new SendLane(-1);

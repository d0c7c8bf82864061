// HOT PATH
// The sending half of delivery: takes messages, says when a packet is wanted, fills it, and learns from the peer's acks
// what arrived and what must go again. Spec: 03 §3.10, §3.11.

import { LONG_AGO, NEVER } from '../base/time.ts';
import { type FrameWriter, MAX_SEGMENT_BYTES } from '../wire/frame-writer.ts';
import { InFlight } from './in-flight.ts';
import { type LaneOptions, LaneScheduler } from './lane-scheduler.ts';
import {
  type Freshness,
  MAX_MESSAGE_BYTES,
  MAX_UNRELIABLE_BYTES,
  type OutgoingMessage,
  type Receipt,
} from './message.ts';
import { MAX_SEGMENT_OVERHEAD, PacketPlan } from './packet-plan.ts';
import { SegmentState, SendLane, type SentSegment } from './send-lane.ts';
import type { PacketRecord } from './sent-packets.ts';

/** Why a message was not taken. */
export type Refusal = 'messageTooLarge' | 'noSuchLane' | 'sendBufferFull';

/** What the sender must know of the connection's settings; kept current by its owner. */
export interface SendSettings {
  sendBufferBytes: number;
  nagleUs: number;
  /** In how many later packets reliable data goes again before its fate is known. */
  redundantSends: number;
}

/** Bounds our memory of sent data when nothing is acknowledged. More than 100 MB/s times a long round trip. */
const MAX_UNACKED_BYTES = 32 * 1024 * 1024;
/** With more reliable data than this on its way nobody waits for one small message. */
const THIN_STREAM_BYTES = 16 * 1024;
/** A copy that no other packet took along goes by itself after this long: some more than a tick at 60 Hz. */
const COPY_DELAY_US = 25_000;
/** Working space for the packet at hand, from `plan` to `write`; shared by all connections. */
const PLAN = new PacketPlan();

export class Sender {
  readonly settings: SendSettings;
  readonly flight = new InFlight();
  /** Fates of messages that wanted to know; emptied by their owner. */
  readonly receipts: Receipt[] = [];
  /** What went again before it was known to be lost. */
  redundantSegments = 0;
  redundantBytes = 0;
  #lanes: readonly SendLane[] = [];
  readonly #scheduler = new LaneScheduler();
  #laneOptions: readonly LaneOptions[] = [];
  /** Messages numbered up to here, per lane order of arrival, no longer wait for company. */
  #flushedAtUs = LONG_AGO;
  #nowUs = 0;
  /** Copies that a segment sent now is to have. */
  #copies = 0;

  constructor(settings: SendSettings) {
    this.settings = settings;
    this.configureLanes([{}]);
  }

  /** There can only be more lanes than before, at most `MAX_LANES`; the caller has checked. */
  configureLanes(options: readonly LaneOptions[]): void {
    const added = options.slice(this.#lanes.length).map((_, i) => new SendLane(this.#lanes.length + i, this.receipts));
    this.#lanes = this.#lanes.concat(added);
    this.#laneOptions = options;
    this.#scheduler.configure(this.#lanes, options);
  }

  get laneOptions(): readonly LaneOptions[] {
    return this.#laneOptions;
  }

  get lanes(): readonly SendLane[] {
    return this.#lanes;
  }

  get pendingBytes(): number {
    let bytes = 0;
    for (const lane of this.#lanes) bytes += lane.pendingReliableBytes + lane.pendingUnreliableBytes;
    return bytes;
  }

  /** The next packet may carry something that is not acknowledged by itself, and whose fate is wanted. */
  get wantsAck(): boolean {
    for (let i = 0; i < this.#lanes.length; i++) if (this.#lanes[i]!.queuedTracked > 0) return true;
    return false;
  }

  /** Reliable bytes that the peer has not acknowledged, sent or not. */
  get undeliveredBytes(): number {
    let bytes = 0;
    for (const lane of this.#lanes) bytes += lane.pendingReliableBytes + lane.inFlightBytes + lane.lostBytes;
    return bytes;
  }

  /**
   * Queues a message, whose payload is ours from here on; returns its number on the lane, or why not. Unreliable
   * messages of more than 16,500 bytes are sent reliably.
   */
  enqueue(
    payload: Uint8Array,
    isReliable: boolean,
    noNagle: boolean,
    laneIndex: number,
    nowUs: number,
    freshness?: Freshness,
  ): number | Refusal {
    if (payload.length > MAX_MESSAGE_BYTES) return 'messageTooLarge';
    const lane = this.#lanes[laneIndex];
    if (lane === undefined) return 'noSuchLane';
    const excess = this.pendingBytes + payload.length - this.settings.sendBufferBytes;
    if (excess > 0 && !(freshness?.isDroppable === true && lane.makeRoom(excess))) return 'sendBufferFull';
    if (noNagle) this.flush(nowUs);
    const nagleUntilUs = noNagle ? 0 : nowUs + this.settings.nagleUs;
    const message = lane.enqueue(payload, isReliable || payload.length > MAX_UNRELIABLE_BYTES, nagleUntilUs, freshness);
    this.#scheduler.onQueued(lane, message);
    return message.number;
  }

  /** Nothing queued so far waits for company any more. */
  flush(nowUs: number): void {
    this.#flushedAtUs = nowUs + this.settings.nagleUs;
  }

  /** When data wants a packet, were there no rate limit: 0 for at once. */
  dataDueUs(fullPacketBytes: number): number {
    let pending = 0;
    let due = NEVER;
    for (let i = 0; i < this.#lanes.length; i++) {
      const lane = this.#lanes[i]!;
      if (lane.lostSegments > 0) due = Math.min(due, this.flight.probeAtUs);
      const copy = lane.nextToCopy(0);
      if (copy !== undefined) due = Math.min(due, copy.sentAtUs + COPY_DELAY_US);
      const first = lane.queue.peek();
      if (first === undefined || this.#isBlocked(lane, first)) continue;
      pending += lane.pendingReliableBytes + lane.pendingUnreliableBytes;
      const until = first.nagleUntilUs <= this.#flushedAtUs ? 0 : first.nagleUntilUs;
      if (until < due) due = until;
    }
    return pending >= fullPacketBytes ? 0 : due;
  }

  /** Reliable data that must wait for acknowledgements. */
  #isBlocked(lane: SendLane, message: OutgoingMessage): boolean {
    return message.isReliable && (lane.unackedSpan >= MAX_UNACKED_BYTES || this.flight.isStalled);
  }

  /**
   * Chooses what of the queues goes into the `spaceBytes` of a packet (`write` then writes it). Returns the bytes it
   * will take, 0 for nothing. Segments get at most `maxSegmentBytes`, of which only a large packet has several in a row.
   * Copies only go as far as the rate has `creditBytes` for them.
   */
  plan(spaceBytes: number, maxSegmentBytes: number, isLarge: boolean, nowUs: number, creditBytes: number): number {
    const plan = PLAN;
    plan.begin(spaceBytes, maxSegmentBytes, isLarge);
    this.#nowUs = nowUs;
    const order = this.#scheduler.byPriority;
    for (let i = 0; i < order.length && nowUs >= this.flight.probeAtUs; i++) {
      const lane = order[i]!;
      for (let lost = lane.nextLost(0); lost !== undefined; lost = lane.nextLost(lost.sequence + 1)) {
        if (!plan.addRetransmission(lost)) return plan.usedBytes;
      }
    }
    this.#copies = this.#isThin ? this.settings.redundantSends : 0;
    this.#planCopies(Math.max(0, spaceBytes - creditBytes));
    for (let i = 0; i < order.length; i++) order[i]!.plannedTo = order[i]!.queue.head;
    for (let lane = this.#nextLane(); lane !== undefined; lane = this.#nextLane()) {
      if (!plan.addMessage(lane, this.#firstUnplanned(lane)!)) break;
      lane.plannedTo++;
    }
    return plan.usedBytes;
  }

  /** So little is on its way that a message counts more than bytes do. */
  get #isThin(): boolean {
    const isOn = this.settings.redundantSends > 0 && !this.flight.isStalled;
    return isOn && this.undeliveredBytes <= THIN_STREAM_BYTES;
  }

  /** Copies take only room that is left by all new data, and by `keepBytes`. */
  #planCopies(keepBytes: number): void {
    let keep = keepBytes;
    if (this.#copies > 0) {
      for (const { pendingReliableBytes, pendingUnreliableBytes, queue } of this.#lanes)
        keep += pendingReliableBytes + pendingUnreliableBytes + queue.length * MAX_SEGMENT_OVERHEAD;
    }
    for (let i = 0; i < this.#lanes.length; i++) {
      const lane = this.#lanes[i]!;
      for (let copy = lane.nextToCopy(0); copy !== undefined; copy = lane.nextToCopy(copy.sequence + 1)) {
        if (this.#copies > 0 && PLAN.addCopy(copy, keep)) continue;
        // Where there is no room for it by now, the stream is not a thin one.
        if (copy.sentAtUs + COPY_DELAY_US <= this.#nowUs) lane.dropCopies(copy);
      }
    }
  }

  #nextLane(): SendLane | undefined {
    return this.#scheduler.next(this.#firstUnplanned);
  }

  /** The lane's next message that may go. */
  readonly #firstUnplanned = (lane: SendLane): OutgoingMessage | undefined => {
    let message = lane.queue.at(lane.plannedTo);
    while (message?.freshness !== undefined && message.sentBytes === 0) {
      if (!message.isDropped) {
        if (message.freshness.expiresAtUs > this.#nowUs) break;
        lane.drop(message, 'expired');
      }
      lane.plannedTo = Math.max(lane.plannedTo + 1, lane.queue.head);
      message = lane.queue.at(lane.plannedTo);
    }
    return message === undefined || this.#isBlocked(lane, message) ? undefined : message;
  };

  /** Writes what was planned and records it as carried by the packet of `record`. */
  write(writer: FrameWriter, record: PacketRecord): void {
    const plan = PLAN;
    for (let i = 0; i < plan.laneCount; i++) {
      const part = plan.lanes[i]!;
      const { lane } = part;
      if (lane.index !== 0 || i > 0) writer.selectLane(lane.index);
      let left = plan.segmentsOf(part);
      const isLastLane = i === plan.laneCount - 1;
      for (let r = 0; r < part.retransmissions.length; r++) {
        const segment = part.retransmissions[r]!;
        writer.reliableSegment(segment.start, segment.end - segment.start, isLastLane && --left === 0);
        lane.writeStream(writer, segment.start, segment.end);
        this.#noteRepeated(lane, segment, record);
      }
      this.#commitMessages(part.messages, part.messageBytes, lane);
      if (part.streamBytes > 0) {
        this.#writeStretch(writer, lane, part.streamBytes, isLastLane && --left === 0, record);
      }
      for (let m = 0; m < part.messages.length; m++) {
        const message = part.messages[m]!;
        if (message.isReliable) continue;
        const size = part.messageBytes[m]!;
        const start = part.messageStarts[m]!;
        if (message.freshness?.wantsReceipt === true) this.flight.track(record, lane, message);
        writePiece(writer, message, start, start + size, isLastLane && --left === 0);
      }
    }
    plan.clear();
  }

  /** The newest `bytes` of the stream, in segments that would fit into any packet if they had to go again. */
  #writeStretch(writer: FrameWriter, lane: SendLane, bytes: number, isFinal: boolean, record: PacketRecord): void {
    const stretchEnd = lane.streamEnd;
    for (let start = stretchEnd - bytes; start < stretchEnd; ) {
      const end = Math.min(stretchEnd, start + PLAN.maxSegmentBytes);
      writer.reliableSegment(start, end - start, isFinal && end === stretchEnd);
      lane.writeStream(writer, start, end);
      const segment = this.flight.newSegment();
      lane.recordNew(segment, start, end, record.number);
      this.flight.attach(record, segment);
      if (this.#copies > 0) lane.planCopies(segment, this.#copies, record.sentAtUs);
      start = end;
    }
  }

  /** A lost segment, or the copy of one that may not be. */
  #noteRepeated(lane: SendLane, segment: SentSegment, record: PacketRecord): void {
    if (segment.state === SegmentState.Lost) {
      lane.markRetransmitted(segment, record.number);
      if (this.#copies > 0) lane.planCopies(segment, this.#copies, record.sentAtUs);
    } else {
      lane.markCopied(segment, record.number, record.sentAtUs);
      this.redundantSegments++;
      this.redundantBytes += segment.end - segment.start;
    }
    this.flight.attach(record, segment);
  }

  #commitMessages(messages: readonly OutgoingMessage[], bytes: readonly number[], lane: SendLane): void {
    for (let m = 0; m < messages.length; m++) {
      lane.commit(messages[m]!, bytes[m]!);
      this.#scheduler.onServed(lane, messages[m]!, bytes[m]!);
    }
  }

  /** Everything queued and in flight is given up. */
  clear(): void {
    this.flight.clear();
    for (const lane of this.#lanes) lane.giveUp();
    this.#lanes = [];
    this.configureLanes(this.#laneOptions);
  }
}

/** Bytes [from, to) of an unreliable message. A large packet has room for more of it than a segment. */
function writePiece(writer: FrameWriter, message: OutgoingMessage, from: number, to: number, isFinal: boolean): void {
  const { number, payload } = message;
  for (let start = from; ; ) {
    const end = Math.min(to, start + MAX_SEGMENT_BYTES);
    writer.unreliableSegment(number, start, end === payload.length, payload, start, end, isFinal && end === to);
    if (end === to) return;
    start = end;
  }
}

// HOT PATH
// The sending half of delivery: takes messages, says when a packet is wanted, fills it, and learns from the peer's acks
// what arrived and what must go again. Spec: 03 §3.10, §3.11.

import { LONG_AGO, NEVER } from '../base/time.ts';
import type { FrameWriter } from '../wire/frame-writer.ts';
import type { AckBlocks } from '../wire/frames.ts';
import { type LaneOptions, LaneScheduler } from './lane-scheduler.ts';
import { MAX_MESSAGE_BYTES, MAX_UNRELIABLE_BYTES, type OutgoingMessage } from './message.ts';
import { PacketPlan } from './packet-plan.ts';
import { SegmentState, SendLane, SentSegment } from './send-lane.ts';
import { type PacketRecord, SentPackets } from './sent-packets.ts';

/** Why a message was not taken. */
export type Refusal = 'messageTooLarge' | 'noSuchLane' | 'sendBufferFull';

/** What the sender must know of the connection's settings; kept current by its owner. */
export interface SendSettings {
  sendBufferBytes: number;
  nagleUs: number;
}

export const NO_SAMPLE = Number.NEGATIVE_INFINITY;

/** Acknowledgements are counted here for the statistics; reset by their owner. */
export interface AckReport {
  /** Round trip, or `NO_SAMPLE`. A peer that overstates its own delay can make it negative. */
  rttUs: number;
  /** Union of the marks of statistics that arrived, and of those that were lost. */
  ackedMarks: number;
  lostMarks: number;
}

const RTO_WITHOUT_PING_US = 1_000_000;
const RTO_MARGIN_US = 60_000;
const MAX_MEMORY_US = 3_000_000;
/** Bounds our memory of sent data when nothing is acknowledged. More than 100 MB/s times a long round trip. */
const MAX_UNACKED_BYTES = 32 * 1024 * 1024;
/**
 * A receiver whose buffer is full refuses packets, which looks like loss. After so many in a row (no network loses that
 * many and lives) we only probe now and then, where GNS goes on at full rate. Spec: 03 §3.7.
 */
const STALL_LOSSES = 64;
const PROBE_INTERVAL_US = 250_000;

/** Working space for the packet at hand, from `plan` to `write`; shared by all connections. */
const PLAN = new PacketPlan();

export class Sender {
  readonly settings: SendSettings;
  readonly packets = new SentPackets();
  readonly report: AckReport = { rttUs: NO_SAMPLE, ackedMarks: 0, lostMarks: 0 };
  /** "Lowest packet still waiting": what stop-waiting frames tell. */
  oldestWaiting = 0;
  readonly #lanes: SendLane[] = [];
  readonly #scheduler = new LaneScheduler();
  #laneOptions: readonly LaneOptions[] = [];
  readonly #segmentPool: SentSegment[] = [];
  /** Messages numbered up to here, per lane order of arrival, no longer wait for company. */
  #flushedAtUs = LONG_AGO;
  #rtoUs = RTO_WITHOUT_PING_US;
  #memoryUs = 2 * RTO_WITHOUT_PING_US;
  /** Packets with reliable data that were lost since one last arrived. */
  #lossesInARow = 0;
  /** While the peer takes nothing, lost data goes again only from here on. */
  #probeAtUs = 0;
  /** No packet before this one is in flight. */
  #inFlightFrom = 0;

  constructor(settings: SendSettings) {
    this.settings = settings;
    this.configureLanes([{}]);
  }

  /** There can only be more lanes than before, at most `MAX_LANES`; the caller has checked. */
  configureLanes(options: readonly LaneOptions[]): void {
    while (this.#lanes.length < options.length) this.#lanes.push(new SendLane(this.#lanes.length));
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

  /** Reliable bytes that the peer has not acknowledged, sent or not. */
  get undeliveredBytes(): number {
    let bytes = 0;
    for (const lane of this.#lanes) bytes += lane.pendingReliableBytes + lane.inFlightBytes + lane.lostBytes;
    return bytes;
  }

  /** The first data packet will have this number. */
  start(nextPacketNumber: number): void {
    this.packets.start(nextPacketNumber);
    this.#inFlightFrom = nextPacketNumber;
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
  ): number | Refusal {
    if (payload.length > MAX_MESSAGE_BYTES) return 'messageTooLarge';
    const lane = this.#lanes[laneIndex];
    if (lane === undefined) return 'noSuchLane';
    if (this.pendingBytes + payload.length > this.settings.sendBufferBytes) return 'sendBufferFull';
    if (noNagle) this.flush(nowUs);
    const nagleUntilUs = noNagle ? 0 : nowUs + this.settings.nagleUs;
    const message = lane.enqueue(payload, isReliable || payload.length > MAX_UNRELIABLE_BYTES, nagleUntilUs);
    this.#scheduler.onQueued(lane, message);
    return message.number;
  }

  /** Nothing queued so far waits for company any more. */
  flush(nowUs: number): void {
    this.#flushedAtUs = nowUs + this.settings.nagleUs;
  }

  /** Round-trip estimate in whole ms, -1 without one; `sampleAgeUs` of its newest sample. */
  setRoundTrip(pingMs: number, sampleAgeUs: number): void {
    this.#rtoUs = pingMs < 0 ? RTO_WITHOUT_PING_US : pingMs * 3_000 + RTO_MARGIN_US;
    this.#memoryUs = 2 * this.#rtoUs;
    if (pingMs < 0) this.#memoryUs += 1_000_000;
    else this.#memoryUs = Math.max(this.#memoryUs, Math.min(sampleAgeUs, MAX_MEMORY_US));
  }

  /** When data wants a packet, were there no rate limit: 0 for at once. */
  dataDueUs(fullPacketBytes: number): number {
    let pending = 0;
    let due = NEVER;
    for (let i = 0; i < this.#lanes.length; i++) {
      const lane = this.#lanes[i]!;
      if (lane.lostSegments > 0) due = Math.min(due, this.#probeAtUs);
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
    return message.isReliable && (lane.unackedSpan >= MAX_UNACKED_BYTES || this.#isStalled);
  }

  /** The peer takes nothing, most likely because its application does not read. */
  get #isStalled(): boolean {
    return this.#lossesInARow >= STALL_LOSSES;
  }

  /** When the oldest packet in flight counts as lost. */
  lossDueUs(): number {
    const record = this.#oldestInFlight();
    return record === undefined ? NEVER : record.sentAtUs + this.#rtoUs;
  }

  /**
   * Chooses what of the queues goes into the `spaceBytes` of a packet (`write` then writes it). Returns the bytes it
   * will take, 0 for nothing.
   */
  plan(spaceBytes: number, maxSegmentBytes: number, nowUs: number): number {
    const plan = PLAN;
    plan.begin(spaceBytes, maxSegmentBytes);
    const order = this.#scheduler.byPriority;
    for (let i = 0; i < order.length && nowUs >= this.#probeAtUs; i++) {
      const lane = order[i]!;
      for (let lost = lane.nextLost(0); lost !== undefined; lost = lane.nextLost(lost.sequence + 1)) {
        if (!plan.addRetransmission(lost)) return plan.usedBytes;
      }
    }
    for (let i = 0; i < order.length; i++) order[i]!.plannedTo = order[i]!.queue.head;
    for (let lane = this.#nextLane(); lane !== undefined; lane = this.#nextLane()) {
      if (!plan.addMessage(lane, this.#firstUnplanned(lane)!)) break;
      lane.plannedTo++;
    }
    return plan.usedBytes;
  }

  #nextLane(): SendLane | undefined {
    return this.#scheduler.next(this.#firstUnplanned);
  }

  /** The lane's next message that may go. */
  readonly #firstUnplanned = (lane: SendLane): OutgoingMessage | undefined => {
    const message = lane.queue.at(lane.plannedTo);
    return message === undefined || this.#isBlocked(lane, message) ? undefined : message;
  };

  /** Writes what was planned and records it as carried by the packet of `record`. */
  write(writer: FrameWriter, record: PacketRecord): void {
    const plan = PLAN;
    // One packet is a probe, a second one would be traffic.
    if (this.#isStalled) this.#probeAtUs = record.sentAtUs + PROBE_INTERVAL_US;
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
        lane.markRetransmitted(segment, record.number);
        this.#attach(record, segment);
      }
      this.#commitMessages(part.messages, part.messageBytes, lane);
      if (part.streamBytes > 0) {
        const end = lane.streamEnd;
        writer.reliableSegment(end - part.streamBytes, part.streamBytes, isLastLane && --left === 0);
        lane.writeStream(writer, end - part.streamBytes, end);
        const segment = this.#segmentPool.pop() ?? new SentSegment();
        lane.recordNew(segment, end - part.streamBytes, record.number);
        this.#attach(record, segment);
      }
      for (let m = 0; m < part.messages.length; m++) {
        const message = part.messages[m]!;
        if (message.isReliable) continue;
        const size = part.messageBytes[m]!;
        const isLast = message.sentBytes === message.totalBytes;
        const start = part.messageStarts[m]!;
        writer.unreliableSegment(
          message.number,
          start,
          isLast,
          message.payload,
          start,
          start + size,
          isLastLane && --left === 0,
        );
      }
    }
    plan.clear();
  }

  #commitMessages(messages: readonly OutgoingMessage[], bytes: readonly number[], lane: SendLane): void {
    for (let m = 0; m < messages.length; m++) {
      lane.commit(messages[m]!, bytes[m]!);
      this.#scheduler.onServed(lane, messages[m]!, bytes[m]!);
    }
  }

  #attach(record: PacketRecord, segment: SentSegment): void {
    record.segments.push(segment);
    record.isInFlight = true;
    segment.references++;
  }

  /** The peer tells what it has. The frame is known to be about packets that were sent. */
  onAck(latest: number, delayUs: number, blocks: AckBlocks, nowUs: number): void {
    const newest = this.packets.get(latest);
    if (newest !== undefined && delayUs >= 0) this.report.rttUs = nowUs - newest.sentAtUs - delayUs;
    let end = latest + 1;
    for (let i = 0; i < blocks.count; i++) {
      const received = end - blocks.acks[i]!;
      this.#ackRange(received, end);
      end = received - blocks.nacks[i]!;
      this.#nackRange(end, received, nowUs);
    }
    if (end > this.oldestWaiting) this.#ackRange(this.oldestWaiting, end);
    if (latest > this.oldestWaiting) this.oldestWaiting = latest;
    this.#releaseAcked();
  }

  #ackRange(start: number, end: number): void {
    for (let number = Math.max(start, this.packets.oldest); number < end; number++) {
      const record = this.packets.get(number);
      if (record === undefined) continue;
      this.report.ackedMarks |= record.statsMark;
      for (let i = 0; i < record.segments.length; i++) {
        const segment = record.segments[i]!;
        if (segment.state === SegmentState.Acked) continue;
        segment.lane.markAcked(segment);
        this.#lossesInARow = 0;
        this.#probeAtUs = 0;
      }
      this.#forget(record);
    }
  }

  #nackRange(start: number, end: number, nowUs: number): void {
    for (let number = Math.max(start, this.packets.oldest); number < end; number++) {
      const record = this.packets.get(number);
      if (record?.isInFlight === true) this.#onLost(record, nowUs);
    }
  }

  /** The packet counts as lost once: what it carried last goes again. The record stays, a late ack still helps. */
  #onLost(record: PacketRecord, nowUs: number): void {
    record.isInFlight = false;
    if (record.segments.length > 0 && ++this.#lossesInARow >= STALL_LOSSES) this.#probeAtUs = nowUs + PROBE_INTERVAL_US;
    this.report.lostMarks |= record.statsMark;
    for (let i = 0; i < record.segments.length; i++) {
      const segment = record.segments[i]!;
      if (segment.state === SegmentState.InFlight && segment.packetNumber === record.number)
        segment.lane.markLost(segment);
    }
  }

  /** Declares losses by time, and forgets packets that nobody will acknowledge any more. */
  onTime(nowUs: number): void {
    for (let record = this.#oldestInFlight(); record !== undefined; record = this.#oldestInFlight()) {
      if (record.sentAtUs + this.#rtoUs > nowUs) break;
      this.#onLost(record, nowUs);
    }
    for (let record = this.#oldestRecord(); record !== undefined; record = this.#oldestRecord()) {
      if (record.isInFlight || record.sentAtUs + this.#memoryUs > nowUs) break;
      this.#forget(record);
    }
  }

  #oldestRecord(): PacketRecord | undefined {
    this.packets.skipRemoved();
    return this.packets.get(this.packets.oldest);
  }

  #oldestInFlight(): PacketRecord | undefined {
    if (this.#inFlightFrom < this.packets.oldest) this.#inFlightFrom = this.packets.oldest;
    for (; this.#inFlightFrom < this.packets.next; this.#inFlightFrom++) {
      const record = this.packets.get(this.#inFlightFrom);
      if (record?.isInFlight === true) return record;
    }
    return undefined;
  }

  #forget(record: PacketRecord): void {
    for (let i = 0; i < record.segments.length; i++) {
      const segment = record.segments[i]!;
      segment.references--;
      // An acknowledged segment that left its lane before the last record let go of it.
      if (segment.references === 0 && segment.sequence < segment.lane.segments.head) this.#segmentPool.push(segment);
    }
    this.packets.remove(record);
  }

  #releaseAcked(): void {
    for (let i = 0; i < this.#lanes.length; i++) {
      const lane = this.#lanes[i]!;
      for (let segment = lane.shiftAcked(); segment !== undefined; segment = lane.shiftAcked()) {
        if (segment.references === 0) this.#segmentPool.push(segment);
      }
    }
  }

  /** Everything queued and in flight is given up. */
  clear(): void {
    this.packets.clear();
    this.#lanes.length = 0;
    this.configureLanes(this.#laneOptions);
    this.#segmentPool.length = 0;
  }
}

// HOT PATH
// What is on its way, and what becomes of it: the peer's acks and nacks, losses by time, and which lost data must go
// again. Spec: 03 §3.10.

import { NEVER } from '../base/time.ts';
import { MAX_DATAGRAM_BYTES } from '../wire/data-packet.ts';
import type { AckBlocks } from '../wire/frames.ts';
import type { OutgoingMessage } from './message.ts';
import { PathMtu } from './path-mtu.ts';
import { SegmentState, type SendLane, SentSegment } from './send-lane.ts';
import { type PacketRecord, SentPackets } from './sent-packets.ts';

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
/**
 * A receiver whose buffer is full refuses packets, which looks like loss. After so much in a row (no network loses that
 * and lives) we only probe now and then, where GNS goes on at full rate. Packets alone would not do: of small ones as
 * many count as lost when acks are a third of a second late. Spec: 03 §3.7.
 */
const STALL_LOSSES = 64;
const STALL_BYTES = STALL_LOSSES * 1024;
const PROBE_INTERVAL_US = 250_000;

export class InFlight {
  readonly packets = new SentPackets();
  readonly mtu = new PathMtu();
  readonly report: AckReport = { rttUs: NO_SAMPLE, ackedMarks: 0, lostMarks: 0 };
  /** "Lowest packet still waiting": what stop-waiting frames tell. */
  oldestWaiting = 0;
  /** The newest probe that arrived; -1 before. */
  ackedProbe = -1;
  /** While the peer takes nothing, lost data goes again only from here on. */
  probeAtUs = 0;
  readonly #segmentPool: SentSegment[] = [];
  #rtoUs = RTO_WITHOUT_PING_US;
  #memoryUs = 2 * RTO_WITHOUT_PING_US;
  /** Packets with reliable data that were lost since one last arrived, and the data in them. */
  #lossesInARow = 0;
  #lostBytesInARow = 0;
  /** Pieces of messages that wait for a receipt, in packets that are remembered. */
  #trackedPieces = 0;
  /** No packet before this one is in flight. */
  #inFlightFrom = 0;

  /** The first data packet will have this number. */
  start(nextPacketNumber: number): void {
    this.packets.start(nextPacketNumber);
    this.#inFlightFrom = nextPacketNumber;
  }

  /** Round-trip estimate in whole ms, -1 without one; `sampleAgeUs` of its newest sample. */
  setRoundTrip(pingMs: number, sampleAgeUs: number): void {
    this.#rtoUs = pingMs < 0 ? RTO_WITHOUT_PING_US : pingMs * 3_000 + RTO_MARGIN_US;
    this.#memoryUs = 2 * this.#rtoUs;
    if (pingMs < 0) this.#memoryUs += 1_000_000;
    else this.#memoryUs = Math.max(this.#memoryUs, Math.min(sampleAgeUs, MAX_MEMORY_US));
  }

  /** The peer takes nothing, most likely because its application does not read. */
  get isStalled(): boolean {
    return this.#lossesInARow >= STALL_LOSSES && this.#lostBytesInARow >= STALL_BYTES;
  }

  /** When the oldest packet in flight counts as lost. */
  lossDueUs(): number {
    const inFlight = this.#oldestInFlight();
    const lossUs = inFlight === undefined ? NEVER : inFlight.sentAtUs + this.#rtoUs;
    // Who waits for a receipt is told when the packet is past hope.
    const oldest = this.#trackedPieces > 0 ? this.#oldestRecord() : undefined;
    return oldest === undefined ? lossUs : Math.min(lossUs, oldest.sentAtUs + this.#memoryUs);
  }

  newSegment(): SentSegment {
    return this.#segmentPool.pop() ?? new SentSegment();
  }

  track(record: PacketRecord, lane: SendLane, message: OutgoingMessage): void {
    record.tracked.push({ lane, message });
    message.openPackets++;
    this.#trackedPieces++;
  }

  /** The packet with a piece of these messages arrived, or is past hope. */
  #settleTracked(record: PacketRecord, isAcked: boolean): void {
    this.#trackedPieces -= record.tracked.length;
    for (const { lane, message } of record.tracked) {
      message.openPackets--;
      if (message.isLost) continue;
      message.isLost = !isAcked;
      const isComplete = message.openPackets === 0 && message.sentBytes === message.totalBytes;
      if (!isAcked || isComplete) lane.report(message, isAcked ? 'acked' : 'lost');
    }
  }

  attach(record: PacketRecord, segment: SentSegment): void {
    // One packet is a probe, a second one would be traffic.
    if (this.isStalled) this.probeAtUs = record.sentAtUs + PROBE_INTERVAL_US;
    record.segments.push(segment);
    record.isInFlight = true;
    segment.references++;
  }

  /** The peer tells what it has. The frame is known to be about packets that were sent. */
  onAck(latest: number, delayUs: number, blocks: AckBlocks, lanes: readonly SendLane[], nowUs: number): void {
    const newest = this.packets.get(latest);
    if (newest !== undefined && delayUs >= 0) this.report.rttUs = nowUs - newest.sentAtUs - delayUs;
    let end = latest + 1;
    for (let i = 0; i < blocks.count; i++) {
      const received = end - blocks.acks[i]!;
      this.#ackRange(received, end, nowUs);
      end = received - blocks.nacks[i]!;
      this.#nackRange(end, received, nowUs);
    }
    if (end > this.oldestWaiting) this.#ackRange(this.oldestWaiting, end, nowUs);
    if (latest > this.oldestWaiting) this.oldestWaiting = latest;
    this.#releaseAcked(lanes);
  }

  #ackRange(start: number, end: number, nowUs: number): void {
    for (let number = Math.max(start, this.packets.oldest); number < end; number++) {
      const record = this.packets.get(number);
      if (record === undefined) continue;
      this.report.ackedMarks |= record.statsMark;
      if (record.datagramBytes > MAX_DATAGRAM_BYTES) this.mtu.onLargeArrived(number, record.datagramBytes, nowUs);
      if (record.isProbe && number > this.ackedProbe) this.ackedProbe = number;
      if (record.tracked.length > 0) this.#settleTracked(record, true);
      for (let i = 0; i < record.segments.length; i++) {
        const segment = record.segments[i]!;
        if (segment.state === SegmentState.Acked) continue;
        segment.lane.markAcked(segment);
        this.#lossesInARow = this.#lostBytesInARow = 0;
        this.probeAtUs = 0;
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
    this.report.lostMarks |= record.statsMark;
    if (record.datagramBytes > MAX_DATAGRAM_BYTES) this.mtu.onLargeLost(record.number, nowUs);
    if (record.segments.length > 0) this.#lossesInARow++;
    for (let i = 0; i < record.segments.length; i++) {
      const segment = record.segments[i]!;
      this.#lostBytesInARow += segment.end - segment.start;
      if (segment.state === SegmentState.InFlight && segment.packetNumber === record.number)
        segment.lane.markLost(segment);
    }
    if (record.segments.length > 0 && this.isStalled) this.probeAtUs = nowUs + PROBE_INTERVAL_US;
  }

  /** Declares losses by time, and forgets packets that nobody will acknowledge any more. */
  onTime(nowUs: number): void {
    for (let record = this.#oldestInFlight(); record !== undefined; record = this.#oldestInFlight()) {
      if (record.sentAtUs + this.#rtoUs > nowUs) break;
      this.#onLost(record, nowUs);
    }
    for (let record = this.#oldestRecord(); record !== undefined; record = this.#oldestRecord()) {
      if (record.isInFlight || record.sentAtUs + this.#memoryUs > nowUs) break;
      if (record.tracked.length > 0) this.#settleTracked(record, false);
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

  #releaseAcked(lanes: readonly SendLane[]): void {
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      for (let segment = lane.shiftAcked(); segment !== undefined; segment = lane.shiftAcked()) {
        if (segment.references === 0) this.#segmentPool.push(segment);
      }
    }
  }

  /** Nobody will acknowledge anything any more. */
  clear(): void {
    for (let number = this.packets.oldest; number < this.packets.next; number++) {
      const record = this.packets.get(number);
      if (record !== undefined && record.tracked.length > 0) this.#settleTracked(record, false);
    }
    this.packets.clear();
    this.#segmentPool.length = 0;
  }
}

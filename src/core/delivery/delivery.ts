// HOT PATH
// Messages over lossy packets: the face of this room. A connection hands it decoded payloads and asks it for new ones;
// it knows no socket, no key and no state. Spec: 03.

import type { ByteReader } from '../base/bytes.ts';
import { NEVER } from '../base/time.ts';
import { ACK_HEADER_BYTES, type FrameWriter, stopWaitingBytes } from '../wire/frame-writer.ts';
import { type AckBlocks, FrameDecoder, type FrameSink, Outcome } from '../wire/frames.ts';
import { AckTracker } from './ack-tracker.ts';
import type { AckReport } from './in-flight.ts';
import type { LaneOptions } from './lane-scheduler.ts';
import type { Freshness, Receipt } from './message.ts';
import type { PathMtu } from './path-mtu.ts';
import type { ReceiveSettings } from './receive-lane.ts';
import { Receiver } from './receiver.ts';
import { type Refusal, Sender, type SendSettings } from './sender.ts';
import type { PacketRecord } from './sent-packets.ts';
import { TokenBucket } from './token-bucket.ts';

/**
 * Room that a retransmitted segment must find beside headers and a few ack blocks: more of these, or large statistics,
 * get a packet to themselves. GNS leaves 95 bytes, since it sends no new data behind a segment that was cut; it takes
 * segments of any size.
 */
const SEGMENT_RESERVE_BYTES = 40;
/** The peer reported losses: tell it soon what we no longer wait for. */
const FLUSH_PER_BLOCKS_US = 250_000;
const DEFAULT_PING_MS = 100;
const SEND_ERROR_PAUSE_US = 1_000;
/** Working space for the packet at hand, shared by all connections. */
const DECODER = new FrameDecoder();

export class Delivery implements FrameSink {
  readonly receiver: Receiver;
  readonly acks = new AckTracker();
  readonly bucket = new TokenBucket();
  readonly #sender: Sender;
  #packetNumber = 0;
  #nowUs = 0;
  #lastLaneHadReliable = false;
  #pingMs = -1;
  /** What fits into one packet. */
  #fullPacketBytes = 1232;
  #givenUpBytes = 0;
  /** Messages wait, whatever the rate allows. */
  isHeld = false;

  constructor(sendSettings: SendSettings, receiveSettings: ReceiveSettings) {
    this.#sender = new Sender(sendSettings);
    this.receiver = new Receiver(receiveSettings);
  }

  // ---- the application's side

  /** Queues a message whose payload is ours from here on; its number on the lane, or why it was not taken. */
  enqueue(
    payload: Uint8Array,
    isReliable: boolean,
    noNagle: boolean,
    lane: number,
    nowUs: number,
    freshness?: Freshness,
  ): number | Refusal {
    return this.#sender.enqueue(payload, isReliable, noNagle, lane, nowUs, freshness);
  }

  configureLanes(options: readonly LaneOptions[]): void {
    this.#sender.configureLanes(options);
  }

  get laneOptions(): readonly LaneOptions[] {
    return this.#sender.laneOptions;
  }

  flush(nowUs: number): void {
    this.#sender.flush(nowUs);
  }

  /** Messages queued so far, sent or not. */
  get queuedMessages(): number {
    return this.#sender.lanes.reduce((sum, lane) => sum + lane.queuedMessages, 0);
  }

  get wantsAck(): boolean {
    return this.#sender.wantsAck;
  }

  /** The fate of a message that wanted to know, if there is one to tell. */
  takeReceipt(): Receipt | undefined {
    return this.#sender.receipts.shift();
  }

  get pendingBytes(): number {
    return this.#sender.pendingBytes;
  }

  /** The peer takes nothing, most likely because its application does not read. */
  get isPeerStalled(): boolean {
    return this.#sender.flight.isStalled;
  }

  /** Reliable bytes that the peer has not acknowledged, sent or not; after `stop` those that it never will. */
  get undeliveredBytes(): number {
    return this.#sender.undeliveredBytes + this.#givenUpBytes;
  }

  /** Something was sent that must still arrive, in segments of the size it had then. */
  get hasUnackedSegments(): boolean {
    return this.#sender.lanes.some((lane) => lane.segments.length > 0);
  }

  /** Reliable segments that went again before they were known to be lost, and their bytes. */
  get redundantSegments(): number {
    return this.#sender.redundantSegments;
  }
  get redundantBytes(): number {
    return this.#sender.redundantBytes;
  }

  get sendLanes(): Sender['lanes'] {
    return this.#sender.lanes;
  }

  // ---- the connection's side

  /** Both directions begin; the handshake took a packet number (or, with old peers, did not). */
  start(nextPacketNumber: number, nowUs: number): void {
    this.#sender.flight.start(nextPacketNumber);
    this.acks.latest = nextPacketNumber - 1;
    this.bucket.start(nowUs);
  }

  get nextPacketNumber(): number {
    return this.#sender.flight.packets.next;
  }

  /** Plaintext bytes of a full packet, the cipher's tag not counted. Applies to what is not in flight yet. */
  set fullPacketBytes(bytes: number) {
    this.#fullPacketBytes = bytes;
  }
  get fullPacketBytes(): number {
    return this.#fullPacketBytes;
  }

  /** How large packets may be, beyond what every peer takes. */
  get mtu(): PathMtu {
    return this.#sender.flight.mtu;
  }

  setRoundTrip(pingMs: number, sampleAgeUs: number): void {
    this.#pingMs = pingMs;
    this.#sender.flight.setRoundTrip(pingMs, sampleAgeUs);
  }

  /** What acks told since it was read last; the reader resets it. */
  get ackReport(): AckReport {
    return this.#sender.flight.report;
  }

  /** When a packet must go: for acks, whatever the rate, and for data as the rate allows. */
  packetDueUs(nowUs: number): number {
    const dataDueUs = this.isHeld ? NEVER : this.#sender.dataDueUs(this.#fullPacketBytes);
    const isBusy = dataDueUs <= nowUs;
    this.bucket.refill(nowUs, isBusy);
    const due = dataDueUs === NEVER ? NEVER : Math.max(dataDueUs, this.bucket.openAtUs(nowUs));
    return Math.min(due, this.acks.nextDueUs());
  }

  /** When packets in flight count as lost. */
  lossDueUs(): number {
    return this.#sender.flight.lossDueUs();
  }

  onTime(nowUs: number): void {
    this.#sender.flight.onTime(nowUs);
  }

  /** Writes one payload of at most `spaceBytes` and records it as sent. Data goes in only as the rate allows. */
  fillPacket(writer: FrameWriter, spaceBytes: number, nowUs: number): PacketRecord {
    const record = this.#sender.flight.packets.add(nowUs);
    const offset = record.number - this.#sender.flight.oldestWaiting - 1;
    writer.begin();
    writer.stopWaiting(offset);
    const space = spaceBytes - stopWaitingBytes(offset);
    let dataBytes = 0;
    if (this.bucket.isOpen && !this.isHeld) {
      const reserved = this.acks.plan(nowUs, space, false);
      const credit = this.bucket.creditBytes - SEGMENT_RESERVE_BYTES;
      const segmentBytes = this.#fullPacketBytes - SEGMENT_RESERVE_BYTES;
      const isLarge = spaceBytes > this.#fullPacketBytes;
      dataBytes = this.#sender.plan(space - reserved, segmentBytes, isLarge, nowUs, credit);
    }
    this.acks.plan(nowUs, Math.max(ACK_HEADER_BYTES, space - dataBytes), true);
    this.acks.write(writer, nowUs);
    if (dataBytes > 0) this.#sender.write(writer, record);
    return record;
  }

  /**
   * Writes a payload that says next to nothing: that it arrived is all that counts (`ackedProbe`, `mtu`). It says it
   * again and again, up to `leastBytes`.
   */
  fillProbe(writer: FrameWriter, leastBytes: number, nowUs: number): PacketRecord {
    const record = this.#sender.flight.packets.add(nowUs);
    record.isProbe = true;
    const offset = record.number - this.#sender.flight.oldestWaiting - 1;
    writer.begin();
    do writer.stopWaiting(offset);
    while (writer.pos + stopWaitingBytes(offset) <= leastBytes);
    return record;
  }

  /** The newest probe that the peer acknowledged; -1 before. */
  get ackedProbe(): number {
    return this.#sender.flight.ackedProbe;
  }

  /** The network did not take a packet: it counts as sent (and will be found lost), the next ones wait a little. */
  onSendFailed(): void {
    this.bucket.penalize(SEND_ERROR_PAUSE_US);
  }

  /** Takes one decrypted payload apart. `violation` explains a fatal outcome. */
  receive(reader: ByteReader, packetNumber: number, nowUs: number): Outcome {
    this.#packetNumber = packetNumber;
    this.#nowUs = nowUs;
    this.#lastLaneHadReliable = false;
    this.receiver.beginPacket(nowUs);
    const outcome = DECODER.decode(reader, packetNumber, this);
    if (outcome === Outcome.Ok) {
      this.acks.onPacket(packetNumber, nowUs);
      if (this.#lastLaneHadReliable) this.acks.onReliable(reader.end, nowUs);
    } else if (outcome === Outcome.Refused) {
      const pingMs = this.#pingMs < 0 ? DEFAULT_PING_MS : Math.min(this.#pingMs, DEFAULT_PING_MS);
      this.acks.requestBy(nowUs + (pingMs + 5) * 2_000);
    }
    return outcome;
  }

  get violation(): string {
    return this.receiver.violation || DECODER.violation;
  }

  /** The connection left the states in which packets flow: everything but whole received messages is given up. */
  stop(): void {
    this.#givenUpBytes += this.#sender.undeliveredBytes;
    this.#sender.clear();
    this.receiver.dropPartial();
  }

  // ---- FrameSink

  get maxSegmentsPerPacket(): number {
    return this.receiver.settings.recvMaxSegmentsPerPacket;
  }

  onSelectLane(lane: number): void {
    this.#lastLaneHadReliable = false;
    this.receiver.selectLane(lane);
  }

  highestMessageNumber(): number {
    return this.receiver.highestMessage;
  }

  streamEnd(): number {
    return this.receiver.streamEnd;
  }

  onUnreliableSegment(
    message: number,
    offset: number,
    isLast: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Outcome {
    return this.receiver.onUnreliable(message, offset, isLast, bytes, start, end);
  }

  onReliableSegment(position: number, bytes: Uint8Array, start: number, end: number): Outcome {
    this.#lastLaneHadReliable = true;
    return this.receiver.onReliable(position, bytes, start, end);
  }

  onStopWaiting(oldestWanted: number): Outcome {
    return this.acks.onStopWaiting(oldestWanted, this.#packetNumber);
  }

  onAck(latest: number, delayUs: number, blocks: AckBlocks): Outcome {
    this.#sender.flight.onAck(latest, delayUs, blocks, this.#sender.lanes, this.#nowUs);
    if (blocks.count > 0) this.acks.requestBy(this.#nowUs + Math.floor(FLUSH_PER_BLOCKS_US / blocks.count));
    return Outcome.Ok;
  }
}

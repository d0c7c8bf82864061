// The sending half of delivery, on one or several lanes, over a network that loses packets and acks, against a receiver
// that keeps a map of bytes. After every step the sender's accounts are checked against sums made anew. Spec: 03 §3.10, §3.11.
import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader } from '../../src/core/base/bytes.ts';
import { SeededRandom } from '../../src/core/base/random.ts';
import { SegmentState, type SendLane } from '../../src/core/delivery/send-lane.ts';
import { Sender } from '../../src/core/delivery/sender.ts';
import { FrameWriter } from '../../src/core/wire/frame-writer.ts';
import { AckBlocks, FrameDecoder, Outcome } from '../../src/core/wire/frames.ts';
import { StreamHeader } from '../../src/core/wire/stream-header.ts';
import { SEED } from '../support/seed.ts';
import { FrameLog } from '../vectors/frame-log.ts';

const RUN = { numRuns: 15, seed: SEED };
const FIRST_NUMBER = 2;
const MAX_SEGMENT_BYTES = 1192;
const FULL_PACKET_BYTES = 1232;
const LARGE_PACKET_BYTES = 8140;
const STEP_US = 4_000;

interface Message {
  readonly lane: number;
  readonly number: number;
  readonly isReliable: boolean;
  readonly payload: Uint8Array;
}

/** What came on one lane: the stream by position, and unreliable messages by number (their size is -1 until it is known). */
class LaneBytes {
  readonly stream = new Map<number, number>();
  readonly unreliable = new Map<number, { bytes: number[]; size: number }>();
}

/** The peer: every byte at its place, every packet number in a set. */
class ByteMapPeer {
  readonly received = new Set<number>();
  readonly lanes: readonly LaneBytes[];
  readonly #log = new FrameLog();

  constructor(laneCount: number) {
    this.lanes = Array.from({ length: laneCount }, () => new LaneBytes());
  }

  /** Takes a packet apart. The contexts of the decoder are those of a peer that knows all that was sent so far. */
  read(number: number, bytes: Uint8Array, senderLanes: readonly SendLane[], isLost: boolean): void {
    const reader = new ByteReader();
    reader.reset(bytes, 0, bytes.length);
    this.#log.begin();
    for (const { index, streamEnd } of senderLanes) this.#log.lane(index).streamEnd = streamEnd;
    const outcome = new FrameDecoder().decode(reader, number, this.#log);
    if (outcome !== Outcome.Ok) expect.fail(`packet ${number} cannot be read`);
    if (isLost) return;
    this.received.add(number);
    let lane = this.lanes[0]!;
    for (const frame of this.#log.frames) {
      if (frame.kind === 'selectLane') lane = this.lanes[frame.lane]!;
      if (frame.kind === 'reliable') storeStream(lane, frame.position, frame.data);
      if (frame.kind === 'unreliable') storePiece(lane, frame.message, frame.offset, frame.isLast, frame.data);
    }
  }

  /** The reliable messages that are complete from the beginning of each stream. */
  reliableMessages(): readonly Message[] {
    return this.lanes.flatMap(({ stream }, lane) => {
      const bytes = Uint8Array.from({ length: stream.size }, (_, i) => stream.get(i + 1)!);
      const messages: Message[] = [];
      const header = new StreamHeader();
      let number = 0;
      for (let at = 0; at < bytes.length; at += header.size) {
        if (header.read(bytes, at, bytes.length) !== 'ok') expect.fail('a stream header is broken');
        number += header.gap;
        at += header.bytes;
        messages.push({ lane, number, isReliable: true, payload: bytes.slice(at, at + header.size) });
      }
      return messages;
    });
  }

  /** A truthful ack of all packets up to `latest`. */
  ack(latest: number): { latest: number; blocks: AckBlocks } {
    const blocks = new AckBlocks();
    let at = latest;
    while (at >= FIRST_NUMBER && blocks.count < 255) {
      const top = at;
      while (at >= FIRST_NUMBER && this.received.has(at)) at--;
      const firstMissing = at;
      while (at >= FIRST_NUMBER && !this.received.has(at)) at--;
      if (firstMissing === at) break;
      blocks.acks[blocks.count] = top - firstMissing;
      blocks.nacks[blocks.count++] = firstMissing - at;
    }
    return { latest, blocks };
  }
}

function storeStream({ stream }: LaneBytes, position: number, data: Uint8Array): void {
  for (const [i, byte] of data.entries()) {
    const before = stream.get(position + i);
    if (before !== undefined && before !== byte) expect.fail(`stream byte ${position + i} changed when sent again`);
    stream.set(position + i, byte);
  }
}

function storePiece(
  { unreliable }: LaneBytes,
  number: number,
  offset: number,
  isLast: boolean,
  data: Uint8Array,
): void {
  const message = unreliable.get(number) ?? { bytes: [], size: -1 };
  unreliable.set(number, message);
  for (const [i, byte] of data.entries()) {
    if (message.bytes[offset + i] !== undefined) expect.fail('an unreliable byte was sent twice');
    message.bytes[offset + i] = byte;
  }
  if (isLast) message.size = offset + data.length;
}

/** One sender and its peer. */
class Link {
  readonly sender: Sender;
  readonly peer: ByteMapPeer;
  readonly sent: Message[] = [];
  nowUs = 1_000_000;
  readonly #random: SeededRandom;
  readonly #writer = new FrameWriter(new Uint8Array(LARGE_PACKET_BYTES));
  /** Acks under way, and when they arrive. */
  readonly #acks: { readonly atUs: number; readonly latest: number; readonly blocks: AckBlocks }[] = [];
  #enqueuedReliableBytes = 0;
  #newStreamBytes = 0;

  constructor(random: SeededRandom, laneCount: number) {
    this.#random = random;
    this.sender = new Sender({ sendBufferBytes: 100_000, nagleUs: 5_000, redundantSends: random.below(3) });
    const lane = () => ({ priority: random.below(2), weight: 1 + random.below(10) });
    this.peer = new ByteMapPeer(laneCount);
    this.sender.configureLanes(Array.from({ length: laneCount }, lane));
    this.sender.flight.start(FIRST_NUMBER);
    this.sender.flight.setRoundTrip(10, 0);
  }

  enqueue(): void {
    const random = this.#random;
    const payload = new Uint8Array(random.below(5) === 0 ? random.below(5_000) : random.below(120));
    random.fill(payload);
    const isReliable = random.below(3) > 0;
    const pendingBefore = this.sender.pendingBytes;
    const lane = random.below(this.peer.lanes.length);
    const result = this.sender.enqueue(payload, isReliable, random.below(2) === 0, lane, this.nowUs);
    if (typeof result !== 'number') {
      expect(result).to.equal('sendBufferFull');
      expect(pendingBefore + payload.length).to.be.above(100_000);
      return;
    }
    this.sent.push({ lane, number: result, isReliable, payload });
    if (isReliable) this.#enqueuedReliableBytes += this.sender.pendingBytes - pendingBefore;
  }

  /** Fills one packet of some size; true if there was data for it. */
  sendPacket(lossShare: number): boolean {
    const { sender } = this;
    const writer = this.#writer;
    const record = sender.flight.packets.add(this.nowUs);
    writer.begin();
    const isLarge = this.#random.below(4) === 0;
    const fullBytes = isLarge ? LARGE_PACKET_BYTES : FULL_PACKET_BYTES;
    const space = this.#random.below(3) === 0 ? 60 + this.#random.below(200) : fullBytes;
    const streamBytesBefore = this.#streamBytes;
    const planned = sender.plan(space, MAX_SEGMENT_BYTES, isLarge, this.nowUs, this.#random.below(2_000));
    if (planned > space) expect.fail(`${planned} bytes are planned for a room of ${space}`);
    if (planned > 0) sender.write(writer, record);
    if (writer.pos !== planned) expect.fail(`${planned} bytes were planned, ${writer.pos} written`);
    this.#newStreamBytes += this.#streamBytes - streamBytesBefore;
    const isLost = this.#random.float() < lossShare;
    this.peer.read(record.number, writer.bytes.slice(0, writer.pos), sender.lanes, isLost);
    return planned > 0;
  }

  /** The peer acknowledges up to one of its newest packets; that takes a while, and may fail. */
  sendAck(lossShare: number): void {
    const newest = Math.max(1, ...this.peer.received);
    if (newest < FIRST_NUMBER || this.#random.float() < lossShare) return;
    const latest = Math.max(FIRST_NUMBER, newest - (this.#random.below(4) === 0 ? this.#random.below(6) : 0));
    const atUs = this.nowUs + this.#random.below(3) * STEP_US;
    this.#acks.push({ atUs, ...this.peer.ack(latest) });
  }

  takeAcks(): void {
    for (const ack of this.#acks.splice(0)) {
      if (ack.atUs > this.nowUs) this.#acks.push(ack);
      else this.sender.flight.onAck(ack.latest, 0, ack.blocks, this.sender.lanes, this.nowUs);
    }
  }

  get #streamBytes(): number {
    return this.sender.lanes.reduce((sum, { streamEnd }) => sum + streamEnd - 1, 0);
  }

  checkAccounts(): void {
    const total = { pendingReliable: 0, pendingUnreliable: 0, inFlight: 0, lost: 0, lostSegments: 0 };
    for (const lane of this.sender.lanes) {
      const sums = sumsOf(lane);
      expect({
        pendingReliable: lane.pendingReliableBytes,
        pendingUnreliable: lane.pendingUnreliableBytes,
        inFlight: lane.inFlightBytes,
        lost: lane.lostBytes,
        lostSegments: lane.lostSegments,
        segmentsToCopy: lane.segmentsToCopy,
      }).to.deep.equal(sums);
      for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += sums[name];
    }
    expect(this.sender.undeliveredBytes).to.equal(total.pendingReliable + total.inFlight + total.lost);
    expect(this.sender.pendingBytes).to.equal(total.pendingReliable + total.pendingUnreliable);
    expect(this.#streamBytes).to.equal(this.#newStreamBytes);
    expect(total.pendingReliable).to.equal(this.#enqueuedReliableBytes - this.#newStreamBytes);
    // What counts as delivered has arrived.
    const arrivedBytes = this.peer.lanes.reduce((sum, { stream }) => sum + stream.size, 0);
    expect(this.#newStreamBytes - total.inFlight - total.lost).to.be.at.most(arrivedBytes);
  }
}

/** What the accounts of a lane must come to. */
function sumsOf(lane: SendLane) {
  const sums = { pendingReliable: 0, pendingUnreliable: 0, inFlight: 0, lost: 0, lostSegments: 0, segmentsToCopy: 0 };
  for (let at = lane.queue.head; at < lane.queue.tail; at++) {
    const message = lane.queue.at(at)!;
    const rest = message.totalBytes - message.sentBytes;
    if (message.isReliable) sums.pendingReliable += rest;
    else sums.pendingUnreliable += rest;
  }
  let position = lane.ackedEnd;
  for (let at = lane.segments.head; at < lane.segments.tail; at++) {
    const { state, start, end, copiesLeft } = lane.segments.at(at)!;
    if (start !== position) expect.fail(`segments leave out the stream bytes from ${position} to ${start}`);
    position = end;
    if (state === SegmentState.InFlight) sums.inFlight += end - start;
    if (state === SegmentState.Lost) sums.lost += end - start;
    if (state === SegmentState.Lost) sums.lostSegments++;
    if (copiesLeft > 0) sums.segmentsToCopy++;
    if (copiesLeft > 0 && state !== SegmentState.InFlight) expect.fail('only what is in flight goes again unasked');
  }
  expect(position).to.equal(lane.streamEnd);
  return sums;
}

function run(seed: number, lossShare: number, laneCount: number): void {
  const random = new SeededRandom(seed);
  const link = new Link(random, laneCount);
  for (let step = 0; step < 150; step++) {
    link.nowUs += random.below(STEP_US);
    while (random.below(3) > 0) link.enqueue();
    for (let packets = random.below(4); packets > 0; packets--) link.sendPacket(lossShare);
    if (random.below(2) === 0) link.sendAck(lossShare);
    link.takeAcks();
    link.sender.flight.onTime(link.nowUs);
    link.checkAccounts();
  }
  // From here on nothing is lost: all must arrive.
  for (let step = 0; link.sender.undeliveredBytes > 0 && step < 3_000; step++) {
    link.nowUs += STEP_US;
    for (let packets = 0; packets < 3 && link.sendPacket(0); packets++);
    link.sendAck(0);
    link.takeAcks();
    link.sender.flight.onTime(link.nowUs);
  }
  while (link.sender.pendingBytes > 0) link.sendPacket(0);
  link.checkAccounts();
  expect(link.sender.undeliveredBytes).to.equal(0);
  const reliable = link.sent
    .filter(({ isReliable }) => isReliable)
    .sort((a, b) => a.lane - b.lane || a.number - b.number);
  expect(inShort(link.peer.reliableMessages())).to.deep.equal(inShort(reliable));
  checkUnreliable(link, lossShare);
}

/** Cheap to compare. */
function inShort(messages: readonly Message[]): readonly string[] {
  return messages.map(({ lane, number, payload }) => `${lane} ${number} ${Buffer.from(payload).toString('base64')}`);
}

/** Whole where all of it came; every byte where it belongs in any case. */
function checkUnreliable(link: Link, lossShare: number): void {
  for (const { lane, number, isReliable, payload } of link.sent) {
    if (isReliable) continue;
    const received = link.peer.lanes[lane]!.unreliable.get(number);
    if (lossShare === 0 && received?.size !== payload.length) expect.fail(`message ${number} is not whole`);
    for (const [i, byte] of (received?.bytes ?? []).entries()) {
      if (byte !== undefined && byte !== payload[i]) expect.fail(`byte ${i} of message ${number} is wrong`);
    }
  }
}

describe('Sender against a map of bytes', () => {
  for (const [laneCount, lossShare] of [
    [1, 0],
    [1, 0.1],
    [1, 0.4],
    [4, 0.1],
    [10, 0.4],
  ] as const) {
    const what = `${laneCount === 1 ? 'one lane' : `${laneCount} lanes`} and ${lossShare * 100} % loss`;
    it(`delivers every stream byte exactly and keeps its accounts, with ${what}`, () => {
      fc.assert(
        fc.property(fc.integer(), (seed) => run(seed, lossShare, laneCount)),
        RUN,
      );
    });
  }
});

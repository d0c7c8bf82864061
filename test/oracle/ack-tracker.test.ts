// What we acknowledge, against a set of the packets that arrived: an ack must never claim more. Spec: 03 §3.8.
import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader } from '../../src/core/base/bytes.ts';
import { SeededRandom } from '../../src/core/base/random.ts';
import { AckTracker, MAX_ACK_DELAY_US } from '../../src/core/delivery/ack-tracker.ts';
import { FrameWriter } from '../../src/core/wire/frame-writer.ts';
import { type AckBlocks, FrameDecoder, Outcome } from '../../src/core/wire/frames.ts';
import { SEED } from '../support/seed.ts';
import { FrameLog } from '../vectors/frame-log.ts';

const RUN = { numRuns: 100, seed: SEED };
const NACK_DELAY_US = 3_000;
/** Fewer gaps than this: none have been merged. */
const MERGED_AT = 60;
const AMPLE_BYTES = 1000;

interface Ack {
  readonly latest: number;
  readonly missing: ReadonlySet<number>;
}

/** Writes an ack frame as the sender of a packet does, checks its length, and reads it as the peer will. */
function writeAck(tracker: AckTracker, nowUs: number, spaceBytes: number): Ack {
  const writer = new FrameWriter(new Uint8Array(AMPLE_BYTES + 500));
  writer.begin();
  const planned = tracker.plan(nowUs, spaceBytes, true);
  tracker.write(writer, nowUs);
  expect(writer.pos).to.be.equal(planned);
  expect(writer.pos).to.be.at.most(Math.max(5, spaceBytes));
  const reader = new ByteReader();
  reader.reset(writer.bytes, 0, writer.pos);
  const log = new AckLog();
  log.nextPacketNumber = tracker.latest + 1;
  expect(new FrameDecoder().decode(reader, 1, log)).to.equal(Outcome.Ok);
  return log.ack!;
}

class AckLog extends FrameLog {
  ack: Ack | undefined;

  override onAck(latest: number, _delayUs: number, blocks: AckBlocks): Outcome {
    const missing = new Set<number>();
    let top = latest;
    for (let i = 0; i < blocks.count; i++) {
      top -= blocks.acks[i]!;
      for (let n = 0; n < blocks.nacks[i]!; n++) missing.add(top--);
    }
    this.ack = { latest, missing };
    return Outcome.Ok;
  }
}

/** A stream of packets in which `lossShare` get lost, `lateShare` come late; acks and stop-waiting at random moments. */
function run(seed: number, lossShare: number, lateShare: number, ackShare: number): void {
  const random = new SeededRandom(seed);
  const tracker = new AckTracker();
  const received = new Set([1]);
  const discoveredAtUs = new Map<number, number>();
  const late: number[] = [];
  let nowUs = 1_000_000;
  let oldestWanted = 0;
  let mostGaps = 0;
  let forcedAtUs = Number.POSITIVE_INFINITY;
  let forcedUpTo = 0;

  const arrive = (number: number) => {
    for (let n = tracker.latest + 1; n < number; n++) discoveredAtUs.set(n, nowUs);
    received.add(number);
    tracker.onPacket(number, nowUs);
  };
  for (let number = 2; number < 300; number++) {
    nowUs += random.below(3_000);
    const fate = random.float();
    if (fate < lateShare) late.push(number);
    else if (fate >= lateShare + lossShare) arrive(number);
    if (late.length > 0 && random.below(4) === 0) arrive(late.splice(random.below(late.length), 1)[0]!);
    if (random.below(10) === 0) {
      const dueUs = nowUs + random.below(50_000);
      tracker.requestBy(dueUs);
      forcedAtUs = Math.min(forcedAtUs, dueUs);
    }
    mostGaps = Math.max(mostGaps, tracker.gapCount);
    if (random.float() >= ackShare) continue;

    const spaceBytes = random.below(3) === 0 ? 5 + random.below(60) : AMPLE_BYTES;
    const isForced = forcedAtUs <= nowUs;
    if (isForced) forcedUpTo = tracker.latest;
    const { latest, missing } = writeAck(tracker, nowUs, spaceBytes);
    for (let n = Math.max(1, oldestWanted); n <= latest; n++) {
      if (!missing.has(n) && !received.has(n)) expect.fail(`packet ${n} is claimed, it never arrived`);
    }
    for (const n of missing) {
      if (n < oldestWanted) expect.fail(`packet ${n} is reported, nobody wants to know`);
      if (mostGaps >= MERGED_AT) continue;
      if (received.has(n)) expect.fail(`packet ${n} is denied, it arrived`);
      // Gaps that wait for their time are not reported, unless a deadline forces it or has forced it before.
      const isOld = discoveredAtUs.get(n)! + NACK_DELAY_US <= nowUs;
      if (!isOld && n > forcedUpTo) expect.fail(`packet ${n} is reported too early`);
    }
    if (isForced && spaceBytes === AMPLE_BYTES) expect(latest).to.equal(tracker.latest);
    if (latest === tracker.latest) forcedAtUs = Number.POSITIVE_INFINITY;
    // There was no room to say all: the rest is due soon.
    else if (isForced) forcedAtUs = nowUs + NACK_DELAY_US;
    if (random.below(3) === 0 && latest > oldestWanted) {
      // The peer took note of this ack.
      oldestWanted = Math.min(oldestWanted + random.below(latest - oldestWanted + 1), tracker.latest);
      expect(tracker.onStopWaiting(oldestWanted, number)).to.equal(Outcome.Ok);
    }
  }
}

describe('AckTracker against a set', () => {
  it('claims and denies only what is true, with few losses', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => run(seed, 0.05, 0.1, 0.3)),
      RUN,
    );
  });

  it('claims only what is true, with so many losses that gaps are merged', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => run(seed, 0.3, 0.3, 0.05)),
      RUN,
    );
  });

  it('asks to be called when a gap has become old enough, and not again for the same gap', () => {
    const tracker = new AckTracker();
    tracker.onPacket(2, 1_000);
    expect(tracker.nextDueUs()).to.equal(Number.POSITIVE_INFINITY);
    tracker.onPacket(4, 2_000);
    expect(tracker.nextDueUs()).to.equal(2_000 + NACK_DELAY_US);
    expect(writeAck(tracker, 3_000, AMPLE_BYTES)).to.deep.equal({ latest: 2, missing: new Set() });
    expect(tracker.nextDueUs()).to.equal(2_000 + NACK_DELAY_US);
    expect(writeAck(tracker, 5_000, AMPLE_BYTES)).to.deep.equal({ latest: 4, missing: new Set([3]) });
    expect(tracker.nextDueUs()).to.equal(Number.POSITIVE_INFINITY);
  });

  it('does not report again what is left of a gap that was reported', () => {
    const tracker = new AckTracker();
    for (const number of [2, 10, 20]) tracker.onPacket(number, 1_000);
    writeAck(tracker, 5_000, AMPLE_BYTES);
    tracker.onPacket(6, 6_000);
    expect(tracker.gapCount).to.equal(3);
    expect(tracker.nextDueUs()).to.equal(Number.POSITIVE_INFINITY);
    for (const number of [3, 4, 5]) tracker.onPacket(number, 7_000);
    tracker.onPacket(22, 8_000);
    expect(tracker.gapCount).to.equal(3);
    expect(tracker.nextDueUs()).to.equal(8_000 + NACK_DELAY_US);
  });

  it('asks to be called at once when 64 packets brought reliable data, without reporting what may only be late', () => {
    const tracker = new AckTracker();
    for (let number = 2; number <= 64; number++) {
      tracker.onPacket(number, 1_000);
      tracker.onReliable(100, 1_000);
    }
    expect(tracker.nextDueUs()).to.equal(1_000 + MAX_ACK_DELAY_US);
    tracker.onPacket(66, 1_500);
    tracker.onReliable(100, 1_500);
    expect(tracker.nextDueUs()).to.be.at.most(1_500);
    expect(writeAck(tracker, 1_500, AMPLE_BYTES)).to.deep.equal({ latest: 64, missing: new Set() });
    expect(tracker.nextDueUs()).to.equal(1_500 + NACK_DELAY_US);
  });

  it('takes a stop-waiting beyond what has arrived only up to there', () => {
    const tracker = new AckTracker();
    expect(tracker.onStopWaiting(9, 10)).to.equal(Outcome.Ok);
    expect(tracker.oldestWanted).to.equal(1);
  });

  it('takes a stop-waiting that goes back for a breach only in a newer packet', () => {
    const tracker = new AckTracker();
    for (let number = 2; number <= 20; number++) tracker.onPacket(number, 1_000);
    expect(tracker.onStopWaiting(10, 15)).to.equal(Outcome.Ok);
    expect(tracker.onStopWaiting(9, 14)).to.equal(Outcome.Ok);
    expect(tracker.onStopWaiting(10, 16)).to.equal(Outcome.Ok);
    expect(tracker.onStopWaiting(9, 15)).to.equal(Outcome.Fatal);
    expect(tracker.oldestWanted).to.equal(10);
  });
});

// Rates, losses and jitter by interval, and the statistics made of them. Spec: 04 §4.9, §4.10.
import { expect } from 'chai';
import { LinkStats } from '../../../src/core/stats/link-stats.ts';

const START_US = 1_000_000;
const INTERVAL_US = 5_000_000;

function started(): LinkStats {
  const stats = new LinkStats();
  stats.start(START_US);
  stats.window.start(1);
  return stats;
}

/** Packets with these numbers are received. */
function receive(stats: LinkStats, numbers: readonly number[], bytes = 100): void {
  for (const number of numbers) {
    stats.received.note(bytes);
    stats.sequencedReceived++;
    if (stats.window.check(number) === 'new') stats.window.mark(number);
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** The quality histogram after one interval. */
function qualityBuckets(numbers: readonly number[], seconds = 5, sent = 0, unanswered = 0): readonly number[] {
  const stats = started();
  receive(stats, numbers);
  for (let i = 0; i < sent; i++) stats.sent.note(10);
  stats.endInterval(START_US + seconds * 1e6, unanswered);
  return stats.lifetime(START_US).qualityHistogram;
}

describe('LinkStats', () => {
  it('gives rates of the last interval, by its real length', () => {
    const stats = started();
    receive(stats, range(2, 21), 50);
    for (let i = 0; i < 30; i++) stats.sent.note(200);
    stats.endInterval(START_US + 10e6, 0);
    expect([stats.received.packetsPerSec, stats.received.bytesPerSec]).to.deep.equal([2, 100]);
    expect([stats.sent.packetsPerSec, stats.sent.bytesPerSec]).to.deep.equal([3, 600]);
    stats.endInterval(START_US + 15e6, 0);
    expect([stats.sent.packetsPerSec, stats.sent.bytesPerSec]).to.deep.equal([0, 0]);
    expect(stats.intervalEndUs()).to.equal(START_US + 15e6 + INTERVAL_US);
  });

  it('does not know what share was dropped when nothing was received', () => {
    const stats = started();
    stats.endInterval(START_US + INTERVAL_US, 0);
    expect([stats.droppedShare, stats.weirdShare, stats.quality]).to.deep.equal([-1, -1, -1]);
  });

  it('takes the packets that were skipped for dropped', () => {
    const stats = started();
    receive(stats, [...range(2, 10), ...range(12, 20)]);
    stats.endInterval(START_US + INTERVAL_US, 0);
    expect(stats.droppedShare).to.be.closeTo(1 / 19, 1e-9);
    expect(stats.quality).to.be.closeTo(18 / 19, 1e-9);
  });

  it('takes packets that came late or twice for weird, and a late one for not dropped', () => {
    const stats = started();
    receive(stats, [...range(2, 10), 12, 11, 12]);
    stats.endInterval(START_US + INTERVAL_US, 0);
    expect(stats.droppedShare).to.equal(0);
    expect(stats.weirdShare).to.be.closeTo(2 / 12, 1e-9);
  });

  it('counts an interval by its quality', () => {
    expect(qualityBuckets(range(2, 101))).to.deep.equal([1, 0, 0, 0, 0, 0, 0, 0, 0]);
    // One of 400 is lost: 99.75 %, which is not perfect.
    expect(qualityBuckets([...range(2, 50), ...range(52, 400)])).to.deep.equal([0, 1, 0, 0, 0, 0, 0, 0, 0]);
    expect(qualityBuckets([...range(2, 50), ...range(52, 100)])).to.deep.equal([0, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect(qualityBuckets(range(1, 10).map((n) => 10 * n))).to.deep.equal([0, 0, 0, 0, 0, 0, 0, 1, 0]);
  });

  it('says nothing about an interval with five packets or less, or of less than four and a half seconds', () => {
    const nothing = [0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(qualityBuckets(range(2, 6))).to.deep.equal(nothing);
    expect(qualityBuckets(range(2, 100), 4.5)).to.deep.equal(nothing);
  });

  it('calls an interval dead in which we sent enough, heard nothing, and asked twice', () => {
    expect(qualityBuckets([], 5, 6, 2)).to.deep.equal([0, 0, 0, 0, 0, 0, 0, 0, 1]);
    expect(qualityBuckets([], 5, 5, 2)[8]).to.equal(0);
    expect(qualityBuckets([], 5, 6, 1)[8]).to.equal(0);
    expect(qualityBuckets([2], 5, 6, 2)[8]).to.equal(0);
  });

  it('reports the highest jitter of the interval, and counts every sample by size', () => {
    const stats = started();
    for (const jitterUs of [0, 999, 1_000, 4_999, 5_000, 9_999, 19_999, 20_000]) stats.noteJitter(jitterUs);
    expect(stats.intervalJitterUs).to.equal(-1);
    stats.endInterval(START_US + INTERVAL_US, 0);
    expect(stats.intervalJitterUs).to.equal(20_000);
    expect(stats.lifetime(START_US).jitterHistogram).to.deep.equal([2, 1, 1, 2, 1, 1]);
    stats.endInterval(START_US + 2 * INTERVAL_US, 0);
    expect(stats.intervalJitterUs).to.equal(-1);
  });

  it('tells rates truncated, tenths of packets, and leaves out what is unknown', () => {
    const stats = started();
    for (let i = 0; i < 7; i++) stats.sent.note(33);
    stats.endInterval(START_US + INTERVAL_US, 0);
    expect(stats.instantaneous()).to.deep.equal({
      sentPacketsPerSecX10: 14,
      sentBytesPerSec: 46,
      receivedPacketsPerSecX10: 0,
      receivedBytesPerSec: 0,
      pingMs: undefined,
      droppedPercent: undefined,
      weirdPercent: undefined,
      peakJitterUs: undefined,
    });
  });

  it('tells totals, in rounded seconds and KiB', () => {
    const stats = started();
    stats.sent.note(511);
    receive(stats, [2, 4, 3, 3], 128);
    const { connectedS, kibSent, kibReceived, ...rest } = stats.lifetime(START_US + 1_499_999);
    expect({ connectedS, kibSent, kibReceived }).to.deep.equal({ connectedS: 1, kibSent: 0, kibReceived: 1 });
    expect(rest).to.include({ packetsSent: 1, packetsReceived: 4, sequencedPacketsReceived: 4 });
    expect(rest).to.include({ packetsLost: 0, packetsOutOfOrder: 1, packetsDuplicate: 1, packetsLurch: 0 });
    expect(stats.lifetime(START_US).connectedS).to.equal(1);
    expect(stats.lifetime(START_US + 1_500_000).connectedS).to.equal(2);
  });

  it('gives percentiles once there are enough samples', () => {
    const stats = started();
    stats.roundTrip.add(10, 0);
    expect(stats.lifetime(START_US).pingNtiles).to.deep.equal([undefined, undefined, undefined, undefined, undefined]);
    for (let i = 1; i < 50; i++) stats.roundTrip.add(10 + i, i);
    // Samples 10 … 59: interpolated at 2.45, 24.5, 36.75, 46.55 and 48.02, truncated.
    expect(stats.lifetime(START_US).pingNtiles).to.deep.equal([12, 34, 46, 56, 58]);
  });
});

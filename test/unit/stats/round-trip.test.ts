// The estimate of the round trip. Spec: 04 §4.8.
import { expect } from 'chai';
import { RoundTrip } from '../../../src/core/stats/round-trip.ts';

const MS = 1_000;

/** Samples in ms at times in ms. */
function sampled(...samples: readonly (readonly [pingMs: number, atMs: number])[]): RoundTrip {
  const roundTrip = new RoundTrip();
  for (const [pingMs, atMs] of samples) roundTrip.add(pingMs, atMs * MS);
  return roundTrip;
}

describe('RoundTrip', () => {
  it('is unknown without a sample', () => {
    expect(sampled().smoothedMs).to.equal(-1);
    expect(sampled().worstMs).to.equal(-1);
    expect(sampled().newestAtUs).to.equal(Number.NEGATIVE_INFINITY);
  });

  it('is the only sample, the smaller of two, and half the sum of the smaller two of three', () => {
    expect(sampled([40, 0]).smoothedMs).to.equal(40);
    expect(sampled([40, 0], [60, 1]).smoothedMs).to.equal(40);
    expect(sampled([40, 0], [60, 1], [45, 2]).smoothedMs).to.equal(42);
  });

  it('is based on the newest three', () => {
    expect(sampled([10, 0], [40, 1], [60, 2], [45, 300]).smoothedMs).to.equal(42);
    expect(sampled([500, 0], [40, 1], [60, 2], [45, 300]).worstMs).to.equal(60);
  });

  it('lets samples in quick succession count once, as the best of them', () => {
    const three = [
      [100, 0],
      [110, 1],
      [120, 2],
    ] as const;
    expect(sampled(...three, [200, 50]).worstMs).to.equal(120);
    expect(sampled(...three, [90, 50]).worstMs).to.equal(110);
    expect(sampled(...three, [90, 50], [95, 60]).smoothedMs).to.equal(95);
    expect(sampled(...three, [200, 102]).worstMs).to.equal(200);
  });

  it('knows when the newest sample came, even if it did not change the estimate', () => {
    expect(sampled([100, 0], [110, 1], [120, 2], [200, 50]).newestAtUs).to.equal(50 * MS);
  });

  it('rounds what was measured, and ignores what is out of range', () => {
    const roundTrip = new RoundTrip();
    for (const rttUs of [-1, 2_000_001, Number.NaN]) roundTrip.addMeasured(rttUs, 1);
    expect(roundTrip.smoothedMs).to.equal(-1);
    roundTrip.addMeasured(1_499, 1);
    expect(roundTrip.smoothedMs).to.equal(1);
    roundTrip.addMeasured(0, 1);
    expect(roundTrip.smoothedMs).to.equal(0);
  });

  it('truncates the sample of an ack, and takes a slightly negative one for 0', () => {
    const of = (rttUs: number) => {
      const roundTrip = new RoundTrip();
      roundTrip.addAckSample(rttUs, 1);
      return roundTrip.smoothedMs;
    };
    expect([1_999, 999, -999, -1_999].map(of)).to.deep.equal([1, 0, 0, 0]);
    expect([-2_000, 2_000_001].map(of)).to.deep.equal([-1, -1]);
    expect(of(2_000_000)).to.equal(2000);
  });

  it('counts every sample by size', () => {
    const edges = [0, 25, 26, 50, 75, 100, 125, 150, 200, 300, 301].map((pingMs, i) => [pingMs, i] as const);
    expect(sampled(...edges).histogram).to.deep.equal([2, 2, 1, 1, 1, 1, 1, 1, 1]);
  });
});

// Percentiles of more samples than are kept. Spec: 04 §4.8, §4.10.
import { expect } from 'chai';
import { newHistogram, noteIn, Reservoir } from '../../../src/core/stats/distribution.ts';

describe('Reservoir', () => {
  it('knows no percentile of too few samples', () => {
    const reservoir = new Reservoir();
    expect(reservoir.percentile(0.5, 0)).to.equal(undefined);
    reservoir.add(5);
    expect(reservoir.percentile(0.5, 2)).to.equal(undefined);
    reservoir.add(8);
    expect(reservoir.percentile(0.5, 2)).to.equal(6);
  });

  it('sorts numbers as numbers', () => {
    const reservoir = new Reservoir();
    for (const sample of [100, 9, 20]) reservoir.add(sample);
    expect([0, 0.5, 1].map((share) => reservoir.percentile(share, 2))).to.deep.equal([9, 20, 100]);
  });

  it('keeps a fair choice of a thousand', () => {
    const reservoir = new Reservoir();
    for (let i = 0; i < 50_000; i++) reservoir.add(i);
    expect(reservoir.count).to.equal(1000);
    expect(reservoir.percentile(0.5, 2)).to.be.within(22_500, 27_500);
    expect(reservoir.percentile(0.95, 2)).to.be.within(46_000, 49_000);
  });
});

describe('histogram', () => {
  it('counts a value on an edge below it, and one above all edges last', () => {
    const histogram = newHistogram(3);
    for (const value of [9, 10, 11, 20, 21]) noteIn(histogram, [10, 20], value);
    expect(histogram).to.deep.equal([2, 2, 1]);
  });
});

import { expect } from 'chai';
import { SeededRandom } from '../../../src/core/base/random.ts';

const take = (random: SeededRandom, count: number) => Array.from({ length: count }, () => random.u32());

describe('SeededRandom', () => {
  it('repeats itself for the same seed', () => {
    expect(take(new SeededRandom(7), 20)).to.deep.equal(take(new SeededRandom(7), 20));
  });

  it('gives unrelated numbers for neighbouring seeds', () => {
    const first = Array.from({ length: 100 }, (_, seed) => new SeededRandom(seed).u32());
    expect(new Set(first).size).to.equal(100);
  });

  it('gives every bit as often as not', () => {
    const random = new SeededRandom(1);
    const ones = new Array<number>(32).fill(0);
    for (let i = 0; i < 10_000; i++) {
      const value = random.u32();
      for (let bit = 0; bit < 32; bit++) ones[bit]! += (value >>> bit) & 1;
    }
    for (const count of ones) expect(count).to.be.within(4_750, 5_250);
  });

  it('gives fractions from 0 to below 1 around a half', () => {
    const random = new SeededRandom(2);
    const values = Array.from({ length: 10_000 }, () => random.float());
    expect(Math.min(...values)).to.be.within(0, 0.01);
    expect(Math.max(...values))
      .to.be.within(0.99, 1)
      .and.below(1);
    expect(values.reduce((sum, value) => sum + value) / values.length).to.be.closeTo(0.5, 0.02);
  });

  it('gives whole numbers below a limit, all of them', () => {
    const random = new SeededRandom(3);
    const seen = new Set(Array.from({ length: 200 }, () => random.below(6)));
    expect([...seen].sort((a, b) => a - b)).to.deep.equal([0, 1, 2, 3, 4, 5]);
  });

  it('fills bytes', () => {
    const bytes = new Uint8Array(1_000);
    new SeededRandom(4).fill(bytes);
    expect(new Set(bytes).size).to.be.above(240);
  });

  it('forks generators that do not depend on what the other draws', () => {
    const [a, b] = [new SeededRandom(5), new SeededRandom(5)];
    const [forkOfA, forkOfB] = [a.fork(), b.fork()];
    take(a, 10);
    expect(take(forkOfA, 5)).to.deep.equal(take(forkOfB, 5));
    expect(take(a, 5)).to.not.deep.equal(take(forkOfA, 5));
  });
});

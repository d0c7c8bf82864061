// Two hours of such a day with every build; whole days with many seeds: `npm run fuzz -- days`.

import { expect } from 'chai';
import { itSeeded } from '../support/seed.ts';
import { Day } from './day.ts';

const DURATION_US = 2 * 3_600 * 1_000_000;
const TEST_MS = 60_000;

describe('a day on which everything that can break does', () => {
  itSeeded('sees every promised message arrive, and leaves nothing behind', async function (seed) {
    this.timeout(TEST_MS);
    this.slow(TEST_MS);
    const report = await new Day(seed).run(DURATION_US);
    expect(report.complaints).to.deep.equal([]);
    expect(report.faults).to.be.greaterThan(3);
    expect(report.complete).to.be.greaterThan(10);
  });
});

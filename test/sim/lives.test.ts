// A thousand random lives of connections over bad links: whatever happens, they end, they tell the truth about it, and
// they leave nothing behind. Spec: 00, 04 §4.2.

import { expect } from 'chai';
import { SeededRandom } from '../../src/core/base/random.ts';
import { itSeeded } from '../support/seed.ts';
import { live, MISHAPS, type Mishap, planLife } from './life.ts';

const TITLES: Readonly<Record<Mishap, string>> = {
  none: 'are left in peace',
  kill: 'lose one side at once',
  freeze: 'have one side suspended for a while',
  partition: 'have their link cut for a while',
  cut: 'have their link cut for good',
};
const COUNTS: Readonly<Record<Mishap, number>> = { none: 400, kill: 150, freeze: 150, partition: 150, cut: 150 };
const TEST_MS = 120_000;

describe('random lives over bad links', () => {
  for (const mishap of MISHAPS) {
    itSeeded(`all end in Dead and in honesty: ${COUNTS[mishap]} that ${TITLES[mishap]}`, async function (seed) {
      this.timeout(TEST_MS);
      this.slow(TEST_MS);
      const random = new SeededRandom(seed + MISHAPS.indexOf(mishap));
      for (let number = 0; number < COUNTS[mishap]; number++) {
        const plan = planLife(random.fork(), mishap);
        const complaints = await live(plan);
        expect(complaints, `life ${number}: ${JSON.stringify(plan)}`).to.deep.equal([]);
      }
    });
  }
});

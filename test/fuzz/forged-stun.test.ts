// Somebody repeats and spoils the STUN messages of two agents while they look for each other.

import { expect } from 'chai';
import { ForgedStun } from '../../fuzz/rendezvous.ts';
import { SeededRandom } from '../../src/core/base/random.ts';

describe('a nomination that is repeated from elsewhere', () => {
  // In each of these it once took the place of the genuine one, and the two never met.
  for (const [seed, packets] of [
    [3, 18_000],
    [14, 14_000],
    [32, 6_000],
  ] as const) {
    it(`does not keep two agents from finding each other: seed ${seed}`, () => {
      const target = new ForgedStun(new SeededRandom(seed));
      while (target.packets < packets) target.step();
      expect(target.end()).to.deep.equal([]);
    });
  }
});

// The window of received packet numbers, against a set of all numbers ever received. Spec: 01 §1.9 "Packet numbers".
import { expect } from 'chai';
import fc from 'fast-check';
import { type Arrival, SequenceWindow } from '../../src/core/stats/sequence-window.ts';
import { SEED } from '../support/seed.ts';

const RUN = { numRuns: 300, seed: SEED };

/** Slow and obvious. */
class SetModel {
  highest: number;
  lost = 0;
  outOfOrder = 0;
  duplicates = 0;
  lurches = 0;
  readonly #received = new Set<number>();
  /** All numbers up to this one count as received. */
  #floor: number;

  constructor(highest: number) {
    this.highest = this.#floor = highest;
  }

  check(number: number): Arrival {
    if (number > this.highest) return 'new';
    const base = Math.floor(this.highest / 64) * 64;
    if (Math.floor((number - base) / 64) + 1 < 0) {
      this.outOfOrder++;
      return 'tooOld';
    }
    if (number > this.#floor && !this.#received.has(number)) return 'new';
    this.duplicates++;
    return 'duplicate';
  }

  mark(number: number): void {
    this.#received.add(number);
    if (number < this.highest) {
      this.outOfOrder++;
      this.lost = Math.max(0, this.lost - 1);
    } else if (number >= this.highest + 100) {
      this.lurches++;
      this.highest = this.#floor = number;
    } else {
      this.lost += number - this.highest - 1;
      this.highest = number;
    }
  }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 3 }) },
  { weight: 4, arbitrary: fc.integer({ min: -140, max: 0 }) },
  { weight: 2, arbitrary: fc.integer({ min: 4, max: 130 }) },
  { weight: 1, arbitrary: fc.integer({ min: 130, max: 5000 }) },
);

describe('SequenceWindow against a set', () => {
  it('judges and counts every packet as the set does', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 200 }),
        fc.array(fc.tuple(step, fc.boolean()), { maxLength: 400 }),
        (start, steps) => {
          const window = new SequenceWindow();
          window.start(start);
          const model = new SetModel(start);
          for (const [distance, isProcessed] of steps) {
            const number = model.highest + distance;
            const arrival = window.check(number);
            expect(arrival).to.equal(model.check(number));
            // A packet whose payload was discarded is not marked: it may come again.
            if (arrival === 'new' && isProcessed) {
              window.mark(number);
              model.mark(number);
            }
            const { highest, lost, outOfOrder, duplicates, lurches } = window;
            expect({ highest, lost, outOfOrder, duplicates, lurches }).to.deep.equal({
              highest: model.highest,
              lost: model.lost,
              outOfOrder: model.outOfOrder,
              duplicates: model.duplicates,
              lurches: model.lurches,
            });
          }
        },
      ),
      RUN,
    );
  });

  it('completes 16 bits to the number nearest to the highest', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 48 }),
        fc.integer({ min: -0x8000, max: 0x7fff }),
        (highest, distance) => {
          const window = new SequenceWindow();
          window.start(highest);
          expect(window.expand((highest + distance) & 0xffff)).to.equal(highest + distance);
        },
      ),
      { ...RUN, examples: [[2 ** 48 - 1, 0x7fff]] },
    );
  });
});

// Who is due first, against sorting.
import { expect } from 'chai';
import fc from 'fast-check';
import { DeadlineHeap, type Scheduled } from '../../src/core/base/deadline-heap.ts';
import { NEVER } from '../../src/core/base/time.ts';
import { SEED } from '../support/seed.ts';

const RUN = { numRuns: 300, seed: SEED };
const ITEMS = 30;

interface Item extends Scheduled {
  readonly name: number;
}

const deadline = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 40 }) },
  { weight: 1, arbitrary: fc.constant(NEVER) },
);
const command = fc.oneof(
  fc.record({ item: fc.integer({ min: 0, max: ITEMS - 1 }), deadlineUs: deadline }),
  fc.record({ nowUs: fc.integer({ min: 0, max: 45 }) }),
);

describe('DeadlineHeap against a sorted list', () => {
  it('always knows who is first, and takes out those that are due in order', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        const heap = new DeadlineHeap<Item>();
        const items = Array.from({ length: ITEMS }, (_, name): Item => ({ name, deadlineUs: NEVER, heapIndex: -1 }));
        const model = new Map<Item, number>();
        for (const each of commands) {
          if ('item' in each) {
            heap.set(items[each.item]!, each.deadlineUs);
            if (each.deadlineUs === NEVER) model.delete(items[each.item]!);
            else model.set(items[each.item]!, each.deadlineUs);
          } else {
            const due = [...model.values()].filter((at) => at <= each.nowUs).sort((a, b) => a - b);
            for (const at of due) {
              const item = heap.popDue(each.nowUs)!;
              expect(model.get(item)).to.equal(at);
              expect(item.deadlineUs).to.equal(NEVER);
              model.delete(item);
            }
            expect(heap.popDue(each.nowUs)).to.equal(undefined);
          }
          expect(heap.size).to.equal(model.size);
          expect(heap.nextUs).to.equal(Math.min(...model.values()));
        }
      }),
      RUN,
    );
  });
});

// Weighted fair queueing against a model that is as slow and plain as the specification reads.

import { expect } from 'chai';
import fc from 'fast-check';
import { LaneScheduler } from '../../src/core/delivery/lane-scheduler.ts';
import type { OutgoingMessage } from '../../src/core/delivery/message.ts';
import { SendLane } from '../../src/core/delivery/send-lane.ts';

interface ModelMessage {
  rest: number;
  finish: number;
}

/** Spec 03 §3.11 "Lanes", word by word. */
class Model {
  readonly #lanes: { priority: number; weight: number; queue: ModelMessage[] }[];
  readonly #time = new Map<number, number>();

  constructor(lanes: readonly { priority: number; weight: number }[]) {
    this.#lanes = lanes.map((lane) => ({ ...lane, queue: [] }));
  }

  #costOf(lane: number): number {
    const { priority, weight } = this.#lanes[lane]!;
    const total = this.#lanes.filter((each) => each.priority === priority).reduce((sum, each) => sum + each.weight, 0);
    return (65_536 * total) / weight;
  }

  enqueue(lane: number, size: number): void {
    const { queue, priority } = this.#lanes[lane]!;
    const start = queue.at(-1)?.finish ?? this.#time.get(priority) ?? 0;
    queue.push({ rest: size, finish: start + size * this.#costOf(lane) });
  }

  next(): number | undefined {
    const waiting = this.#lanes.map((lane, index) => ({ ...lane, index })).filter(({ queue }) => queue.length > 0);
    waiting.sort((a, b) => a.priority - b.priority || a.queue[0]!.finish - b.queue[0]!.finish || a.index - b.index);
    return waiting[0]?.index;
  }

  serve(lane: number, bytes: number): void {
    const { queue, priority } = this.#lanes[lane]!;
    const first = queue[0]!;
    first.rest -= bytes;
    if (first.rest > 0) {
      this.#time.set(priority, (this.#time.get(priority) ?? 0) + bytes * this.#costOf(lane));
      return;
    }
    this.#time.set(priority, first.finish);
    queue.shift();
  }
}

const laneArbitrary = fc.record({
  priority: fc.integer({ min: -2, max: 2 }),
  weight: fc.integer({ min: 1, max: 65_535 }),
});
const stepArbitrary = fc.record({
  lane: fc.nat(),
  size: fc.integer({ min: 1, max: 3000 }),
  serve: fc.array(fc.integer({ min: 1, max: 1200 }), { maxLength: 4 }),
});
const { SEED } = process.env;

describe('lane scheduler', () => {
  it('chooses the lanes that the plain model chooses', () => {
    const property = fc.property(
      fc.array(laneArbitrary, { minLength: 1, maxLength: 12 }),
      fc.array(stepArbitrary, { maxLength: 60 }),
      (options, steps) => {
        const lanes = options.map((_, index) => new SendLane(index));
        const scheduler = new LaneScheduler();
        scheduler.configure(lanes, options);
        const model = new Model(options);
        for (const { lane: pick, size, serve } of steps) {
          const lane = lanes[pick % lanes.length]!;
          scheduler.onQueued(lane, lane.enqueue(new Uint8Array(size), false, 0));
          model.enqueue(lane.index, size);
          for (const bytes of serve) {
            const next = scheduler.next((each): OutgoingMessage | undefined => each.queue.peek());
            expect(next?.index).to.equal(model.next());
            if (next === undefined) continue;
            const message = next.queue.peek()!;
            const served = Math.min(bytes, message.totalBytes - message.sentBytes);
            next.commit(message, served);
            scheduler.onServed(next, message, served);
            model.serve(next.index, served);
          }
        }
      },
    );
    fc.assert(property, { numRuns: 500, ...(SEED === undefined ? {} : { seed: Number(SEED) }) });
  });
});

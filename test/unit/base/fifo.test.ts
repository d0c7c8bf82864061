// The queue, against an array.
import { expect } from 'chai';
import fc from 'fast-check';
import { Fifo } from '../../../src/core/base/fifo.ts';

const { SEED } = process.env;
const RUN = SEED ? { seed: Number(SEED) } : {};

describe('Fifo', () => {
  it('gives the items back in the order they came', () => {
    const fifo = new Fifo<string>();
    for (const item of ['a', 'b', 'c']) fifo.push(item);
    expect([fifo.shift(), fifo.shift(), fifo.shift(), fifo.shift()]).to.deep.equal(['a', 'b', 'c', undefined]);
  });

  it('shows the first item without removing it', () => {
    const fifo = new Fifo<string>();
    expect(fifo.peek()).to.equal(undefined);
    fifo.push('a');
    expect(fifo.peek()).to.equal('a');
    expect(fifo.length).to.equal(1);
  });

  it('finds an item by the sequence number that push returned, as long as it is queued', () => {
    const fifo = new Fifo<number>();
    const numbers = Array.from({ length: 20 }, (_, i) => fifo.push(i * 10));
    for (let i = 0; i < 5; i++) fifo.shift();
    expect(fifo.at(numbers[4]!)).to.equal(undefined);
    expect(fifo.at(numbers[5]!)).to.equal(50);
    expect(fifo.at(numbers[19]!)).to.equal(190);
    expect(fifo.at(fifo.tail)).to.equal(undefined);
  });

  it('starts anew after clear', () => {
    const fifo = new Fifo<string>();
    fifo.push('a');
    fifo.clear();
    expect(fifo.length).to.equal(0);
    expect(fifo.shift()).to.equal(undefined);
    expect(fifo.at(fifo.push('b'))).to.equal('b');
  });

  it('behaves like an array under any pushes, shifts and insertions', () => {
    const command = fc.oneof(
      { weight: 3, arbitrary: fc.constant('push' as const) },
      { weight: 2, arbitrary: fc.constant('shift' as const) },
      { weight: 1, arbitrary: fc.nat(1000) },
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
        const fifo = new Fifo<number>();
        const model: number[] = [];
        for (const [item, what] of commands.entries()) {
          if (what === 'shift') expect(fifo.shift()).to.equal(model.shift());
          else if (what === 'push') expect(fifo.push(item) - fifo.head).to.equal(model.push(item) - 1);
          else insert(fifo, model, what % (model.length + 1), item);
          expect(fifo.length).to.equal(model.length);
          expect(fifo.peek()).to.equal(model[0]);
        }
        expect(model.map((_, i) => fifo.at(fifo.head + i))).to.deep.equal(model);
      }),
      RUN,
    );
  });
});

function insert(fifo: Fifo<number>, model: number[], index: number, item: number): void {
  fifo.insertAt(fifo.head + index, item);
  model.splice(index, 0, item);
}

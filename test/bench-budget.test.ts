// What the packet path may allocate: `bench/budget.json`, in bytes of JavaScript heap per operation. Times are not
// checked, they depend on the machine; allocations do not.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { MICRO_FLAGS, type MicroCalls } from '../bench/micro.ts';
import { Worker } from '../bench/processes.ts';

describe('the allocation budget', () => {
  it('is kept by every operation of the packet path, and names each of them', async function () {
    this.timeout(60_000);
    const path = fileURLToPath(new URL('../../bench/budget.json', import.meta.url));
    const budget = JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, number>>;
    const worker = new Worker<MicroCalls>('micro', { nodeOptions: MICRO_FLAGS });
    const rows = (await worker.call('measure', 'allocations')).filter(({ isYardstick }) => !isYardstick);
    await worker.stop();

    expect(rows.map(({ name }) => name).sort()).to.deep.equal(Object.keys(budget).sort());
    const excesses = rows
      .filter(({ name, heapBytes }) => heapBytes! > budget[name]!)
      .map(({ name, heapBytes }) => `${name}: ${heapBytes} B, at most ${budget[name]}`);
    expect(excesses).to.deep.equal([]);
  });
});

// Feeds spoilt inputs to targets and tells which seed and number would repeat what went wrong.

import { deepStrictEqual } from 'node:assert';
import { SeededRandom } from '../src/core/base/random.ts';
import type { Target } from './decoders.ts';
import { MAX_INPUT_BYTES, Mutator } from './mutator.ts';

/** One input in so many is also looked at closely. */
const CLOSE_LOOK_EVERY = 64;

/** Something did not hold. */
export class FuzzFinding extends Error {
  readonly target: string;
  readonly input: Uint8Array;

  constructor(target: Target, input: Uint8Array, seed: number, number: number, cause: unknown) {
    const what = cause instanceof Error ? cause.stack : String(cause);
    super(`${target.name}: input ${number} of seed ${seed} is ${Buffer.from(input).toString('hex')}\n${what}`);
    this.target = target.name;
    this.input = input;
  }
}

/** Runs inputs `first` … `first + count - 1` that follow from the seed. Throws `FuzzFinding` at the first that hurts. */
export function fuzz(target: Target, seed: number, count: number): void {
  const mutator = new Mutator(new SeededRandom(seed));
  const { seeds } = target;
  for (let number = 0; number < count; number++) {
    const original = seeds[mutator.random.below(seeds.length)]!;
    const other = seeds[mutator.random.below(seeds.length)]!;
    const length = mutator.spoil(original, other);
    try {
      if (number % CLOSE_LOOK_EVERY === 0) lookClosely(target, mutator.bytes, length);
      else target.run(mutator.bytes, length);
    } catch (cause) {
      throw new FuzzFinding(target, mutator.bytes.slice(0, length), seed, number, cause);
    }
  }
}

const surroundings = new Uint8Array(2 * MAX_INPUT_BYTES);

/** Nothing of the result comes from behind the end of the input; and what was read can be written. */
export function lookClosely(target: Target, bytes: Uint8Array, length: number): void {
  const results = [0x00, 0xa5].map((filling) => {
    surroundings.fill(filling);
    surroundings.set(bytes.subarray(0, length));
    // Results may be views of the input, which the next round overwrites.
    const result = target.run(surroundings, length);
    return result instanceof Object ? structuredClone(result) : result;
  });
  deepStrictEqual(results[0], results[1]);
  target.runThoroughly?.(bytes, length);
}

// Where the randomness of tests begins: one seed per run, taken from the environment variable SEED, and told whenever a
// test that used it fails.

import { env } from 'node:process';

/** What a run uses that is not told otherwise: a build that passed once passes again. `SEED=random` draws a new one. */
const DEFAULT_SEED = 20_260;

/** Any 32-bit number repeats a run: `SEED=12345 npm test`. */
export const SEED = seedOf(env['SEED']);

function seedOf(text: string | undefined): number {
  if (text === undefined || text === '') return DEFAULT_SEED;
  return text === 'random' ? Math.floor(Math.random() * 0x1_0000_0000) : Number(text) >>> 0;
}

/** An `it` that gets the seed of the run, and names it when it fails. */
export function itSeeded(title: string, body: (this: Mocha.Context, seed: number) => Promise<void> | void): Mocha.Test {
  return it(title, async function () {
    try {
      await body.call(this, SEED);
    } catch (error) {
      if (error instanceof Error) error.message += `\nrepeat this with SEED=${SEED}`;
      throw error;
    }
  });
}

// Follows the coverage: an input that makes the code do something new is kept, and spoilt further. V8 counts what runs,
// so nothing is instrumented and nothing needs to be installed.

import type { Profiler } from 'node:inspector';
import { Session } from 'node:inspector';
import { SeededRandom } from '../src/core/base/random.ts';
import type { Target } from './decoders.ts';
import { Mutator } from './mutator.ts';
import { FuzzFinding } from './run.ts';

/** Asking for the counts costs as much as a hundred inputs. */
const BATCH = 200;
const OURS = /\/dist[^/]*\/src\//;

/** What of the library has run, and how often by orders of magnitude. */
class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  get size(): number {
    return this.#seen.size;
  }

  /** So much that was never seen before has happened since the last call. */
  take(): number {
    const before = this.#seen.size;
    this.#session.post('Profiler.takePreciseCoverage', (error, coverage) => {
      if (error !== null) throw error;
      for (const script of coverage.result) if (OURS.test(script.url)) this.#note(script);
    });
    return this.#seen.size - before;
  }

  #note({ scriptId, functions }: Profiler.ScriptCoverage): void {
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) {
        const magnitude = count === 0 ? 'never' : Math.floor(Math.log2(count) / 2);
        this.#seen.add(`${scriptId} ${startOffset} ${endOffset} ${magnitude}`);
      }
    }
  }

  stop(): void {
    this.#session.disconnect();
  }
}

export interface GuidedResult {
  readonly inputs: number;
  /** What was worth keeping, the seeds not included. */
  readonly found: readonly Uint8Array[];
  readonly features: number;
}

/** Fuzzes one target for so long. Throws `FuzzFinding` at the first input that hurts. */
export function fuzzGuided(target: Target, seed: number, durationMs: number): GuidedResult {
  const random = new SeededRandom(seed);
  const mutator = new Mutator(random.fork());
  const coverage = new Coverage();
  const pool = [...target.seeds];
  const found: Uint8Array[] = [];
  const endAtMs = Date.now() + durationMs;
  let inputs = 0;
  const run = (input: Uint8Array): void => {
    inputs++;
    try {
      target.run(input, input.length);
    } catch (cause) {
      throw new FuzzFinding(target, input, seed, inputs, cause);
    }
  };
  try {
    for (const input of pool) run(input);
    coverage.take();
    while (Date.now() < endAtMs) {
      const batch = Array.from({ length: BATCH }, () => spoilOne(mutator, pool, found, random));
      for (const input of batch) run(input);
      if (coverage.take() === 0) continue;
      for (const input of culprits(batch, run, coverage)) {
        pool.push(input);
        found.push(input);
      }
    }
    return { inputs, found, features: coverage.size };
  } finally {
    coverage.stop();
  }
}

/** What was found lately leads further than what everybody has. */
function spoilOne(mutator: Mutator, pool: readonly Uint8Array[], found: readonly Uint8Array[], random: SeededRandom) {
  const favourites = found.length > 0 && random.float() < 0.5 ? found.slice(-64) : pool;
  const original = favourites[random.below(favourites.length)]!;
  const length = mutator.spoil(original, pool[random.below(pool.length)]!);
  return mutator.bytes.slice(0, length);
}

/** Those of the batch that do something new even alone. */
function culprits(batch: readonly Uint8Array[], run: (input: Uint8Array) => void, coverage: Coverage): Uint8Array[] {
  return batch.filter((input) => {
    run(input);
    return coverage.take() > 0;
  });
}

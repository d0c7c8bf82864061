// Waiting for what other processes and the system do. Real time: for tests whose point that is.

import { setTimeout } from 'node:timers/promises';

/** Resolves when it holds; rejects when it does not within the time. */
export async function eventually(predicate: () => boolean, withinMs = 5_000): Promise<void> {
  const endMs = Date.now() + withinMs;
  while (!predicate()) {
    if (Date.now() > endMs) throw new Error(`${predicate} does not hold after ${withinMs} ms`);
    await setTimeout(5);
  }
}

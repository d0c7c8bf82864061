// Waiting for whichever of several events comes first.

import type { EventEmitter } from 'node:events';

/** Resolves with the next of these events; leaves no listener behind. */
export function nextOf<T extends Record<keyof T, unknown[]>>(
  emitter: EventEmitter<T>,
  ...events: readonly (keyof T & string)[]
): Promise<void> {
  // The events of a generic emitter are beyond what its own types can say.
  const plain = emitter as unknown as EventEmitter;
  return new Promise((resolve) => {
    const done = () => {
      for (const event of events) plain.off(event, done);
      resolve();
    };
    for (const event of events) plain.on(event, done);
  });
}

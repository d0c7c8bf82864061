// The end of an instance in a program that a person waits for.

import { setTimeout as delay } from 'node:timers/promises';
import type { Networking } from '../index.ts';

const PATIENCE_MS = 200;

/** Closes all and tells the peers, but does not wait long for those that do not answer. */
export async function closeSoon(networking: Networking): Promise<void> {
  await Promise.race([networking.close(), delay(PATIENCE_MS)]);
}

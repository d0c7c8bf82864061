// Telling the peer that it is over, until it says that it knows. GNS tells it once; if that datagram is lost, the peer is
// left to its time-out. We repeat it with growing pauses; a GNS peer answers each, and sees nothing unusual.
// Spec: 01 §1.10, 04 §4.2.

import { NEVER, US_PER_MS } from '../base/time.ts';

const MIN_PAUSE_MS = 200;
const MAX_REPEATS = 5;

export class CloseNotice {
  /** When to say it (again). */
  dueUs = NEVER;
  isConfirmed = false;
  isMuted = false;
  #pauseUs = 0;
  #repeatsLeft = 0;

  /** The first notice is due now. `pingMs` is -1 if unknown. */
  start(pingMs: number, nowUs: number): void {
    if (this.isConfirmed || this.isMuted) return;
    this.dueUs = nowUs;
    this.#pauseUs = Math.max(MIN_PAUSE_MS, 2 * pingMs + MIN_PAUSE_MS / 2) * US_PER_MS;
    this.#repeatsLeft = MAX_REPEATS;
  }

  /** True once for each time that it is to be said. */
  isDue(nowUs: number): boolean {
    if (nowUs < this.dueUs) return false;
    this.dueUs = this.#repeatsLeft > 0 ? nowUs + this.#pauseUs : NEVER;
    this.#repeatsLeft--;
    this.#pauseUs *= 2;
    return true;
  }

  /** The peer knows. */
  confirm(): void {
    this.isConfirmed = true;
    this.dueUs = NEVER;
  }

  mute(): void {
    this.isMuted = true;
    this.confirm();
  }
}

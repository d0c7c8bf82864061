// The end of a connection: why it ended, and telling the peer until it says that it knows. GNS tells it once; if that
// datagram is lost, the peer is left to its time-out. We repeat it with growing pauses; a GNS peer answers each, and sees
// nothing unusual.
// Spec: 01 §1.10, 04 §4.2.

import { NEVER, US_PER_MS } from '../base/time.ts';
import type { ConnectionClosed, NoConnection } from '../wire/control-packets.ts';
import type { End } from './end-reason.ts';

const MIN_PAUSE_MS = 200;
const MAX_REPEATS = 4;

export class CloseNotice {
  /** One of `EndReason`, or what an application said; 0 before the end. */
  reason = 0;
  debug = '';
  /** The peer closed, not we: all that we still say is that we have no connection. */
  isByPeer = false;
  /** When to say it (again). */
  dueUs = NEVER;
  isConfirmed = false;
  isMuted = false;
  #pauseUs = 0;
  #repeatsLeft = 0;

  /** Why it ends; the last to say so is right. */
  set({ reason, debug }: End): void {
    this.reason = reason;
    this.debug = debug;
  }

  /** The first notice is due now. `pingMs` is -1 if unknown. */
  start(pingMs: number, nowUs: number): void {
    if (this.isConfirmed || this.isMuted) return;
    this.dueUs = nowUs;
    this.#pauseUs = Math.max(MIN_PAUSE_MS, 2 * pingMs + MIN_PAUSE_MS / 2) * US_PER_MS;
    this.#repeatsLeft = MAX_REPEATS;
  }

  /** It was said before, and nobody answered. */
  get isRepeated(): boolean {
    return !this.isConfirmed && this.#repeatsLeft < MAX_REPEATS - 1 && this.dueUs !== NEVER;
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

  /** The closing reply: whatever came, this is how things stand. */
  packet(fromConnectionId: number, toConnectionId: number): ConnectionClosed | NoConnection {
    if (this.isByPeer) return { kind: 'noConnection', fromConnectionId, toConnectionId };
    return { kind: 'connectionClosed', fromConnectionId, toConnectionId, reason: this.reason, debug: this.debug };
  }

  /** Nothing more is to be said. */
  mute(): void {
    this.isMuted = true;
    this.confirm();
  }
}

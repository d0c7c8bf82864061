// The `pingpong` command: one message at a time, answered by a peer that echoes; measures round trips.

import type { SendOptions } from '../../index.ts';
import { monotonicUs } from './clock.ts';
import { distribution } from './distribution.ts';
import { CommandError } from './line.ts';
import { fillPattern } from './pattern.ts';
import { flagsText } from './payload.ts';
import type { Fields } from './report.ts';
import type { PeerConnection, Session } from './session.ts';
import { AT_ONCE, Stopwatch, type Task, type Turn } from './tasks.ts';

/** `PING`, little endian; then the sequence number (u32) and the pattern. */
export const PING_MAGIC = 0x474e_4950;
export const PING_HEADER_BYTES = 8;

export interface PingOptions {
  readonly sizeBytes: number;
  readonly count: number;
  /** Round trips before those that count. */
  readonly warmup: number;
  readonly gapUs: number;
  readonly timeoutUs: number;
  readonly send: SendOptions;
  /** Never sleeps. */
  readonly spin: boolean;
}

export class PingTask implements Task {
  readonly kind = 'pingpong';
  readonly event = 'pingpong';
  readonly conn: string;
  readonly tag: string;
  readonly peer: PeerConnection;
  readonly #session: Session;
  readonly #options: PingOptions;
  readonly #message: Uint8Array;
  readonly #view: DataView;
  readonly #watch = new Stopwatch();
  readonly #roundTripsUs: number[] = [];
  #sequence = 0;
  #isWaiting = false;
  #sentAtUs = 0;
  #nextAtUs = 0;
  #sent = 0;
  #lost = 0;
  #late = 0;
  readonly #wake: () => void;

  /** `wake` gives the task a turn soon. */
  constructor(session: Session, peer: PeerConnection, tag: string, options: PingOptions, wake: () => void) {
    this.#session = session;
    this.peer = peer;
    this.conn = peer.id;
    this.tag = tag;
    this.#options = options;
    this.#wake = wake;
    this.#message = new Uint8Array(options.sizeBytes);
    this.#view = new DataView(this.#message.buffer);
    this.#view.setUint32(0, PING_MAGIC, true);
  }

  get #isComplete(): boolean {
    return this.#sequence >= this.#options.count + this.#options.warmup;
  }

  turn(nowUs: number): Turn {
    if (!this.#session.has(this.peer)) return { error: 'connection is gone' };
    if (this.#isWaiting && nowUs - this.#sentAtUs > this.#options.timeoutUs) {
      if (this.#sequence >= this.#options.warmup) this.#lost++;
      this.#isWaiting = false;
      this.#sequence++;
    }
    if (!this.#isWaiting) {
      if (this.#isComplete) return 'done';
      if (nowUs >= this.#nextAtUs && !this.#sendNext()) return { error: 'send failed' };
    }
    if (this.#options.spin) return AT_ONCE;
    const dueUs = this.#isWaiting ? this.#sentAtUs + this.#options.timeoutUs : this.#nextAtUs;
    return { waitMs: Math.max(1, Math.ceil((dueUs - nowUs) / 1e3)) };
  }

  #sendNext(): boolean {
    this.#view.setUint32(4, this.#sequence, true);
    fillPattern(0, this.#sequence, this.#message, PING_HEADER_BYTES);
    this.#sentAtUs = monotonicUs();
    this.#sent++;
    this.#isWaiting = true;
    try {
      this.peer.send(this.#message, this.#options.send);
      return true;
    } catch (error) {
      CommandError.from(error);
      return false;
    }
  }

  handlePing(data: Uint8Array, nowUs: number): boolean {
    if (data.length < PING_HEADER_BYTES) return false;
    const sequence = new DataView(data.buffer, data.byteOffset).getUint32(4, true);
    if (!this.#isWaiting || sequence !== this.#sequence) {
      this.#late++;
      return true;
    }
    if (sequence >= this.#options.warmup) this.#roundTripsUs.push(nowUs - this.#sentAtUs);
    this.#isWaiting = false;
    this.#sequence++;
    this.#nextAtUs = nowUs + this.#options.gapUs;
    // Without a gap the next one goes at once, from here; a failure is found at the next turn.
    if (this.#options.gapUs > 0 || this.#isComplete || !this.#sendNext()) this.#wake();
    return true;
  }

  report(): Fields {
    return {
      flags: flagsText(this.#options.send),
      size: this.#options.sizeBytes,
      sent: this.#sent,
      lost: this.#lost,
      late: this.#late,
      ...distribution(this.#roundTripsUs),
      cpu_us: this.#watch.cpuUs.total,
    };
  }
}

// The `rate` command: messages with a time stamp, evenly spaced.

import type { SendOptions } from '../../index.ts';
import { monotonicUs, round3 } from './clock.ts';
import { RATE_HEADER_BYTES, RATE_MAGIC, realNs } from './latency.ts';
import { CommandError } from './line.ts';
import { fillPattern } from './pattern.ts';
import { flagsText } from './payload.ts';
import type { Fields } from './report.ts';
import type { PeerConnection, Session } from './session.ts';
import { Stopwatch, type Task, type Turn } from './tasks.ts';

export interface RateOptions {
  readonly sizeBytes: number;
  readonly hz: number;
  readonly count: number;
  readonly send: SendOptions;
}

export class RateTask implements Task {
  readonly kind = 'rate';
  readonly event = 'rate';
  readonly conn: string;
  readonly tag: string;
  readonly peer: PeerConnection;
  readonly #session: Session;
  readonly #options: RateOptions;
  readonly #message: Uint8Array;
  readonly #view: DataView;
  readonly #watch = new Stopwatch();
  readonly #startUs = monotonicUs();
  #sent = 0;
  #failed = 0;
  #maxLateUs = 0;

  constructor(session: Session, peer: PeerConnection, tag: string, options: RateOptions) {
    this.#session = session;
    this.peer = peer;
    this.conn = peer.id;
    this.tag = tag;
    this.#options = options;
    this.#message = new Uint8Array(options.sizeBytes);
    this.#view = new DataView(this.#message.buffer);
    this.#view.setUint32(0, RATE_MAGIC, true);
  }

  get #tried(): number {
    return this.#sent + this.#failed;
  }
  get #dueUs(): number {
    return this.#startUs + (this.#tried * 1e6) / this.#options.hz;
  }

  turn(nowUs: number): Turn {
    if (!this.#session.has(this.peer)) return { error: 'connection is gone' };
    while (this.#tried < this.#options.count && this.#dueUs <= nowUs) {
      this.#maxLateUs = Math.max(this.#maxLateUs, nowUs - this.#dueUs);
      this.#send();
    }
    if (this.#tried >= this.#options.count) return 'done';
    return { waitMs: Math.max(1, Math.floor((this.#dueUs - nowUs) / 1e3)) };
  }

  #send(): void {
    this.#view.setUint32(4, this.#tried, true);
    fillPattern(0, this.#tried, this.#message, RATE_HEADER_BYTES);
    this.#view.setBigUint64(8, process.hrtime.bigint(), true);
    this.#view.setBigUint64(16, realNs(), true);
    try {
      this.peer.send(this.#message, this.#options.send);
      this.#sent++;
    } catch (error) {
      CommandError.from(error);
      this.#failed++;
    }
  }

  report(): Fields {
    return {
      flags: flagsText(this.#options.send),
      size: this.#options.sizeBytes,
      hz: this.#options.hz,
      sent: this.#sent,
      failed: this.#failed,
      elapsed_us: round3(this.#watch.elapsedUs),
      max_late_us: round3(this.#maxLateUs),
      cpu_us: this.#watch.cpuUs.total,
    };
  }
}

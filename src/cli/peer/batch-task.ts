// The `connect count=` command: opens many connections to one address, some of them at a time.

import type { ConnectOptions, IpAddress } from '../../index.ts';
import { round3 } from './clock.ts';
import { CommandError } from './line.ts';
import type { Fields } from './report.ts';
import type { BatchProgress, Session } from './session.ts';
import { AT_ONCE, Stopwatch, type Task, type Turn } from './tasks.ts';

/** So many are opened in one go. */
const BURST = 16;
/** The task is woken by every change of a connection; this is only for safety. */
const IDLE_MS = 100;

export interface BatchOptions {
  readonly address: IpAddress;
  readonly connect: ConnectOptions;
  readonly count: number;
  /** Most that are in progress at a time. */
  readonly window: number;
}

export class BatchTask implements Task {
  readonly kind = 'connect';
  readonly event = 'connectbatch';
  readonly conn: string;
  readonly tag: string;
  readonly peer = undefined;
  readonly #session: Session;
  readonly #options: BatchOptions;
  readonly #watch = new Stopwatch();
  readonly #progress: BatchProgress = { connected: 0, failed: 0 };
  #started = 0;

  constructor(session: Session, id: string, tag: string, options: BatchOptions) {
    this.#session = session;
    this.conn = id;
    this.tag = tag;
    this.#options = options;
  }

  get #settled(): number {
    return this.#progress.connected + this.#progress.failed;
  }

  turn(): Turn {
    const { count, window } = this.#options;
    for (let burst = 0; this.#started < count && this.#started - this.#settled < window; burst++) {
      if (burst >= BURST) return AT_ONCE;
      this.#open(`${this.conn}.${this.#started++}`);
    }
    return this.#settled < count ? { waitMs: IDLE_MS } : 'done';
  }

  #open(id: string): void {
    try {
      this.#session.needFreeId(id);
      const connection = this.#session.instance.open(this.#options.address, this.#options.connect);
      this.#session.add(id, connection).batch = this.#progress;
    } catch (error) {
      CommandError.from(error);
      this.#progress.failed++;
    }
  }

  report(): Fields {
    const { elapsedUs, cpuUs } = this.#watch;
    return {
      count: this.#options.count,
      connected: this.#progress.connected,
      failed: this.#progress.failed,
      elapsed_us: round3(elapsedUs),
      per_s: round3((this.#progress.connected / elapsedUs) * 1e6),
      cpu_us: cpuUs.total,
    };
  }
}

// The small reliable stream inside of signals: what one side's ICE has to tell the other. Signals may be lost, doubled
// and reordered; each carries all that may be missing, and acknowledges what arrived. Spec: 07 §7.5.

import { NEVER, US_PER_MS } from '../base/time.ts';
import type { IceNews } from '../wire/signal.ts';

/** What was sent so long ago and is not acknowledged goes again. */
const RETRY_US = 1_000 * US_PER_MS;
/** An honest peer has fewer; what a hostile one adds is not kept. */
const MAX_UNACKED = 256;

/** Consecutive messages, the first of which has this number. */
export interface SignalBatch {
  readonly first: number;
  readonly news: readonly IceNews[];
}

interface Unacked {
  readonly news: IceNews;
  /** When to send it (again). */
  dueUs: number;
}

export class SignalStream {
  /** Number of the last message that arrived in order; 0 for none. */
  received = 0;
  /** Number of the oldest in `#unacked`. */
  #firstUnacked = 1;
  readonly #unacked: Unacked[] = [];

  /** The peer has acknowledged something. */
  get isHeard(): boolean {
    return this.#firstUnacked > 1;
  }

  /** Sends it with the next signal, and again until it is acknowledged. */
  push(news: IceNews, nowUs: number): void {
    if (this.#unacked.length < MAX_UNACKED) this.#unacked.push({ news, dueUs: nowUs });
  }

  /** When something has to go (again). */
  dueUs(): number {
    return this.#unacked.reduce((earliest, { dueUs }) => Math.min(earliest, dueUs), NEVER);
  }

  /** What the signal sent now carries: from the oldest that is due, or from the oldest of all. */
  take(isWhole: boolean, nowUs: number): SignalBatch | undefined {
    const start = isWhole ? 0 : this.#unacked.findIndex(({ dueUs }) => dueUs <= nowUs);
    const batch = start < 0 ? [] : this.#unacked.slice(start);
    if (batch.length === 0) return undefined;
    for (const message of batch) message.dueUs = nowUs + RETRY_US;
    return { first: this.#firstUnacked + start, news: batch.map(({ news }) => news) };
  }

  /** The peer has everything up to this number. */
  onAck(number: number): void {
    const count = Math.min(number - this.#firstUnacked + 1, this.#unacked.length);
    if (count <= 0) return;
    this.#unacked.splice(0, count);
    this.#firstUnacked += count;
  }

  /** What of a batch is new; nothing, if something before it is missing. */
  receive({ first, news }: SignalBatch): readonly IceNews[] {
    const known = this.received + 1 - first;
    if (known < 0 || known >= news.length) return [];
    this.received = first + news.length - 1;
    return news.slice(known);
  }

  /** The peer wants to hear nothing more. */
  clear(): void {
    this.#firstUnacked += this.#unacked.length;
    this.#unacked.length = 0;
  }
}

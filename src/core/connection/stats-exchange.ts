// When to tell the peer our statistics, and what it told us. Spec: 04 §4.10 "When sent".

import { US_PER_SECOND } from '../base/time.ts';
import type { InstantaneousStats, LifetimeStats, StatsBlob } from '../wire/stats-messages.ts';

/** Marks of statistics in a packet record. */
export const StatsMark = { Instantaneous: 1, Lifetime: 2 } as const;

/** From `ready` on they ride along with other data, from `due` on they demand a packet. */
interface Schedule {
  readonly mark: number;
  readonly readyUs: number;
  readonly dueUs: number;
  /** With no more traffic than this since the last time there is nothing worth telling. */
  readonly minPackets: (elapsedUs: number) => number;
  /** Where that is so, only time starts anew: traffic adds up until it is worth telling. */
  readonly addsUp: boolean;
}
const INSTANTANEOUS: Schedule = {
  mark: StatsMark.Instantaneous,
  readyUs: 20 * US_PER_SECOND,
  dueUs: 30 * US_PER_SECOND,
  minPackets: (elapsedUs) => elapsedUs / (3 * US_PER_SECOND),
  addsUp: false,
};
const LIFETIME: Schedule = {
  mark: StatsMark.Lifetime,
  readyUs: 120 * US_PER_SECOND,
  dueUs: 140 * US_PER_SECOND,
  minPackets: () => 100,
  addsUp: true,
};

/** One kind of statistics: since when, and at how many packets, the peer knows them. */
class Report {
  readonly schedule: Schedule;
  #sinceUs = 0;
  #sentThen = 0;
  #receivedThen = 0;

  constructor(schedule: Schedule) {
    this.schedule = schedule;
  }

  restart(nowUs: number, sent: number, received: number): void {
    this.#sinceUs = nowUs;
    this.#sentThen = sent;
    this.#receivedThen = received;
  }

  dueUs(): number {
    return this.#sinceUs + this.schedule.dueUs;
  }

  /** With too little to tell, time starts anew. */
  isReady(nowUs: number, sent: number, received: number): boolean {
    const elapsedUs = nowUs - this.#sinceUs;
    if (elapsedUs < this.schedule.readyUs) return false;
    const least = this.schedule.minPackets(elapsedUs);
    if (sent - this.#sentThen > least || received - this.#receivedThen > least) return true;
    if (this.schedule.addsUp) this.#sinceUs = nowUs;
    else this.restart(nowUs, sent, received);
    return false;
  }
}

export class StatsExchange {
  /** The peer's view, as it told last. */
  remoteInstantaneous: InstantaneousStats | undefined;
  remoteLifetime: LifetimeStats | undefined;
  readonly #reports = [new Report(INSTANTANEOUS), new Report(LIFETIME)] as const;
  /** Sent and neither acknowledged nor lost; nothing else is sent meanwhile. */
  #inFlight = 0;

  start(nowUs: number, sent: number, received: number): void {
    for (const report of this.#reports) report.restart(nowUs, sent, received);
  }

  dueUs(): number {
    if (this.#inFlight !== 0) return Number.POSITIVE_INFINITY;
    return Math.min(this.#reports[0].dueUs(), this.#reports[1].dueUs());
  }

  /** The marks of what a packet sent now should carry. */
  ready(nowUs: number, sent: number, received: number): number {
    if (this.#inFlight !== 0) return 0;
    let marks = 0;
    for (const report of this.#reports) if (report.isReady(nowUs, sent, received)) marks |= report.schedule.mark;
    return marks;
  }

  onSent(marks: number): void {
    this.#inFlight |= marks;
  }

  onLost(marks: number): void {
    this.#inFlight &= ~marks;
  }

  onAcked(marks: number, nowUs: number, sent: number, received: number): void {
    this.#inFlight &= ~marks;
    for (const report of this.#reports) {
      if ((marks & report.schedule.mark) !== 0) report.restart(nowUs, sent, received);
    }
  }

  onReceived(blob: StatsBlob): void {
    if (blob.instantaneous !== undefined) this.remoteInstantaneous = blob.instantaneous;
    if (blob.lifetime !== undefined) this.remoteLifetime = blob.lifetime;
  }
}

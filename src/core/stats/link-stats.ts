// What one connection's traffic looks like: rates, losses and jitter by intervals of five seconds, and the lifetime
// record; and the statistics messages made of them. Spec: 04 §4.9, §4.10.

import { US_PER_SECOND } from '../base/time.ts';
import type { InstantaneousStats, LifetimeStats } from '../wire/stats-messages.ts';
import { type Histogram, newHistogram, noteIn, Reservoir } from './distribution.ts';
import { RoundTrip } from './round-trip.ts';
import { SequenceWindow } from './sequence-window.ts';

const INTERVAL_US = 5 * US_PER_SECOND;
/** Shorter intervals (at the end of a connection) say nothing about quality. */
const MIN_QUALITY_INTERVAL_US = 4.5 * US_PER_SECOND;
const MIN_QUALITY_PACKETS = 5;
/** Lower ends of the quality buckets in percent; then one for the rest and one for "nothing arrived". */
const QUALITY_BUCKETS: readonly number[] = [100, 99, 97, 95, 90, 75, 50];
const QUALITY_REST = QUALITY_BUCKETS.length;
const QUALITY_DEAD = QUALITY_REST + 1;
/** Upper ends in us; a sample on the edge belongs to the next. */
const JITTER_BUCKETS_US: readonly number[] = [999, 1_999, 4_999, 9_999, 19_999];

/** Packets and bytes of UDP payload, one direction. */
class Flow {
  packets = 0;
  bytes = 0;
  packetsPerSec = 0;
  bytesPerSec = 0;
  #packetsBefore = 0;
  #bytesBefore = 0;

  note(bytes: number): void {
    this.packets++;
    this.bytes += bytes;
  }

  get packetsInInterval(): number {
    return this.packets - this.#packetsBefore;
  }

  endInterval(seconds: number): void {
    this.packetsPerSec = this.packetsInInterval / seconds;
    this.bytesPerSec = (this.bytes - this.#bytesBefore) / seconds;
    this.beginInterval();
  }

  beginInterval(): void {
    this.#packetsBefore = this.packets;
    this.#bytesBefore = this.bytes;
  }
}

export class LinkStats {
  readonly roundTrip = new RoundTrip();
  readonly window = new SequenceWindow();
  readonly sent = new Flow();
  readonly received = new Flow();
  /** Data packets whose number was understood, whatever became of them. */
  sequencedReceived = 0;
  /** Shares 0 … 1 of the last interval, -1 if nothing was received. */
  droppedShare = -1;
  weirdShare = -1;
  /** Highest jitter of the last interval, -1 without a sample; and since the application asked last. */
  intervalJitterUs = -1;
  unreadJitterUs = -1;
  #maxJitterUs = -1;
  readonly #jitterHistogram: Histogram = newHistogram(JITTER_BUCKETS_US.length + 1);
  readonly #qualityHistogram: Histogram = newHistogram(QUALITY_BUCKETS.length + 2);
  readonly #qualityReservoir = new Reservoir();
  #intervalStartUs = 0;
  #connectedAtUs = 0;
  #sequencedBefore = 0;
  #lostBefore = 0;
  #weirdBefore = 0;

  /** The connection is up; intervals begin. */
  start(nowUs: number): void {
    this.#connectedAtUs = nowUs;
    this.#intervalStartUs = nowUs;
    this.sent.beginInterval();
    this.received.beginInterval();
  }

  intervalEndUs(): number {
    return this.#intervalStartUs + INTERVAL_US;
  }

  noteJitter(jitterUs: number): void {
    if (jitterUs > this.#maxJitterUs) this.#maxJitterUs = jitterUs;
    if (jitterUs > this.unreadJitterUs) this.unreadJitterUs = jitterUs;
    noteIn(this.#jitterHistogram, JITTER_BUCKETS_US, jitterUs);
  }

  /** Share of packets that arrived in order in the last interval, -1 if unknown. */
  get quality(): number {
    return this.droppedShare < 0 ? -1 : Math.max(0, 1 - this.droppedShare - this.weirdShare);
  }

  /** Closes an interval that is over. `unansweredProbes`: how often in a row the peer did not reply. */
  endInterval(nowUs: number, unansweredProbes: number): void {
    const elapsedUs = nowUs - this.#intervalStartUs;
    const seconds = elapsedUs / US_PER_SECOND;
    const weird = this.window.outOfOrder + this.window.duplicates + this.window.lurches;
    const receivedPackets = this.sequencedReceived - this.#sequencedBefore;
    const dropped = Math.max(0, this.window.lost - this.#lostBefore);
    const odd = weird - this.#weirdBefore;
    if (elapsedUs > MIN_QUALITY_INTERVAL_US) {
      const isDead = receivedPackets === 0 && this.sent.packetsInInterval > seconds && unansweredProbes >= 2;
      this.#noteQuality(receivedPackets, dropped, odd, isDead);
    }
    this.sent.endInterval(seconds);
    this.received.endInterval(seconds);
    this.droppedShare = receivedPackets === 0 ? -1 : dropped / (receivedPackets + dropped);
    this.weirdShare = receivedPackets === 0 ? -1 : odd / (receivedPackets + dropped);
    this.intervalJitterUs = this.#maxJitterUs;
    this.#maxJitterUs = -1;
    this.#sequencedBefore = this.sequencedReceived;
    this.#lostBefore = this.window.lost;
    this.#weirdBefore = weird;
    this.#intervalStartUs = nowUs;
  }

  #noteQuality(received: number, dropped: number, odd: number, isDead: boolean): void {
    if (received <= MIN_QUALITY_PACKETS) {
      if (isDead) this.#qualityHistogram[QUALITY_DEAD]!++;
      return;
    }
    let quality = 100;
    if (dropped + odd > 0) {
      const percent = Math.trunc(((received - odd) * 100) / (received + dropped));
      quality = Math.min(99, Math.max(1, percent));
    }
    this.#qualityReservoir.add(quality);
    const bucket = QUALITY_BUCKETS.findIndex((least) => quality >= least);
    this.#qualityHistogram[bucket < 0 ? QUALITY_REST : bucket]!++;
  }

  instantaneous(): InstantaneousStats {
    const pingMs = this.roundTrip.smoothedMs;
    return {
      sentPacketsPerSecX10: Math.trunc(this.sent.packetsPerSec * 10),
      sentBytesPerSec: Math.trunc(this.sent.bytesPerSec),
      receivedPacketsPerSecX10: Math.trunc(this.received.packetsPerSec * 10),
      receivedBytesPerSec: Math.trunc(this.received.bytesPerSec),
      pingMs: pingMs < 0 ? undefined : pingMs,
      droppedPercent: this.droppedShare < 0 ? undefined : Math.trunc(this.droppedShare * 100),
      weirdPercent: this.weirdShare < 0 ? undefined : Math.trunc(this.weirdShare * 100),
      peakJitterUs: this.intervalJitterUs < 0 ? undefined : this.intervalJitterUs,
    };
  }

  lifetime(nowUs: number): LifetimeStats {
    const { window } = this;
    const pings = this.roundTrip.reservoir;
    const qualities = this.#qualityReservoir;
    return {
      connectedS: Math.max(1, Math.round((nowUs - this.#connectedAtUs) / US_PER_SECOND)),
      packetsSent: this.sent.packets,
      kibSent: toKib(this.sent.bytes),
      packetsReceived: this.received.packets,
      kibReceived: toKib(this.received.bytes),
      sequencedPacketsReceived: this.sequencedReceived,
      packetsLost: window.lost,
      packetsOutOfOrder: window.outOfOrder,
      packetsDuplicate: window.duplicates,
      packetsLurch: window.lurches,
      packetsOutOfOrderCorrected: 0,
      qualityHistogram: this.#qualityHistogram,
      qualityNtiles: [
        qualities.percentile(0.02, 50),
        qualities.percentile(0.05, 20),
        qualities.percentile(0.25, 4),
        qualities.percentile(0.5, 2),
      ],
      pingHistogram: this.roundTrip.histogram,
      pingNtiles: [
        pings.percentile(0.05, 20),
        pings.percentile(0.5, 2),
        pings.percentile(0.75, 4),
        pings.percentile(0.95, 20),
        pings.percentile(0.98, 50),
      ],
      jitterHistogram: this.#jitterHistogram,
    };
  }
}

function toKib(bytes: number): number {
  return Math.floor((bytes + 512) / 1024);
}

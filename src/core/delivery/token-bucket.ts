// HOT PATH
// Keeps what is sent to the configured rate, in bytes of UDP payload, and to short bursts. Spec: 03 §3.11.

import { MAX_DATAGRAM_BYTES } from '../wire/data-packet.ts';

const BURST_BYTES = 1248;
/** A timer that is late must not cost rate; one that is later than this was not a timer but a stall. */
const MAX_CATCH_UP_US = 50_000;
/** Who fills the buffer again whenever there is room has nothing to send for a moment now and then. */
const MAX_IDLE_CREDIT_US = 3_000;
/** So much goes out in one turn; then the rest of the process gets its chance. */
const MAX_TURN_PACKETS = 128;
const MAX_TURN_BYTES = MAX_TURN_PACKETS * MAX_DATAGRAM_BYTES;
const TURN_US = 500;

export class TokenBucket {
  rateBytesPerSec = 262_144;
  #tokens = BURST_BYTES;
  #refilledAtUs = 0;
  #wasBusy = false;
  #turnAtUs = 0;
  #turnPackets = 0;
  #turnBytes = 0;

  start(nowUs: number): void {
    this.#tokens = BURST_BYTES;
    this.#refilledAtUs = nowUs;
  }

  /** `isBusy`: data waits from here on, so that credit earned while the timer is late will be kept. */
  refill(nowUs: number, isBusy: boolean): void {
    const earned = ((nowUs - this.#refilledAtUs) * this.rateBytesPerSec) / 1e6;
    this.#refilledAtUs = nowUs;
    const keptUs = this.#wasBusy ? MAX_CATCH_UP_US : MAX_IDLE_CREDIT_US;
    this.#tokens = Math.min(this.#tokens + earned, Math.max(BURST_BYTES, (this.rateBytesPerSec * keptUs) / 1e6));
    this.#wasBusy = isBusy;
    if (nowUs < this.#turnAtUs + TURN_US) return;
    this.#turnAtUs = nowUs;
    this.#turnPackets = this.#turnBytes = 0;
  }

  /** Data may go: a packet may take the balance below zero once. */
  get isOpen(): boolean {
    return this.#tokens >= 0;
  }

  /** What may go without making the next packet wait. */
  get creditBytes(): number {
    return this.#tokens;
  }

  spend(bytes: number): void {
    this.#tokens -= bytes;
    this.#turnPackets++;
    this.#turnBytes += bytes;
  }

  /** No packet at all should go before this: enough of them went in this turn. */
  get pauseEndUs(): number {
    return this.#turnPackets >= MAX_TURN_PACKETS || this.#turnBytes >= MAX_TURN_BYTES ? this.#turnAtUs + TURN_US : 0;
  }

  /** Puts the next data off, after the network refused a packet. */
  penalize(us: number): void {
    this.#tokens = Math.min(this.#tokens, -(us * this.rateBytesPerSec) / 1e6);
  }

  /** When data may go. `nowUs` is the time of the last refill. */
  openAtUs(nowUs: number): number {
    return this.#tokens >= 0 ? nowUs : nowUs + Math.ceil((-this.#tokens / this.rateBytesPerSec) * 1e6) + SLACK_US;
  }
}

/** Rounding must not wake us a moment too early. */
const SLACK_US = 25;

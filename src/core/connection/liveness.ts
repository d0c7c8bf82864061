// Is the peer still there? Whether a reply is overdue, when to ask, and when to give up. Spec: 04 §4.4.

import { LONG_AGO, NEVER, US_PER_MS, US_PER_SECOND } from '../base/time.ts';
import { StatsFlag } from '../wire/stats-messages.ts';

const REPLY_MARGIN_MS = 250;
const MAX_REPLY_MS = 1250;
/** The peer may sit on an ordinary ack for a while. */
const DELAYED_REPLY_MS = 200;
const URGENT_INTERVAL_US = 200 * US_PER_MS;
const KEEPALIVE_US = 10 * US_PER_SECOND;
/** GNS does not tell P2P peers of its close; for five seconds it answers them. */
export const P2P_KEEPALIVE_US = 3 * US_PER_SECOND;
const TRACER_US = 7 * US_PER_SECOND;
const TRACER_WITH_STATS_US = 5 * US_PER_SECOND;
/** Fewer unanswered probes than this prove nothing. */
const MIN_UNANSWERED = 4;

export class Liveness {
  /** How often in a row a reply failed to come. */
  unanswered = 0;
  lastReceivedUs = LONG_AGO;
  /** The same, data packets only: those are genuine. */
  lastReceivedDataUs = LONG_AGO;
  /** After so long without a packet of the peer we ask for one. */
  keepaliveUs = KEEPALIVE_US;
  #replyDueUs = NEVER;
  #silentSinceUs = NEVER;
  #lastUrgentUs = LONG_AGO;
  #lastPingRequestUs = LONG_AGO;

  start(nowUs: number): void {
    this.lastReceivedDataUs = nowUs;
    this.onReceived(nowUs);
  }

  /** Something came from the peer. */
  onReceived(nowUs: number): void {
    this.lastReceivedUs = nowUs;
    this.#replyDueUs = this.#silentSinceUs = NEVER;
    this.unanswered = 0;
  }

  /** A packet went out that the peer ought to answer. `worstPingMs` is -1 if unknown. */
  expectReply(isDelayedOk: boolean, worstPingMs: number, nowUs: number): void {
    if (this.#replyDueUs !== NEVER) return;
    const waitMs = worstPingMs < 0 ? MAX_REPLY_MS : Math.min(2 * worstPingMs + REPLY_MARGIN_MS, MAX_REPLY_MS);
    this.#replyDueUs = nowUs + (waitMs + (isDelayedOk ? DELAYED_REPLY_MS : 0)) * US_PER_MS;
  }

  /**
   * We did not listen for this long, until now: what the peer may have said meanwhile is still to be read. Something of
   * it may have been read already, so that nothing moves beyond now.
   */
  excuse(stallUs: number, nowUs: number): void {
    this.lastReceivedUs = Math.min(this.lastReceivedUs + stallUs, nowUs);
    if (this.#silentSinceUs !== NEVER) this.#silentSinceUs = Math.min(this.#silentSinceUs + stallUs, nowUs);
    if (this.#replyDueUs <= nowUs) this.#replyDueUs += stallUs;
  }

  onTime(nowUs: number): void {
    if (nowUs < this.#replyDueUs) return;
    this.#replyDueUs = NEVER;
    this.unanswered++;
    if (this.#silentSinceUs === NEVER) this.#silentSinceUs = nowUs;
  }

  /** When a packet must go only to hear from the peer. */
  packetDueUs(): number {
    if (this.unanswered > 0) return this.#lastUrgentUs + URGENT_INTERVAL_US;
    return this.#replyDueUs === NEVER ? this.lastReceivedUs + this.keepaliveUs : NEVER;
  }

  /** Flags that a packet sent now should carry; `pingSampleAtUs` is when the round trip was measured last. */
  flags(pingSampleAtUs: number, hasStats: boolean, nowUs: number): number {
    if (this.unanswered > 0 && nowUs >= this.#lastUrgentUs + URGENT_INTERVAL_US) {
      return StatsFlag.AckRequested | StatsFlag.ReplyNow;
    }
    const tracerUs = hasStats ? TRACER_WITH_STATS_US : TRACER_US;
    const isTracerDue = nowUs - Math.max(this.#lastPingRequestUs, pingSampleAtUs) > tracerUs;
    return isTracerDue || nowUs >= this.lastReceivedUs + this.keepaliveUs ? StatsFlag.AckRequested : 0;
  }

  /** A packet with these flags went out. */
  onFlagsSent(flags: number, worstPingMs: number, nowUs: number): void {
    if ((flags & StatsFlag.AckRequested) === 0) return;
    const isUrgent = (flags & StatsFlag.ReplyNow) !== 0;
    this.#lastPingRequestUs = nowUs;
    if (isUrgent) this.#lastUrgentUs = nowUs;
    this.expectReply(!isUrgent, worstPingMs, nowUs);
  }

  isTimedOut(timeoutUs: number, nowUs: number): boolean {
    return this.unanswered >= MIN_UNANSWERED && nowUs >= this.#timeoutAtUs(timeoutUs);
  }

  #timeoutAtUs(timeoutUs: number): number {
    return Math.max(this.#silentSinceUs, this.lastReceivedUs) + timeoutUs;
  }

  /** When `onTime` has something to do. When packets are due says `packetDueUs`. */
  nextTimeoutUs(timeoutUs: number): number {
    return this.unanswered < MIN_UNANSWERED
      ? this.#replyDueUs
      : Math.min(this.#replyDueUs, this.#timeoutAtUs(timeoutUs));
  }
}

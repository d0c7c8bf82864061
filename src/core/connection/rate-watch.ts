// Notices that an application sends more than the configured rate lets out, so that it can be told once.

import { LONG_AGO, NEVER, US_PER_SECOND } from '../base/time.ts';
import type { Delivery } from '../delivery/delivery.ts';

/** For so long there has been data that only the send rate held back. */
export interface RateLimit {
  readonly limitedUs: number;
  /** Queued and not yet sent. */
  readonly pendingBytes: number;
  /** What `sendRateMin` and `sendRateMax` allow. */
  readonly sendRateBytesPerSec: number;
}

/** Less is a burst. */
const PATIENCE_US = US_PER_SECOND;
/** After so long without a limit it is news again. */
const FORGET_US = 10 * US_PER_SECOND;

export class RateWatch {
  /** Since when the rate holds data back all the time; NEVER if it does not. */
  sinceUs = NEVER;
  #lastUs = LONG_AGO;
  #isTold = false;

  /** Call when all is sent that may be sent now. What is to be told to the application, if anything. */
  look(delivery: Delivery, nowUs: number): RateLimit | undefined {
    if (delivery.bucket.isOpen || delivery.pendingBytes === 0) {
      this.sinceUs = NEVER;
      return undefined;
    }
    if (this.sinceUs === NEVER) {
      this.sinceUs = nowUs;
      if (nowUs > this.#lastUs + FORGET_US) this.#isTold = false;
    }
    this.#lastUs = nowUs;
    const limitedUs = nowUs - this.sinceUs;
    if (this.#isTold || limitedUs < PATIENCE_US) return undefined;
    this.#isTold = true;
    const { pendingBytes, bucket } = delivery;
    return { limitedUs, pendingBytes, sendRateBytesPerSec: bucket.rateBytesPerSec };
  }
}

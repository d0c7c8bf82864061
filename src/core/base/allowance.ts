// How often something may happen: so many at once, and so many per second after that.

import { US_PER_SECOND } from './time.ts';

export class Allowance {
  readonly #perSec: number;
  readonly #atOnce: number;
  #left: number;
  #countedAtUs = 0;

  /** `perSec` may be infinite: then there is no limit. */
  constructor(perSec: number, atOnce: number) {
    this.#perSec = perSec;
    this.#atOnce = atOnce;
    this.#left = atOnce;
  }

  /** Whether one more is allowed now. */
  hasAny(nowUs: number): boolean {
    // No time at all times infinity is not a number.
    if (this.#perSec === Number.POSITIVE_INFINITY) return true;
    const earned = ((nowUs - this.#countedAtUs) * this.#perSec) / US_PER_SECOND;
    this.#left = Math.min(this.#atOnce, this.#left + Math.max(0, earned));
    this.#countedAtUs = nowUs;
    return this.#left >= 1;
  }

  /** It happened. */
  spend(): void {
    this.#left--;
  }

  /** Takes one if it is allowed. */
  take(nowUs: number): boolean {
    if (!this.hasAny(nowUs)) return false;
    this.spend();
    return true;
  }
}

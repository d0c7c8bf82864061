// What a link does to datagrams: loss, delay, jitter, reordering, duplication, a bottleneck. `LinkSimulator` is one
// direction of one link as a pure function of (length, time, seed): it owns no timer and never sees the bytes.

import { NetworkingError } from '../core/base/errors.ts';
import type { SeededRandom } from '../core/base/random.ts';
import { US_PER_SECOND } from '../core/base/time.ts';

/** Loss in bursts (Gilbert–Elliott): a link that is sometimes bad for a while. */
export interface BurstLoss {
  /** Chance per datagram that a bad phase begins. */
  readonly enterRatio: number;
  /** Chance per datagram that it ends; it lasts 1/leaveRatio datagrams on average. */
  readonly leaveRatio: number;
  /** Share lost inside a bad phase; 1 if absent. Outside it `lossRatio` applies. */
  readonly lossRatio?: number;
}

/** How `jitterUs` is spread. All only add to `delayUs`, which is therefore the shortest time a datagram can take. */
export type JitterDistribution =
  /** Anything from 0 to `jitterUs`. */
  | 'uniform'
  /** The absolute value of a normal deviate with standard deviation `jitterUs`. */
  | 'normal'
  /** Exponential with mean `jitterUs`: mostly little, now and then much. Closest to radio links. */
  | 'exponential';

/** One direction of a link. What is absent is perfect. Sizes count the UDP payload only; ratios are 0 to 1. */
export interface LinkConditions {
  /** Share lost, each datagram by itself. */
  readonly lossRatio?: number;
  readonly burst?: BurstLoss;
  /** Time on the way, one direction: half of what it adds to a round trip. */
  readonly delayUs?: number;
  /** Varies the delay without changing the order: a late datagram holds up those behind it, as in a queue. */
  readonly jitterUs?: number;
  /** `'uniform'` if absent. */
  readonly jitterDistribution?: JitterDistribution;
  /** Share held back by `reorderDelayUs`, so that later ones overtake them. */
  readonly reorderRatio?: number;
  /** 10 ms if absent. */
  readonly reorderDelayUs?: number;
  /** Share that arrives twice. */
  readonly duplicateRatio?: number;
  /** The second copy comes this much later; 0 if absent: right behind the first. */
  readonly duplicateDelayUs?: number;
  /** Speed of the bottleneck. */
  readonly rateBytesPerSec?: number;
  /** What waits before the bottleneck at most; what does not fit is dropped. 64 KiB if absent. */
  readonly queueBytes?: number;
  /** Longer datagrams vanish. */
  readonly mtuBytes?: number;
  /** Share that arrives with a byte changed: what the checksum of UDP does not find. */
  readonly corruptRatio?: number;
}

/** Starting points in orders of magnitude, for each direction. */
export const presets = {
  perfect: {},
  wifi: { delayUs: 2_000, jitterUs: 2_000, jitterDistribution: 'exponential', lossRatio: 0.001 },
  lossyWifi: {
    delayUs: 4_000,
    jitterUs: 12_000,
    jitterDistribution: 'exponential',
    lossRatio: 0.01,
    burst: { enterRatio: 0.01, leaveRatio: 0.25, lossRatio: 0.6 },
    reorderRatio: 0.005,
    duplicateRatio: 0.001,
  },
  cellular: {
    delayUs: 35_000,
    jitterUs: 10_000,
    jitterDistribution: 'exponential',
    lossRatio: 0.005,
    burst: { enterRatio: 0.001, leaveRatio: 0.05, lossRatio: 0.9 },
    rateBytesPerSec: 1_000_000,
    queueBytes: 500_000,
  },
  satellite: {
    delayUs: 280_000,
    jitterUs: 10_000,
    jitterDistribution: 'normal',
    lossRatio: 0.005,
    rateBytesPerSec: 500_000,
    queueBytes: 250_000,
  },
  congested: {
    delayUs: 30_000,
    jitterUs: 20_000,
    lossRatio: 0.01,
    rateBytesPerSec: 40_000,
    queueBytes: 20_000,
  },
} as const satisfies Record<string, LinkConditions>;
export type PresetName = keyof typeof presets;

export type LinkDrop = 'lost' | 'queueFull' | 'tooLarge';

/** What becomes of one datagram: when its copies arrive (the second one is a duplicate), or why none does. */
export type Passage =
  | { readonly arrivalsUs: readonly number[]; readonly corruption?: Corruption }
  | { readonly drop: LinkDrop };

/** Which byte of a datagram is changed, and by what it is XORed. */
export interface Corruption {
  readonly at: number;
  readonly by: number;
}

export class LinkSimulator {
  #conditions: LinkConditions = {};
  #full: FullConditions = DEFAULTS;
  readonly #dice: Dice;
  #isInBurst = false;
  /** When the bottleneck has sent all that it has accepted. */
  #busyUntilUs = 0;
  /** Arrival of the last datagram that was not held back: nothing sent later comes before it. */
  #lastArrivalUs = 0;

  /** `random` is used up by this link alone. Throws `InvalidParam` like `set`. */
  constructor(random: SeededRandom, conditions: LinkConditions = {}) {
    this.#dice = {
      loss: random.fork(),
      jitter: random.fork(),
      reorder: random.fork(),
      duplicate: random.fork(),
      corrupt: random.fork(),
    };
    this.set(conditions);
  }

  get conditions(): LinkConditions {
    return this.#conditions;
  }

  /** Replaces all conditions, for datagrams sent from now on. Throws `InvalidParam` for a value out of range. */
  set(conditions: LinkConditions): void {
    checkConditions(conditions);
    this.#conditions = conditions;
    this.#full = { ...DEFAULTS, ...conditions };
    if (!conditions.burst) this.#isInBurst = false;
  }

  /** Sends `lengthBytes` at `nowUs`, which never goes back. */
  transmit(lengthBytes: number, nowUs: number): Passage {
    if (lengthBytes > this.#full.mtuBytes) return TOO_LARGE;
    const departureUs = this.#passBottleneck(lengthBytes, nowUs);
    if (departureUs === undefined) return QUEUE_FULL;
    // Lost behind the bottleneck: like on the air, it has taken up capacity all the same.
    if (this.#isLost()) return LOST;
    const arrivalUs = this.#arrivalUs(departureUs);
    const { duplicateRatio, duplicateDelayUs } = this.#full;
    const isTwin = this.#dice.duplicate.float() < duplicateRatio;
    const arrivalsUs = isTwin ? [arrivalUs, arrivalUs + duplicateDelayUs] : [arrivalUs];
    const corruption = this.#corruption(lengthBytes);
    return corruption ? { arrivalsUs, corruption } : { arrivalsUs };
  }

  #corruption(lengthBytes: number): Corruption | undefined {
    const { corrupt } = this.#dice;
    if (lengthBytes === 0 || corrupt.float() >= this.#full.corruptRatio) return undefined;
    return { at: corrupt.below(lengthBytes), by: 1 + corrupt.below(255) };
  }

  /** When the last byte has left; undefined if the queue has no room. */
  #passBottleneck(lengthBytes: number, nowUs: number): number | undefined {
    const { rateBytesPerSec, queueBytes } = this.#full;
    if (rateBytesPerSec === Number.POSITIVE_INFINITY) return nowUs;
    const startUs = Math.max(this.#busyUntilUs, nowUs);
    const queuedBytes = ((startUs - nowUs) * rateBytesPerSec) / US_PER_SECOND;
    // An idle bottleneck takes a datagram of any length: it does not have to wait.
    if (queuedBytes > 0 && queuedBytes + lengthBytes > queueBytes) return undefined;
    this.#busyUntilUs = startUs + (lengthBytes * US_PER_SECOND) / rateBytesPerSec;
    return this.#busyUntilUs;
  }

  #isLost(): boolean {
    const { lossRatio, burst } = this.#full;
    if (!burst) return this.#dice.loss.float() < lossRatio;
    const changeRatio = this.#isInBurst ? burst.leaveRatio : burst.enterRatio;
    if (this.#dice.loss.float() < changeRatio) this.#isInBurst = !this.#isInBurst;
    return this.#dice.loss.float() < (this.#isInBurst ? (burst.lossRatio ?? 1) : lossRatio);
  }

  #arrivalUs(departureUs: number): number {
    const { delayUs, reorderRatio, reorderDelayUs } = this.#full;
    const arrivalUs = Math.round(departureUs + delayUs + this.#jitterUs());
    if (this.#dice.reorder.float() < reorderRatio) return arrivalUs + reorderDelayUs;
    this.#lastArrivalUs = Math.max(this.#lastArrivalUs, arrivalUs);
    return this.#lastArrivalUs;
  }

  #jitterUs(): number {
    const { jitterUs, jitterDistribution } = this.#full;
    if (jitterUs === 0) return 0;
    return jitterUs * JITTER_SHAPES[jitterDistribution](this.#dice.jitter);
  }
}

/** One stream of random numbers per question: turning jitter on does not change which datagrams are lost. */
interface Dice {
  readonly loss: SeededRandom;
  readonly jitter: SeededRandom;
  readonly reorder: SeededRandom;
  readonly duplicate: SeededRandom;
  readonly corrupt: SeededRandom;
}

const TOO_LARGE: Passage = { drop: 'tooLarge' };
const QUEUE_FULL: Passage = { drop: 'queueFull' };
const LOST: Passage = { drop: 'lost' };

/** Non-negative factors of `jitterUs`. `1 - float()` keeps 0 out of the logarithm. */
const JITTER_SHAPES: Readonly<Record<JitterDistribution, (random: SeededRandom) => number>> = {
  uniform: (random) => random.float(),
  exponential: (random) => -Math.log(1 - random.float()),
  // Box–Muller.
  normal: (random) => Math.abs(Math.sqrt(-2 * Math.log(1 - random.float())) * Math.cos(2 * Math.PI * random.float())),
};

type FullConditions = Required<Omit<LinkConditions, 'burst'>> & Pick<LinkConditions, 'burst'>;

const DEFAULTS: FullConditions = {
  lossRatio: 0,
  delayUs: 0,
  jitterUs: 0,
  jitterDistribution: 'uniform',
  reorderRatio: 0,
  reorderDelayUs: 10_000,
  duplicateRatio: 0,
  duplicateDelayUs: 0,
  rateBytesPerSec: Number.POSITIVE_INFINITY,
  queueBytes: 65_536,
  mtuBytes: Number.POSITIVE_INFINITY,
  corruptRatio: 0,
};

/** Throws `InvalidParam` for a value out of range. */
export function checkConditions(conditions: LinkConditions): void {
  const full: FullConditions = { ...DEFAULTS, ...conditions };
  const { burst, jitterDistribution } = full;
  for (const name of ['lossRatio', 'reorderRatio', 'duplicateRatio', 'corruptRatio'] as const)
    checkRange(name, full[name], 1);
  for (const name of ['delayUs', 'jitterUs', 'reorderDelayUs', 'duplicateDelayUs'] as const) {
    checkRange(name, full[name], Number.MAX_SAFE_INTEGER);
  }
  for (const name of ['rateBytesPerSec', 'queueBytes', 'mtuBytes'] as const) {
    checkRange(name, full[name], Number.POSITIVE_INFINITY);
  }
  if (full.rateBytesPerSec === 0) throw new NetworkingError('InvalidParam', 'rateBytesPerSec 0 would never end');
  if (!Object.hasOwn(JITTER_SHAPES, jitterDistribution)) {
    throw new NetworkingError('InvalidParam', `there is no jitter distribution "${jitterDistribution}"`);
  }
  if (!burst) return;
  checkRange('burst.enterRatio', burst.enterRatio, 1);
  checkRange('burst.leaveRatio', burst.leaveRatio, 1);
  checkRange('burst.lossRatio', burst.lossRatio ?? 1, 1);
}

function checkRange(name: string, value: number, max: number): void {
  if (value >= 0 && value <= max) return;
  throw new NetworkingError('InvalidParam', `${name} must be from 0 to ${max}, not ${value}`);
}

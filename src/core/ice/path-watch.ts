// Whether the selected path still works: when to ask the peer, and what to think of its silence. Spec: 7.17; RFC 7675,
// stricter than it: a game cannot wait 30 s.
import { LONG_AGO, NEVER, US_PER_MS, US_PER_SECOND } from '../base/time.ts';
import type { Random } from '../platform.ts';

/** After so long without data, and while there is no answer, the peer is asked. */
const ALERT_US = 250 * US_PER_MS;
/** Pauses between questions grow up to this while an idle peer answers. */
const IDLE_US = 4 * US_PER_SECOND;
/** The peer is asked every 4–6 s even while data arrives: our own way to it might be broken (RFC 7675, 5.1). */
const CONSENT_US = 4 * US_PER_SECOND;
const CONSENT_SPREAD_US = 2 * US_PER_SECOND;

/**
 * `uneasy`: other ways should be looked at; `suspect`: they should be taken; `lost`: nobody is there.
 */
export type PathVerdict = 'fine' | 'uneasy' | 'suspect' | 'lost';

export class PathWatch {
  readonly #random: Random;
  #rttUs: number;
  #heardAtUs: number;
  #answeredAtUs: number;
  #consentUs: number;
  #idleUs = ALERT_US;
  #dataAtUs = LONG_AGO;
  #strayAtUs = LONG_AGO;
  #askedAtUs: number;
  /** When the first question after the last answer was asked. */
  #openSinceUs = NEVER;
  #openQuestions = 0;

  constructor(random: Random, rttUs: number, nowUs: number) {
    this.#random = random;
    this.#rttUs = rttUs;
    this.#heardAtUs = this.#answeredAtUs = this.#askedAtUs = nowUs;
    this.#consentUs = this.#pickConsentUs();
  }

  /** Data came: the connection is in use, so silence will mean something. */
  noteData(nowUs: number): void {
    this.#heardAtUs = this.#dataAtUs = nowUs;
    this.#idleUs = ALERT_US;
  }

  /** The peer sends another way: what else it says on this one does not mean that it hears us. */
  noteStrayData(nowUs: number): void {
    this.#strayAtUs = nowUs;
  }

  /** The peer has asked us. */
  noteQuestion(nowUs: number): void {
    this.#heardAtUs = nowUs;
  }

  noteAsked(nowUs: number): void {
    this.#askedAtUs = nowUs;
    if (this.#openQuestions++ === 0) this.#openSinceUs = nowUs;
  }

  noteAnswer(rttUs: number, nowUs: number): void {
    if (nowUs - this.#dataAtUs >= ALERT_US) this.#idleUs = Math.min(IDLE_US, this.#idleUs * 2);
    this.#rttUs = rttUs;
    this.#heardAtUs = this.#answeredAtUs = nowUs;
    this.#openQuestions = 0;
    this.#openSinceUs = NEVER;
    this.#consentUs = this.#pickConsentUs();
  }

  /** The network has changed: ask now. */
  hurry(nowUs: number): void {
    this.#idleUs = ALERT_US;
    this.#heardAtUs = Math.min(this.#heardAtUs, nowUs - ALERT_US);
  }

  /** When the peer is to be asked next. */
  nextQuestionUs(): number {
    if (this.#openQuestions > 0) return this.#askedAtUs + ALERT_US;
    return Math.min(this.#answeredAtUs + this.#consentUs, this.#heardAtUs + this.#idleUs);
  }

  /** Since when there has been no answer; `NEVER` if none is owed. */
  get openSinceUs(): number {
    return this.#openSinceUs;
  }

  verdict(nowUs: number): PathVerdict {
    if (this.#openQuestions < 2) return 'fine';
    const openUs = nowUs - this.#openSinceUs;
    const silentUs = nowUs - this.#heardAtUs;
    const patienceUs = Math.max(US_PER_SECOND, 3 * this.#rttUs);
    if (this.#openQuestions >= 8 && openUs >= 5 * patienceUs) return 'lost';
    // Who still hears the peer is less sure that something is wrong: on a lossy path answers get lost too.
    const isSilent = silentUs >= patienceUs || nowUs - this.#strayAtUs < ALERT_US;
    if (this.#openQuestions >= 4 && openUs >= (isSilent ? 1 : 3) * patienceUs) return 'suspect';
    return openUs >= Math.max(400 * US_PER_MS, 2 * this.#rttUs) ? 'uneasy' : 'fine';
  }

  #pickConsentUs(): number {
    return CONSENT_US + (this.#random.u32() % CONSENT_SPREAD_US);
  }
}

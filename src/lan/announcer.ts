// When an announcement is sent: again and again with some jitter, and in answer to those who ask. No I/O, no clock.

import { NEVER, US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import type { NetAddress, Random } from '../core/platform.ts';
import { ANY_APP, type Announcement, encodeLanPacket, type LanPacket, SESSION_ID_BYTES, toHex } from './lan-packet.ts';

export type AnnouncedFields = Omit<Announcement, 'kind' | 'sessionId' | 'revision' | 'lifetimeS'>;

const INTERVAL_US = 5 * US_PER_SECOND;
/** Each interval is up to this part longer or shorter: programs that started together drift apart. */
const JITTER_RATIO = 0.2;
/** More often at first, and after a change, because datagrams get lost. */
const EARLY_INTERVALS_US: readonly number[] = [250 * US_PER_MS, US_PER_SECOND];
// Three announcements may be lost.
const LIFETIME_S = 20;
/** Answers wait a random time up to this, so that a hundred of them do not collide. */
const MAX_ANSWER_DELAY_US = 60 * US_PER_MS;
/** The same source is answered once in this time, however often it asks. */
const ANSWER_PAUSE_US = 200 * US_PER_MS;
const MAX_ASKERS = 256;

interface Asker {
  readonly to: NetAddress;
  /** `NEVER` once answered. */
  dueUs: number;
  readonly forgetAtUs: number;
}

/** What is to be sent now: to one who asked, or to all (`to` undefined). */
export interface OutgoingAnnouncement {
  readonly to: NetAddress | undefined;
  readonly bytes: Uint8Array;
}

export class Announcer {
  readonly #random: Random;
  readonly #sessionId: string;
  #revision = 0;
  #fields: AnnouncedFields;
  #bytes: Uint8Array;
  #round = 0;
  #nextRoundUs: number;
  readonly #askers = new Map<string, Asker>();

  /** Throws `InvalidParam` for what cannot be announced. */
  constructor(fields: AnnouncedFields, random: Random, nowUs: number) {
    const id = new Uint8Array(SESSION_ID_BYTES);
    random.fill(id);
    this.#random = random;
    this.#sessionId = toHex(id);
    this.#fields = fields;
    this.#bytes = this.#encode(fields, 0);
    this.#nextRoundUs = nowUs;
  }

  get sessionId(): string {
    return this.#sessionId;
  }

  /** Throws `InvalidParam` and changes nothing if that cannot be announced. */
  update(changes: Partial<AnnouncedFields>, nowUs: number): void {
    const fields = { ...this.#fields, ...changes };
    this.#bytes = this.#encode(fields, this.#revision + 1);
    this.#fields = fields;
    this.#revision++;
    this.#round = 0;
    this.#nextRoundUs = nowUs;
  }

  handleQuery(query: LanPacket & { kind: 'query' }, from: NetAddress, nowUs: number): void {
    const { appId, identity, isSession } = this.#fields;
    const isMeant = query.identity === '' ? isSession : query.identity === identity && !isSession;
    if (!isMeant || (query.appId !== ANY_APP && query.appId !== appId)) return;
    this.#forgetAskers(nowUs);
    const key = `${from.address} ${from.port}`;
    if (this.#askers.has(key) || this.#askers.size >= MAX_ASKERS) return;
    const dueUs = nowUs + (this.#random.u32() / 0x1_0000_0000) * MAX_ANSWER_DELAY_US;
    this.#askers.set(key, { to: from, dueUs, forgetAtUs: nowUs + ANSWER_PAUSE_US });
  }

  get nextTimeoutUs(): number {
    let nextUs = this.#nextRoundUs;
    for (const { dueUs } of this.#askers.values()) nextUs = Math.min(nextUs, dueUs);
    return nextUs;
  }

  /** One thing to send; call again until it is undefined. */
  pollTransmit(nowUs: number): OutgoingAnnouncement | undefined {
    const bytes = this.#bytes;
    if (nowUs >= this.#nextRoundUs) {
      const meanUs = EARLY_INTERVALS_US[this.#round++] ?? INTERVAL_US;
      const jitter = (this.#random.u32() / 0x8000_0000 - 1) * JITTER_RATIO;
      this.#nextRoundUs = nowUs + meanUs * (1 + jitter);
      return { to: undefined, bytes };
    }
    for (const asker of this.#askers.values()) {
      if (asker.dueUs > nowUs) continue;
      asker.dueUs = NEVER;
      return { to: asker.to, bytes };
    }
    return undefined;
  }

  goodbye(): Uint8Array {
    return encodeLanPacket({ kind: 'goodbye', sessionId: this.#sessionId });
  }

  #encode(fields: AnnouncedFields, revision: number): Uint8Array {
    const sessionId = this.#sessionId;
    return encodeLanPacket({ ...fields, kind: 'announcement', sessionId, revision, lifetimeS: LIFETIME_S });
  }

  #forgetAskers(nowUs: number): void {
    for (const [key, { dueUs, forgetAtUs }] of this.#askers) {
      if (dueUs === NEVER && forgetAtUs <= nowUs) this.#askers.delete(key);
    }
  }
}

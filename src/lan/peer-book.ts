// Where signals for an identity go on a local network, and those that wait until that is known. No I/O, no clock.

import { NEVER, US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import type { NetAddress } from '../core/platform.ts';

const MAX_PEERS = 1_024;
const MAX_WANTED = 64;
const MAX_WAITING = 16;
/** Without hearing of a peer. */
const BELIEVED_US = 20 * US_PER_SECOND;
/** How long we wait for an answer before we ask again; then the signals are lost. */
const ASK_INTERVALS_US: readonly number[] = [250 * US_PER_MS, 750 * US_PER_MS, 2 * US_PER_SECOND, 2 * US_PER_SECOND];

interface Wanted {
  readonly signals: Uint8Array[];
  asked: number;
  nextUs: number;
}

export class PeerBook {
  readonly #peers = new Map<string, { readonly at: NetAddress; readonly expiryUs: number }>();
  readonly #wanted = new Map<string, Wanted>();
  /** Signals for peers that nobody answered for. */
  lost = 0;

  addressOf(identity: string, nowUs: number): NetAddress | undefined {
    const peer = this.#peers.get(identity);
    return peer !== undefined && peer.expiryUs > nowUs ? peer.at : undefined;
  }

  /** Keeps a signal for a peer whose address is unknown; the oldest of too many goes. False if too many are looked for. */
  wait(identity: string, signal: Uint8Array, nowUs: number): boolean {
    let wanted = this.#wanted.get(identity);
    if (wanted === undefined) {
      if (this.#wanted.size >= MAX_WANTED) return false;
      wanted = { signals: [], asked: 0, nextUs: nowUs };
      this.#wanted.set(identity, wanted);
    }
    wanted.signals.push(signal);
    if (wanted.signals.length > MAX_WAITING) {
      wanted.signals.shift();
      this.lost++;
    }
    return true;
  }

  /** The peer is there, or says so: who spoke last is believed. Returns what waited for it. */
  learn(identity: string, at: NetAddress, nowUs: number): readonly Uint8Array[] {
    const isWanted = this.#wanted.has(identity);
    this.#peers.delete(identity);
    if (this.#peers.size >= MAX_PEERS) this.#peers.delete(this.#peers.keys().next().value!);
    this.#peers.set(identity, { at, expiryUs: nowUs + BELIEVED_US });
    if (!isWanted) return [];
    const { signals } = this.#wanted.get(identity)!;
    this.#wanted.delete(identity);
    return signals;
  }

  get nextTimeoutUs(): number {
    let nextUs = NEVER;
    for (const wanted of this.#wanted.values()) nextUs = Math.min(nextUs, wanted.nextUs);
    return nextUs;
  }

  /** Whom to ask for now; call again until it is undefined. */
  pollQuestion(nowUs: number): string | undefined {
    for (const [identity, wanted] of this.#wanted) {
      if (wanted.nextUs > nowUs) continue;
      const intervalUs = ASK_INTERVALS_US[wanted.asked++];
      if (intervalUs === undefined) {
        this.#wanted.delete(identity);
        this.lost += wanted.signals.length;
        continue;
      }
      wanted.nextUs = nowUs + intervalUs;
      return identity;
    }
    return undefined;
  }
}

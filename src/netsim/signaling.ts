// Signaling within one process, for tests: what a service on the Internet does to signals, as bad as you like. Spec: 07 §7.1.

import { SeededRandom } from '../core/base/random.ts';
import type { Platform } from '../core/platform.ts';

export interface SignalingConditions {
  /** From sender to receiver. Default: 0, which is still not at once. */
  readonly delayUs?: number;
  /** Up to so much more, for each signal by itself: signals overtake. Default: 0. */
  readonly jitterUs?: number;
  /** Shares of signals that vanish, and that arrive twice. Default: 0. */
  readonly lossRatio?: number;
  readonly duplicateRatio?: number;
}

/** One peer's access: give it to `Networking` as `signaling`. */
export interface LocalSignalingClient {
  onSignal: ((signal: Uint8Array, from: string) => void) | undefined;
  /** Signals to nobody vanish. */
  send(to: string, signal: Uint8Array): boolean;
}

export class LocalSignaling {
  conditions: SignalingConditions;
  /** What was sent, lost ones included. */
  sentSignals = 0;
  readonly #random: SeededRandom;
  readonly #clients = new Map<string, { readonly client: LocalSignalingClient; readonly platform: Platform }>();

  constructor(conditions: SignalingConditions = {}, seed = 1) {
    this.conditions = conditions;
    this.#random = new SeededRandom(seed);
  }

  /** `platform` is the peer's. A second one of the same name replaces the first. */
  join(identity: string, platform: Platform): LocalSignalingClient {
    const client: LocalSignalingClient = {
      onSignal: undefined,
      send: (to, signal) => {
        this.#send(identity, to, signal.slice());
        return true;
      },
    };
    this.#clients.set(identity, { client, platform });
    return client;
  }

  #send(from: string, to: string, signal: Uint8Array): void {
    this.sentSignals++;
    const { lossRatio = 0, duplicateRatio = 0 } = this.conditions;
    if (this.#random.float() < lossRatio) return;
    this.#deliver(from, to, signal);
    if (this.#random.float() < duplicateRatio) this.#deliver(from, to, signal);
  }

  #deliver(from: string, to: string, signal: Uint8Array): void {
    const { delayUs = 0, jitterUs = 0 } = this.conditions;
    const target = this.#clients.get(to);
    if (target === undefined) return;
    const { platform, client } = target;
    const alarm = platform.newAlarm(() => client.onSignal?.(signal, from));
    alarm.set(platform.nowUs() + delayUs + this.#random.float() * jitterUs);
  }
}

// A request to a TURN server under way. Spec: "TURN" (7.12); RFC 8656.
import type { NetAddress } from '../platform.ts';
import { type StunExchange, StunRequest } from './exchange.ts';
import { StunClass, type StunMessage } from './stun.ts';
import type { TurnPeer, TurnPermission } from './turn-peers.ts';

/** What is asked for, and how often it was refused because of the nonce and the like. */
export type TurnStep = { readonly attempts: number } & (
  | { readonly kind: 'allocate' | 'refresh' | 'release' }
  | { readonly kind: 'permission'; readonly permission: TurnPermission }
  | { readonly kind: 'channel'; readonly peer: TurnPeer }
);

export interface TurnAsker {
  isAnswer(message: StunMessage): boolean;
  handleOutcome(step: TurnStep, message: StunMessage | undefined, nowUs: number): void;
}

/** Sends at 0, 0.4, 1.0, 1.9 and 3.25 s, as GNS. */
const WAITS_US = [400_000, 600_000, 900_000, 1_350_000, 2_025_000];

export class TurnRequest extends StunRequest {
  readonly #asker: TurnAsker;
  readonly #step: TurnStep;

  constructor(exchange: StunExchange, bytes: Uint8Array, server: NetAddress, asker: TurnAsker, step: TurnStep) {
    super(exchange, bytes, server, undefined, WAITS_US);
    this.#asker = asker;
    this.#step = step;
  }

  isAnswer(message: StunMessage): boolean {
    const isResponse = message.class === StunClass.Success || message.class === StunClass.Error;
    return isResponse && this.#asker.isAnswer(message);
  }

  onAnswer(message: StunMessage, nowUs: number): void {
    this.#asker.handleOutcome(this.#step, message, nowUs);
  }

  onSilence(nowUs: number): void {
    this.#asker.handleOutcome(this.#step, undefined, nowUs);
  }
}

// The messages that agents exchange: the check of a pair, and the answer to one. Spec: "STUN messages" (7.10);
// RFC 8445, 7.1, 7.2.2, 7.3.
import type { NetAddress } from '../platform.ts';
import type { Pair } from './check-list.ts';
import { type StunExchange, StunRequest } from './exchange.ts';
import { bytesOf, StunAttribute, StunClass, type StunMessage, StunMethod, StunWriter } from './stun.ts';

/** Sends at 0, 0.3, 0.75, 1.4, 2.4 and 4 s; gives up after 5.5 s, about when GNS does. */
export const CHECK_WAITS_US = [300_000, 450_000, 650_000, 1_000_000, 1_600_000, 1_500_000];
/** Of a pair that has just been answered; another one may wait for its turn. */
export const NOMINATION_WAITS_US = [250_000, 400_000, 600_000, 1_000_000];
/** Of a pair that has been checked before: whether it works (again). */
export const PROBE_WAITS_US = [400_000, 800_000];
/** Of the selected pair: asked anew instead of again. */
export const CONSENT_WAITS_US = [3_000_000];

export interface Credentials {
  readonly ufrag: string;
  readonly pwd: string;
}

/** What a check says of its sender. */
export interface CheckContent {
  readonly local: Credentials;
  readonly remote: Credentials;
  readonly isControlling: boolean;
  /** 8 bytes. */
  readonly tieBreaker: Uint8Array;
  readonly priority: number;
  readonly nominates: boolean;
}

/** Who sent the check. */
export interface Checker {
  onCheckAnswered(check: ConnectivityCheck, message: StunMessage, nowUs: number): void;
  onCheckSilent(check: ConnectivityCheck, nowUs: number): void;
}

export class ConnectivityCheck extends StunRequest {
  readonly pair: Pair;
  readonly content: CheckContent;
  readonly #checker: Checker;
  readonly #exchange: StunExchange;

  constructor(exchange: StunExchange, checker: Checker, pair: Pair, content: CheckContent, waitsUs: readonly number[]) {
    super(exchange, encodeCheck(exchange, content), pair.to, pair.relay, waitsUs);
    this.#exchange = exchange;
    this.#checker = checker;
    this.pair = pair;
    this.content = content;
  }

  /** GNS takes anything for an answer; we want it signed. */
  isAnswer(message: StunMessage): boolean {
    const isResponse = message.class === StunClass.Success || message.class === StunClass.Error;
    if (!isResponse || message.method !== StunMethod.Binding) return false;
    return message.isGenuine(this.#exchange.crypto, bytesOf(this.content.remote.pwd));
  }

  onAnswer(message: StunMessage, nowUs: number): void {
    this.#checker.onCheckAnswered(this, message, nowUs);
  }

  onSilence(nowUs: number): void {
    this.#checker.onCheckSilent(this, nowUs);
  }
}

function encodeCheck(exchange: StunExchange, content: CheckContent): Uint8Array {
  const { local, remote, isControlling, tieBreaker, priority, nominates } = content;
  const writer = new StunWriter(StunMethod.Binding, StunClass.Request, exchange.newTransactionId())
    .addText(StunAttribute.Username, `${remote.ufrag}:${local.ufrag}`)
    .addU32(StunAttribute.Priority, priority)
    .add(isControlling ? StunAttribute.IceControlling : StunAttribute.IceControlled, tieBreaker);
  if (nominates) writer.add(StunAttribute.UseCandidate);
  return writer.addIntegrity(exchange.crypto, bytesOf(remote.pwd)).addFingerprint().finish();
}

/** As GNS answers: with the user name of the request, and our password as key. */
export function encodeSuccess(exchange: StunExchange, request: StunMessage, from: NetAddress, pwd: string): Uint8Array {
  return new StunWriter(StunMethod.Binding, StunClass.Success, request.transactionId)
    .addAddress(StunAttribute.XorMappedAddress, from)
    .add(StunAttribute.Username, request.value(StunAttribute.Username))
    .addIntegrity(exchange.crypto, bytesOf(pwd))
    .addFingerprint()
    .finish();
}

/** "We cannot both have this role." */
export function encodeRoleConflict(exchange: StunExchange, request: StunMessage, pwd: string): Uint8Array {
  return new StunWriter(StunMethod.Binding, StunClass.Error, request.transactionId)
    .addError(487, 'Role Conflict')
    .addIntegrity(exchange.crypto, bytesOf(pwd))
    .addFingerprint()
    .finish();
}

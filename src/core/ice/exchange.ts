// What the parts of an `IcePort` have in common: who is due when, requests that wait for an answer, and what is to be
// sent. Spec: "STUN messages" (7.10); RFC 8489, 6.2.1 (retransmission).
import { DeadlineHeap, type Scheduled } from '../base/deadline-heap.ts';
import { Fifo } from '../base/fifo.ts';
import { NEVER } from '../base/time.ts';
import type { CryptoProvider, NetAddress, Random } from '../platform.ts';
import { isSameAddress } from './candidate.ts';
import type { Relay } from './route.ts';
import { latin1, type StunMessage, TRANSACTION_ID_BYTES } from './stun.ts';

export interface IceEnvironment {
  readonly crypto: CryptoProvider;
  readonly random: Random;
}

/** Something that wants to be called at its deadline. */
export interface Timed extends Scheduled {
  handleTimeout(nowUs: number): void;
}

export interface OutgoingDatagram {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly to: NetAddress;
}

/** What waits to be sent; more is dropped, as by a full socket. It is emptied after every input. */
const MAX_OUTGOING = 1024;

export class StunExchange {
  readonly crypto: CryptoProvider;
  readonly random: Random;
  readonly timers = new DeadlineHeap<Timed>();
  readonly outgoing = new Fifo<OutgoingDatagram>();
  readonly #requests = new Map<string, StunRequest>();

  constructor(env: IceEnvironment) {
    this.crypto = env.crypto;
    this.random = env.random;
  }

  newTransactionId(): Uint8Array {
    const id = new Uint8Array(TRANSACTION_ID_BYTES);
    this.random.fill(id);
    return id;
  }

  /** `bytes` is kept until it is sent. */
  send(bytes: Uint8Array, to: NetAddress, relay: Relay | undefined): void {
    if (this.outgoing.length >= MAX_OUTGOING) return;
    if (relay === undefined) {
      this.outgoing.push({ bytes, length: bytes.length, to });
      return;
    }
    const wrapped = new Uint8Array(bytes.length + relay.overheadBytes);
    wrapped.set(bytes);
    this.outgoing.push({ bytes: wrapped, length: relay.wrap(wrapped, bytes.length, to), to: relay.server });
  }

  /** Sends the request now, and again until it is answered or its schedule is over. */
  start(request: StunRequest, nowUs: number): void {
    this.#requests.set(request.key, request);
    request.handleTimeout(nowUs);
  }

  /** Nobody waits for the answer any more. */
  forget(request: StunRequest): void {
    this.#requests.delete(request.key);
    this.timers.set(request, NEVER);
  }

  forgetAll(): void {
    for (const request of this.#requests.values()) this.forget(request);
  }

  /** A response, from wherever; only the genuine answer from where the request went counts. */
  handleResponse(message: StunMessage, from: NetAddress, relay: Relay | undefined, nowUs: number): void {
    const request = this.#requests.get(latin1(message.transactionId));
    if (request === undefined || request.relay !== relay || !isSameAddress(request.to, from)) return;
    if (message.fingerprint === 'wrong' || !request.isAnswer(message)) return;
    this.forget(request);
    request.onAnswer(message, nowUs);
  }
}

/** A request under way. Subclasses say what an answer means. */
export abstract class StunRequest implements Timed {
  deadlineUs = NEVER;
  heapIndex = -1;
  readonly key: string;
  readonly to: NetAddress;
  readonly relay: Relay | undefined;
  readonly #exchange: StunExchange;
  readonly #bytes: Uint8Array;
  readonly #waitsUs: readonly number[];
  #sends = 0;
  #sentAtUs = 0;

  /** `waitsUs`: how long to wait after each transmission; as many as there are transmissions. */
  constructor(
    exchange: StunExchange,
    bytes: Uint8Array,
    to: NetAddress,
    relay: Relay | undefined,
    waitsUs: readonly number[],
  ) {
    this.#exchange = exchange;
    this.#bytes = bytes;
    this.key = latin1(bytes.subarray(8, 8 + TRANSACTION_ID_BYTES));
    this.to = to;
    this.relay = relay;
    this.#waitsUs = waitsUs;
  }

  /** Since the last transmission, at least 1 ms. */
  rttUs(nowUs: number): number {
    return Math.max(1_000, nowUs - this.#sentAtUs);
  }

  /** Sends again now, and begins to count anew: the peer can be heard. */
  restart(nowUs: number): void {
    this.#sends = 0;
    this.handleTimeout(nowUs);
  }

  handleTimeout(nowUs: number): void {
    if (this.#sends === this.#waitsUs.length) {
      this.#exchange.forget(this);
      this.onSilence(nowUs);
      return;
    }
    this.#exchange.send(this.#bytes, this.to, this.relay);
    this.#sentAtUs = nowUs;
    this.#exchange.timers.set(this, nowUs + this.#waitsUs[this.#sends++]!);
  }

  /** Whether this response to it, from the right address, is genuine. Others are ignored. */
  abstract isAnswer(message: StunMessage): boolean;
  abstract onAnswer(message: StunMessage, nowUs: number): void;
  abstract onSilence(nowUs: number): void;
}

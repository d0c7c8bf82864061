// Asks one STUN server how it sees our port, and keeps the hole in the NAT open. Spec: 7.10, 7.11 ("Keepalive");
// RFC 8489, 8445 5.1.1.2.
import { NEVER, US_PER_SECOND } from '../base/time.ts';
import type { NetAddress } from '../platform.ts';
import { addressClass } from './candidate.ts';
import { type StunExchange, StunRequest, type Timed } from './exchange.ts';
import { StunAttribute, StunClass, type StunMessage, StunMethod, StunWriter } from './stun.ts';

/** As GNS. NATs forget after 30 s at the earliest. */
const KEEPALIVE_US = 15 * US_PER_SECOND;
/** Sends at 0, 0.4, 1.0, 1.9 and 3.25 s, as GNS. */
const WAITS_US = [400_000, 600_000, 900_000, 1_350_000, 2_025_000];

/** Whoever wants to know of changes. */
export interface MappingListener {
  onMapping(nowUs: number): void;
}

export class MappingProbe implements Timed {
  deadlineUs = NEVER;
  heapIndex = -1;
  readonly server: NetAddress;
  /** How the server sees us, in plain form. */
  mapped: NetAddress | undefined;
  /** It has answered, or has not in time. */
  hasOutcome = false;
  readonly #exchange: StunExchange;
  readonly #listener: MappingListener;
  #request: MappingRequest | undefined;

  constructor(exchange: StunExchange, server: NetAddress, listener: MappingListener) {
    this.#exchange = exchange;
    this.server = server;
    this.#listener = listener;
  }

  /** Asks now, and again every 15 s. */
  start(nowUs: number): void {
    if (this.#request !== undefined) return;
    const id = this.#exchange.newTransactionId();
    const bytes = new StunWriter(StunMethod.Binding, StunClass.Request, id).addFingerprint().finish();
    this.#request = new MappingRequest(this.#exchange, bytes, this.server, this);
    this.#exchange.timers.set(this, NEVER);
    this.#exchange.start(this.#request, nowUs);
  }

  stop(): void {
    if (this.#request !== undefined) this.#exchange.forget(this.#request);
    this.#request = undefined;
    this.#exchange.timers.set(this, NEVER);
  }

  get isRunning(): boolean {
    return this.#request !== undefined || this.deadlineUs !== NEVER;
  }

  handleTimeout(nowUs: number): void {
    this.start(nowUs);
  }

  handleOutcome(mapped: NetAddress | undefined, nowUs: number): void {
    this.#request = undefined;
    this.hasOutcome = true;
    this.#exchange.timers.set(this, nowUs + KEEPALIVE_US);
    this.mapped = mapped;
    this.#listener.onMapping(nowUs);
  }
}

class MappingRequest extends StunRequest {
  readonly #probe: MappingProbe;

  constructor(exchange: StunExchange, bytes: Uint8Array, server: NetAddress, probe: MappingProbe) {
    super(exchange, bytes, server, undefined, WAITS_US);
    this.#probe = probe;
  }

  /** A STUN server does not know us: nothing but the transaction id vouches for it. */
  isAnswer(message: StunMessage): boolean {
    return message.method === StunMethod.Binding && message.class === StunClass.Success && !!mappedAddress(message);
  }

  onAnswer(message: StunMessage, nowUs: number): void {
    this.#probe.handleOutcome(mappedAddress(message), nowUs);
  }

  onSilence(nowUs: number): void {
    this.#probe.handleOutcome(undefined, nowUs);
  }
}

/** Old servers know the attribute without XOR only. */
export function mappedAddress(message: StunMessage): NetAddress | undefined {
  const found = message.address(StunAttribute.XorMappedAddress) ?? message.address(StunAttribute.MappedAddress);
  return found && found.port > 0 && addressClass(found.address) !== 'unusable' ? found : undefined;
}

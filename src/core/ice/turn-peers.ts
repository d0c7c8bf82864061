// HOT PATH
// Peers behind a TURN server: the leave to talk to their host, the channel to their port, and the wrapping of
// datagrams. Spec: "TURN" (7.12); RFC 8656, 9 (permissions), 11 (send indications), 12 (channels).
import { NEVER, US_PER_SECOND } from '../base/time.ts';
import type { NetAddress } from '../platform.ts';
import type { StunExchange, Timed } from './exchange.ts';
import { StunAttribute, StunClass, StunMethod, StunWriter } from './stun.ts';
import type { TurnStep } from './turn-request.ts';

/** Who needs a permission or channel; told when a permission is decided. */
export interface RelayUser {
  onPermission(nowUs: number): void;
}

interface Asker {
  ask(step: TurnStep, nowUs: number): void;
}

/** Permissions last five minutes, channels ten. */
const RENEW_US = 240 * US_PER_SECOND;
const RETRY_US = 5 * US_PER_SECOND;

export class TurnPermission implements Timed {
  deadlineUs = NEVER;
  heapIndex = -1;
  readonly host: string;
  readonly users = new Set<RelayUser>();
  state: 'pending' | 'granted' | 'denied' = 'pending';
  readonly #exchange: StunExchange;
  readonly #asker: Asker;

  constructor(exchange: StunExchange, asker: Asker, host: string) {
    this.#exchange = exchange;
    this.#asker = asker;
    this.host = host;
  }

  renew(nowUs: number): void {
    this.#asker.ask({ kind: 'permission', permission: this, attempts: 0 }, nowUs);
  }

  handleTimeout(nowUs: number): void {
    this.renew(nowUs);
  }

  handleOutcome(isGranted: boolean, isSilent: boolean, nowUs: number): void {
    if (this.users.size === 0) return;
    this.#exchange.timers.set(this, nowUs + (isSilent ? RETRY_US : RENEW_US));
    if (isSilent) return;
    const before = this.state;
    this.state = isGranted ? 'granted' : 'denied';
    if (before !== this.state) for (const user of this.users) user.onPermission(nowUs);
  }

  /** The allocation is gone. */
  reset(): void {
    this.state = 'pending';
    this.#exchange.timers.set(this, NEVER);
  }

  /** True if nobody needs it any more. */
  release(user: RelayUser): boolean {
    this.users.delete(user);
    if (this.users.size > 0) return false;
    this.#exchange.timers.set(this, NEVER);
    return true;
  }
}

const CHANNEL_HEADER_BYTES = 4;

export class TurnPeer implements Timed {
  deadlineUs = NEVER;
  heapIndex = -1;
  readonly remote: NetAddress;
  readonly users = new Set<RelayUser>();
  /** 0 if it never had one. A number is never given to another peer. */
  channel = 0;
  #isBound = false;
  readonly #exchange: StunExchange;
  readonly #asker: Asker;
  /** A send indication up to its data, lengths missing. */
  readonly #indication: Uint8Array;

  constructor(exchange: StunExchange, asker: Asker, remote: NetAddress) {
    this.#exchange = exchange;
    this.#asker = asker;
    this.remote = remote;
    // One transaction id for all: nobody answers an indication.
    this.#indication = new StunWriter(StunMethod.Send, StunClass.Indication, exchange.newTransactionId())
      .addAddress(StunAttribute.XorPeerAddress, remote)
      .add(StunAttribute.Data)
      .finish();
  }

  /** Does nothing if nobody needs a channel. */
  renew(nowUs: number): void {
    if (this.users.size > 0) this.#asker.ask({ kind: 'channel', peer: this, attempts: 0 }, nowUs);
  }

  handleTimeout(nowUs: number): void {
    this.renew(nowUs);
  }

  handleBound(isBound: boolean, nowUs: number): void {
    this.#isBound = isBound && this.users.size > 0;
    if (this.users.size > 0) this.#exchange.timers.set(this, nowUs + RENEW_US);
  }

  /** The allocation is gone. */
  reset(): void {
    this.#isBound = false;
    this.#exchange.timers.set(this, NEVER);
  }

  release(user: RelayUser): void {
    if (this.users.delete(user) && this.users.size === 0) this.reset();
  }

  /** Wraps `bytes[0..length)` in place; returns the new length. */
  wrap(bytes: Uint8Array, length: number): number {
    if (this.#isBound) {
      bytes.copyWithin(CHANNEL_HEADER_BYTES, 0, length);
      putU16(bytes, 0, this.channel);
      putU16(bytes, 2, length);
      return CHANNEL_HEADER_BYTES + length;
    }
    const header = this.#indication;
    bytes.copyWithin(header.length, 0, length);
    bytes.set(header);
    putU16(bytes, header.length - 2, length);
    let end = header.length + length;
    while (end % 4 !== 0) bytes[end++] = 0;
    putU16(bytes, 2, end - STUN_HEADER_BYTES);
    return end;
  }
}

const STUN_HEADER_BYTES = 20;

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

// How two ends come to terms by signals: what they ask and answer, when a signal goes, and what is in it. How the signals
// travel is the application's affair. Spec: 07 §7.3 – §7.5, §7.7.

import type { Identity } from '../base/identity.ts';
import { LONG_AGO, NEVER, US_PER_MS } from '../base/time.ts';
import type { ShownCertificate } from '../certs/certificate.ts';
import { checkExpected, type Expectation, NO_OWN_CERTIFICATE, UNSIGNED, type VerifyFailure } from '../certs/verify.ts';
import type { ConfigScope } from '../config/scope.ts';
import { decodeCertificate, type SignedCertificate, type SignedCryptInfo } from '../wire/crypt-messages.ts';
import {
  EMPTY_SIGNAL,
  type IceNews,
  NO_CONNECTION_REASON,
  type Signal,
  type SignalClosed,
  type SignalOk,
  type SignalRequest,
} from '../wire/signal.ts';
import { type End, Ends } from './end-reason.ts';
import type { Environment } from './environment.ts';
import { failed, type Session, type Step } from './handshake.ts';
import { KeyExchange } from './key-exchange.ts';
import { SignalStream } from './signal-stream.ts';
import { type ConnectionState, FACTS } from './state-table.ts';

/** Ports of the application, not of the network; -1 if not specified. */
export interface VirtualPorts {
  readonly local: number;
  readonly remote: number;
}

/** Someone who asks to connect by signal. */
export interface SignalCaller {
  readonly identity: Identity;
  readonly connectionId: number;
  readonly request: SignalRequest;
}

/** More may be about to be said: wait for it a little. */
const COLLECT_US = 10 * US_PER_MS;
const SPACING_US = 100 * US_PER_MS;
const REQUEST_RETRY_US = 500 * US_PER_MS;

export class P2pHandshake {
  readonly ports: VirtualPorts;
  readonly stream = new SignalStream();
  /** The peer answers our request; else we answer its. */
  isClient: boolean;
  /** 0 until the peer has told. */
  remoteId = 0;
  /** Undefined until the peer has told, unless the application knew. */
  identity: Identity | undefined;
  /** The Ed25519 key that the peer must have; undefined: any. */
  #pinnedKey: Uint8Array | undefined;
  /** Something was sent: from then on signals wait for no candidates. */
  hasSent = false;
  readonly #env: Environment;
  readonly #config: ConfigScope;
  readonly #localId: number;
  #exchange: KeyExchange | undefined;
  #owesOk = false;
  /** When to send, for what there is to say. */
  #deadlineUs = NEVER;
  #lastSentUs = LONG_AGO;
  #lastRequestUs = LONG_AGO;

  private constructor(
    env: Environment,
    config: ConfigScope,
    localId: number,
    ports: VirtualPorts,
    identity: Identity | undefined,
    isClient: boolean,
  ) {
    this.#env = env;
    this.#config = config;
    this.#localId = localId;
    this.ports = ports;
    this.identity = identity;
    this.isClient = isClient;
    this.#exchange = KeyExchange.begin(env, config, isClient, this.#allow);
  }

  /** Without an identity: whoever answers. */
  static connect(
    env: Environment,
    config: ConfigScope,
    localId: number,
    ports: VirtualPorts,
    { identity, publicKey }: Expectation,
  ): P2pHandshake {
    const isKnown = identity !== undefined && !identity.isLocalHost;
    const handshake = new P2pHandshake(env, config, localId, ports, isKnown ? identity : undefined, true);
    handshake.#pinnedKey = publicKey;
    return handshake;
  }

  /** Takes a caller's request; why it cannot be taken, if it cannot. */
  static answer(
    env: Environment,
    config: ConfigScope,
    localId: number,
    ports: VirtualPorts,
    caller: SignalCaller,
    nowUs: number,
  ): P2pHandshake | VerifyFailure | End {
    const handshake = new P2pHandshake(env, config, localId, ports, caller.identity, false);
    return handshake.#take(caller, nowUs) ?? handshake;
  }

  get #allow(): number {
    return this.#config.get('ipAllowWithoutAuth');
  }

  get isAuthenticated(): boolean {
    return this.#exchange?.isAuthenticated ?? false;
  }

  get shown(): ShownCertificate | undefined {
    return this.#exchange?.shown;
  }

  /** Why there is no point in starting. */
  get obstacle(): End | undefined {
    return this.#exchange === undefined ? Ends.noCertificate : undefined;
  }

  get localCertificate(): SignedCertificate | undefined {
    return this.#exchange?.localCertificate;
  }

  #take({ identity, connectionId, request }: SignalCaller, nowUs: number): VerifyFailure | End | undefined {
    if (this.#exchange === undefined) return NO_OWN_CERTIFICATE;
    this.remoteId = connectionId;
    const failure = this.#verify(request.cert, request.crypt, identity, nowUs);
    return failure ?? (this.#exchange.answer() === undefined ? Ends.noCommonCipher : undefined);
  }

  /** Whether the peer is who it says it is, and has the key that the application wants. */
  #verify(
    cert: SignedCertificate | undefined,
    crypt: SignedCryptInfo | undefined,
    identity: Identity,
    nowUs: number,
  ): VerifyFailure | undefined {
    const verified = this.#exchange!.verify(cert, crypt, identity, this.#allow, undefined, nowUs);
    if (!verified.ok) return verified;
    return checkExpected(verified.certificate, identity, { identity: undefined, publicKey: this.#pinnedKey });
  }

  /** We call somebody whose own call we have: whether what it showed is enough for us, and if not, why. */
  misfit(publicKey: Uint8Array | undefined): End | undefined {
    const { cert, isCaSigned } = this.shown!;
    const expected = { identity: undefined, publicKey };
    const pin = checkExpected(decodeCertificate(cert)!, this.identity!, expected);
    const failure = pin ?? (isCaSigned || this.#allow !== 0 ? undefined : UNSIGNED);
    return failure && endOf(failure);
  }

  /** We asked each other at the same time, and the peer's request is the one that counts. Why not, if not. */
  becomeServer(caller: SignalCaller, nowUs: number): End | undefined {
    this.isClient = false;
    this.#exchange = KeyExchange.begin(this.#env, this.#config, false, this.#allow);
    const failure = this.#take(caller, nowUs);
    return failure !== undefined && 'kind' in failure ? endOf(failure) : failure;
  }

  /** As server: the application accepted. */
  accept(nowUs: number): Step {
    const session = this.#session();
    if ('reason' in session) return failed(session);
    this.#oweOk(nowUs);
    return { kind: 'agreed', session };
  }

  #session(): Session | End {
    const exchange = this.#exchange!;
    const ciphers = exchange.finish(this.#localId, this.remoteId);
    if ('reason' in ciphers) return ciphers;
    const { isAuthenticated, shown, remoteProtocolVersion: protocolVersion } = exchange;
    return { remoteId: this.remoteId, identity: this.identity!, isAuthenticated, protocolVersion, ciphers, shown };
  }

  #oweOk(nowUs: number): void {
    this.#owesOk = true;
    this.#speakBy(nowUs + COLLECT_US);
  }

  #speakBy(atUs: number): void {
    this.#deadlineUs = Math.min(this.#deadlineUs, atUs);
  }

  // ---- in

  /** The peer's answer or repeated question; `state` is that of the connection. */
  onSignal(signal: Signal, state: ConnectionState, nowUs: number): Step | undefined {
    if (signal.ok !== undefined && this.isClient && state === 'Connecting') return this.#onOk(signal.ok, nowUs);
    const isAccepted = state === 'FindingRoute' || FACTS[state].carriesData;
    if (signal.request !== undefined && !this.isClient && isAccepted) this.#oweOk(nowUs);
    return undefined;
  }

  #onOk({ cert, crypt }: SignalOk, nowUs: number): Step {
    // Whoever receives a signal first asks who it is from.
    const failure = this.#verify(cert, crypt, this.identity!, nowUs);
    if (failure !== undefined) return failed(endOf(failure));
    const session = this.#session();
    return 'reason' in session ? failed(session) : { kind: 'agreed', session };
  }

  /** What is new of the reliable part. */
  receiveNews({ ackedReliable, firstReliable, reliable }: Signal, nowUs: number): readonly IceNews[] {
    if (ackedReliable !== undefined) this.stream.onAck(ackedReliable);
    if (firstReliable === undefined) return [];
    this.#speakBy(nowUs + COLLECT_US);
    return this.stream.receive({ first: firstReliable, news: reliable });
  }

  // ---- out

  /** Tells the peer, reliably. */
  tell(news: IceNews, nowUs: number): void {
    this.stream.push(news, nowUs);
    this.#speakBy(nowUs + COLLECT_US);
  }

  /** When a signal is due; the first one is held back until `heldUntilUs` for what may still be found out. */
  dueUs(state: ConnectionState, heldUntilUs: number): number {
    const dueUs = this.#freeDueUs(state);
    return this.hasSent ? dueUs : Math.max(dueUs, heldUntilUs);
  }

  #freeDueUs(state: ConnectionState): number {
    if (state !== 'Connecting') {
      return Math.max(Math.min(this.#deadlineUs, this.stream.dueUs()), this.#lastSentUs + SPACING_US);
    }
    return this.isClient ? Math.min(this.#lastRequestUs + REQUEST_RETRY_US, this.#deadlineUs) : NEVER;
  }

  /** The signal to send now. */
  signal(state: ConnectionState, isIceAlive: boolean, nowUs: number): Signal {
    const request = this.isClient && state === 'Connecting' ? this.#request() : undefined;
    const ok = this.#owesOk ? this.#ok() : undefined;
    const batch = this.stream.take(request !== undefined || ok !== undefined, nowUs);
    this.#owesOk = false;
    this.#deadlineUs = NEVER;
    this.#lastSentUs = nowUs;
    if (request !== undefined) this.#lastRequestUs = nowUs;
    this.hasSent = true;
    return {
      ...this.#envelope(request !== undefined, isIceAlive),
      request,
      ok,
      ackedReliable: this.stream.received,
      firstReliable: batch?.first,
      reliable: batch?.news ?? [],
    };
  }

  #request(): SignalRequest {
    const { local, remote } = this.ports;
    return {
      cert: this.localCertificate,
      crypt: this.#exchange!.offer(),
      fromVirtualPort: local < 0 ? undefined : local,
      toVirtualPort: remote < 0 ? undefined : remote,
    };
  }

  #ok(): SignalOk {
    return { cert: this.localCertificate, crypt: this.#exchange!.answer() };
  }

  /** "It is over"; without an end, "I have no such connection". */
  closedSignal(end: End | undefined, isIceAlive: boolean): Signal {
    const closed: SignalClosed = end ?? { reason: NO_CONNECTION_REASON, debug: '' };
    return { ...this.#envelope(false, isIceAlive), closed };
  }

  #envelope(isRequest: boolean, isIceEnabled: boolean): Signal {
    return {
      ...EMPTY_SIGNAL,
      toConnectionId: this.remoteId === 0 || isRequest ? undefined : this.remoteId,
      toIdentity: this.identity?.toString(),
      fromIdentity: this.#env.identity.toString(),
      fromConnectionId: this.#localId,
      isIceEnabled,
    };
  }
}

function endOf({ reason, detail: debug }: VerifyFailure): End {
  return { reason, debug };
}

/**
 * Who is the client where both asked at the same time. Neither side can aim at either role. If the ids are equal, the
 * certificates decide. Spec: 07 §7.7.
 */
export function isOurRequestFirst(
  localId: number,
  remoteId: number,
  localCert: Uint8Array,
  remoteCert: Uint8Array,
): boolean {
  const order = localId === remoteId ? compareBytes(localCert, remoteCert) : localId < remoteId ? -1 : 1;
  return (((localId ^ remoteId) & 1) === 0 ? order : -order) <= 0;
}

/** As `memcmp`. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? 0 : a[at]! - (b[at] ?? 0);
}

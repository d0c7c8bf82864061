// How two ends of a direct UDP connection come to terms: challenge, request, reply. Spec: 01 §1.3 – §1.8.

import type { IpAddress } from '../base/address.ts';
import type { Identity } from '../base/identity.ts';
import { NEVER, US_PER_MS } from '../base/time.ts';
import type { ShownCertificate } from '../certs/certificate.ts';
import {
  checkExpected,
  checkPlace,
  type Expectation,
  NO_IDENTITY,
  NO_OWN_CERTIFICATE,
  type VerifyFailure,
} from '../certs/verify.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { RoundTrip } from '../stats/round-trip.ts';
import {
  type ChallengeReply,
  type ChallengeRequest,
  type ConnectOk,
  type ConnectRequest,
  type ControlPacket,
  MIN_PROTOCOL_VERSION,
} from '../wire/control-packets.ts';
import { type End, EndReason, Ends } from './end-reason.ts';
import { type Environment, PROTOCOL_VERSION } from './environment.ts';
import { failed, type Handshake, type Step } from './handshake.ts';
import { allowWithoutAuth, KeyExchange, peerIdentity } from './key-exchange.ts';
import { type ConnectionState, FACTS } from './state-table.ts';

/** A timestamp older than this says nothing about the ping. */
const MAX_ECHO_AGE_US = 4_000_000;
const MAX_PING_ESTIMATE_MS = 1500;
const RETRY_US = 500 * US_PER_MS;

export class ClientHandshake implements Handshake {
  readonly #localId: number;
  readonly #remote: IpAddress;
  readonly #allow: number;
  readonly #expected: Expectation | undefined;
  readonly #checksAddress: boolean;
  /** Undefined where we have no certificate, and when it has done its work: it holds secrets. */
  #exchange: KeyExchange | undefined;
  /** Why there is no point in starting. */
  readonly #obstacle: End | undefined;
  #announcedVersion: number | undefined;
  /** What the server's reply said, be it good or bad: for telling it, and the application, that it was bad. */
  remoteId = 0;
  identity: Identity | undefined;
  readonly isAuthenticated = false;
  readonly shown = undefined;
  timeout: End = Ends.connectTimedOut;
  dueUs: number;

  constructor(
    env: Environment,
    config: ConfigScope,
    localId: number,
    remote: IpAddress,
    expected: Expectation | undefined,
    nowUs: number,
  ) {
    this.#localId = localId;
    this.#remote = remote;
    this.#allow = allowWithoutAuth(config, remote);
    this.#expected = expected;
    this.#checksAddress = env.checksAddresses === true;
    this.#exchange = KeyExchange.begin(env, config, true, this.#allow);
    this.#obstacle = this.#exchange === undefined ? Ends.noCertificate : undefined;
    this.dueUs = nowUs;
  }

  accept(): Step {
    throw new Error('invariant broken: a client does not accept');
  }

  onTime(nowUs: number): Step | undefined {
    if (this.#obstacle !== undefined) return failed(this.#obstacle);
    return nowUs < this.dueUs ? undefined : this.#say(this.#challengeRequest(nowUs), nowUs);
  }

  /** Says it, and begins anew if nothing comes of it. */
  #say(packet: ControlPacket, nowUs: number): Step {
    this.dueUs = nowUs + RETRY_US;
    return { kind: 'say', packet };
  }

  #challengeRequest(nowUs: number): ChallengeRequest {
    const timestamp = BigInt(Math.floor(nowUs));
    return { kind: 'challengeRequest', connectionId: this.#localId, timestamp, protocolVersion: PROTOCOL_VERSION };
  }

  onPacket(packet: ControlPacket, state: ConnectionState, roundTrip: RoundTrip, nowUs: number): Step | undefined {
    if (state === 'Connecting') {
      if (packet.kind === 'challengeReply') return this.#onChallengeReply(packet, roundTrip, nowUs);
      return packet.kind === 'connectOk' ? this.#onConnectOk(packet, roundTrip, nowUs) : undefined;
    }
    const isLate = packet.kind === 'connectOk' && !FACTS[state].isActive && this.#identityOf(packet) !== undefined;
    return isLate ? { kind: 'sayClosed' } : undefined;
  }

  #onChallengeReply(reply: ChallengeReply, roundTrip: RoundTrip, nowUs: number): Step | undefined {
    if (reply.connectionId !== this.#localId) return undefined;
    if (reply.protocolVersion < MIN_PROTOCOL_VERSION) {
      const debug = `the server speaks protocol version ${reply.protocolVersion}, too old for us`;
      return failed({ reason: EndReason.Misc_Generic, debug });
    }
    roundTrip.addMeasured(nowUs - Number(reply.echoedTimestamp), nowUs);
    this.#announcedVersion = reply.protocolVersion;
    const exchange = this.#exchange!;
    const pingMs = roundTrip.smoothedMs;
    const packet: ConnectRequest = {
      kind: 'connectRequest',
      clientConnectionId: this.#localId,
      challenge: reply.challenge,
      timestamp: BigInt(Math.floor(nowUs)),
      pingEstimateMs: pingMs < 0 ? undefined : pingMs,
      cert: exchange.localCertificate,
      crypt: exchange.offer(),
      identity: exchange.localIdentity,
    };
    return this.#say(packet, nowUs);
  }

  #onConnectOk(ok: ConnectOk, roundTrip: RoundTrip, nowUs: number): Step | undefined {
    const identity = this.#identityOf(ok);
    if (identity === undefined && ok.clientConnectionId === this.#localId)
      this.timeout = withDetail(NO_IDENTITY.detail);
    // Once the peer has said who it is, it must stay the same one.
    if (identity === undefined || (this.identity !== undefined && !this.identity.equals(identity))) return undefined;
    if (ok.echoedTimestamp !== undefined) {
      roundTrip.addMeasured(nowUs - Number(ok.echoedTimestamp) - ok.delayUs, nowUs);
    }
    const remoteId = ok.serverConnectionId;
    this.remoteId = remoteId;
    if ((remoteId & 0xffff) === 0) {
      return failed({ reason: EndReason.Remote_BadCrypt, debug: `the server chose connection id ${remoteId}` });
    }
    this.identity = identity;
    const exchange = this.#exchange!;
    const verified = exchange.verify(ok.cert, ok.crypt, identity, this.#allow, this.#announcedVersion, nowUs);
    if (!verified.ok) return failed({ reason: verified.reason, debug: verified.detail });
    const { certificate } = verified;
    const unwanted =
      (this.#expected && checkExpected(certificate, identity, this.#expected)) ??
      (this.#checksAddress ? checkPlace(certificate, this.#remote) : undefined);
    if (unwanted !== undefined) return failed({ reason: unwanted.reason, debug: unwanted.detail });
    const ciphers = exchange.finish(this.#localId, remoteId);
    if ('reason' in ciphers) return failed(ciphers);
    const { isAuthenticated, shown, remoteProtocolVersion: protocolVersion } = exchange;
    this.#exchange = undefined;
    return { kind: 'agreed', session: { remoteId, identity, isAuthenticated, protocolVersion, ciphers, shown } };
  }

  /** Who answers; undefined if the packet is not for us or its sender not acceptable. */
  #identityOf(ok: ConnectOk): Identity | undefined {
    if (ok.clientConnectionId !== this.#localId) return undefined;
    return peerIdentity(ok.cert, ok.identity, this.#remote, this.#allow);
  }
}

function withDetail(detail: string): End {
  const { reason, debug } = Ends.connectTimedOut;
  return { reason, debug: `${debug}; replies came and were ignored: ${detail}` };
}

/** What the server says of itself; the same each time. */
type Reply = Pick<ConnectOk, 'cert' | 'crypt' | 'identity'>;

/** The server's side, from the request that was let in to the reply. */
export class ServerHandshake implements Handshake {
  readonly identity: Identity;
  readonly remoteId: number;
  readonly isAuthenticated: boolean;
  readonly shown: ShownCertificate | undefined;
  readonly timeout = Ends.acceptTimedOut;
  readonly dueUs = NEVER;
  readonly #localId: number;
  /** Undefined when it has done its work: it holds secrets. */
  #exchange: KeyExchange | undefined;
  /** From when we accept until the client has it. */
  #reply: Reply | undefined;
  readonly #timestamp: bigint | undefined;
  readonly #requestedAtUs: number;

  private constructor(
    localId: number,
    identity: Identity,
    exchange: KeyExchange,
    request: ConnectRequest,
    nowUs: number,
  ) {
    this.#localId = localId;
    this.identity = identity;
    this.#exchange = exchange;
    this.isAuthenticated = exchange.isAuthenticated;
    this.shown = exchange.shown;
    this.remoteId = request.clientConnectionId;
    this.#timestamp = request.timestamp;
    this.#requestedAtUs = nowUs;
  }

  /**
   * Checks the request's credentials; what is wrong with them if it is to be ignored. The challenge was checked before,
   * and `identity` found in the request.
   */
  static begin(
    env: Environment,
    config: ConfigScope,
    localId: number,
    remote: IpAddress,
    request: ConnectRequest,
    identity: Identity,
    roundTrip: RoundTrip,
    nowUs: number,
  ): ServerHandshake | VerifyFailure {
    const allow = allowWithoutAuth(config, remote);
    const exchange = KeyExchange.begin(env, config, false, allow);
    if (exchange === undefined) return NO_OWN_CERTIFICATE;
    const verified = exchange.verify(request.cert, request.crypt, identity, allow, undefined, nowUs);
    if (!verified.ok) return verified;
    const misplaced = env.checksAddresses === true ? checkPlace(verified.certificate, remote) : undefined;
    if (misplaced !== undefined) return misplaced;
    const pingMs = request.pingEstimateMs;
    if (pingMs !== undefined && pingMs <= MAX_PING_ESTIMATE_MS) roundTrip.add(pingMs, nowUs);
    return new ServerHandshake(localId, identity, exchange, request, nowUs);
  }

  /** Chooses the cipher and derives the keys. */
  accept(nowUs: number): Step {
    const exchange = this.#exchange!;
    const crypt = exchange.answer();
    const ciphers = exchange.finish(this.#localId, this.remoteId);
    this.#exchange = undefined;
    if ('reason' in ciphers) return failed(ciphers);
    const { localCertificate: cert, localIdentity, isAuthenticated, remoteProtocolVersion: protocolVersion } = exchange;
    this.#reply = { cert, crypt, identity: localIdentity };
    const { remoteId, identity, shown } = this;
    const session = { remoteId, identity, isAuthenticated, protocolVersion, ciphers, shown };
    return { kind: 'agreed', session, reply: this.#connectOk(nowUs) };
  }

  onTime(): undefined {
    return undefined;
  }

  onData(): void {
    this.#reply = undefined;
  }

  /** The client did not hear our reply, or does not know that we closed. */
  onPacket(packet: ControlPacket, state: ConnectionState, _roundTrip: RoundTrip, nowUs: number): Step | undefined {
    const isRequest = packet.kind === 'challengeRequest' || packet.kind === 'connectRequest';
    if (!isRequest) return undefined;
    const id = packet.kind === 'challengeRequest' ? packet.connectionId : packet.clientConnectionId;
    if (id !== this.remoteId) return undefined;
    if (!FACTS[state].isActive) return { kind: 'sayClosed' };
    const isOpen = FACTS[state].carriesData && this.#reply !== undefined;
    return isOpen ? { kind: 'say', packet: this.#connectOk(nowUs) } : undefined;
  }

  #connectOk(nowUs: number): ConnectOk {
    const delayUs = Math.floor(nowUs - this.#requestedAtUs);
    return {
      kind: 'connectOk',
      clientConnectionId: this.remoteId,
      serverConnectionId: this.#localId,
      echoedTimestamp: delayUs < MAX_ECHO_AGE_US ? this.#timestamp : undefined,
      delayUs,
      ...this.#reply!,
    };
  }
}

// How two ends of a direct UDP connection come to terms: challenge, request, reply. Each class answers "what now?" with a
// step; the connection takes it. Spec: 01 §1.3 – §1.8.

import type { IpAddress } from '../base/address.ts';
import type { Identity } from '../base/identity.ts';
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
  MIN_PROTOCOL_VERSION,
} from '../wire/control-packets.ts';
import { type End, EndReason, Ends } from './end-reason.ts';
import { type Environment, PROTOCOL_VERSION } from './environment.ts';
import { allowWithoutAuth, KeyExchange, peerIdentity, type SessionCiphers } from './key-exchange.ts';

/** What a received packet leads to; undefined where it is dropped. */
export type ClientStep =
  | { readonly kind: 'send'; readonly packet: ConnectRequest }
  | { readonly kind: 'fail'; readonly failure: End }
  | { readonly kind: 'establish'; readonly session: Session };

/** All that the handshake found out. */
export interface Session {
  readonly remoteId: number;
  readonly identity: Identity;
  readonly isAuthenticated: boolean;
  readonly protocolVersion: number;
  readonly ciphers: SessionCiphers;
  /** Undefined where nothing was shown: for one end of a pair. */
  readonly shown?: ShownCertificate | undefined;
}

/** A client's request, and what was found out about it. */
export interface Arrival {
  readonly request: ConnectRequest;
  readonly identity: Identity;
  /** Of the datagram. */
  readonly length: number;
}

/** A timestamp older than this says nothing about the ping. */
const MAX_ECHO_AGE_US = 4_000_000;
const MAX_PING_ESTIMATE_MS = 1500;

export class ClientHandshake {
  readonly #localId: number;
  readonly #remote: IpAddress;
  readonly #allow: number;
  readonly #expected: Expectation | undefined;
  readonly #checksAddress: boolean;
  /** Undefined where we have no certificate, and when it has done its work: it holds secrets. */
  #exchange: KeyExchange | undefined;
  /** Why there is no point in starting. */
  readonly obstacle: End | undefined;
  #announcedVersion: number | undefined;
  /** What the server's reply said, be it good or bad: for telling it, and the application, that it was bad. */
  remoteId = 0;
  remoteIdentity: Identity | undefined;
  /** What the connection ends with if nothing comes of it in time. */
  timeout: End = Ends.connectTimedOut;

  constructor(
    env: Environment,
    config: ConfigScope,
    localId: number,
    remote: IpAddress,
    expected: Expectation | undefined,
  ) {
    this.#localId = localId;
    this.#remote = remote;
    this.#allow = allowWithoutAuth(config, remote);
    this.#expected = expected;
    this.#checksAddress = env.checksAddresses === true;
    this.#exchange = KeyExchange.begin(env, config, true, this.#allow);
    this.obstacle = this.#exchange === undefined ? Ends.noCertificate : undefined;
  }

  challengeRequest(nowUs: number): ChallengeRequest {
    const timestamp = BigInt(Math.floor(nowUs));
    return { kind: 'challengeRequest', connectionId: this.#localId, timestamp, protocolVersion: PROTOCOL_VERSION };
  }

  onChallengeReply(reply: ChallengeReply, roundTrip: RoundTrip, nowUs: number): ClientStep | undefined {
    if (reply.connectionId !== this.#localId) return undefined;
    if (reply.protocolVersion < MIN_PROTOCOL_VERSION) {
      const debug = `the server speaks protocol version ${reply.protocolVersion}, too old for us`;
      return { kind: 'fail', failure: { reason: EndReason.Misc_Generic, debug } };
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
    return { kind: 'send', packet };
  }

  /** `knownIdentity`: the peer must be this one, once it is fixed. */
  onConnectOk(
    ok: ConnectOk,
    roundTrip: RoundTrip,
    knownIdentity: Identity | undefined,
    nowUs: number,
  ): ClientStep | undefined {
    const identity = this.identityOf(ok);
    if (identity === undefined && ok.clientConnectionId === this.#localId)
      this.timeout = withDetail(NO_IDENTITY.detail);
    if (identity === undefined || (knownIdentity !== undefined && !knownIdentity.equals(identity))) return undefined;
    if (ok.echoedTimestamp !== undefined) {
      roundTrip.addMeasured(nowUs - Number(ok.echoedTimestamp) - ok.delayUs, nowUs);
    }
    this.remoteId = ok.serverConnectionId;
    if ((ok.serverConnectionId & 0xffff) === 0) {
      return failed({
        reason: EndReason.Remote_BadCrypt,
        debug: `the server chose connection id ${ok.serverConnectionId}`,
      });
    }
    this.remoteIdentity = identity;
    const exchange = this.#exchange!;
    const verified = exchange.verify(ok.cert, ok.crypt, identity, this.#allow, this.#announcedVersion, nowUs);
    if (!verified.ok) return failed({ reason: verified.reason, debug: verified.detail });
    const { certificate } = verified;
    const unwanted =
      (this.#expected && checkExpected(certificate, identity, this.#expected)) ??
      (this.#checksAddress ? checkPlace(certificate, this.#remote) : undefined);
    if (unwanted !== undefined) return failed({ reason: unwanted.reason, debug: unwanted.detail });
    const ciphers = exchange.finish(this.#localId, ok.serverConnectionId);
    if ('reason' in ciphers) return failed(ciphers);
    const { isAuthenticated, shown, remoteProtocolVersion: protocolVersion } = exchange;
    this.#exchange = undefined;
    const session = { remoteId: ok.serverConnectionId, identity, isAuthenticated, protocolVersion, ciphers, shown };
    return { kind: 'establish', session };
  }

  /** Who answers; undefined if the packet is not for us or its sender not acceptable. */
  identityOf(ok: ConnectOk): Identity | undefined {
    if (ok.clientConnectionId !== this.#localId) return undefined;
    return peerIdentity(ok.cert, ok.identity, this.#remote, this.#allow);
  }
}

function failed(failure: End): ClientStep {
  return { kind: 'fail', failure };
}

function withDetail(detail: string): End {
  const { reason, debug } = Ends.connectTimedOut;
  return { reason, debug: `${debug}; replies came and were ignored: ${detail}` };
}

/** What the server says of itself; the same each time. */
type Reply = Pick<ConnectOk, 'cert' | 'crypt' | 'identity'>;

/** The server's side, from the request that was let in to the reply. */
export class ServerHandshake {
  readonly identity: Identity;
  readonly remoteId: number;
  readonly isAuthenticated: boolean;
  readonly shown: ShownCertificate | undefined;
  /** Undefined when it has done its work: it holds secrets. */
  #exchange: KeyExchange | undefined;
  #reply: Reply | undefined;
  readonly #timestamp: bigint | undefined;
  readonly #requestedAtUs: number;

  private constructor(identity: Identity, exchange: KeyExchange, request: ConnectRequest, nowUs: number) {
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
    return new ServerHandshake(identity, exchange, request, nowUs);
  }

  /** The application accepted: chooses the cipher and derives the keys. */
  accept(localId: number): Session | End {
    const exchange = this.#exchange!;
    const crypt = exchange.answer();
    const ciphers = exchange.finish(localId, this.remoteId);
    this.#exchange = undefined;
    if ('reason' in ciphers) return ciphers;
    const { localCertificate: cert, localIdentity, isAuthenticated, remoteProtocolVersion: protocolVersion } = exchange;
    this.#reply = { cert, crypt, identity: localIdentity };
    const { remoteId, identity, shown } = this;
    return { remoteId, identity, isAuthenticated, protocolVersion, ciphers, shown };
  }

  /** Once accepted. May be sent again whenever the client asks. */
  connectOk(localId: number, nowUs: number): ConnectOk {
    const delayUs = Math.floor(nowUs - this.#requestedAtUs);
    return {
      kind: 'connectOk',
      clientConnectionId: this.remoteId,
      serverConnectionId: localId,
      echoedTimestamp: delayUs < MAX_ECHO_AGE_US ? this.#timestamp : undefined,
      delayUs,
      ...this.#reply!,
    };
  }
}

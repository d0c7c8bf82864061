// From two certificates and two key exchange messages to a pair of ciphers; and who the peer is. How the messages travel
// (inside UDP handshake packets or signals) does not matter here. Spec: 01 §1.8, 02 §2.2 – §2.7.

import type { IpAddress } from '../base/address.ts';
import { Identity } from '../base/identity.ts';
import {
  acceptCipher,
  chooseCipher,
  cipherPreference,
  type LocalCertificate,
  makeCryptInfo,
  makeUnsignedCertificate,
  type ShownCertificate,
} from '../certs/certificate.ts';
import { type UnsignedPolicy, type VerifyResult, verifyPeer } from '../certs/verify.ts';
import type { ConfigScope } from '../config/scope.ts';
import { deriveSessionKeys } from '../crypto/key-schedule.ts';
import { gcmCipher, nullCipher, type PacketCipher } from '../crypto/packet-cipher.ts';
import type { ExchangeKey } from '../platform.ts';
import {
  Cipher,
  type CryptInfo,
  decodeCertificate,
  KEY_TYPE,
  type SignedCertificate,
  type SignedCryptInfo,
} from '../wire/crypt-messages.ts';
import { MAX_LARGE_DATAGRAM_BYTES } from '../wire/data-packet.ts';
import { type IdentityFields, readIdentity, writeHandshakeIdentity } from '../wire/identity-fields.ts';
import { type End, Ends } from './end-reason.ts';
import { type Environment, PROTOCOL_VERSION } from './environment.ts';

/** Both ciphers, and what they are. */
export interface SessionCiphers {
  readonly sealer: PacketCipher;
  readonly opener: PacketCipher;
  readonly isEncrypted: boolean;
  /** The largest datagram that the peer takes; 0 if it did not say, as GNS does not. */
  readonly peerDatagramBytes: number;
}

/** How much a peer without a trusted certificate is welcome: IP_AllowWithoutAuth or its twin for this machine. */
export function allowWithoutAuth(config: ConfigScope, remote: IpAddress): number {
  const general = config.get('ipAllowWithoutAuth');
  return remote.isLoopback ? Math.max(general, config.get('ipLocalHostAllowWithoutAuth')) : general;
}

const POLICIES: readonly UnsignedPolicy[] = ['disallow', 'warn', 'allow'];

/** Who the peer says it is, by the rules for direct UDP; undefined if it may not be that. */
export function peerIdentity(
  cert: SignedCertificate | undefined,
  message: IdentityFields,
  remote: IpAddress,
  allow: number,
): Identity | undefined {
  const certificate = cert === undefined ? undefined : decodeCertificate(cert.cert);
  let identity = certificate === undefined ? undefined : readIdentity(certificate.identity);
  const isFromCertificate = identity !== undefined;
  identity ??= readIdentity(message);
  if (identity === 'malformed') return undefined;
  if (identity === undefined || identity.isLocalHost) {
    return allow === 0 ? undefined : Identity.ip(remote);
  }
  return identity.kind !== 'ip' || isFromCertificate ? identity : undefined;
}

/**
 * What an instance presents where no authority vouches for it. GNS makes one for each connection; what protects a
 * connection is the key exchange, whose keys are always fresh.
 */
const SELF_MADE = new WeakMap<Environment, { readonly identity: Identity; readonly certificate: LocalCertificate }>();

function selfMadeCertificate(env: Environment): LocalCertificate {
  const { crypto, identity, appId, signingKey } = env;
  const known = SELF_MADE.get(env);
  // An anonymous instance takes over the identity of a certificate that is installed.
  if (known?.identity.equals(identity) === true) return known.certificate;
  const certificate = makeUnsignedCertificate(crypto, identity, appId, signingKey);
  SELF_MADE.set(env, { identity, certificate });
  return certificate;
}

/** What goes beside a certificate of ours in every handshake. */
const IDENTITY_BESIDE = new WeakMap<LocalCertificate, IdentityFields>();

function identityBeside(local: LocalCertificate, identity: Identity): IdentityFields {
  let fields = IDENTITY_BESIDE.get(local);
  if (fields === undefined) {
    const certificate = decodeCertificate(local.signed.cert);
    const hasIdentity = certificate !== undefined && readIdentity(certificate.identity) !== undefined;
    fields = writeHandshakeIdentity(identity, hasIdentity);
    IDENTITY_BESIDE.set(local, fields);
  }
  return fields;
}

/** What the peer sent, once it is verified. */
interface Remote {
  readonly cert: Uint8Array;
  readonly signedInfo: Uint8Array;
  readonly info: CryptInfo;
}

/** Lives from the first packet of a handshake to the keys; what it has of secrets is of no use afterwards. */
export class KeyExchange {
  readonly #env: Environment;
  readonly #isClient: boolean;
  readonly #ciphers: readonly Cipher[];
  readonly #exchangeKey: ExchangeKey;
  readonly #nonce: bigint;
  readonly #local: LocalCertificate;
  #localInfo: SignedCryptInfo | undefined;
  #remote: Remote | undefined;
  /** A trusted authority vouches for the peer. */
  isAuthenticated = false;
  /** What the peer showed, once it is verified. */
  shown: ShownCertificate | undefined;

  private constructor(env: Environment, isClient: boolean, unencrypted: number, local: LocalCertificate) {
    this.#env = env;
    this.#isClient = isClient;
    this.#ciphers = cipherPreference(unencrypted);
    this.#local = local;
    this.#exchangeKey = env.crypto.exchangeKey();
    this.#nonce = (BigInt(env.random.u32()) << 32n) | BigInt(env.random.u32());
  }

  /** Undefined where we have no certificate that we may use. */
  static begin(env: Environment, config: ConfigScope, isClient: boolean, allow: number): KeyExchange | undefined {
    const { identity, certificate } = env;
    const unencrypted = config.get('unencrypted');
    if (!identity.isLocalHost && certificate !== undefined)
      return new KeyExchange(env, isClient, unencrypted, certificate);
    const mayMakeOne = identity.isLocalHost || allow === 2 || (allow === 1 && !isClient);
    if (!mayMakeOne) return undefined;
    return new KeyExchange(env, isClient, unencrypted, selfMadeCertificate(env));
  }

  get localCertificate(): SignedCertificate {
    return this.#local.signed;
  }

  /** Who we are, as far as the certificate does not say it. */
  get localIdentity(): IdentityFields {
    return identityBeside(this.#local, this.#env.identity);
  }

  /** What the client sends: all ciphers that it would take. */
  offer(): SignedCryptInfo {
    this.#localInfo ??= this.#sign(this.#ciphers);
    return this.#localInfo;
  }

  #sign(ciphers: readonly Cipher[]): SignedCryptInfo {
    return makeCryptInfo(this.#local.key, this.#exchangeKey, {
      nonce: this.#nonce,
      protocolVersion: PROTOCOL_VERSION,
      ciphers,
      maxDatagramBytes: MAX_LARGE_DATAGRAM_BYTES,
    });
  }

  /** Checks the peer's half. Costs signature checks: call it once, after all that is cheap. */
  verify(
    cert: SignedCertificate | undefined,
    crypt: SignedCryptInfo | undefined,
    identity: Identity,
    allow: number,
    announcedVersion: number | undefined,
    nowUs: number,
  ): VerifyResult {
    const result = verifyPeer(cert, crypt, {
      crypto: this.#env.crypto,
      trust: this.#env.trust,
      policy: POLICIES[allow] ?? 'disallow',
      peerIdentity: identity,
      localAppId: this.#env.appId,
      announcedVersion,
      nowS: this.#env.unixTimeS(nowUs),
    });
    if (result.ok) {
      this.#remote = { cert: cert!.cert, signedInfo: crypt!.info, info: result.cryptInfo };
      this.isAuthenticated = result.caSigned && identity.kind !== 'ip';
      // A copy: the original lies in the datagram, and would keep all of it.
      this.shown = { cert: cert!.cert.slice(), caKeyId: cert!.caKeyId, isCaSigned: result.caSigned };
    }
    return result;
  }

  get remoteProtocolVersion(): number {
    return this.#remote === undefined ? 0 : this.#remote.info.protocolVersion;
  }

  /** On the server: picks the cipher. Undefined if there is none in common. */
  answer(): SignedCryptInfo | undefined {
    const cipher = chooseCipher(this.#ciphers, this.#remote!.info.ciphers);
    if (cipher === undefined) return undefined;
    this.#localInfo ??= this.#sign([cipher]);
    return this.#localInfo;
  }

  /** The keys, once the peer is verified and both ids are known; on the server after `answer`. */
  finish(localId: number, remoteId: number): SessionCiphers | End {
    const { cert, signedInfo, info: remote } = this.#remote!;
    const chosen = this.#isClient
      ? acceptCipher(this.#ciphers, remote.ciphers)
      : chooseCipher(this.#ciphers, remote.ciphers);
    if (chosen === undefined || this.#localInfo === undefined) return Ends.noCommonCipher;
    const sharedSecret = remote.keyType === KEY_TYPE ? this.#exchangeKey.agree(remote.key) : undefined;
    if (sharedSecret === undefined) return Ends.badKey;
    const local = { nonce: this.#nonce, id: localId, cert: this.#local.signed.cert, info: this.#localInfo.info };
    const peer = { nonce: remote.nonce, id: remoteId, cert, info: signedInfo };
    const [client, server] = this.#isClient ? [local, peer] : [peer, local];
    const { crypto } = this.#env;
    const keys = deriveSessionKeys(crypto, {
      sharedSecret,
      clientNonce: client.nonce,
      serverNonce: server.nonce,
      clientConnectionId: client.id,
      serverConnectionId: server.id,
      clientCert: client.cert,
      serverCert: server.cert,
      clientInfo: client.info,
      serverInfo: server.info,
    });
    const peerDatagramBytes = remote.maxDatagramBytes ?? 0;
    if (chosen === Cipher.None)
      return { sealer: nullCipher(), opener: nullCipher(), isEncrypted: false, peerDatagramBytes };
    const { clientToServer, serverToClient } = keys;
    const [out, into] = this.#isClient ? [clientToServer, serverToClient] : [serverToClient, clientToServer];
    return {
      sealer: gcmCipher(crypto.aead(out.key), out.iv),
      opener: gcmCipher(crypto.aead(into.key), into.iv),
      isEncrypted: true,
      peerDatagramBytes,
    };
  }
}

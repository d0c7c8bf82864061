// Whether a peer is who it says it is, and may talk to us: run once per connection, by the server on ConnectRequest and
// by the client on ConnectOK. Spec: "Verifying the peer" (2.4), "Unsigned policy" (2.6).
import type { IpAddress } from '../base/address.ts';
import type { Identity } from '../base/identity.ts';
import type { CryptoProvider } from '../platform.ts';
import { MIN_PROTOCOL_VERSION } from '../wire/control-packets.ts';
import {
  type Certificate,
  Cipher,
  type CryptInfo,
  decodeCertificate,
  decodeCryptInfo,
  KEY_TYPE,
  type SignedCertificate,
  type SignedCryptInfo,
} from '../wire/crypt-messages.ts';
import { readIdentity } from '../wire/identity-fields.ts';
import { isInRanges } from './ip-range.ts';
import { coversApp, type Distrust, type Scope, type TrustStore } from './trust-store.ts';

/** What to do with a certificate that no trusted authority signed; `warn` and `allow` differ in what is logged. */
export type UnsignedPolicy = 'disallow' | 'warn' | 'allow';

export interface VerifyOptions {
  readonly crypto: CryptoProvider;
  readonly trust: TrustStore;
  readonly policy: UnsignedPolicy;
  /** Of the peer, by the rules of 1.8: for an anonymous one the address it was seen at. */
  readonly peerIdentity: Identity;
  readonly localAppId: number;
  /** What the peer said before in ChallengeReply; undefined on the server, which does not look at it. */
  readonly announcedVersion: number | undefined;
  /** The wall clock in unix seconds. */
  readonly nowS: number;
}

export type VerifyResult =
  | {
      readonly ok: true;
      readonly certificate: Certificate;
      /** `ciphers` is not empty. */
      readonly cryptInfo: CryptInfo;
      /** A trusted authority vouches for the certificate. */
      readonly caSigned: boolean;
    }
  | VerifyFailure;

/** What is wrong with a peer's credentials. */
export type RefusalKind =
  | Distrust
  /** The peer sent none, or one that nobody signed, and that is not allowed. */
  | 'noCertificate'
  | 'unsigned'
  /** It is for somebody else, for another application, or for another place; or it is signed, but for nobody. */
  | 'wrongIdentity'
  | 'wrongApp'
  | 'wrongAddress'
  | 'notBound'
  /** It is not the key that was pinned. */
  | 'wrongKey'
  /** The certificate is not the peer's own, or the key exchange is broken. */
  | 'badKeyExchange'
  | 'protocolVersion'
  /** We have none ourselves that we may present. */
  | 'noOwnCertificate';

export interface VerifyFailure {
  readonly ok: false;
  readonly kind: RefusalKind;
  /** End reason. The client closes with it; the server ignores the request without a word. */
  readonly reason: VerifyFailureReason;
  /** A sentence for the log. */
  readonly detail: string;
}
export type VerifyFailureReason = (typeof Reason)[keyof typeof Reason];

const Reason = { BadCrypt: 4002, BadCertificate: 4003, BadProtocolVersion: 4006, NoOwnCertificate: 5002 } as const;

/** Checks in the order of the reference, so that a peer with several faults is told the same one. */
export function verifyPeer(
  cert: SignedCertificate | undefined,
  crypt: SignedCryptInfo | undefined,
  options: VerifyOptions,
): VerifyResult {
  if (!cert) return fail('noCertificate', Reason.BadCrypt, 'the peer sent no certificate');
  if (!crypt) return fail('badKeyExchange', Reason.BadCrypt, 'the peer sent no key exchange');
  const certificate = decodeCertificate(cert.cert);

  const scope = checkSignature(cert, certificate, options);
  if (isFailure(scope)) return scope;
  if (!certificate) return fail('malformed', Reason.BadCrypt, 'the certificate does not parse');
  const failure =
    checkIdentity(certificate, cert.caSignature !== undefined, options.peerIdentity) ??
    checkApp(certificate, scope, options.localAppId);
  if (failure) return failure;
  if (!scope && options.policy === 'disallow') {
    return UNSIGNED;
  }

  const cryptInfo = checkCryptInfo(certificate, crypt, options);
  if (isFailure(cryptInfo)) return cryptInfo;
  return { ok: true, certificate, cryptInfo, caSigned: scope !== undefined };
}

/** Nobody whom we trust vouches for the peer. */
export const UNSIGNED: VerifyFailure = fail(
  'unsigned',
  Reason.BadCertificate,
  'the certificate is not signed, and unsigned ones are not allowed',
);

/** What we have to present ourselves has expired, or was never there. */
export const NO_OWN_CERTIFICATE: VerifyFailure = fail(
  'noOwnCertificate',
  Reason.NoOwnCertificate,
  'we have no valid certificate to present, and the configuration does not allow a self-made one',
);

/** Nobody may be who this peer is; the identity is malformed, an address that it claims, or missing. */
export const NO_IDENTITY: VerifyFailure = fail(
  'unsigned',
  Reason.BadCertificate,
  'the peer gives no identity that it may have here: it is anonymous, or claims to be an address',
);

/** What the application knows of a peer beforehand; undefined where it does not. */
export interface Expectation {
  readonly identity: Identity | undefined;
  /** The Ed25519 key that it must have. */
  readonly publicKey: Uint8Array | undefined;
}

/** After `verifyPeer`: whether this is the peer that the application wants to talk to. */
export function checkExpected(
  certificate: Certificate,
  peerIdentity: Identity,
  expected: Expectation,
): VerifyFailure | undefined {
  const { identity, publicKey } = expected;
  if (publicKey !== undefined && !certificate.key.every((byte, i) => byte === publicKey[i])) {
    return fail('wrongKey', Reason.BadCertificate, "the peer's key is not the pinned one");
  }
  if (identity === undefined || identity.equals(peerIdentity)) return undefined;
  return fail('wrongIdentity', Reason.BadCertificate, `the peer is ${peerIdentity}, and ${identity} was expected`);
}

/** After `verifyPeer`, where it is wanted (GNS does not look): whether the peer is where its certificate says. */
export function checkPlace({ ipAddresses }: Certificate, remote: IpAddress): VerifyFailure | undefined {
  if (ipAddresses.length === 0 || isInRanges(remote, ipAddresses)) return undefined;
  const detail = `the certificate is for ${ipAddresses.join(', ')}, and the peer is at ${remote.host}`;
  return fail('wrongAddress', Reason.BadCertificate, detail);
}

/** What the authority may vouch for. Undefined if the certificate counts as unsigned. */
function checkSignature(
  cert: SignedCertificate,
  certificate: Certificate | undefined,
  { trust, policy, nowS }: VerifyOptions,
): Scope | VerifyFailure | undefined {
  if (cert.caSignature === undefined) return undefined;
  const result = certificate ? trust.check(cert, certificate, nowS) : NOT_A_CERTIFICATE;
  if (result.ok) return result.scope;
  return policy === 'disallow' ? fail(result.kind, Reason.BadCertificate, result.detail) : undefined;
}

const NOT_A_CERTIFICATE = { ok: false, kind: 'malformed', detail: 'the certificate does not parse' } as const;

function checkIdentity(
  certificate: Certificate,
  hasSignature: boolean,
  peerIdentity: Identity,
): VerifyFailure | undefined {
  const identity = readIdentity(certificate.identity);
  if (identity === 'malformed')
    return fail('malformed', Reason.BadCertificate, 'the identity in the certificate does not parse');
  if (identity && !identity.isLocalHost) {
    if (!identity.equals(peerIdentity)) {
      return fail(
        'wrongIdentity',
        Reason.BadCertificate,
        `the certificate is for ${identity}, not for ${peerIdentity}`,
      );
    }
    if (certificate.appIds.length > 0) return undefined;
    return fail('wrongApp', Reason.BadCertificate, 'the certificate has an identity, but names no application');
  }
  if (!hasSignature) return undefined;
  // Somebody signed it without saying for whom: only for game servers in a data center.
  if (isAnonymousGameServer(peerIdentity) && certificate.datacenterIds.length > 0) return undefined;
  return fail('notBound', Reason.BadCertificate, 'the signed certificate is not bound to an identity');
}

/** Type 4 of the account types of Steam. Spec: 1.13. */
function isAnonymousGameServer(identity: Identity): boolean {
  const id = identity.steamId64;
  return id !== undefined && ((id >> 52n) & 0xfn) === 4n;
}

function checkApp({ appIds }: Certificate, scope: Scope | undefined, localAppId: number): VerifyFailure | undefined {
  if (appIds.length > 0 && !appIds.includes(localAppId)) {
    return fail(
      'wrongApp',
      Reason.BadCertificate,
      `the certificate is for application ${appIds}, not for ${localAppId}`,
    );
  }
  if (scope && !coversApp(scope, localAppId)) {
    return fail(
      'wrongApp',
      Reason.BadCertificate,
      `the certificate authority may not sign for application ${localAppId}`,
    );
  }
  return undefined;
}

function checkCryptInfo(
  certificate: Certificate,
  crypt: SignedCryptInfo,
  { crypto, announcedVersion }: VerifyOptions,
): CryptInfo | VerifyFailure {
  const isSigned = certificate.keyType === KEY_TYPE && crypto.verify(certificate.key, crypt.info, crypt.signature);
  if (!isSigned)
    return fail('badKeyExchange', Reason.BadCrypt, 'the key exchange is not signed by the key of the certificate');
  const cryptInfo = decodeCryptInfo(crypt.info);
  if (!cryptInfo) return fail('badKeyExchange', Reason.BadCrypt, 'the key exchange does not parse');
  const { protocolVersion, ciphers } = cryptInfo;
  if (protocolVersion < MIN_PROTOCOL_VERSION) {
    return fail('protocolVersion', Reason.BadProtocolVersion, `protocol version ${protocolVersion} is too old`);
  }
  if (announcedVersion !== undefined && protocolVersion !== announcedVersion) {
    const versions = `${announcedVersion} and ${protocolVersion}`;
    return fail('protocolVersion', Reason.BadProtocolVersion, `the peer gave two protocol versions, ${versions}`);
  }
  return ciphers.length > 0 ? cryptInfo : { ...cryptInfo, ciphers: [Cipher.Aes256Gcm] };
}

function isFailure(value: Scope | CryptInfo | VerifyFailure | undefined): value is VerifyFailure {
  return value !== undefined && 'reason' in value;
}

function fail(kind: RefusalKind, reason: VerifyFailureReason, detail: string): VerifyFailure {
  return { ok: false, kind, reason, detail };
}

// An authority of your own in a few calls: makes keys, issues certificates, reads and checks them. For web backends, for
// tests, and for `gns cert`. Everything is text that can be stored in files. Spec: 9.

import { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import type { Identity } from '../core/base/identity.ts';
import { type CertificateDetails, describeCertificate } from '../core/certs/certificate.ts';
import {
  certificateText,
  generateKeyPair as generate,
  type IssueClaims,
  issue,
  type KeyPair,
  publicKeyText,
  readCertificates,
  readIdentityOption,
  readPrivateKey,
  readPublicKey,
  readRequest,
} from '../core/certs/issue.ts';
import { coversApp } from '../core/certs/trust-store.ts';
import { checkPlace, type RefusalKind } from '../core/certs/verify.ts';
import { decodeCertificate } from '../core/wire/crypt-messages.ts';
import { NodeRandom, nodeCrypto } from '../node/crypto.ts';
import { nodePlatform } from '../node/platform.ts';
import { type CredentialInput, Credentials } from './credentials.ts';

/** How long a certificate is valid, and for which applications. */
export interface ValidityOptions {
  /** From now, in seconds. Default: a year; for an authority ten. */
  readonly expiresInS?: number;
  /** In place of `expiresInS`. */
  readonly expiresAt?: Date;
  /** Default: now. For information; nobody refuses a certificate because of it. */
  readonly createdAt?: Date;
  /** Default: `[0]`, the application of the open-source GNS; for an authority: any. */
  readonly appIds?: readonly number[];
}

/** What an authority consists of. */
export interface CertificateAuthority extends KeyPair {
  /** Signed by itself, or by the authority above. Who trusts it trusts what it signs. */
  readonly certificate: string;
}

/** What a certificate is to say; and whose key it is for: a new one, unless `publicKey` or `request` says otherwise. */
export interface IssueOptions extends ValidityOptions {
  /** The private key of the authority. */
  readonly caKey: CredentialInput;
  /** Whose it is, such as `str:alice`. Needed, unless the request has it: nobody takes a certificate of nobody. */
  readonly identity?: string | Identity;
  /** Addresses and ranges (`192.0.2.0/24`) its owner connects from. Checked by those that set `checkCertificateAddresses`. */
  readonly ipAddresses?: readonly string[];
  readonly publicKey?: CredentialInput;
  /** Of `credentials.createRequest()` or `gns cert request`. */
  readonly request?: CredentialInput;
}

/** A certificate, ready for the option `certificate` of `Networking`. */
export interface IssuedCertificate {
  readonly certificate: string;
  /** Undefined if the key is somebody else's: the certificate was for a `publicKey` or a `request`. */
  readonly privateKey: string | undefined;
  readonly publicKey: string;
}

const DAY_S = 24 * 60 * 60;
const YEAR_S = 365 * DAY_S;

/** A new key pair. */
export function generateKeyPair(): KeyPair {
  return generate(nodeCrypto, new NodeRandom());
}

/** A new authority: a key, and a certificate signed with it that limits it to `appIds` and the date. */
export function createCA(options: ValidityOptions = {}): CertificateAuthority {
  const pair = generateKeyPair();
  return { ...pair, certificate: authorityCertificate(pair.privateKey, pair.publicKey, options) };
}

/** A new authority below another one: whoever trusts that one and has this certificate trusts what it signs. */
export function issueAuthority(options: ValidityOptions & { readonly caKey: CredentialInput }): CertificateAuthority {
  const pair = generateKeyPair();
  return { ...pair, certificate: authorityCertificate(options.caKey, pair.publicKey, options) };
}

function authorityCertificate(caKey: CredentialInput, publicKey: string, options: ValidityOptions): string {
  const validity = claimsOf(options, 10 * YEAR_S, []);
  const key = readPrivateKey(nodeCrypto, caKey);
  return certificateText(issue(nodeCrypto, key, readPublicKey(publicKey), { ...validity, ipAddresses: [] }));
}

/** Signs a certificate. Throws `InvalidParam` and `LimitExceeded` where the result would be of no use to anybody. */
export function issueCertificate(options: IssueOptions): IssuedCertificate {
  const { caKey, identity, ipAddresses = [], publicKey, request } = options;
  const key = readPrivateKey(nodeCrypto, caKey);
  const asked = request === undefined ? undefined : readRequest(request);
  const owner = identity === undefined ? asked?.identity : readIdentityOption(identity);
  if (owner === undefined)
    throw new NetworkingError('InvalidParam', 'a certificate needs an identity, such as str:alice');
  if (asked?.identity !== undefined && !asked.identity.equals(owner)) {
    throw new NetworkingError('InvalidParam', `the request is for ${asked.identity}, not for ${owner}`);
  }
  const pair = asked === undefined && publicKey === undefined ? generateKeyPair() : undefined;
  const subject = asked?.key ?? readPublicKey(publicKey ?? pair!.publicKey);
  const claims = { ...claimsOf(options, YEAR_S, [0]), identity: owner, ipAddresses };
  return {
    certificate: certificateText(issue(nodeCrypto, key, subject, claims)),
    privateKey: pair?.privateKey,
    publicKey: publicKeyText(nodeCrypto, subject),
  };
}

function claimsOf(
  { expiresInS, expiresAt, createdAt, appIds }: ValidityOptions,
  defaultLifeS: number,
  defaultAppIds: readonly number[],
): IssueClaims {
  const createdS = toSeconds(createdAt ?? new Date());
  const expiresS = expiresAt === undefined ? createdS + (expiresInS ?? defaultLifeS) : toSeconds(expiresAt);
  return { appIds: appIds ?? defaultAppIds, ipAddresses: [], datacenterIds: [], createdS, expiresS };
}

/** What all certificates in it say. Throws `InvalidParam` if there is none. Says nothing about their being valid. */
export function readCertificate(input: CredentialInput): readonly CertificateDetails[] {
  return readCertificates(input).flatMap((signed) => describeCertificate(nodeCrypto, signed) ?? []);
}

/** How to look at a certificate. */
export interface VerifyCertificateOptions {
  readonly trustedCAs: CredentialInput | readonly CredentialInput[];
  /** Default: 0. */
  readonly appId?: number;
  /** Whose it has to be. */
  readonly identity?: string | Identity;
  /** Where its owner connects from. */
  readonly address?: string;
  /** Default: now. */
  readonly at?: Date;
}

export type CertificateVerdict =
  | { readonly ok: true; readonly details: CertificateDetails }
  | { readonly ok: false; readonly kind: RefusalKind; readonly detail: string };

/** Whether a peer with this certificate (the first, in a file with several) would be let in, and if not, why. */
export function verifyCertificate(certificate: CredentialInput, options: VerifyCertificateOptions): CertificateVerdict {
  const { trustedCAs, appId = 0, address, at = new Date() } = options;
  const { store } = new Credentials(nodePlatform(), readIdentityOption('str:verifier'), { trustedCAs });
  const [signed] = readCertificates(certificate);
  const details = describeCertificate(nodeCrypto, signed!);
  const decoded = decodeCertificate(signed!.cert);
  const no = (kind: RefusalKind, detail: string) => ({ ok: false, kind, detail }) as const;
  if (details === undefined || decoded === undefined) return no('malformed', 'the certificate has no Ed25519 key');
  const result = store.check(signed!, decoded, toSeconds(at));
  if (!result.ok) return no(result.kind, result.detail);
  const { identity, appIds } = details;
  if (identity === undefined) return no('notBound', 'the signed certificate is not bound to an identity');
  const expected = options.identity === undefined ? identity : readIdentityOption(options.identity);
  if (!identity.equals(expected)) return no('wrongIdentity', `the certificate is for ${identity}, not for ${expected}`);
  if (!appIds.includes(appId)) {
    return no('wrongApp', `the certificate is for application ${appIds.join(', ') || 'none'}, not for ${appId}`);
  }
  if (!coversApp(result.scope, appId)) {
    return no('wrongApp', `the certificate authority may not sign for application ${appId}`);
  }
  const remote = address === undefined ? undefined : IpAddress.parse(address);
  if (address !== undefined && remote === undefined) {
    throw new NetworkingError('InvalidParam', `"${address}" is not a numeric IP address`);
  }
  const misplaced = remote && checkPlace(decoded, remote);
  return misplaced === undefined ? { ok: true, details } : no(misplaced.kind, misplaced.detail);
}

function toSeconds(date: Date): number {
  const seconds = Math.floor(date.getTime() / 1000);
  if (Number.isNaN(seconds)) throw new NetworkingError('InvalidParam', 'a date of a certificate is not valid');
  return seconds;
}

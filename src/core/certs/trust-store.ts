// Whose signatures we trust: root keys, certificates of the authorities below them, revoked keys. A peer sends a single
// certificate, so every authority between it and a root must be in here. Spec: "CA certificates and trust" (2.5), (9.6).
import { NetworkingError } from '../base/errors.ts';
import type { CryptoProvider } from '../platform.ts';
import {
  type Certificate,
  decodeCertificate,
  KEY_BYTES,
  KEY_TYPE,
  SIGNATURE_BYTES,
  type SignedCertificate,
} from '../wire/crypt-messages.ts';
import { readIdentity } from '../wire/identity-fields.ts';
import { keyId } from './certificate.ts';

/** What a chain of certificates allows: the intersection of all its links. */
export interface Scope {
  readonly appIds: ReadonlySet<number> | 'all';
  readonly datacenterIds: ReadonlySet<number> | 'all';
  /** Unix seconds. */
  readonly expiryS: number;
}

/** Why a certificate is not trusted. */
export type Distrust =
  | 'unknownAuthority'
  | 'authorityExpired'
  | 'badSignature'
  | 'expired'
  | 'unusableKey'
  | 'revoked'
  /** It does not parse. */
  | 'malformed';

export type TrustResult =
  | { readonly ok: true; readonly scope: Scope }
  /** `detail` is a sentence for the log. */
  | { readonly ok: false; readonly kind: Distrust; readonly detail: string };

/** A certificate of an authority. */
interface StoredCertificate {
  readonly signed: SignedCertificate;
  readonly certificate: Certificate;
  /** Signed by its own key, and added as a root. */
  readonly isRoot: boolean;
}

export class TrustStore {
  readonly #crypto: CryptoProvider;
  /** All maps are by key id. */
  readonly #publicKeys = new Map<bigint, Uint8Array>();
  readonly #certificates = new Map<bigint, StoredCertificate[]>();
  readonly #rootKeys = new Set<bigint>();
  readonly #revoked = new Set<bigint>();
  /** What a chain to a root came to, so that its signatures are checked once; emptied by every change. */
  readonly #scopes = new Map<bigint, Scope | undefined>();

  constructor(crypto: CryptoProvider) {
    this.#crypto = crypto;
  }

  /** Trusts a key without limits. Throws `InvalidParam` if it has not 32 bytes. */
  addRootKey(publicKey: Uint8Array): void {
    const id = keyId(this.#crypto, publicKey);
    this.#publicKeys.set(id, publicKey.slice());
    this.#rootKeys.add(id);
    this.#scopes.clear();
  }

  /** Trusts a self-signed certificate, within its limits. Throws `InvalidParam` if it is none. */
  addRootCertificate(signed: SignedCertificate): void {
    const certificate = readCaCertificate(signed);
    const isSelfSigned =
      signed.caKeyId === keyId(this.#crypto, certificate.key) &&
      signed.caSignature !== undefined &&
      this.#crypto.verify(certificate.key, signed.cert, signed.caSignature);
    if (!isSelfSigned) throw new NetworkingError('InvalidParam', 'the root certificate is not signed by its own key');
    this.#add({ signed, certificate, isRoot: true });
  }

  /**
   * Adds the certificate of an authority below a root, in any order. Whether there is a chain to a root is looked at
   * when it is used. Throws `InvalidParam` if no certificate like this can act as an authority.
   */
  addCertificate(signed: SignedCertificate): void {
    this.#add({ signed, certificate: readCaCertificate(signed), isRoot: false });
  }

  /** Somebody can be trusted, if only by somebody else. */
  get isEmpty(): boolean {
    return this.#publicKeys.size === 0;
  }

  /** Never trusts this key again, neither as an authority nor as a peer's. */
  revoke(id: bigint): void {
    this.#revoked.add(id);
    this.#scopes.clear();
  }

  /** Whether a trusted authority signed a peer's certificate. `certificate` is the decoded `signed.cert`. */
  check(signed: SignedCertificate, certificate: Certificate, nowS: number): TrustResult {
    const { caKeyId = 0n, caSignature, cert } = signed;
    if (caKeyId === 0n) return untrusted('unknownAuthority', 'the certificate does not say who signed it');
    const scope = this.#scopeOf(caKeyId);
    const caKey = this.#publicKeys.get(caKeyId);
    if (!scope || !caKey)
      return untrusted('unknownAuthority', `certificate authority ${caKeyId} is unknown or not trusted`);
    if (scope.expiryS < nowS) return untrusted('authorityExpired', `certificate authority ${caKeyId} has expired`);
    if (!caSignature || !this.#crypto.verify(caKey, cert, caSignature)) {
      return untrusted('badSignature', `the certificate is not signed by certificate authority ${caKeyId}`);
    }
    if ((certificate.timeExpiryS ?? 0) < nowS) return untrusted('expired', describeExpiry(certificate, nowS));
    if (!hasUsableKey(certificate)) return untrusted('unusableKey', 'the certificate has no Ed25519 key');
    if (this.#revoked.has(keyId(this.#crypto, certificate.key)))
      return untrusted('revoked', 'the key has been revoked');
    return { ok: true, scope };
  }

  #add(entry: StoredCertificate): void {
    const id = keyId(this.#crypto, entry.certificate.key);
    const known = this.#certificates.get(id) ?? [];
    const same = known.find((one) => isSameSignature(one.signed, entry.signed));
    if (same && (same.isRoot || !entry.isRoot)) return;
    this.#certificates.set(id, [...known.filter((one) => one !== same), entry]);
    this.#publicKeys.set(id, entry.certificate.key);
    this.#scopes.clear();
  }

  #scopeOf(id: bigint): Scope | undefined {
    if (!this.#scopes.has(id)) this.#scopes.set(id, this.#evaluate(id, []));
    return this.#scopes.get(id);
  }

  /** What `id` may sign; undefined if it is not trusted. `below`: the keys that led here, to find cycles. */
  #evaluate(id: bigint, below: readonly bigint[]): Scope | undefined {
    if (this.#revoked.has(id) || below.includes(id)) return undefined;
    if (this.#rootKeys.has(id)) return { appIds: 'all', datacenterIds: 'all', expiryS: Number.POSITIVE_INFINITY };
    let newestS = Number.NEGATIVE_INFINITY;
    let newestScope: Scope | undefined;
    for (const entry of this.#certificates.get(id) ?? []) {
      const createdS = entry.certificate.timeCreatedS ?? 0;
      const scope = createdS > newestS ? this.#scopeOfCertificate(entry, [...below, id]) : undefined;
      if (!scope) continue;
      newestS = createdS;
      newestScope = scope;
    }
    return newestScope;
  }

  #scopeOfCertificate({ signed, certificate, isRoot }: StoredCertificate, below: readonly bigint[]): Scope | undefined {
    const own = scopeOfFields(certificate);
    if (isRoot) return own;
    const { caKeyId = 0n, caSignature } = signed;
    const signer = this.#evaluate(caKeyId, below);
    const signerKey = this.#publicKeys.get(caKeyId);
    if (!signer || !signerKey || !caSignature) return undefined;
    return this.#crypto.verify(signerKey, signed.cert, caSignature) ? intersect(own, signer) : undefined;
  }
}

/** Whether a certificate of this scope is good for an application. */
export function coversApp(scope: Scope, appId: number): boolean {
  return scope.appIds === 'all' || scope.appIds.has(appId);
}

function untrusted(kind: Distrust, detail: string): TrustResult {
  return { ok: false, kind, detail };
}

function describeExpiry({ timeExpiryS }: Certificate, nowS: number): string {
  if (timeExpiryS === undefined) return 'the certificate has no date of expiry';
  return `the certificate expired ${nowS - timeExpiryS} seconds ago`;
}

/** The rules for what may be stored as the certificate of an authority. */
function readCaCertificate(signed: SignedCertificate): Certificate {
  const certificate = decodeCertificate(signed.cert);
  if (!certificate) throw unfit('it does not parse');
  if (!hasUsableKey(certificate)) throw unfit('it has no Ed25519 key');
  if (readIdentity(certificate.identity) !== undefined) throw unfit('it is bound to an identity');
  if (certificate.ipAddresses.length > 0) throw unfit('it is bound to addresses');
  if (!certificate.timeExpiryS) throw unfit('it has no expiry');
  if (!signed.caKeyId || signed.caSignature?.length !== SIGNATURE_BYTES) throw unfit('it is not signed');
  return certificate;
}

function unfit(why: string): NetworkingError {
  return new NetworkingError('InvalidParam', `this certificate cannot act as a certificate authority: ${why}`);
}

function hasUsableKey(certificate: Certificate): boolean {
  return certificate.keyType === KEY_TYPE && certificate.key.length === KEY_BYTES;
}

function isSameSignature(a: SignedCertificate, b: SignedCertificate): boolean {
  return `${a.caSignature}` === `${b.caSignature}`;
}

/** An empty list in a certificate means "all". */
function scopeOfFields({ appIds, datacenterIds, timeExpiryS = 0 }: Certificate): Scope {
  return {
    appIds: appIds.length > 0 ? new Set(appIds) : 'all',
    datacenterIds: datacenterIds.length > 0 ? new Set(datacenterIds) : 'all',
    expiryS: timeExpiryS,
  };
}

/** Undefined if nothing is left. */
function intersect(a: Scope, b: Scope): Scope | undefined {
  const appIds = intersectIds(a.appIds, b.appIds);
  const datacenterIds = intersectIds(a.datacenterIds, b.datacenterIds);
  if (!appIds || !datacenterIds) return undefined;
  return { appIds, datacenterIds, expiryS: Math.min(a.expiryS, b.expiryS) };
}

function intersectIds(a: Scope['appIds'], b: Scope['appIds']): Scope['appIds'] | undefined {
  if (a === 'all') return b;
  if (b === 'all') return a;
  const both = new Set([...a].filter((id) => b.has(id)));
  return both.size > 0 ? both : undefined;
}

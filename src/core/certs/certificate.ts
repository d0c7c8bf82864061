// What we present to a peer: a certificate for our identity, and our signed half of the key exchange; and which cipher
// comes out of it. Spec: "Local certificate choice" (2.2), "When each side builds its SessionCryptInfo" (2.3).
import { NetworkingError } from '../base/errors.ts';
import type { Identity } from '../base/identity.ts';
import type { CryptoProvider, ExchangeKey, SigningKey } from '../platform.ts';
import {
  type Certificate,
  Cipher,
  type CryptInfo,
  decodeCertificate,
  encodeCertificate,
  encodeCryptInfo,
  KEY_BYTES,
  KEY_TYPE,
  type SignedCertificate,
  type SignedCryptInfo,
} from '../wire/crypt-messages.ts';
import { NO_IDENTITY_FIELDS, readIdentity, writeIdentity } from '../wire/identity-fields.ts';

/** Of a `CertificateSigned` as it goes into a handshake packet, which has at most 1300 bytes for all. */
export const MAX_CERTIFICATE_BYTES = 900;

/** What a peer showed us, and what became of that. */
export interface ShownCertificate {
  readonly cert: Uint8Array;
  readonly caKeyId: bigint | undefined;
  readonly isCaSigned: boolean;
}

/** What a certificate says, in an application's terms. Lists: empty means "any". */
export interface CertificateDetails {
  /** Whose it is; undefined for an authority. */
  readonly identity: Identity | undefined;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** By which certificates name the key that signed them. */
  readonly keyId: bigint;
  readonly appIds: readonly number[];
  /** Addresses and ranges (`192.0.2.0/24`) that it is meant for. GNS does not check them. */
  readonly ipAddresses: readonly string[];
  /** Valve's data centers. */
  readonly datacenterIds: readonly number[];
  /** Unix seconds; undefined if it does not say. */
  readonly createdS: number | undefined;
  readonly expiresS: number | undefined;
  /** The key that signed it; undefined if none did. */
  readonly caKeyId: bigint | undefined;
}

/** Undefined if it does not parse. */
export function describeCertificate(
  crypto: CryptoProvider,
  { cert, caKeyId }: { readonly cert: Uint8Array; readonly caKeyId: bigint | undefined },
): CertificateDetails | undefined {
  const certificate = decodeCertificate(cert);
  if (certificate?.key.length !== KEY_BYTES) return undefined;
  const identity = readIdentity(certificate.identity);
  return {
    identity: identity === 'malformed' ? undefined : identity,
    publicKey: certificate.key.slice(),
    keyId: keyId(crypto, certificate.key),
    appIds: certificate.appIds,
    ipAddresses: certificate.ipAddresses,
    datacenterIds: certificate.datacenterIds,
    createdS: certificate.timeCreatedS,
    expiresS: certificate.timeExpiryS,
    caKeyId,
  };
}

/** A certificate of ours and the private key that belongs to it. */
export interface LocalCertificate {
  readonly signed: SignedCertificate;
  readonly key: SigningKey;
}

/** A certificate that nobody vouches for, of a fresh key unless one is given. */
export function makeUnsignedCertificate(
  crypto: CryptoProvider,
  identity: Identity,
  appId: number,
  key = crypto.signingKey(),
): LocalCertificate {
  const cert = encodeCertificate({
    ...describeKey(key.publicKey),
    appIds: [appId],
    identity: writeIdentity(identity),
  });
  return { signed: { cert, caKeyId: undefined, caSignature: undefined }, key };
}

/** A certificate for a public key that says nothing else: any application, any place, no identity, no dates. */
export function describeKey(publicKey: Uint8Array): Certificate {
  return {
    keyType: KEY_TYPE,
    key: publicKey,
    datacenterIds: [],
    timeCreatedS: undefined,
    timeExpiryS: undefined,
    appIds: [],
    identity: NO_IDENTITY_FIELDS,
    ipAddresses: [],
  };
}

/** What a certificate authority does. */
export function signCertificate(
  crypto: CryptoProvider,
  caKey: SigningKey,
  certificate: Certificate,
): SignedCertificate {
  const cert = encodeCertificate(certificate);
  return { cert, caKeyId: keyId(crypto, caKey.publicKey), caSignature: caKey.sign(cert) };
}

/** The number by which certificates name the key that signed them: the first 8 bytes of the key's SHA-256. */
export function keyId(crypto: CryptoProvider, publicKey: Uint8Array): bigint {
  if (publicKey.length !== KEY_BYTES) {
    throw new NetworkingError('InvalidParam', `an Ed25519 public key has ${KEY_BYTES} bytes, not ${publicKey.length}`);
  }
  const hash = crypto.sha256(publicKey);
  return new DataView(hash.buffer, hash.byteOffset).getBigUint64(0, true);
}

/** Our half of the key exchange. The same object is sent each time the handshake packet is repeated. */
export function makeCryptInfo(
  certificateKey: SigningKey,
  exchangeKey: ExchangeKey,
  parameters: Omit<CryptInfo, 'keyType' | 'key'>,
): SignedCryptInfo {
  const info = encodeCryptInfo({ keyType: KEY_TYPE, key: exchangeKey.publicKey, ...parameters });
  return { info, signature: certificateKey.sign(info) };
}

/** Values of the configuration value `Unencrypted`, as ciphers in order of preference. */
const CIPHERS_BY_UNENCRYPTED = [
  [Cipher.Aes256Gcm],
  [Cipher.Aes256Gcm, Cipher.None],
  [Cipher.None, Cipher.Aes256Gcm],
  [Cipher.None],
] as const;

/** `unencrypted`: 0 forbidden, 1 allowed, 2 preferred, 3 required. Anything else counts as 0. */
export function cipherPreference(unencrypted: number): readonly Cipher[] {
  return CIPHERS_BY_UNENCRYPTED[unencrypted] ?? CIPHERS_BY_UNENCRYPTED[0];
}

/** On the server: the first of ours that the client can do. Undefined if there is none (end reason 4002). */
export function chooseCipher(preference: readonly Cipher[], offered: readonly Cipher[]): Cipher | undefined {
  return preference.find((cipher) => offered.includes(cipher));
}

/** On the client: the cipher the server chose. Undefined if that is not exactly one, and one of ours (4002). */
export function acceptCipher(preference: readonly Cipher[], chosen: readonly Cipher[]): Cipher | undefined {
  return chosen.length === 1 ? chooseCipher(preference, chosen) : undefined;
}

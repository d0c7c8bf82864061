// What a certificate authority does: makes keys, signs certificates for peers and for the authorities below it, reads
// requests. Everything goes in and comes out as text (see `text.ts`). Spec: 9.1, 9.4, "CA certificates and trust" (2.5).

import { NetworkingError } from '../base/errors.ts';
import { Identity } from '../base/identity.ts';
import type { CryptoProvider, Random, SigningKey } from '../platform.ts';
import {
  type Certificate,
  decodeCertificate,
  decodeCertificateRequest,
  decodeSignedCertificate,
  encodeCertificateRequest,
  encodeSignedCertificate,
  KEY_BYTES,
  type SignedCertificate,
} from '../wire/crypt-messages.ts';
import { NO_IDENTITY_FIELDS, readIdentity, writeIdentity } from '../wire/identity-fields.ts';
import { describeCertificate, describeKey, keyId, MAX_CERTIFICATE_BYTES, signCertificate } from './certificate.ts';
import { parseIpRange } from './ip-range.ts';
import {
  decodeBase64,
  type RawKeyPair,
  readBlocks,
  readPrivateKeyBlob,
  readPublicKeys,
  TextType,
  writeBlock,
  writePrivateKey,
  writePublicKey,
} from './text.ts';
import type { TrustStore } from './trust-store.ts';

/** A new Ed25519 key pair, as text. */
export interface KeyPair {
  /** OpenSSH's file format, not encrypted. Secret. */
  readonly privateKey: string;
  /** One line, as in OpenSSH's `.pub` files. */
  readonly publicKey: string;
}

/** What a certificate says about its key. */
export interface IssueClaims {
  /** Who its owner is; undefined for an authority. */
  readonly identity?: Identity | undefined;
  /** The applications that it is for; none: any. */
  readonly appIds: readonly number[];
  /** Addresses and ranges (`192.0.2.0/24`) that its owner connects from; none: any. */
  readonly ipAddresses: readonly string[];
  /** Valve's data centers, as numbers; none: any. */
  readonly datacenterIds: readonly number[];
  /** Unix seconds. */
  readonly createdS: number;
  readonly expiresS: number;
}

export function generateKeyPair(crypto: CryptoProvider, random: Random): KeyPair {
  const seed = new Uint8Array(KEY_BYTES);
  random.fill(seed);
  const pair: RawKeyPair = { seed, publicKey: crypto.signingKey(seed).publicKey };
  const text = { privateKey: writePrivateKey(pair, ''), publicKey: publicKeyText(crypto, pair.publicKey) };
  seed.fill(0);
  return text;
}

/** With the key id as its comment, as GNS's tool has it. */
export function publicKeyText(crypto: CryptoProvider, publicKey: Uint8Array): string {
  return writePublicKey(publicKey, `ID${keyId(crypto, publicKey)}`);
}

/** Reads a private key: a file's text, or 32 bytes of seed. Throws `InvalidParam` if it is none. */
export function readPrivateKey(crypto: CryptoProvider, input: string | Uint8Array): SigningKey {
  if (input instanceof Uint8Array && input.length === KEY_BYTES) return crypto.signingKey(input);
  const text = textOf(input);
  const [block, another] = readBlocks(text, TextType.PrivateKey);
  if (another !== undefined) throw unusable('the private key', 'there is more than one');
  if (block === undefined) throw unusable('the private key', `no "BEGIN ${TextType.PrivateKey}" block was found`);
  const pair = readPrivateKeyBlob(block);
  if (typeof pair === 'string') throw unusable('the private key', KEY_PROBLEMS[pair]);
  const key = crypto.signingKey(pair.seed);
  pair.seed.fill(0);
  if (!isSame(key.publicKey, pair.publicKey)) throw unusable('the private key', KEY_PROBLEMS.inconsistent);
  return key;
}

const KEY_PROBLEMS = {
  encrypted: 'it is encrypted with a passphrase; remove that with `ssh-keygen -p -f FILE -N ""`',
  malformed: 'it does not parse',
  inconsistent: 'its halves do not belong together',
  notEd25519: 'it is not an Ed25519 key',
} as const;

/** Reads one public key: a line, or 32 bytes. Throws `InvalidParam` if it is none. */
export function readPublicKey(input: string | Uint8Array): Uint8Array {
  if (input instanceof Uint8Array && input.length === KEY_BYTES) return input.slice();
  const [key, another] = readPublicKeys(textOf(input));
  if (another !== undefined) throw unusable('the public key', 'there is more than one');
  if (key === undefined) throw unusable('the public key', 'no line "ssh-ed25519 …" was found');
  return key;
}

/** All certificates in a file: blocks, the bare base64, or the bytes. Throws `InvalidParam` if there is none. */
export function readCertificates(input: string | Uint8Array): readonly SignedCertificate[] {
  const contents = certificateContents(input);
  if (contents.length === 0) throw unusable('the certificate', `no "BEGIN ${TextType.Certificate}" block was found`);
  return contents.map((bytes) => {
    const signed = bytes && decodeSignedCertificate(bytes);
    if (signed === undefined || decodeCertificate(signed.cert) === undefined) {
      throw unusable('the certificate', 'it does not parse');
    }
    return { cert: signed.cert.slice(), caKeyId: signed.caKeyId, caSignature: signed.caSignature?.slice() };
  });
}

/**
 * Trusts whom `input` names: public keys without limits, certificates of authorities within theirs; self-signed ones are
 * roots. Throws `InvalidParam` if it names nobody.
 */
export function addAuthorities(crypto: CryptoProvider, store: TrustStore, input: string | Uint8Array): void {
  if (input instanceof Uint8Array && input.length === KEY_BYTES) {
    store.addRootKey(input);
    return;
  }
  const text = textOf(input);
  const keys = readPublicKeys(text);
  if (keys.includes(undefined)) throw new NetworkingError('InvalidParam', 'cannot trust a public key that is broken');
  const certificates = keys.length > 0 && !/BEGIN STEAMDATAGRAM CERT/i.test(text) ? [] : readCertificates(input);
  for (const key of keys) store.addRootKey(key!);
  for (const signed of certificates) addAuthority(crypto, store, signed);
}

/** The same for one certificate. */
export function addAuthority(crypto: CryptoProvider, store: TrustStore, signed: SignedCertificate): void {
  const details = describeCertificate(crypto, signed);
  if (details?.keyId === details?.caKeyId) store.addRootCertificate(signed);
  else store.addCertificate(signed);
}

/** The bytes of all certificates, envelopes included. */
export function certificateContents(input: string | Uint8Array): readonly (Uint8Array | undefined)[] {
  const text = textOf(input);
  const blocks = readBlocks(text, TextType.Certificate);
  if (blocks.length > 0) return blocks;
  if (input instanceof Uint8Array && decodeSignedCertificate(input) !== undefined) return [input];
  const bare = text.trim() === '' ? undefined : decodeBase64(text);
  return bare === undefined ? [] : [bare];
}

export function certificateText(signed: SignedCertificate): string {
  return writeBlock(TextType.Certificate, encodeSignedCertificate(signed));
}

/** Asks an authority to sign a key. */
export function requestText(publicKey: Uint8Array, identity: Identity | undefined): string {
  return writeBlock(TextType.Request, encodeRequest(publicKey, identity));
}

/** GNS's form: a message with a certificate that has key and identity. */
export function encodeRequest(publicKey: Uint8Array, identity: Identity | undefined): Uint8Array {
  return encodeCertificateRequest({ ...describeKey(publicKey), identity: identityFields(identity) });
}

/** A request, ours as text or GNS's bytes. Throws `InvalidParam` if it is none. */
export function readRequest(input: string | Uint8Array): { key: Uint8Array; identity: Identity | undefined } {
  const [block] = readBlocks(textOf(input), TextType.Request);
  const bytes = block ?? (input instanceof Uint8Array ? input : decodeBase64(input));
  const certificate = bytes && decodeCertificateRequest(bytes);
  if (certificate?.key.length !== KEY_BYTES) throw unusable('the request', 'it does not parse');
  const identity = readIdentity(certificate.identity);
  if (identity === 'malformed') throw unusable('the request', 'its identity does not parse');
  return { key: certificate.key.slice(), identity };
}

/** Signs. Throws `InvalidParam` for claims that no peer would take. */
export function issue(
  crypto: CryptoProvider,
  caKey: SigningKey,
  publicKey: Uint8Array,
  claims: IssueClaims,
): SignedCertificate {
  const { identity, appIds, ipAddresses, datacenterIds, createdS, expiresS } = claims;
  for (const id of appIds) {
    if (!isUint32(id)) throw unusable('the certificate', `${id} is no app id; expected a whole number below 2^32`);
  }
  if (!isUint32(expiresS)) throw unusable('the certificate', `it cannot expire at ${expiresS} (unix seconds)`);
  if (expiresS <= createdS) throw unusable('the certificate', 'it would expire before it begins');
  for (const range of ipAddresses) {
    if (parseIpRange(range) === undefined) throw unusable('the certificate', `"${range}" is no address or range`);
  }
  const certificate: Certificate = {
    ...describeKey(publicKey),
    datacenterIds,
    timeCreatedS: createdS,
    timeExpiryS: expiresS,
    appIds,
    identity: identityFields(identity),
    ipAddresses,
  };
  return mustFit(signCertificate(crypto, caKey, certificate));
}

/** Handshake packets have 1300 bytes for a certificate and all else. Throws `LimitExceeded` if it is too long. */
export function mustFit(signed: SignedCertificate): SignedCertificate {
  const { length } = encodeSignedCertificate(signed);
  if (length <= MAX_CERTIFICATE_BYTES) return signed;
  const limit = `only ${MAX_CERTIFICATE_BYTES} fit into a handshake packet`;
  throw new NetworkingError(
    'LimitExceeded',
    `the certificate has ${length} bytes, and ${limit}; name fewer things in it`,
  );
}

/** As an option of the application: text or identity. Throws `InvalidParam`. */
export function readIdentityOption(identity: string | Identity): Identity {
  const parsed = typeof identity === 'string' ? Identity.parse(identity) : identity;
  if (parsed?.isValid === true && !parsed.isLocalHost) return parsed;
  throw new NetworkingError(
    'InvalidParam',
    `"${identity}" is no identity for a certificate; try one such as str:alice`,
  );
}

function identityFields(identity: Identity | undefined): Certificate['identity'] {
  return identity === undefined ? NO_IDENTITY_FIELDS : writeIdentity(identity);
}

function textOf(input: string | Uint8Array): string {
  return typeof input === 'string' ? input : new TextDecoder('latin1').decode(input);
}

function unusable(what: string, why: string): NetworkingError {
  return new NetworkingError('InvalidParam', `cannot use ${what}: ${why}`);
}

function isUint32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

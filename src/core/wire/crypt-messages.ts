// Certificates and key exchange messages, between bytes and values. Each travels as opaque bytes inside an envelope that
// holds its signature, so that signatures and key derivation see exactly what was sent. Spec: crypto "Messages" (2.1).
import * as pb from './generated/messages_pb.ts';
import { type IdentityFields, identityFieldsOf } from './identity-fields.ts';
import { optional, parseMessage, serializeMessage } from './protobuf.ts';

/** The only kind of key there is, in certificates (Ed25519) and in key exchange (X25519). Another one is refused. */
export const KEY_TYPE = 1;
export const KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** How the payload of data packets is protected. */
export const Cipher = { None: 1, Aes256Gcm: 2 } as const;
export type Cipher = (typeof Cipher)[keyof typeof Cipher];

/** Which key belongs to whom, and for what. Lists: empty means "any". */
export interface Certificate {
  /** `KEY_TYPE` if it is one we know; 0 if absent. */
  readonly keyType: number;
  /** Ed25519 public key; of any length until it is verified. */
  readonly key: Uint8Array;
  readonly datacenterIds: readonly number[];
  /** Unix seconds. */
  readonly timeCreatedS: number | undefined;
  /** Unix seconds. */
  readonly timeExpiryS: number | undefined;
  readonly appIds: readonly number[];
  readonly identity: IdentityFields;
  /** Addresses it is meant for; nobody checks them. */
  readonly ipAddresses: readonly string[];
}

/** A certificate as it is sent and stored. */
export interface SignedCertificate {
  /** A serialised `Certificate`. */
  readonly cert: Uint8Array;
  /** Undefined, like the signature, if nobody signed it. */
  readonly caKeyId: bigint | undefined;
  /** By the CA, over `cert`. */
  readonly caSignature: Uint8Array | undefined;
}

/** One side's part of the key exchange. */
export interface CryptInfo {
  /** `KEY_TYPE` if it is one we know; 0 if absent. */
  readonly keyType: number;
  /** X25519 public key; of any length until it is verified. */
  readonly key: Uint8Array;
  readonly nonce: bigint;
  readonly protocolVersion: number;
  /** From the client: what it can do, best first. From the server: the chosen one. Empty means AES-256-GCM. */
  readonly ciphers: readonly Cipher[];
  /** Not in GNS: the largest datagram that the sender takes. Who does not say takes 1300 bytes. */
  readonly maxDatagramBytes?: number | undefined;
}

export interface SignedCryptInfo {
  /** A serialised `CryptInfo`. */
  readonly info: Uint8Array;
  /** By the key of the sender's certificate, over `info`. Empty if absent. */
  readonly signature: Uint8Array;
}

/** Undefined if `bytes` are no certificate. Says nothing about its being valid. */
export function decodeCertificate(bytes: Uint8Array): Certificate | undefined {
  return certificateOf(parseMessage(pb.CertificateSchema, bytes));
}

function certificateOf(message: pb.Certificate | undefined): Certificate | undefined {
  return (
    message && {
      keyType: message.keyType,
      key: message.keyData,
      datacenterIds: message.datacenterIds,
      timeCreatedS: optional(message, 'timeCreatedS'),
      timeExpiryS: optional(message, 'timeExpiryS'),
      appIds: message.appIds,
      identity: identityFieldsOf(message),
      ipAddresses: message.ipAddresses,
    }
  );
}

export function encodeCertificate(certificate: Certificate): Uint8Array {
  return serializeMessage(pb.CertificateSchema, certificateFields(certificate));
}

/** What a certificate authority is asked to sign. */
export function encodeCertificateRequest(certificate: Certificate): Uint8Array {
  return serializeMessage(pb.CertificateRequestSchema, { cert: certificateFields(certificate) });
}

/** Undefined if `bytes` are no request. */
export function decodeCertificateRequest(bytes: Uint8Array): Certificate | undefined {
  const message = parseMessage(pb.CertificateRequestSchema, bytes);
  return message && certificateOf(optional(message, 'cert'));
}

/** The private key that lies beside a certificate, as GNS takes it from the application; undefined if there is none. */
export function embeddedPrivateKey(bytes: Uint8Array): Uint8Array | undefined {
  const message = parseMessage(pb.CertificateSignedSchema, bytes);
  return message && optional(message, 'privateKeyData');
}

/** Reads the envelope; undefined if it is none. A private key in it is ignored. */
export function decodeSignedCertificate(bytes: Uint8Array): SignedCertificate | undefined {
  const message = parseMessage(pb.CertificateSignedSchema, bytes);
  return message && signedCertificateOf(message);
}

/** The form for files and for trust stores. Never contains the private key. */
export function encodeSignedCertificate(signed: SignedCertificate): Uint8Array {
  return serializeMessage(pb.CertificateSignedSchema, signedCertificateFields(signed));
}

/** Undefined if `bytes` are no key exchange message. Ciphers we do not know are left out. */
export function decodeCryptInfo(bytes: Uint8Array): CryptInfo | undefined {
  const message = parseMessage(pb.SessionCryptInfoSchema, bytes);
  return (
    message && {
      keyType: message.keyType,
      key: message.keyData,
      nonce: message.nonce,
      protocolVersion: message.protocolVersion,
      ciphers: message.ciphers.filter(isCipher),
      maxDatagramBytes: optional(message, 'maxDatagramBytes'),
    }
  );
}

export function encodeCryptInfo(info: CryptInfo): Uint8Array {
  return serializeMessage(pb.SessionCryptInfoSchema, {
    keyType: info.keyType,
    keyData: info.key,
    nonce: info.nonce,
    protocolVersion: info.protocolVersion,
    ciphers: info.ciphers,
    maxDatagramBytes: info.maxDatagramBytes,
  });
}

/** The envelope inside a received message; undefined if there is no certificate in it. */
export function signedCertificateOf(message: pb.CertificateSigned | undefined): SignedCertificate | undefined {
  const cert = message && optional(message, 'cert');
  if (!cert) return undefined;
  return { cert, caKeyId: optional(message, 'caKeyId'), caSignature: optional(message, 'caSignature') };
}

/** The envelope inside a received message; undefined if there is no key exchange in it. */
export function signedCryptInfoOf(message: pb.SessionCryptInfoSigned | undefined): SignedCryptInfo | undefined {
  const info = message && optional(message, 'info');
  return info && { info, signature: message.signature };
}

/** What is written of a signed certificate: these fields and no others, so that no private key can slip through. */
export function signedCertificateFields({ cert, caKeyId, caSignature }: SignedCertificate): SignedCertificate {
  return { cert, caKeyId, caSignature };
}

function certificateFields(certificate: Certificate) {
  return {
    keyType: certificate.keyType,
    keyData: certificate.key,
    datacenterIds: certificate.datacenterIds,
    timeCreatedS: certificate.timeCreatedS,
    timeExpiryS: certificate.timeExpiryS,
    appIds: certificate.appIds,
    ...certificate.identity,
    ipAddresses: certificate.ipAddresses,
  };
}

function isCipher(value: number): value is Cipher {
  return value === Cipher.None || value === Cipher.Aes256Gcm;
}

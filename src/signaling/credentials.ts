// How a client shows a signaling server that an identity is its own: with a certificate of the library, and a signature
// over what the server has just made up. The same certificate that peers will see. Spec: 02 §2.4, §2.5.

import { randomBytes } from 'node:crypto';
import type { LocalCertificate } from '../core/certs/certificate.ts';
import type { TrustStore } from '../core/certs/trust-store.ts';
import type { CryptoProvider } from '../core/platform.ts';
import { decodeCertificate, decodeSignedCertificate, encodeSignedCertificate } from '../core/wire/crypt-messages.ts';
import { readIdentity } from '../core/wire/identity-fields.ts';

/** What a client sends to prove that it has the key of its certificate. Both base64. */
export interface Proof {
  readonly certificate: string;
  readonly signature: string;
}

const CHALLENGE_BYTES = 32;
/** Nothing else that is signed with these keys begins like this. */
const PURPOSE = 'game-networking-sockets signaling';

/** Fresh, in hex. */
export function newChallenge(): string {
  return randomBytes(CHALLENGE_BYTES).toString('hex');
}

/** `audience` is the host that the client means to talk to: a proof is of no use anywhere else. */
export function prove(certificate: LocalCertificate, challenge: string, audience: string): Proof {
  return {
    certificate: Buffer.from(encodeSignedCertificate(certificate.signed)).toString('base64'),
    signature: Buffer.from(certificate.key.sign(statement(challenge, audience))).toString('base64'),
  };
}

/** The identity that was proven, or a sentence that says what is wrong. */
export function check(
  proof: Proof,
  challenge: string,
  audience: string,
  trust: TrustStore,
  crypto: CryptoProvider,
): { readonly identity: string } | { readonly refusal: string } {
  const signed = decodeSignedCertificate(Buffer.from(proof.certificate, 'base64'));
  const certificate = signed && decodeCertificate(signed.cert);
  if (signed === undefined || certificate === undefined) return { refusal: 'the certificate does not parse' };
  const trusted = trust.check(signed, certificate, Math.floor(Date.now() / 1_000));
  if (!trusted.ok) return { refusal: trusted.detail };
  const identity = readIdentity(certificate.identity);
  if (identity === undefined || identity === 'malformed') return { refusal: 'the certificate names nobody' };
  const signature = Buffer.from(proof.signature, 'base64');
  if (!crypto.verify(certificate.key, statement(challenge, audience), signature)) {
    return { refusal: 'the signature is not by the key of the certificate' };
  }
  return { identity: identity.toString() };
}

function statement(challenge: string, audience: string): Uint8Array {
  return Buffer.from(`${PURPOSE}\n${audience}\n${challenge}`);
}

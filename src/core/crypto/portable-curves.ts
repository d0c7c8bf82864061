// The curves in plain JavaScript (tweetnacl), for platforms whose own cryptography lacks Ed25519 or X25519.
// Slow: milliseconds an operation. Spec: "Certificates, key exchange, packet encryption" (2.1, 2.7).
import nacl from 'tweetnacl';
import { invariant } from '../base/errors.ts';
import type { CryptoProvider, ExchangeKey, Random, SigningKey } from '../platform.ts';

/** Hashes and packet encryption of `base`, with curves of our own; `random` makes the fresh keys, so it must be secret. */
export function portableCrypto(base: CryptoProvider, random: Random): CryptoProvider {
  return {
    name: 'tweetnacl',
    sha256: (...parts) => base.sha256(...parts),
    hmacSha256: (key, ...parts) => base.hmacSha256(key, ...parts),
    hmacSha1: (key, ...parts) => base.hmacSha1(key, ...parts),
    md5: (...parts) => base.md5(...parts),
    aead: (key) => base.aead(key),
    signingKey: (seed) => new PortableSigningKey(seed ?? freshSecret(random)),
    exchangeKey: (privateKey) =>
      new PortableExchangeKey(privateKey ? Uint8Array.from(privateKey) : freshSecret(random)),
    verify,
  };
}

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

function freshSecret(random: Random): Uint8Array {
  const secret = new Uint8Array(KEY_BYTES);
  random.fill(secret);
  return secret;
}

class PortableSigningKey implements SigningKey {
  readonly #secretKey: Uint8Array;
  readonly publicKey: Uint8Array;

  constructor(seed: Uint8Array) {
    invariant(seed.length === KEY_BYTES, `a private key has ${KEY_BYTES} bytes`);
    const pair = nacl.sign.keyPair.fromSeed(seed);
    this.#secretKey = pair.secretKey;
    this.publicKey = pair.publicKey;
  }

  sign(message: Uint8Array): Uint8Array {
    return nacl.sign.detached(message, this.#secretKey);
  }
}

class PortableExchangeKey implements ExchangeKey {
  readonly #privateKey: Uint8Array;
  readonly publicKey: Uint8Array;

  constructor(privateKey: Uint8Array) {
    invariant(privateKey.length === KEY_BYTES, `a private key has ${KEY_BYTES} bytes`);
    this.#privateKey = privateKey;
    this.publicKey = nacl.scalarMult.base(privateKey);
  }

  agree(peerPublicKey: Uint8Array): Uint8Array | undefined {
    if (peerPublicKey.length !== KEY_BYTES) return undefined;
    const shared = nacl.scalarMult(this.#privateKey, peerPublicKey);
    return shared.some((byte) => byte !== 0) ? shared : undefined;
  }
}

function verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  return isReducedScalar(signature, KEY_BYTES) && nacl.sign.detached.verify(message, signature, publicKey);
}

// The order of the group, 2^252 + 27742317777372353535851937790883648493, least significant byte first.
const GROUP_ORDER = [
  0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0x10,
] as const;

/** RFC 8032, 5.1.7: S must be below the group order, else a valid signature could be altered. tweetnacl does not look. */
function isReducedScalar(bytes: Uint8Array, start: number): boolean {
  for (let i = KEY_BYTES - 1; i >= 0; i--) {
    const difference = bytes[start + i]! - GROUP_ORDER[i]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

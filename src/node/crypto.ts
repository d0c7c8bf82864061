// Cryptography by Node's OpenSSL. Spec: "Certificates, key exchange, packet encryption" (2.1, 2.7, 2.8).
//
// Keys enter and leave as JWK: OpenSSL 3 takes 5 µs for a public one that way, 80 µs (and 500 µs for a private one)
// through DER. `generateKeyPairSync` is avoided because in Node 20 it can hang the process: what it leaves behind locks
// the key when it is collected, and exporting a key can start that collection while holding the same lock.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type KeyObject,
  randomFillSync,
  sign,
  verify,
} from 'node:crypto';
import { copyBytes } from '../core/base/bytes.ts';
import { invariant } from '../core/base/errors.ts';
import type { Aead, CryptoProvider, ExchangeKey, Random, SigningKey } from '../core/platform.ts';

export const nodeCrypto: CryptoProvider = {
  name: 'node',

  sha256: (...parts) => digest('sha256', parts),
  hmacSha256: (key, ...parts) => hmac('sha256', key, parts),
  hmacSha1: (key, ...parts) => hmac('sha1', key, parts),
  md5: (...parts) => digest('md5', parts),

  signingKey: (seed) => new NodeSigningKey(seed),

  verify(publicKey, message, signature) {
    if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
    try {
      return verify(null, message, importPublic('Ed25519', publicKey), signature);
    } catch {
      return false;
    }
  },

  exchangeKey: (privateKey) => new NodeExchangeKey(privateKey),

  aead: (key) => new NodeAead(key),
};

function digest(algorithm: string, parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return plainView(hash.digest());
}

function hmac(algorithm: string, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const code = createHmac(algorithm, key);
  for (const part of parts) code.update(part);
  return plainView(code.digest());
}

const POOL_BYTES = 1024;

/** The operating system's randomness, fetched by the kilobyte for `u32`. */
export class NodeRandom implements Random {
  readonly #pool = Buffer.alloc(POOL_BYTES);
  #used = POOL_BYTES;

  fill(bytes: Uint8Array): void {
    randomFillSync(bytes);
  }

  u32(): number {
    if (this.#used === POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const value = this.#pool.readUInt32LE(this.#used);
    this.#used += 4;
    return value;
  }
}

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
type Curve = 'Ed25519' | 'X25519';

class NodeSigningKey implements SigningKey {
  readonly #key: KeyObject;
  readonly publicKey: Uint8Array;

  constructor(seed: Uint8Array | undefined) {
    this.#key = importPrivate('Ed25519', seed);
    this.publicKey = publicBytes(this.#key);
  }

  sign(message: Uint8Array): Uint8Array {
    return plainView(sign(null, message, this.#key));
  }
}

class NodeExchangeKey implements ExchangeKey {
  readonly #key: KeyObject;
  readonly publicKey: Uint8Array;

  constructor(privateKey: Uint8Array | undefined) {
    this.#key = importPrivate('X25519', privateKey);
    this.publicKey = publicBytes(this.#key);
  }

  agree(peerPublicKey: Uint8Array): Uint8Array | undefined {
    if (peerPublicKey.length !== KEY_BYTES) return undefined;
    try {
      const shared = diffieHellman({ privateKey: this.#key, publicKey: importPublic('X25519', peerPublicKey) });
      return shared.length === KEY_BYTES && shared.some((byte) => byte !== 0) ? plainView(shared) : undefined;
    } catch {
      // OpenSSL refuses all-zero results itself.
      return undefined;
    }
  }
}

const ALGORITHM = 'aes-256-gcm';
const TAG_BYTES = 16;
const TAG_OPTIONS = { authTagLength: TAG_BYTES } as const;

/** The tag of the packet at hand. */
const TAG = Buffer.alloc(TAG_BYTES);

/** HOT PATH: one cipher object per packet is what Node asks for; nothing else is made but its output. */
class NodeAead implements Aead {
  readonly #key: KeyObject;
  /** The plaintext sealed last, and the part that was used: mostly the same again. */
  #plain: Uint8Array = TAG;
  #plainView: Uint8Array = TAG;

  constructor(key: Uint8Array) {
    invariant(key.length === KEY_BYTES, `an AES-256 key has ${KEY_BYTES} bytes`);
    this.#key = createSecretKey(key);
  }

  seal(nonce: Uint8Array, plain: Uint8Array, length: number, out: Uint8Array, outStart: number): number {
    if (plain !== this.#plain || length !== this.#plainView.length) {
      this.#plain = plain;
      this.#plainView = plain.subarray(0, length);
    }
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce, TAG_OPTIONS);
    out.set(cipher.update(this.#plainView), outStart);
    // Gives no more bytes in this mode, but makes the tag.
    cipher.final();
    copyBytes(out, outStart + length, cipher.getAuthTag(), 0, TAG_BYTES);
    return length + TAG_BYTES;
  }

  open(nonce: Uint8Array, bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
    const tagStart = end - TAG_BYTES;
    if (tagStart < start) return undefined;
    const decipher = createDecipheriv(ALGORITHM, this.#key, nonce, TAG_OPTIONS);
    copyBytes(TAG, 0, bytes, tagStart, end);
    decipher.setAuthTag(TAG);
    const plain = decipher.update(new Uint8Array(bytes.buffer, bytes.byteOffset + start, tagStart - start));
    try {
      decipher.final();
      return plain;
    } catch {
      return undefined;
    }
  }
}

type ImportSecret = (curve: Curve, secret: Buffer) => KeyObject;

/**
 * Ways to hand Node a bare private key, best first. JWK is ten times faster than DER, but current versions want the right
 * public half beside it; these know the bare bytes instead.
 */
const WAYS_TO_IMPORT: readonly ImportSecret[] = [
  (curve, secret) => {
    const raw: unknown = { key: secret, format: 'raw-private', asymmetricKeyType: curve.toLowerCase() };
    return createPrivateKey(raw as Parameters<typeof createPrivateKey>[0]);
  },
  (curve, secret) => {
    const d = secret.toString('base64url');
    return createPrivateKey({ key: { kty: 'OKP', crv: curve, x: IGNORED_PUBLIC_KEY, d }, format: 'jwk' });
  },
  (curve, secret) => {
    const key = Buffer.concat([PKCS8_PREFIX, secret]);
    key[PKCS8_CURVE_AT] = curve === 'Ed25519' ? 0x70 : 0x6e;
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  },
];
const IGNORED_PUBLIC_KEY = 'A'.repeat(43);
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const PKCS8_CURVE_AT = 11;

const importSecret = WAYS_TO_IMPORT.find((way) => {
  try {
    return way('Ed25519', Buffer.alloc(KEY_BYTES, 1)).type === 'private';
  } catch {
    return false;
  }
});

function importPrivate(curve: Curve, bytes: Uint8Array | undefined): KeyObject {
  invariant(bytes === undefined || bytes.length === KEY_BYTES, `a private key has ${KEY_BYTES} bytes`);
  invariant(importSecret !== undefined, 'this version of Node imports bare private keys in one way or another');
  const secret = bytes ? Buffer.from(bytes) : randomFillSync(Buffer.alloc(KEY_BYTES));
  const key = importSecret(curve, secret);
  secret.fill(0);
  return key;
}

function importPublic(curve: Curve, bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: curve, x }, format: 'jwk' });
}

/** The core expects `slice` to copy, which a Buffer's does not. */
function plainView(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

function publicBytes(key: KeyObject): Uint8Array {
  const { x } = key.export({ format: 'jwk' });
  invariant(x !== undefined, 'the export of a key has its public half');
  return Uint8Array.from(Buffer.from(x, 'base64url'));
}

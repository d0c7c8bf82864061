// Keys and certificates as people keep them in files: OpenSSH keys, GNS's certificate blocks, and our requests for
// certificates. Reads what GNS's tools and OpenSSH write, as leniently as GNS; both read what is written here.
// Spec: "Text forms" (2.10), 9.2 – 9.4.
import { KEY_BYTES } from '../wire/crypt-messages.ts';

/** A private key outside of a `SigningKey`: to be written to a file, or read from one. */
export interface RawKeyPair {
  /** 32 bytes, secret. */
  readonly seed: Uint8Array;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

export const TextType = {
  Certificate: 'STEAMDATAGRAM CERT',
  PrivateKey: 'OPENSSH PRIVATE KEY',
  Request: 'GNS CERTIFICATE REQUEST',
} as const;
export type TextType = (typeof TextType)[keyof typeof TextType];

const LINE_CHARACTERS = 72;
const BLOCK = /-+[ \t]*BEGIN[ \t]+([^-\r\n]+)-+([^-]*)-+[ \t]*END/gi;

/** The contents of all blocks of a type, in order; undefined where one is not base64. */
export function readBlocks(text: string, type: TextType): readonly (Uint8Array | undefined)[] {
  return [...text.matchAll(BLOCK)]
    .filter(([, name]) => name!.trim().toUpperCase() === type)
    .map(([, , body]) => decodeBase64(body!));
}

export function writeBlock(type: TextType, content: Uint8Array): string {
  const lines = encodeBase64(content).match(new RegExp(`.{1,${LINE_CHARACTERS}}`, 'g')) ?? [];
  return [`-----BEGIN ${type}-----`, ...lines, `-----END ${type}-----`, ''].join('\n');
}

export function encodeBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** White space is skipped, and `=` ends the data. Undefined for any other character. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const [digits = ''] = text.replace(/[\r\n\t ]/g, '').split('=', 1);
  if (!/^[A-Za-z0-9+/]*$/.test(digits) || digits.length % 4 === 1) return undefined;
  return Uint8Array.from(atob(digits), (character) => character.charCodeAt(0));
}

// ---- public keys: one line, as in OpenSSH's authorized_keys

const ALGORITHM = 'ssh-ed25519';
/** `Public key:` is how GNS's tool prints it. Where it comments a certificate, the line begins with `#`. */
const PUBLIC_KEY_LINE = /^[ \t]*(?:Public key:)?[ \t]*ssh-ed25519[ \t]+([A-Za-z0-9+/=]+)/gim;

/** Of all lines that are public keys; undefined where one is broken. */
export function readPublicKeys(text: string): readonly (Uint8Array | undefined)[] {
  return [...text.matchAll(PUBLIC_KEY_LINE)].map(([, base64]) => {
    const blob = decodeBase64(base64!);
    return blob && readPublicKeyBlob(blob);
  });
}

export function writePublicKey(publicKey: Uint8Array, comment: string): string {
  return `${ALGORITHM} ${encodeBase64(publicKeyBlob(publicKey))} ${comment}\n`;
}

function publicKeyBlob(publicKey: Uint8Array): Uint8Array {
  return joined(string(ALGORITHM), string(publicKey));
}

function readPublicKeyBlob(blob: Uint8Array): Uint8Array | undefined {
  const reader = new SshReader(blob);
  const isOurs = reader.text() === ALGORITHM;
  const key = reader.string();
  return isOurs && key?.length === KEY_BYTES ? key.slice() : undefined;
}

// ---- private keys: openssh-key-v1, not encrypted

const MAGIC = 'openssh-key-v1\0';
/** The cipher works on blocks of this size, also if it is none. */
const PADDED_TO_BYTES = 8;

/** What is wrong with a private key. */
export type KeyProblem = 'encrypted' | 'malformed' | 'inconsistent' | 'notEd25519';

/** Reads the content of a block. That `publicKey` belongs to `seed` remains to be checked. */
export function readPrivateKeyBlob(blob: Uint8Array): RawKeyPair | KeyProblem {
  if (latin1(blob.subarray(0, MAGIC.length)) !== MAGIC) return 'malformed';
  const reader = new SshReader(blob.subarray(MAGIC.length));
  const [cipher, kdf] = [reader.text(), reader.text()];
  reader.string();
  if (cipher !== 'none' || kdf !== 'none') return 'encrypted';
  if (reader.u32() !== 1) return 'malformed';
  const outer = reader.string();
  const section = reader.string();
  if (outer === undefined || section === undefined) return 'malformed';
  const announced = readPublicKeyBlob(outer);
  const inner = new SshReader(section);
  const [check, repeated] = [inner.u32(), inner.u32()];
  if (inner.text() !== ALGORITHM || announced === undefined) return 'notEd25519';
  const publicKey = inner.string();
  const pair = inner.string();
  if (publicKey?.length !== KEY_BYTES || pair?.length !== 2 * KEY_BYTES) return 'malformed';
  const copies = [announced, pair.subarray(KEY_BYTES)];
  if (check !== repeated || !copies.every((copy) => isSame(copy, publicKey))) return 'inconsistent';
  return { seed: pair.slice(0, KEY_BYTES), publicKey: publicKey.slice() };
}

export function writePrivateKey({ seed, publicKey }: RawKeyPair, comment: string): string {
  // The check value shows a wrong passphrase. There is none.
  const check = uint32(0x12345678);
  const pair = joined(seed, publicKey);
  const bare = joined(check, check, string(ALGORITHM), string(publicKey), string(pair), string(comment));
  const padding = (PADDED_TO_BYTES - (bare.length % PADDED_TO_BYTES)) % PADDED_TO_BYTES;
  const section = joined(
    bare,
    Uint8Array.from({ length: padding }, (_, i) => i + 1),
  );
  const none = string('none');
  const parts = [none, none, string(''), uint32(1), string(publicKeyBlob(publicKey)), string(section)];
  return writeBlock(TextType.PrivateKey, joined(bytesOf(MAGIC), ...parts));
}

// ---- OpenSSH's binary form: numbers big-endian, strings with their length in front

class SshReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Undefined, here and below, if it is not all there. */
  u32(): number | undefined {
    if (this.#at + 4 > this.#bytes.length) return undefined;
    this.#at += 4;
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
    return view.getUint32(this.#at - 4);
  }

  string(): Uint8Array | undefined {
    const length = this.u32();
    if (length === undefined || this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): string | undefined {
    const bytes = this.string();
    return bytes && latin1(bytes);
  }
}

function string(content: string | Uint8Array): Uint8Array {
  const bytes = typeof content === 'string' ? bytesOf(content) : content;
  return joined(uint32(bytes.length), bytes);
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

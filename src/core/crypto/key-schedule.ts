// From what both sides know after the handshake to the four packet keys. Spec: "Key derivation" (2.7).
import { writeU32 } from '../base/bytes.ts';
import type { CryptoProvider } from '../platform.ts';

/** What goes into the keys. Certificates and infos are the signed bytes exactly as transmitted. */
export interface KeyMaterial {
  /** The 32 bytes of the X25519 agreement. They are not wiped: their owner does. */
  readonly sharedSecret: Uint8Array;
  readonly clientNonce: bigint;
  readonly serverNonce: bigint;
  readonly clientConnectionId: number;
  readonly serverConnectionId: number;
  readonly clientCert: Uint8Array;
  readonly serverCert: Uint8Array;
  readonly clientInfo: Uint8Array;
  readonly serverInfo: Uint8Array;
}

/** Of one direction. Wipe the key once a cipher was made from it. */
export interface PacketKeys {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** 12 bytes. */
  readonly iv: Uint8Array;
}

export interface SessionKeys {
  readonly clientToServer: PacketKeys;
  readonly serverToClient: PacketKeys;
}

const IV_BYTES = 12;

/**
 * Resembles HKDF (RFC 5869), with differences that matter: the secret is hashed first, and in the extract step it is
 * the key while the nonces are the message. Server before client everywhere, except in the connection ids.
 */
export function deriveSessionKeys(crypto: CryptoProvider, material: KeyMaterial): SessionKeys {
  const hashedSecret = crypto.sha256(material.sharedSecret);
  const extracted = crypto.hmacSha256(hashedSecret, salt(material));
  const context = [
    connectionIds(material),
    CONTEXT_LABEL,
    material.serverCert,
    material.clientCert,
    material.serverInfo,
    material.clientInfo,
  ];
  const expand = (previous: Uint8Array, counter: number) =>
    crypto.hmacSha256(extracted, previous, ...context, Uint8Array.of(counter));

  const clientKey = expand(NOTHING, 1);
  const serverKey = expand(clientKey, 2);
  const clientIv = expand(serverKey, 3);
  const serverIv = expand(clientIv, 4);
  const keys: SessionKeys = {
    clientToServer: { key: clientKey, iv: Uint8Array.from(clientIv.subarray(0, IV_BYTES)) },
    serverToClient: { key: serverKey, iv: Uint8Array.from(serverIv.subarray(0, IV_BYTES)) },
  };
  for (const secret of [hashedSecret, extracted, clientIv, serverIv]) secret.fill(0);
  return keys;
}

const NOTHING = new Uint8Array(0);
// "Steam datagram", without a terminating zero.
const CONTEXT_LABEL = Uint8Array.of(0x53, 0x74, 0x65, 0x61, 0x6d, 0x20, 0x64, 0x61, 0x74, 0x61, 0x67, 0x72, 0x61, 0x6d);

function salt({ serverNonce, clientNonce }: KeyMaterial): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, serverNonce, true);
  view.setBigUint64(8, clientNonce, true);
  return bytes;
}

function connectionIds({ clientConnectionId, serverConnectionId }: KeyMaterial): Uint8Array {
  const bytes = new Uint8Array(8);
  writeU32(bytes, 0, clientConnectionId);
  writeU32(bytes, 4, serverConnectionId);
  return bytes;
}

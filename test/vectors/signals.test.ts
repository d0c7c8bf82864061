// Recorded signals of GNS: read, written back byte for byte, verified; keys that were agreed on by signals, and the
// first data packets under them.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { isOurRequestFirst } from '../../src/core/connection/p2p-handshake.ts';
import { deriveSessionKeys } from '../../src/core/crypto/key-schedule.ts';
import { gcmCipher } from '../../src/core/crypto/packet-cipher.ts';
import type { SignedCryptInfo } from '../../src/core/wire/crypt-messages.ts';
import { decodeCertificate, decodeCryptInfo, type SignedCertificate } from '../../src/core/wire/crypt-messages.ts';
import { decodeSignal, encodeSignal, type Signal } from '../../src/core/wire/signal.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { hex, toHex } from '../support/hex.ts';

interface KeySet {
  readonly name: string;
  readonly we_are: 'client' | 'server';
  readonly x25519_private_ours: string;
  readonly nonce_ours: string;
  readonly connection_id_ours: number;
  readonly connection_id_peer: number;
  readonly cert_ours: string;
  readonly crypt_info_ours: string;
  readonly cert_peer: string;
  readonly crypt_info_peer: string;
  readonly key_we_send: string;
  readonly key_we_receive: string;
  readonly iv_we_send: string;
  readonly iv_we_receive: string;
  readonly data: readonly {
    readonly hex: string;
    readonly header: string;
    readonly number: number;
    readonly plaintext: string;
  }[];
}

interface RecordedSignal {
  readonly name: string;
  /** A script that talked to GNS wrote the fields in another order. */
  readonly writer: 'GNS' | 'script';
  readonly hex: string;
  readonly decoded: unknown;
}

interface Recordings {
  readonly signals: readonly RecordedSignal[];
  readonly keySets: readonly KeySet[];
  readonly tieBreaks: readonly { readonly a: number; readonly b: number; readonly client: 'a' | 'b' }[];
}

const FILE = new URL('../../../test/vectors/signals.json', import.meta.url);
const { signals, keySets, tieBreaks }: Recordings = JSON.parse(readFileSync(FILE, 'utf8'));

describe('Recorded signals', () => {
  for (const { name, writer, hex: text, decoded } of signals) {
    it(`are read and written back as they were: ${name}`, () => {
      const signal = decodeSignal(hex(text))!;
      expect(inWordsOfTheRecording(signal)).to.deep.equal(decoded);
      if (writer === 'GNS') expect(toHex(encodeSignal(signal))).to.equal(text);
      else expect(decodeSignal(encodeSignal(signal))).to.deep.equal(signal);
    });
  }

  for (const { name, hex: text } of signals.filter(({ decoded }) => JSON.stringify(decoded).includes('"crypt"'))) {
    it(`carry a key exchange that is signed by the certificate: ${name}`, () => {
      const signal = decodeSignal(hex(text))!;
      const { cert, crypt } = signal.request ?? signal.ok!;
      const { key } = decodeCertificate(cert!.cert)!;
      expect(nodeCrypto.verify(key, crypt!.info, crypt!.signature)).to.equal(true);
    });
  }
});

describe('Recorded key sets of connections that were made by signals', () => {
  for (const set of keySets) {
    it(`are derived, and open the data packets: ${set.name}`, () => {
      const isClient = set.we_are === 'client';
      const ours = { id: set.connection_id_ours, cert: hex(set.cert_ours), info: hex(set.crypt_info_ours) };
      const theirs = { id: set.connection_id_peer, cert: hex(set.cert_peer), info: hex(set.crypt_info_peer) };
      const [client, server] = isClient ? [ours, theirs] : [theirs, ours];
      const sharedSecret = nodeCrypto
        .exchangeKey(hex(set.x25519_private_ours))
        .agree(decodeCryptInfo(theirs.info)!.key)!;
      const keys = deriveSessionKeys(nodeCrypto, {
        sharedSecret,
        clientNonce: decodeCryptInfo(client.info)!.nonce,
        serverNonce: decodeCryptInfo(server.info)!.nonce,
        clientConnectionId: client.id,
        serverConnectionId: server.id,
        clientCert: client.cert,
        serverCert: server.cert,
        clientInfo: client.info,
        serverInfo: server.info,
      });
      const { clientToServer, serverToClient } = keys;
      const [out, into] = isClient ? [clientToServer, serverToClient] : [serverToClient, clientToServer];
      expect(toHex(out.key)).to.equal(set.key_we_send);
      expect(toHex(out.iv)).to.equal(set.iv_we_send);
      expect(toHex(into.key)).to.equal(set.key_we_receive);
      expect(toHex(into.iv)).to.equal(set.iv_we_receive);
      const opener = gcmCipher(nodeCrypto.aead(into.key), into.iv);
      for (const { hex: datagram, header, number, plaintext } of set.data) {
        const bytes = hex(datagram);
        const opened = opener.open(number, bytes, header.length / 2, bytes.length);
        expect(toHex(opened!)).to.equal(plaintext);
      }
    });
  }
});

describe('Recorded tie-breaks of symmetric connects', () => {
  for (const { a, b, client } of tieBreaks) {
    it(`agree on who is the client of ${a} and ${b}`, () => {
      const none = new Uint8Array(0);
      expect(isOurRequestFirst(a, b, none, none)).to.equal(client === 'a');
      expect(isOurRequestFirst(b, a, none, none)).to.equal(client === 'b');
    });
  }
});

/** A signal with the names of the recordings, what is inside of signed bytes included. */
function inWordsOfTheRecording(signal: Signal): unknown {
  const { request, ok, closed } = signal;
  return withoutAbsent({
    to_connection_id: signal.toConnectionId,
    connect_request: request && {
      ...credentials(request.cert!, request.crypt!),
      to_virtual_port: request.toVirtualPort,
      from_virtual_port: request.fromVirtualPort,
    },
    connect_ok: ok && credentials(ok.cert!, ok.crypt!),
    connection_closed: closed,
    ice_enabled: signal.isIceEnabled,
    from_identity: signal.fromIdentity,
    from_connection_id: signal.fromConnectionId,
    to_identity: signal.toIdentity,
    ack_reliable_msg: signal.ackedReliable,
    first_reliable_msg: signal.firstReliable,
    reliable_messages:
      signal.firstReliable === undefined
        ? undefined
        : signal.reliable.map(({ password, candidate }) => ({
            ice: password === undefined ? { add_candidate: { candidate } } : { auth: { pwd_frag: password } },
          })),
  });
}

function credentials(cert: SignedCertificate, crypt: SignedCryptInfo): object {
  const info = decodeCryptInfo(crypt.info)!;
  const { keyType, key, appIds, identity } = decodeCertificate(cert.cert)!;
  const name = identity.legacyIdentityBinary?.genericString;
  return {
    crypt: {
      info: {
        key_type: info.keyType,
        key_data: toHex(info.key),
        nonce: `0x${info.nonce.toString(16).padStart(16, '0')}`,
        protocol_version: info.protocolVersion,
        ciphers: info.ciphers,
      },
      signature: toHex(crypt.signature),
    },
    cert: {
      cert: withoutAbsent({
        key_type: keyType,
        key_data: toHex(key),
        app_ids: appIds,
        legacy_identity_binary: name === undefined ? undefined : { generic_string: name },
        identity_string: identity.identityString,
      }),
    },
  };
}

function withoutAbsent(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

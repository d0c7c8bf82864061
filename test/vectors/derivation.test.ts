// Keys, signatures, cookies and nonces of recorded connections of GNS (throw-away keys), for each implementation of the
// curves.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { deriveSessionKeys } from '../../src/core/crypto/key-schedule.ts';
import { gcmCipher } from '../../src/core/crypto/packet-cipher.ts';
import { portableCrypto } from '../../src/core/crypto/portable-curves.ts';
import { ChallengeCookies, sipHash24 } from '../../src/core/crypto/siphash.ts';
import type { Aead } from '../../src/core/platform.ts';
import { NodeRandom, nodeCrypto } from '../../src/node/crypto.ts';
import { hex, toHex } from '../support/hex.ts';

interface RecordedSide {
  readonly id: number;
  readonly signingSeed: string;
  readonly signingPublic: string;
  readonly exchangePrivate: string;
  readonly exchangePublic: string;
  readonly nonce: string;
  readonly cert: string;
  readonly info: string;
  readonly infoSignature: string;
}

interface Recordings {
  readonly keySets: readonly {
    readonly name: string;
    readonly client: RecordedSide;
    readonly server: RecordedSide;
    readonly sharedSecret: string;
    readonly clientKey: string;
    readonly clientIv: string;
    readonly serverKey: string;
    readonly serverIv: string;
  }[];
  readonly keyIds: readonly { readonly publicKey: string; readonly keyId: string }[];
  /** `input` is tick, port and address; `hash` is printed as a number. */
  readonly challenges: readonly {
    readonly key: string;
    readonly input: string;
    readonly hash: string;
    readonly challenge: string;
  }[];
  readonly nonces: readonly { readonly iv: string; readonly packetNumber: number; readonly nonce: string }[];
}

const FILE = new URL('../../../test/vectors/derivation.json', import.meta.url);
const recordings: Recordings = JSON.parse(readFileSync(FILE, 'utf8'));

for (const crypto of [nodeCrypto, portableCrypto(nodeCrypto, new NodeRandom())]) {
  describe(`Recorded key sets with ${crypto.name} curves`, () => {
    for (const { name, client, server, sharedSecret, ...keys } of recordings.keySets) {
      it(`agree on the exchanged secret: ${name}`, () => {
        const clientKey = crypto.exchangeKey(hex(client.exchangePrivate));
        const serverKey = crypto.exchangeKey(hex(server.exchangePrivate));
        expect(toHex(clientKey.publicKey)).to.equal(client.exchangePublic);
        expect(toHex(serverKey.publicKey)).to.equal(server.exchangePublic);
        expect(toHex(clientKey.agree(serverKey.publicKey)!)).to.equal(sharedSecret);
        expect(toHex(serverKey.agree(clientKey.publicKey)!)).to.equal(sharedSecret);
      });

      it(`give the packet keys: ${name}`, () => {
        const { clientToServer, serverToClient } = deriveSessionKeys(crypto, {
          sharedSecret: hex(sharedSecret),
          clientNonce: BigInt(client.nonce),
          serverNonce: BigInt(server.nonce),
          clientConnectionId: client.id,
          serverConnectionId: server.id,
          clientCert: hex(client.cert),
          serverCert: hex(server.cert),
          clientInfo: hex(client.info),
          serverInfo: hex(server.info),
        });
        expect({
          clientKey: toHex(clientToServer.key),
          clientIv: toHex(clientToServer.iv),
          serverKey: toHex(serverToClient.key),
          serverIv: toHex(serverToClient.iv),
        }).to.deep.equal(keys);
      });

      it(`sign and verify their infos: ${name}`, () => {
        for (const side of [client, server]) {
          const key = crypto.signingKey(hex(side.signingSeed));
          expect(toHex(key.publicKey)).to.equal(side.signingPublic);
          expect(toHex(key.sign(hex(side.info)))).to.equal(side.infoSignature);
          expect(crypto.verify(key.publicKey, hex(side.info), hex(side.infoSignature))).to.equal(true);
        }
      });
    }
  });
}

describe('Recorded derivations', () => {
  it('have the start of the SHA-256 of a public key as its id', () => {
    for (const { publicKey, keyId } of recordings.keyIds) {
      const hash = nodeCrypto.sha256(hex(publicKey));
      expect(new DataView(hash.buffer, hash.byteOffset).getBigUint64(0, true).toString()).to.equal(keyId);
    }
  });

  it('have challenges whose hash is SipHash-2-4 of tick, port and address', () => {
    for (const { key, input, hash } of recordings.challenges) {
      const { high, low } = sipHash24(hex(key), hex(input));
      expect(((BigInt(high) << 32n) | BigInt(low)).toString(16).padStart(16, '0')).to.equal(hash);
    }
  });

  it('have challenges that we issue alike and accept', () => {
    for (const { key, input, challenge } of recordings.challenges) {
      const bytes = hex(input);
      const view = new DataView(bytes.buffer);
      const cookies = new ChallengeCookies(hex(key));
      const nowUs = view.getUint16(0, true) * 2 ** 20;
      const port = view.getUint16(2, true);
      const address = bytes.subarray(4);
      expect(cookies.issue(address, port, nowUs).toString()).to.equal(challenge);
      expect(cookies.isFresh(BigInt(challenge), address, port, nowUs)).to.equal(true);
    }
  });

  it('have packet nonces that are the IV plus the packet number', () => {
    const nonces: string[] = [];
    const aead: Aead = {
      seal: (nonce) => {
        nonces.push(toHex(nonce));
        return 0;
      },
      open: () => undefined,
    };
    for (const { iv, packetNumber } of recordings.nonces) {
      gcmCipher(aead, hex(iv)).seal(packetNumber, new Uint8Array(0), 0, new Uint8Array(0), 0);
    }
    expect(nonces).to.deep.equal(recordings.nonces.map(({ nonce }) => nonce));
  });
});

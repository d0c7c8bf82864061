// The packet keys of the recordings, made again from the private keys of both sides. Recordings: README.md.
import { expect } from 'chai';
import { deriveSessionKeys, type KeyMaterial, type PacketKeys } from '../../src/core/crypto/key-schedule.ts';
import { portableCrypto } from '../../src/core/crypto/portable-curves.ts';
import type { Random } from '../../src/core/platform.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { toHex } from '../support/hex.ts';
import { loadRecording, type RecordedKeys, recordingNames } from './load.ts';

/** Every key here is given, so nothing is left to chance. */
const NO_RANDOM: Random = {
  fill: () => expect.fail('no random bytes are needed'),
  u32: () => expect.fail('no random number is needed'),
};

const recordings = recordingNames().map(loadRecording);

for (const crypto of [nodeCrypto, portableCrypto(nodeCrypto, NO_RANDOM)]) {
  describe(`keys of ${recordings.length} recordings, with ${crypto.name}`, () => {
    it('have the shared secret on which either side agrees with the public key of the other', () => {
      for (const { name, keys } of recordings) {
        const client = crypto.exchangeKey(keys.client.exchangeKey);
        const server = crypto.exchangeKey(keys.server.exchangeKey);
        expect(toHex(keys.client.info), name).to.include(toHex(client.publicKey));
        expect(toHex(keys.server.info), name).to.include(toHex(server.publicKey));
        expect(toHex(client.agree(server.publicKey)!), name).to.equal(toHex(keys.sharedSecret));
        expect(toHex(server.agree(client.publicKey)!), name).to.equal(toHex(keys.sharedSecret));
      }
    });

    it('have the packet keys that follow from the handshake', () => {
      for (const { name, keys } of recordings) {
        const { clientToServer, serverToClient } = deriveSessionKeys(crypto, materialOf(keys));
        expectKeys(name, clientToServer, keys.c2s);
        expectKeys(name, serverToClient, keys.s2c);
      }
    });
  });
}

function expectKeys(name: string, derived: PacketKeys, recorded: PacketKeys): void {
  expect(toHex(derived.key), name).to.equal(toHex(recorded.key));
  expect(toHex(derived.iv), name).to.equal(toHex(recorded.iv));
}

function materialOf({ client, server, sharedSecret }: RecordedKeys): KeyMaterial {
  return {
    sharedSecret,
    clientNonce: client.nonce,
    serverNonce: server.nonce,
    clientConnectionId: client.id,
    serverConnectionId: server.id,
    clientCert: client.cert,
    serverCert: server.cert,
    clientInfo: client.info,
    serverInfo: server.info,
  };
}

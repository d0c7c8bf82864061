import { expect } from 'chai';
import { deriveSessionKeys, type KeyMaterial } from '../../../src/core/crypto/key-schedule.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { hex, toHex } from '../../support/hex.ts';

const MATERIAL: KeyMaterial = {
  sharedSecret: new Uint8Array(32).fill(1),
  clientNonce: 2n,
  serverNonce: 3n,
  clientConnectionId: 4,
  serverConnectionId: 5,
  clientCert: hex('06'),
  serverCert: hex('07'),
  clientInfo: hex('08'),
  serverInfo: hex('09'),
};

const keysOf = (material: KeyMaterial) => toHex(deriveSessionKeys(nodeCrypto, material).clientToServer.key);

describe('deriveSessionKeys', () => {
  it('gives each direction its own key and IV', () => {
    const { clientToServer, serverToClient } = deriveSessionKeys(nodeCrypto, MATERIAL);
    expect(toHex(clientToServer.key)).to.not.equal(toHex(serverToClient.key));
    expect(toHex(clientToServer.iv)).to.not.equal(toHex(serverToClient.iv));
    expect([clientToServer.key.length, clientToServer.iv.length]).to.deep.equal([32, 12]);
  });

  const changes: readonly Partial<KeyMaterial>[] = [
    { sharedSecret: new Uint8Array(32).fill(2) },
    { clientNonce: 2n ** 63n },
    { serverNonce: 2n ** 63n },
    { clientConnectionId: 0xffff_ffff },
    { serverConnectionId: 0xffff_ffff },
    { clientCert: hex('0600') },
    { serverCert: hex('0700') },
    { clientInfo: hex('0800') },
    { serverInfo: hex('0900') },
  ];
  for (const change of changes) {
    it(`gives other keys for another ${Object.keys(change).join()}`, () => {
      expect(keysOf({ ...MATERIAL, ...change })).to.not.equal(keysOf(MATERIAL));
    });
  }

  it('leaves its input as it is', () => {
    deriveSessionKeys(nodeCrypto, MATERIAL);
    expect(toHex(MATERIAL.sharedSecret)).to.equal('01'.repeat(32));
  });
});

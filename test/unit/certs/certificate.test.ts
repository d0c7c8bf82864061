// The certificates and key exchange messages that we make: the same bytes as the reference makes from the same keys.
import { expect } from 'chai';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { Identity } from '../../../src/core/base/identity.ts';
import {
  acceptCipher,
  chooseCipher,
  cipherPreference,
  describeKey,
  keyId,
  makeCryptInfo,
  makeUnsignedCertificate,
  signCertificate,
} from '../../../src/core/certs/certificate.ts';
import type { CryptoProvider } from '../../../src/core/platform.ts';
import {
  Cipher,
  decodeCertificate,
  decodeCryptInfo,
  decodeSignedCertificate,
  encodeCertificateRequest,
  encodeSignedCertificate,
} from '../../../src/core/wire/crypt-messages.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { hex, toHex } from '../../support/hex.ts';
import { handshakeNames, loadHandshake } from '../../vectors/handshake/load.ts';

/** Makes the key of a recording instead of a fresh one. */
function withSeed(seed: Uint8Array): CryptoProvider {
  return { ...nodeCrypto, signingKey: () => nodeCrypto.signingKey(seed) };
}

const recordedSides = handshakeNames().flatMap((name) => {
  const { keys, ca } = loadHandshake(name);
  return keys ? [keys.client, keys.server].map((side) => ({ name, side, isSigned: ca !== undefined })) : [];
});

describe('a self-made certificate', () => {
  for (const { name, side, isSigned } of recordedSides) {
    if (isSigned) continue;
    it(`for connection ${side.connectionId} of ${name} has the bytes of the reference`, () => {
      const text = decodeCertificate(side.cert)!.identity.identityString!;
      const made = makeUnsignedCertificate(withSeed(side.signingSeed), Identity.parse(text)!, 0);
      expect(toHex(made.signed.cert)).to.equal(toHex(side.cert));
      expect(made.signed).to.include({ caKeyId: undefined, caSignature: undefined });
    });
  }

  it('has a key of its own each time', () => {
    const certs = [1, 2].map(() => makeUnsignedCertificate(nodeCrypto, Identity.localHost, 0).signed.cert);
    expect(toHex(certs[0]!)).not.to.equal(toHex(certs[1]!));
  });
});

describe('a key exchange message', () => {
  for (const { name, side } of recordedSides) {
    it(`of connection ${side.connectionId} of ${name} has the bytes and the signature of the reference`, () => {
      const signingKey = nodeCrypto.signingKey(side.signingSeed);
      const exchangeKey = nodeCrypto.exchangeKey(side.exchangePrivateKey);
      const { ciphers } = decodeCryptInfo(side.info)!;
      const made = makeCryptInfo(signingKey, exchangeKey, { nonce: side.nonce, protocolVersion: 13, ciphers });
      expect(toHex(made.info)).to.equal(toHex(side.info));
      expect(toHex(made.signature)).to.equal(toHex(side.infoSignature));
    });
  }
});

describe('a certificate authority', () => {
  const { ca, keys, certificateRequests } = loadHandshake('ca-signed');
  const caKey = nodeCrypto.signingKey(ca!.seed);

  it('is known by the id of its key', () => {
    expect(keyId(nodeCrypto, ca!.publicKey)).to.equal(ca!.keyId);
    const documented = hex('5616b6ce0b3145f6943b79c1feea1cb7f3472a5277131e7379e4585bd2805639');
    expect(keyId(nodeCrypto, documented)).to.equal(13928420267118743197n);
    expect(() => keyId(nodeCrypto, hex('00'))).to.throw(NetworkingError, '32 bytes, not 1');
  });

  it('is asked with a public key and signs like the reference', () => {
    const publicKey = nodeCrypto.signingKey(keys!.client.signingSeed).publicKey;
    expect(toHex(encodeCertificateRequest(describeKey(publicKey)))).to.equal(toHex(certificateRequests!.client));
    const signed = signCertificate(nodeCrypto, caKey, decodeCertificate(keys!.client.cert)!);
    expect(toHex(signed.cert)).to.equal(toHex(keys!.client.cert));
    expect(signed.caKeyId).to.equal(ca!.keyId);
    expect(nodeCrypto.verify(ca!.publicKey, signed.cert, signed.caSignature!)).to.equal(true);
  });

  it('can sign itself', () => {
    const root = decodeSignedCertificate(ca!.rootCertificate)!;
    const made = signCertificate(nodeCrypto, caKey, decodeCertificate(root.cert)!);
    expect(toHex(encodeSignedCertificate(made))).to.equal(toHex(ca!.rootCertificate));
    expect(toHex(encodeSignedCertificate(root))).to.equal(toHex(ca!.rootCertificate));
  });
});

describe('the cipher', () => {
  const { Aes256Gcm, None } = Cipher;

  it('is the first of the server that the client can do', () => {
    const results = [0, 1, 2, 3].map((server) =>
      [[Aes256Gcm], [Aes256Gcm, None], [None, Aes256Gcm], [None]].map((client) =>
        chooseCipher(cipherPreference(server), client),
      ),
    );
    expect(results).to.deep.equal([
      [Aes256Gcm, Aes256Gcm, Aes256Gcm, undefined],
      [Aes256Gcm, Aes256Gcm, Aes256Gcm, None],
      [Aes256Gcm, None, None, None],
      [undefined, None, None, None],
    ]);
  });

  it('must be the only one in the answer, and one that the client can do', () => {
    expect(acceptCipher([Aes256Gcm], [Aes256Gcm])).to.equal(Aes256Gcm);
    expect(acceptCipher([Aes256Gcm, None], [None])).to.equal(None);
    expect(acceptCipher([Aes256Gcm], [None])).to.equal(undefined);
    expect(acceptCipher([Aes256Gcm, None], [Aes256Gcm, None])).to.equal(undefined);
  });
});

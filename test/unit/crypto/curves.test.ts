// Ed25519 and X25519 as Node's OpenSSL and tweetnacl do them.
import { expect } from 'chai';
import fc from 'fast-check';
import { SeededRandom } from '../../../src/core/base/random.ts';
import { portableCrypto } from '../../../src/core/crypto/portable-curves.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { hex, toHex } from '../../support/hex.ts';

const seed = process.env['SEED'];
const runs = { numRuns: 10, ...(seed === undefined ? {} : { seed: Number(seed) }) };

const portable = portableCrypto(nodeCrypto, new SeededRandom(1));
const key32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

// All points of order 1, 2, 4 and 8 on the curve and its twist, with their unreduced encodings.
const LOW_ORDER_POINTS = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000080',
] as const;

// RFC 8032, 7.1, tests 1 and 2.
const SIGNATURES = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
] as const;

const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The same signature with the group order added to S: equally "valid" to a careless verifier. */
function unreduced(signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${toHex(signature.slice(32).reverse())}`) + GROUP_ORDER;
  return hex(toHex(signature.slice(0, 32)), toHex(hex(s.toString(16).padStart(64, '0')).reverse()));
}

for (const crypto of [nodeCrypto, portable]) {
  describe(`Curves of ${crypto.name}`, () => {
    it('sign and verify as in RFC 8032', () => {
      for (const { seed, publicKey, message, signature } of SIGNATURES) {
        const key = crypto.signingKey(hex(seed));
        expect(toHex(key.publicKey)).to.equal(publicKey);
        expect(toHex(key.sign(hex(message)))).to.equal(signature);
        expect(crypto.verify(hex(publicKey), hex(message), hex(signature))).to.equal(true);
      }
    });

    it('agree as in RFC 7748', () => {
      const bob = crypto.exchangeKey(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
      expect(toHex(bob.publicKey)).to.equal('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
      const shared = bob.agree(hex('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'));
      expect(toHex(shared!)).to.equal('4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');
    });

    it('make a different pair each time when no secret is given', () => {
      expect(toHex(crypto.signingKey().publicKey)).to.not.equal(toHex(crypto.signingKey().publicKey));
      expect(toHex(crypto.exchangeKey().publicKey)).to.not.equal(toHex(crypto.exchangeKey().publicKey));
    });

    it('keep their own copy of the secrets they are given', () => {
      const secret = Buffer.alloc(32, 5);
      const signing = crypto.signingKey(secret);
      const exchange = crypto.exchangeKey(secret);
      const peer = crypto.exchangeKey();
      secret.fill(0);
      expect(crypto.verify(signing.publicKey, hex('01'), signing.sign(hex('01')))).to.equal(true);
      expect(toHex(exchange.agree(peer.publicKey)!)).to.equal(toHex(peer.agree(exchange.publicKey)!));
    });

    it('refuse to agree with points of low order', () => {
      const key = crypto.exchangeKey();
      for (const point of LOW_ORDER_POINTS) expect(key.agree(hex(point)), point).to.equal(undefined);
    });

    it('refuse to agree with a key of the wrong length', () => {
      const key = crypto.exchangeKey();
      for (const length of [0, 31, 33]) expect(key.agree(new Uint8Array(length).fill(9))).to.equal(undefined);
    });

    it('take keys and signatures of the wrong length for false', () => {
      const key = crypto.signingKey();
      const message = hex('0102');
      const signature = key.sign(message);
      for (const length of [0, 31]) {
        expect(crypto.verify(key.publicKey.subarray(0, length), message, signature)).to.equal(false);
      }
      for (const length of [0, 32, 63]) {
        expect(crypto.verify(key.publicKey, message, signature.subarray(0, length))).to.equal(false);
      }
      expect(crypto.verify(key.publicKey, message, Uint8Array.of(...signature, 0))).to.equal(false);
    });

    it('take a key that is no point of the curve for false', () => {
      // y = 2 belongs to no point.
      const noPoint = Uint8Array.of(2, ...new Uint8Array(31));
      expect(crypto.verify(noPoint, hex('01'), crypto.signingKey().sign(hex('01')))).to.equal(false);
    });

    it('take an altered message, key or signature for false', () => {
      const key = crypto.signingKey();
      const signature = key.sign(hex('0102'));
      expect(crypto.verify(key.publicKey, hex('0103'), signature)).to.equal(false);
      expect(crypto.verify(crypto.signingKey().publicKey, hex('0102'), signature)).to.equal(false);
      for (const at of [0, 31, 32, 63]) {
        const altered = Uint8Array.from(signature);
        altered[at]! ^= 1;
        expect(crypto.verify(key.publicKey, hex('0102'), altered), `byte ${at}`).to.equal(false);
      }
    });

    it('take a signature with an unreduced S for false', () => {
      const key = crypto.signingKey(hex(SIGNATURES[0].seed));
      expect(crypto.verify(key.publicKey, hex(''), unreduced(hex(SIGNATURES[0].signature)))).to.equal(false);
    });
  });
}

describe('Both implementations of the curves', () => {
  it('make the same signatures, and accept those of the other', () => {
    fc.assert(
      fc.property(key32, fc.uint8Array({ maxLength: 300 }), (secret, message) => {
        const [a, b] = [nodeCrypto.signingKey(secret), portable.signingKey(secret)];
        expect(toHex(b.publicKey)).to.equal(toHex(a.publicKey));
        expect(toHex(b.sign(message))).to.equal(toHex(a.sign(message)));
        expect(nodeCrypto.verify(b.publicKey, message, b.sign(message))).to.equal(true);
        expect(portable.verify(a.publicKey, message, a.sign(message))).to.equal(true);
      }),
      runs,
    );
  });

  it('agree on the same secret, also with keys that are no proper points', () => {
    fc.assert(
      fc.property(key32, key32, (secret, peerPublicKey) => {
        const [a, b] = [nodeCrypto.exchangeKey(secret), portable.exchangeKey(secret)];
        expect(toHex(b.publicKey)).to.equal(toHex(a.publicKey));
        expect(toHex(b.agree(peerPublicKey)!)).to.equal(toHex(a.agree(peerPublicKey)!));
      }),
      runs,
    );
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import { gcmCipher, nullCipher } from '../../../src/core/crypto/packet-cipher.ts';
import type { Aead } from '../../../src/core/platform.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { hex, toHex } from '../../support/hex.ts';

const seed = process.env['SEED'];
const runs = seed === undefined ? {} : { seed: Number(seed) };

const KEY = new Uint8Array(32).fill(7);
const IV = hex('000102030405060708090a0b');

function sealed(packetNumber: number, plain: Uint8Array): Uint8Array {
  const out = new Uint8Array(plain.length + 16);
  gcmCipher(nodeCrypto.aead(KEY), IV).seal(packetNumber, plain, plain.length, out, 0);
  return out;
}

/** The nonce that is used for one packet. */
function nonceOf(iv: string, packetNumber: number): string {
  let seen = '';
  const spy: Aead = {
    seal: (nonce) => {
      seen = toHex(nonce);
      return 0;
    },
    open: () => undefined,
  };
  gcmCipher(spy, hex(iv)).seal(packetNumber, new Uint8Array(0), 0, new Uint8Array(0), 0);
  return seen;
}

describe('gcmCipher', () => {
  it('opens what it sealed, at any place of a larger buffer', () => {
    const cipher = gcmCipher(nodeCrypto.aead(KEY), IV);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 1300 }),
        fc.nat(40),
        fc.nat(40),
        fc.maxSafeNat(),
        (plain, before, after, packetNumber) => {
          const spacious = new Uint8Array(plain.length + after);
          spacious.set(plain);
          const out = new Uint8Array(before + plain.length + 16 + after);
          const bytes = cipher.seal(packetNumber, spacious, plain.length, out, before);
          expect(bytes).to.equal(plain.length + cipher.overheadBytes);
          expect(out.subarray(0, before).every((byte) => byte === 0)).to.equal(true);
          expect(out.subarray(before + bytes).every((byte) => byte === 0)).to.equal(true);
          const opened = cipher.open(packetNumber, out, before, before + bytes);
          expect(toHex(opened!)).to.equal(toHex(plain));
        },
      ),
      { numRuns: 200, ...runs },
    );
  });

  it('gives the ciphertext of the GCM specification (test case 13: an empty plaintext under zero key and IV)', () => {
    const cipher = gcmCipher(nodeCrypto.aead(new Uint8Array(32)), new Uint8Array(12));
    const out = new Uint8Array(16);
    cipher.seal(0, new Uint8Array(0), 0, out, 0);
    expect(toHex(out)).to.equal('530f8afbc74536b9a963b4f1c4cb738b');
  });

  it('gives the ciphertext of the GCM specification (test case 14: a zero block)', () => {
    const cipher = gcmCipher(nodeCrypto.aead(new Uint8Array(32)), new Uint8Array(12));
    const out = new Uint8Array(32);
    cipher.seal(0, new Uint8Array(16), 16, out, 0);
    expect(toHex(out)).to.equal('cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919');
  });

  it('refuses a packet with any one bit flipped', () => {
    const cipher = gcmCipher(nodeCrypto.aead(KEY), IV);
    const datagram = sealed(5, hex('00112233445566778899'));
    for (let bit = 0; bit < datagram.length * 8; bit++) {
      const damaged = datagram.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(cipher.open(5, damaged, 0, damaged.length), `bit ${bit}`).to.equal(undefined);
    }
  });

  it('refuses a packet under another number', () => {
    const datagram = sealed(5, hex('0011'));
    expect(gcmCipher(nodeCrypto.aead(KEY), IV).open(6, datagram, 0, datagram.length)).to.equal(undefined);
  });

  it('refuses a packet under another key', () => {
    const datagram = sealed(5, hex('0011'));
    const other = gcmCipher(nodeCrypto.aead(new Uint8Array(32)), IV);
    expect(other.open(5, datagram, 0, datagram.length)).to.equal(undefined);
  });

  it('refuses a packet that is shorter than the tag', () => {
    const cipher = gcmCipher(nodeCrypto.aead(KEY), IV);
    for (let length = 0; length < 16; length++) {
      expect(cipher.open(1, new Uint8Array(40), 10, 10 + length)).to.equal(undefined);
    }
  });

  it('goes on working when its maker wipes key and IV', () => {
    const [key, iv] = [KEY.slice(), IV.slice()];
    const cipher = gcmCipher(nodeCrypto.aead(key), iv);
    key.fill(0);
    iv.fill(0);
    const datagram = sealed(9, hex('abcd'));
    expect(toHex(cipher.open(9, datagram, 0, datagram.length)!)).to.equal('abcd');
  });

  it('carries from the low to the high half of the nonce', () => {
    expect(nonceOf('ffffffff 00000000 aabbccdd', 1)).to.equal('0000000001000000aabbccdd');
    expect(nonceOf('feffffff 00000000 aabbccdd', 1)).to.equal('ffffffff00000000aabbccdd');
    expect(nonceOf('00000000 00000000 aabbccdd', 2 ** 32)).to.equal('0000000001000000aabbccdd');
    expect(nonceOf('01000000 ffffff7f aabbccdd', 2 ** 32 - 1)).to.equal('0000000000000080aabbccdd');
  });

  it('wraps the nonce around at 64 bits and leaves the rest alone', () => {
    expect(nonceOf('ffffffff ffffffff aabbccdd', 1)).to.equal('0000000000000000aabbccdd');
  });

  it('adds any packet number as 64-bit arithmetic does', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.maxSafeNat(), (iv, packetNumber) => {
        const expected = iv.slice();
        const view = new DataView(expected.buffer);
        view.setBigUint64(0, view.getBigUint64(0, true) + BigInt(packetNumber), true);
        expect(nonceOf(toHex(iv), packetNumber)).to.equal(toHex(expected));
      }),
      runs,
    );
  });
});

describe('nullCipher', () => {
  it('copies without adding anything', () => {
    const out = new Uint8Array(6);
    expect(nullCipher().seal(1, hex('0102030405'), 3, out, 2)).to.equal(3);
    expect(toHex(out)).to.equal('000001020300');
    expect(nullCipher().overheadBytes).to.equal(0);
  });

  it('opens as a view of the datagram', () => {
    const datagram = hex('0102030405');
    const plain = nullCipher().open(1, datagram, 1, 4)!;
    expect(toHex(plain)).to.equal('020304');
    expect(plain.buffer).to.equal(datagram.buffer);
  });
});

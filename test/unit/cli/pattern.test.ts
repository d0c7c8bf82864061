// The test pattern and the hash of the peer's reports, against the values that its protocol gives.

import { expect } from 'chai';
import fc from 'fast-check';
import { fillPattern, findMismatch, fnv1a } from '../../../src/cli/peer/pattern.ts';

const SEED = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) };

function pattern(seed: number, index: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  fillPattern(seed, index, bytes);
  return bytes;
}

describe('the test pattern', () => {
  it('begins with 21 20 04 00 01 06 08 04 under seed 1', () => {
    expect(Buffer.from(pattern(1, 0, 8)).toString('hex')).to.equal('2120040001060804');
  });

  it('depends on the sum of seed and index', () => {
    expect(pattern(3, 4, 100)).to.deep.equal(pattern(7, 0, 100));
  });

  it('does not get stuck where seed and index add up to 0', () => {
    expect(pattern(0xffff_ffff, 1, 16)).to.deep.equal(pattern(0x9e37_79b9, 0, 16));
  });

  it('is cut to the size of the message', () => {
    expect(pattern(5, 6, 7)).to.deep.equal(pattern(5, 6, 12).subarray(0, 7));
  });

  it('leaves what is in front of the start alone', () => {
    const bytes = new Uint8Array(12);
    fillPattern(1, 0, bytes, 4);
    expect(Buffer.from(bytes).toString('hex')).to.equal('000000002120040001060804');
  });

  it('is found in what was filled with it', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(300), (seed, index, size) => {
        expect(findMismatch(seed, index, pattern(seed, index, size))).to.equal(-1);
      }),
      SEED,
    );
  });

  it('is missed at the first byte that differs', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 300 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (...given) => {
          const [seed, size, place, change] = given;
          const bytes = pattern(seed, 0, size);
          bytes[place % size]! ^= change;
          expect(findMismatch(seed, 0, bytes)).to.equal(place % size);
        },
      ),
      SEED,
    );
  });
});

describe('fnv1a', () => {
  it('is the offset basis for the empty message', () => {
    expect(fnv1a(new Uint8Array())).to.equal(2_166_136_261);
  });

  it('has the published value for "foobar"', () => {
    expect(fnv1a(new TextEncoder().encode('foobar'))).to.equal(0xbf9c_f968);
  });
});

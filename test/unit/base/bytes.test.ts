// Integers of every width, read and written; above all what happens at the end of the bytes.
import { expect } from 'chai';
import fc from 'fast-check';
import {
  ByteReader,
  copyBytes,
  varIntBytes,
  writeU16,
  writeU32,
  writeU48,
  writeVarInt,
} from '../../../src/core/base/bytes.ts';
import { hex, toHex } from '../../support/hex.ts';

const { SEED } = process.env;
const RUN = SEED ? { seed: Number(SEED) } : {};

function readerOf(bytes: Uint8Array, start = 0, end = bytes.length): ByteReader {
  const reader = new ByteReader();
  reader.reset(bytes, start, end);
  return reader;
}

describe('ByteReader', () => {
  it('reads little-endian integers of every width', () => {
    const reader = readerOf(hex('01', '0201', '030201', '04030281', '060504030281', '0807060504030200'));
    expect(reader.u8()).to.equal(0x01);
    expect(reader.u16()).to.equal(0x0102);
    expect(reader.u24()).to.equal(0x010203);
    expect(reader.u32()).to.equal(0x81020304);
    expect(reader.u48()).to.equal(0x810203040506);
    expect(reader.u64()).to.equal(0x0002030405060708);
    expect(reader.remaining).to.equal(0);
    expect(reader.truncated).to.equal(false);
  });

  const wideReads: [string, (reader: ByteReader) => number, number][] = [
    ['u8', (reader) => reader.u8(), 1],
    ['u16', (reader) => reader.u16(), 2],
    ['u24', (reader) => reader.u24(), 3],
    ['u32', (reader) => reader.u32(), 4],
    ['u48', (reader) => reader.u48(), 6],
    ['u64', (reader) => reader.u64(), 8],
  ];
  for (const [name, read, width] of wideReads) {
    it(`gives 0 and is truncated when a ${name} does not fit before the end`, () => {
      // Beyond the end lie bytes that must not be seen.
      const reader = readerOf(new Uint8Array(16).fill(0xff), 0, width - 1);
      expect(read(reader)).to.equal(0);
      expect(reader.truncated).to.equal(true);
      expect(reader.remaining).to.equal(0);
    });
  }

  it('starts and ends where it is told', () => {
    const reader = readerOf(hex('ff 01 02 ff'), 1, 3);
    expect([reader.u8(), reader.u8()]).to.deep.equal([1, 2]);
    expect(reader.truncated).to.equal(false);
    expect(reader.u8()).to.equal(0);
    expect(reader.truncated).to.equal(true);
  });

  it('takes a run of bytes by its start', () => {
    const reader = readerOf(hex('00 01 02 03'));
    reader.u8();
    expect(reader.take(2)).to.equal(1);
    expect(reader.take(0)).to.equal(3);
    expect(reader.remaining).to.equal(1);
  });

  it('refuses a run that is longer than the rest, and stays at the end', () => {
    const reader = readerOf(hex('00 01 02 03'));
    expect(reader.take(5)).to.equal(-1);
    expect(reader.truncated).to.equal(true);
    expect(reader.u8()).to.equal(0);
  });

  it('forgets a truncation when it is reset', () => {
    const reader = readerOf(hex(''));
    reader.u32();
    reader.reset(hex('05'), 0, 1);
    expect(reader.truncated).to.equal(false);
    expect(reader.u8()).to.equal(5);
  });

  it('accepts a variable-length integer that is longer than needed', () => {
    expect(readerOf(hex('85 80 00')).varInt(5)).to.equal(5);
  });

  it('takes a variable-length integer without an end for truncated', () => {
    for (const [bytes, maxBytes] of [
      ['80 80', 5], // the bytes end
      ['ff ff ff ff ff 00', 5], // the limit is reached
      ['ff ff ff ff ff ff ff ff ff ff 00', 10],
    ] as const) {
      const reader = readerOf(hex(bytes));
      expect(reader.varInt(maxBytes)).to.equal(0);
      expect(reader.truncated).to.equal(true);
    }
  });

  it('reads the longest variable-length integer of 64 bits as a large number', () => {
    expect(readerOf(hex('ff ff ff ff ff ff ff ff ff 01')).varInt(10)).to.equal(2 ** 64);
  });
});

describe('writing integers', () => {
  it('writes little-endian and returns the position behind', () => {
    const bytes = new Uint8Array(12);
    expect(writeU16(bytes, 0, 0x8102)).to.equal(2);
    expect(writeU32(bytes, 2, 0x81020304)).to.equal(6);
    expect(writeU48(bytes, 6, 0x810203040506)).to.equal(12);
    expect(toHex(bytes)).to.equal('0281' + '04030281' + '060504030281');
  });

  for (const [value, expected] of [
    [0, '00'],
    [0x7f, '7f'],
    [0x80, '8001'],
    [300, 'ac02'],
    [0x3fff, 'ff7f'],
    [0xffff_ffff, 'ffffffff0f'],
    [Number.MAX_SAFE_INTEGER, 'ffffffffffffff0f'],
  ] as const) {
    it(`writes ${value} as ${expected}`, () => {
      const bytes = new Uint8Array(10);
      const length = writeVarInt(bytes, 0, value);
      expect(toHex(bytes.subarray(0, length))).to.equal(expected);
    });
  }

  it('reads back every safe integer from as many bytes as predicted', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(10), (value, at) => {
        const bytes = new Uint8Array(24);
        const end = writeVarInt(bytes, at, value);
        expect(end - at).to.equal(varIntBytes(value));
        expect(readerOf(bytes, at, end).varInt(10)).to.equal(value);
      }),
      RUN,
    );
  });
});

describe('copyBytes', () => {
  it('copies any part to any place and returns the position behind', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.nat(100), fc.nat(20), (source, a, b, at) => {
        const [start, end] = [Math.min(a, b, source.length), Math.min(Math.max(a, b), source.length)];
        const target = new Uint8Array(130).fill(0xee);
        expect(copyBytes(target, at, source, start, end)).to.equal(at + end - start);
        const expected = new Uint8Array(130).fill(0xee);
        expected.set(source.subarray(start, end), at);
        expect(toHex(target)).to.equal(toHex(expected));
      }),
      RUN,
    );
  });
});

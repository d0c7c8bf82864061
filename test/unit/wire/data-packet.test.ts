// The header of a data packet and its abbreviated numbers, built by hand. Spec: 01 §1.9.
import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader } from '../../../src/core/base/bytes.ts';
import {
  DATA_HEADER_BYTES,
  DataHeader,
  expandU16,
  expandU32,
  isDataPacket,
  recipientOf,
  wireNumberOf,
  writeDataHeader,
} from '../../../src/core/wire/data-packet.ts';
import { hex, toHex } from '../../support/hex.ts';

const { SEED } = process.env;
const RUN = SEED ? { seed: Number(SEED) } : {};
const NO_BLOB = new Uint8Array(0);

function read(datagram: Uint8Array): DataHeader | undefined {
  const reader = new ByteReader();
  reader.reset(datagram, 0, datagram.length);
  const header = new DataHeader();
  return header.read(reader) ? header : undefined;
}

describe('data packet header', () => {
  it('is told from a control packet by the first bit', () => {
    expect(isDataPacket(hex('80'))).to.equal(true);
    expect(isDataPacket(hex('ff'))).to.equal(true);
    expect(isDataPacket(hex('7f'))).to.equal(false);
  });

  it('names its recipient and the low bits of the packet number', () => {
    const datagram = hex('80', '44332281', 'feff', 'aa');
    expect(recipientOf(datagram)).to.equal(0x81223344);
    expect(wireNumberOf(datagram)).to.equal(0xfffe);
    expect(read(datagram)).to.include({ wireNumber: 0xfffe, blobStart: 0, blobEnd: 0, gapUs: -1, chunkStart: 7 });
  });

  it('carries a statistics blob behind its length', () => {
    const datagram = hex('81', '44332211', '0200', '03 aabbcc', 'ee');
    expect(read(datagram)).to.include({ blobStart: 8, blobEnd: 11, gapUs: -1, chunkStart: 11 });
  });

  it('may carry an empty blob', () => {
    expect(read(hex('81', '44332211', '0200', '00', 'ee'))).to.include({ blobStart: 8, blobEnd: 8, chunkStart: 8 });
  });

  it('carries the time since the previous packet in units of 16 us', () => {
    const datagram = hex('82', '44332211', '0200', 'd204', 'ee');
    expect(read(datagram)).to.include({ blobStart: 0, blobEnd: 0, gapUs: 1234 * 16, chunkStart: 9 });
  });

  it('has the blob before the gap', () => {
    const datagram = hex('83', '44332211', '0200', '01 aa', '0100');
    expect(read(datagram)).to.include({ blobStart: 8, blobEnd: 9, gapUs: 16, chunkStart: 11 });
  });

  it('may end right behind the header', () => {
    expect(read(hex('80', '44332211', '0200'))).to.include({ chunkStart: 7 });
  });

  it('ignores the reserved flags', () => {
    expect(read(hex('fc', '44332211', '0200', 'ee'))).to.include({ blobEnd: 0, gapUs: -1, chunkStart: 7 });
  });

  for (const [what, datagram] of [
    ['the fixed header', '80 44332211 02'],
    ['the blob length', '81 44332211 0200'],
    ['the blob', '81 44332211 0200 03 aabb'],
    ['a blob length that never ends', '81 44332211 0200 ffffffffff00'],
    ['the gap', '82 44332211 0200 d2'],
    ['the gap behind a blob', '83 44332211 0200 01 aa d2'],
  ] as const) {
    it(`is refused when it is cut within ${what}`, () => {
      expect(read(hex(datagram))).to.equal(undefined);
    });
  }

  it('forgets blob and gap of the packet read before', () => {
    const header = new DataHeader();
    const reader = new ByteReader();
    for (const datagram of [hex('83', '44332211', '0200', '01 aa', '0100'), hex('80', '44332211', '0300')]) {
      reader.reset(datagram, 0, datagram.length);
      header.read(reader);
    }
    expect(header).to.include({ wireNumber: 3, blobStart: 0, blobEnd: 0, gapUs: -1 });
  });

  it('is written with the low bits of the packet number', () => {
    const out = new Uint8Array(20);
    const end = writeDataHeader(out, 0x81223344, 0x1_2345_fffe, NO_BLOB, 0, -1);
    expect(end).to.equal(DATA_HEADER_BYTES);
    expect(toHex(out.subarray(0, end))).to.equal('80' + '44332281' + 'feff');
  });

  it('is written with blob and gap, the gap rounded down to its unit', () => {
    const out = new Uint8Array(20);
    const end = writeDataHeader(out, 0x11223344, 2, hex('aabbcc'), 2, 47);
    expect(toHex(out.subarray(0, end))).to.equal('83' + '44332211' + '0200' + '02aabb' + '0200');
  });

  it('is read as it was written', () => {
    const anyBlob = fc.uint8Array({ maxLength: 200 });
    const anyGap = fc.oneof(fc.constant(-1), fc.nat(250_000));
    const anyId = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(anyId, fc.maxSafeNat(), anyBlob, anyGap, (recipient, packetNumber, blob, gapUs) => {
        const out = new Uint8Array(400);
        const end = writeDataHeader(out, recipient, packetNumber, blob, blob.length, gapUs);
        const header = read(out.subarray(0, end));
        expect(recipientOf(out)).to.equal(recipient);
        expect(header).to.include({ wireNumber: packetNumber % 0x10000, chunkStart: end });
        expect(header!.gapUs).to.equal(gapUs < 0 ? -1 : gapUs - (gapUs % 16));
        expect(toHex(out.subarray(header!.blobStart, header!.blobEnd))).to.equal(toHex(blob));
      }),
      RUN,
    );
  });

  it('never reads outside a random datagram', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (datagram) => {
        const header = read(datagram);
        if (!header) return;
        expect(header.blobStart).to.be.at.most(header.blobEnd);
        expect(header.blobEnd).to.be.at.most(header.chunkStart);
        expect(header.chunkStart).to.be.within(DATA_HEADER_BYTES, datagram.length);
      }),
      RUN,
    );
  });
});

describe('expanding numbers', () => {
  for (const [wire, reference, expected] of [
    [0x0002, 1, 2],
    [0xfffe, 0x1_0001, 0xfffe],
    [0x0001, 0xffff, 0x1_0001],
    [0x8000, 0x1_0000, 0x0_8000], // halfway goes down
    [0x7fff, 0x1_0000, 0x1_7fff],
    [0xffff, 1, -1],
    [0x5678, 0x12_3456_5677, 0x12_3456_5678],
  ] as const) {
    it(`takes 16 bits ${wire.toString(16)} near ${reference.toString(16)} for ${expected.toString(16)}`, () => {
      expect(expandU16(wire, reference)).to.equal(expected);
    });
  }

  for (const [wire, reference, expected] of [
    [2, 1, 2],
    [0xffff_fffe, 0x1_0000_0001, 0xffff_fffe],
    [1, 0xffff_ffff, 0x1_0000_0001],
    [0x8000_0000, 0x1_0000_0000, 0x8000_0000], // halfway goes down
    [0xffff_ffff, 0, -1],
  ] as const) {
    it(`takes 32 bits ${wire.toString(16)} near ${reference.toString(16)} for ${expected.toString(16)}`, () => {
      expect(expandU32(wire, reference)).to.equal(expected);
    });
  }

  it('finds every number that is less than half the range away', () => {
    const anyReference = fc.integer({ min: 2 ** 32, max: 2 ** 52 });
    fc.assert(
      fc.property(anyReference, fc.integer({ min: -0x8000, max: 0x7fff }), (reference, distance) => {
        expect(expandU16((reference + distance) % 0x10000, reference)).to.equal(reference + distance);
      }),
      RUN,
    );
    fc.assert(
      fc.property(anyReference, fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }), (reference, distance) => {
        expect(expandU32((reference + distance) % 0x1_0000_0000, reference)).to.equal(reference + distance);
      }),
      RUN,
    );
  });
});

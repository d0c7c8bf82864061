// The header of a message in the reliable stream. Spec: 03 §3.3.
import { expect } from 'chai';
import fc from 'fast-check';
import { StreamHeader, streamHeaderBytes, writeStreamHeader } from '../../../src/core/wire/stream-header.ts';
import { hex, toHex } from '../../support/hex.ts';
import { SEED } from '../../support/seed.ts';

function read(bytes: Uint8Array, start = 0, end = bytes.length) {
  const header = new StreamHeader();
  const status = header.read(bytes, start, end);
  return status === 'ok' ? { gap: header.gap, size: header.size, bytes: header.bytes } : status;
}

function write(gap: number, size: number): string {
  const out = new Uint8Array(16);
  return toHex(out.subarray(0, writeStreamHeader(out, 0, gap, size)));
}

describe('stream header', () => {
  it('is one byte for the next message of less than 32 bytes', () => {
    expect(write(1, 0)).to.equal('00');
    expect(write(1, 31)).to.equal('1f');
    expect(read(hex('1f'))).to.deep.equal({ gap: 1, size: 31, bytes: 1 });
  });

  it('has the upper bits of a larger size in a varint', () => {
    expect(write(1, 32)).to.equal('2001');
    expect(write(1, 524_288)).to.equal('20808001');
    expect(read(hex('20 808001'))).to.deep.equal({ gap: 1, size: 524_288, bytes: 4 });
  });

  it('has the distance to the message before in a varint, from 2 on', () => {
    expect(write(2, 5)).to.equal('4502');
    expect(write(300, 32)).to.equal('60ac0201');
    expect(read(hex('60 ac02 01'))).to.deep.equal({ gap: 300, size: 32, bytes: 4 });
  });

  it('may name a distance of 0 or 1, though nobody writes that', () => {
    expect(read(hex('41 00'))).to.deep.equal({ gap: 0, size: 1, bytes: 2 });
    expect(read(hex('41 01'))).to.deep.equal({ gap: 1, size: 1, bytes: 2 });
  });

  it('is invalid with the highest bit, a distance above 1,000,000, or a size that no message has', () => {
    expect(read(hex('80'))).to.equal('invalid');
    expect(read(hex('40 c0843d'))).to.include({ gap: 1_000_000 });
    expect(read(hex('40 c1843d'))).to.equal('invalid');
    expect(read(hex('3f ffffff3f'))).to.include({ size: 2 ** 32 - 1 });
    expect(read(hex('20 80808040'))).to.equal('invalid');
  });

  it('waits for more bytes as long as it is not complete', () => {
    const whole = hex('60 ac02 8101');
    for (let end = 0; end < whole.length; end++) expect(read(whole, 0, end)).to.equal('incomplete');
    expect(read(whole)).to.be.an('object');
  });

  it('never becomes complete with a varint of more than ten bytes', () => {
    expect(read(hex('40', 'ff'.repeat(40)))).to.equal('incomplete');
  });

  it('reads what it wrote, wherever it stands', () => {
    const numbers = [fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 0, max: 2 ** 31 })] as const;
    fc.assert(
      fc.property(...numbers, fc.nat({ max: 5 }), (gap, size, start) => {
        const out = new Uint8Array(24).fill(0xee);
        const end = writeStreamHeader(out, start, gap, size);
        expect(end - start).to.equal(streamHeaderBytes(gap, size));
        expect(read(out, start, end)).to.deep.equal({ gap, size, bytes: end - start });
      }),
      { seed: SEED },
    );
  });
});

// The buffer of a reliable stream, against a map of single bytes. Spec: 03 §3.6.
import { expect } from 'chai';
import fc from 'fast-check';
import { SeededRandom } from '../../src/core/base/random.ts';
import { StreamBuffer } from '../../src/core/delivery/stream-buffer.ts';
import { SEED } from '../support/seed.ts';

const RUN = { numRuns: 40, seed: SEED };
const MAX_GAPS_TO_EXTEND = 30;
const MAX_GAPS_TO_SPLIT = 20;

/** What stands at a position of the stream. */
function byteAt(position: number): number {
  return (position * 31 + (position >> 8)) & 0xff;
}

function bytesAt(position: number, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => byteAt(position + i));
}

class ByteMap {
  start = 1;
  end = 1;
  readonly #present = new Set<number>();

  isMissing(position: number): boolean {
    return !this.#present.has(position);
  }

  get gaps(): readonly (readonly [start: number, end: number])[] {
    const gaps: [number, number][] = [];
    for (let position = this.start; position < this.end; position++) {
      if (!this.isMissing(position)) continue;
      if (gaps.at(-1)?.[1] === position) gaps.at(-1)![1]++;
      else gaps.push([position, position + 1]);
    }
    return gaps;
  }

  store(position: number, size: number, maxBytes: number): boolean {
    const stop = position + size;
    const { gaps } = this;
    if (stop <= this.start) return true;
    if (stop - this.start > maxBytes) return false;
    if (position > this.end && gaps.length >= MAX_GAPS_TO_EXTEND) return false;
    const isSplit = gaps.some(([from, to]) => from < position && stop < to);
    if (isSplit && gaps.length >= MAX_GAPS_TO_SPLIT) return false;
    for (let at = Math.max(position, this.start); at < stop; at++) this.#present.add(at);
    this.end = Math.max(this.end, stop);
    return true;
  }

  get contiguousEnd(): number {
    return this.gaps[0]?.[0] ?? this.end;
  }
}

function run(seed: number, maxSegmentBytes: number, reachBytes: number, maxBytes: number): void {
  const random = new SeededRandom(seed);
  const buffer = new StreamBuffer();
  const model = new ByteMap();
  const kept: { readonly position: number; readonly bytes: Uint8Array }[] = [];
  for (let i = 0; i < 300; i++) {
    const size = 1 + random.below(maxSegmentBytes);
    const position = Math.max(1, model.start - 10 + random.below(reachBytes));
    const isPadded = random.below(2) === 0 ? 7 : 0;
    const bytes = Uint8Array.of(...new Uint8Array(isPadded), ...bytesAt(position, size));
    const isStored = buffer.store(position, bytes, isPadded, bytes.length, maxBytes);
    expect(isStored, `store ${position}+${size}`).to.equal(model.store(position, size, maxBytes));
    expect([buffer.start, buffer.end, buffer.contiguousEnd]).to.deep.equal([
      model.start,
      model.end,
      model.contiguousEnd,
    ]);
    const readable = buffer.contiguousEnd - buffer.start;
    expect(buffer.bytes.slice(buffer.offset, buffer.offset + readable)).to.deep.equal(bytesAt(model.start, readable));
    if (random.below(4) !== 0) continue;
    const taken = random.below(readable + 1);
    kept.push({ position: model.start, bytes: buffer.take(buffer.offset, buffer.offset + taken) });
    buffer.consume(taken);
    model.start += taken;
    if (buffer.start === buffer.end && random.below(2) === 0) {
      const passed = random.below(50);
      buffer.advance(passed);
      model.start = model.end = model.start + passed;
    }
  }
  for (const { position, bytes } of kept) expect(bytes).to.deep.equal(bytesAt(position, bytes.length));
}

describe('StreamBuffer against a map of bytes', () => {
  it('stores and gives back the same, with segments that overlap', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => run(seed, 40, 200, 10_000)),
      RUN,
    );
  });

  it('refuses the same, with so many small segments that the limits on gaps bite', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => run(seed, 2, 400, 10_000)),
      RUN,
    );
  });

  it('does not write again where somebody keeps what was taken', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => run(seed, 3_000, 6_000, 20_000)),
      { ...RUN, numRuns: 10 },
    );
  });

  it('moves what is left to the front when there is no room behind it', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => run(seed, 1_200, 1_500, 10_000)),
      { ...RUN, numRuns: 10 },
    );
  });

  it('refuses what lies beyond the size of the buffer', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => run(seed, 100, 600, 300)),
      RUN,
    );
  });
});

// The statistics that peers exchange, with bytes of the reference.
import { expect } from 'chai';
import fc from 'fast-check';
import { decodeStatsBlob, encodeStatsBlob, type StatsBlob, StatsFlag } from '../../../src/core/wire/stats-messages.ts';
import { hex, toHex } from '../../support/hex.ts';

const { SEED } = process.env;
const seed = SEED === undefined ? {} : { seed: Number(SEED) };

const INSTANTANEOUS = hex('0a12 0a10', '0863 10af03 1821 208501', '2800 3000 3800');
const LIFETIME = hex(
  '0a40 123e 1078 18b809 2034 28a503 3011 38a303 4000 4800 5000 5800 7800',
  'a80117 f80164 800264 880264 c8029e03 d00201 d80201 900300',
  '980300 a00300 a80300 b00300',
);

function decode(bytes: Uint8Array): StatsBlob | undefined {
  // In the middle of other bytes, as in a packet.
  const packet = Uint8Array.of(0xff, ...bytes, 0xff);
  return decodeStatsBlob(packet, 1, 1 + bytes.length);
}

function encode(blob: StatsBlob): string {
  const out = new Uint8Array(500);
  return toHex(out.subarray(3, encodeStatsBlob(blob, out, 3)));
}

describe('a statistics blob', () => {
  it('may consist of flags only', () => {
    for (const [flags, text] of [
      [StatsFlag.AckRequested, '1802'],
      [StatsFlag.AckRequested | StatsFlag.ReplyNow, '1806'],
      [0x100, '188002'],
    ] as const) {
      const blob = { flags, instantaneous: undefined, lifetime: undefined };
      expect(decode(hex(text))).to.deep.equal(blob);
      expect(encode(blob)).to.equal(text);
    }
  });

  it('carries rates of the last seconds', () => {
    expect(decode(INSTANTANEOUS)).to.deep.equal({
      flags: StatsFlag.AckRequested,
      instantaneous: {
        sentPacketsPerSecX10: 99,
        sentBytesPerSec: 431,
        receivedPacketsPerSecX10: 33,
        receivedBytesPerSec: 133,
        pingMs: 0,
        droppedPercent: 0,
        weirdPercent: 0,
        peakJitterUs: undefined,
      },
      lifetime: undefined,
    });
  });

  it('carries totals of the connection', () => {
    expect(decode(LIFETIME)?.lifetime).to.deep.equal({
      connectedS: 120,
      packetsSent: 1208,
      kibSent: 52,
      packetsReceived: 421,
      kibReceived: 17,
      sequencedPacketsReceived: 419,
      packetsLost: 0,
      packetsOutOfOrder: 0,
      packetsDuplicate: 0,
      packetsLurch: 0,
      packetsOutOfOrderCorrected: 0,
      qualityHistogram: [23, 0, 0, 0, 0, 0, 0, 0, 0],
      qualityNtiles: [undefined, 100, 100, 100],
      pingHistogram: [414, 1, 1, 0, 0, 0, 0, 0, 0],
      pingNtiles: [0, 0, 0, 0, 0],
      jitterHistogram: [0, 0, 0, 0, 0, 0],
    });
  });

  it('is written with the same bytes', () => {
    for (const bytes of [INSTANTANEOUS, LIFETIME]) expect(encode(decode(bytes)!)).to.equal(toHex(bytes));
  });

  it('spells out flags that statistics do not imply', () => {
    const blob = { ...decode(INSTANTANEOUS)!, flags: StatsFlag.AckRequested | StatsFlag.ReplyNow };
    expect(encode(blob)).to.equal(`${toHex(INSTANTANEOUS)}1804`);
    expect(decode(hex(encode(blob)))).to.deep.equal(blob);
  });

  it('of nothing has no flags', () => {
    expect(decode(hex())).to.deep.equal({ flags: 0, instantaneous: undefined, lifetime: undefined });
  });

  it('never throws, whatever arrives', () => {
    expect(decode(hex('0aff'))).to.equal(undefined);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        decode(bytes);
      }),
      seed,
    );
  });
});

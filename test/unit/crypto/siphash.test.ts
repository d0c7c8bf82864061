import { expect } from 'chai';
import { ChallengeCookies, sipHash24 } from '../../../src/core/crypto/siphash.ts';
import { hex } from '../../support/hex.ts';

const TICK_US = 2 ** 20;
const NOW_US = 1_000 * TICK_US;
const ADDRESS = hex('00000000000000000000ffff 7f000001');
const OTHER_ADDRESS = hex('00000000000000000000ffff 7f000002');

describe('sipHash24', () => {
  // Key 00 01 … 0f, message 00 01 … of growing length; from the reference implementation and the paper (length 15).
  const REFERENCE: readonly (readonly [bytes: number, hash: bigint])[] = [
    [0, 0x726fdb47dd0e0e31n],
    [1, 0x74f839c593dc67fdn],
    [2, 0x0d6c8009d9a94f5an],
    [3, 0x85676696d7fb7e2dn],
    [7, 0xab0200f58b01d137n],
    [8, 0x93f5f5799a932462n],
    [15, 0xa129ca6149be45e5n],
  ];
  for (const [bytes, hash] of REFERENCE) {
    it(`gives the reference value for ${bytes} bytes`, () => {
      const key = Uint8Array.from({ length: 16 }, (_, i) => i);
      const message = Uint8Array.from({ length: bytes }, (_, i) => i);
      const { high, low } = sipHash24(key, message);
      expect(((BigInt(high) << 32n) | BigInt(low)).toString(16)).to.equal(hash.toString(16));
    });
  }
});

describe('ChallengeCookies', () => {
  const cookies = new ChallengeCookies(new Uint8Array(16).fill(9));

  it('carry the time in their low 16 bits', () => {
    expect(cookies.issue(ADDRESS, 27015, 0x1_2345 * TICK_US) & 0xffffn).to.equal(0x2345n);
  });

  it('are fresh for three ticks after the one they were issued in', () => {
    const cookie = cookies.issue(ADDRESS, 27015, NOW_US);
    for (let ticks = 0; ticks <= 3; ticks++) {
      expect(cookies.isFresh(cookie, ADDRESS, 27015, NOW_US + ticks * TICK_US + TICK_US - 1)).to.equal(true);
    }
    expect(cookies.isFresh(cookie, ADDRESS, 27015, NOW_US + 4 * TICK_US)).to.equal(false);
  });

  it('are fresh across the wrap of the 16-bit time', () => {
    const cookie = cookies.issue(ADDRESS, 27015, 0xffff * TICK_US);
    expect(cookies.isFresh(cookie, ADDRESS, 27015, 0x1_0001 * TICK_US)).to.equal(true);
  });

  it('are refused when they come from the future', () => {
    const cookie = cookies.issue(ADDRESS, 27015, NOW_US + TICK_US);
    expect(cookies.isFresh(cookie, ADDRESS, 27015, NOW_US)).to.equal(false);
  });

  it('are refused for another address or port', () => {
    const cookie = cookies.issue(ADDRESS, 27015, NOW_US);
    expect(cookies.isFresh(cookie, OTHER_ADDRESS, 27015, NOW_US)).to.equal(false);
    expect(cookies.isFresh(cookie, ADDRESS, 27016, NOW_US)).to.equal(false);
  });

  it('are refused with any bit changed', () => {
    const cookie = cookies.issue(ADDRESS, 27015, NOW_US);
    for (let bit = 0n; bit < 64n; bit++) {
      expect(cookies.isFresh(cookie ^ (1n << bit), ADDRESS, 27015, NOW_US), `bit ${bit}`).to.equal(false);
    }
  });

  it('are refused under another key', () => {
    const cookie = cookies.issue(ADDRESS, 27015, NOW_US);
    const others = new ChallengeCookies(new Uint8Array(16).fill(8));
    expect(others.isFresh(cookie, ADDRESS, 27015, NOW_US)).to.equal(false);
  });
});

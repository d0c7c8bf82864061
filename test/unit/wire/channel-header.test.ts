// The header of ad-hoc messages, byte by byte. Spec: 08 §8.1.

import { expect } from 'chai';
import { readChannel, withChannel } from '../../../src/core/wire/channel-header.ts';
import { hex, toHex } from '../../support/hex.ts';

describe('the header of an ad-hoc message', () => {
  it('is a one and the channel, low byte first', () => {
    expect(toHex(withChannel(5, hex('aabb')))).to.equal('0105000000aabb');
    expect(toHex(withChannel(-2, hex('')))).to.equal('01feffffff');
  });

  it('gives the channel with its sign, whatever the first byte', () => {
    expect(readChannel(hex('0105000000aabb'))).to.equal(5);
    expect(readChannel(hex('00feffffff'))).to.equal(-2);
    expect(readChannel(hex('ff00000080'))).to.equal(-0x8000_0000);
  });

  it('is not found in fewer than five bytes', () => {
    expect(readChannel(hex('01050000'))).to.equal(undefined);
    expect(readChannel(hex(''))).to.equal(undefined);
  });
});

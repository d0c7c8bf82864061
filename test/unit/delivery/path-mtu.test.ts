// Which sizes are tried on a path, and which are believed.

import { expect } from 'chai';
import { PathMtu } from '../../../src/core/delivery/path-mtu.ts';

const TIMEOUT_US = 200_000;
const SECOND_US = 1_000_000;

/** Tries as the owner would until nothing is tried any more; the sizes that arrive are those up to `pathBytes`. */
function discover(mtu: PathMtu, pathBytes: number, packet = { number: 10, atUs: 0 }): readonly number[] {
  const tried: number[] = [];
  for (; tried.length < 50; packet.atUs += TIMEOUT_US) {
    const bytes = mtu.probeBytes(packet.atUs);
    if (bytes === 0) break;
    tried.push(bytes);
    mtu.onProbeSent(packet.atUs, TIMEOUT_US);
    packet.number++;
    if (bytes <= pathBytes) mtu.onLargeArrived(packet.number, bytes, packet.atUs);
  }
  return tried;
}

describe('PathMtu', () => {
  it('tries the largest size first, and then no more', () => {
    const mtu = new PathMtu();
    mtu.begin(8192, 1);
    expect(discover(mtu, 8192)).to.deep.equal([8192]);
    expect(mtu.currentBytes).to.equal(8192);
  });

  it('tries each size three times before the next smaller one', () => {
    const mtu = new PathMtu();
    mtu.begin(8192, 1);
    expect(discover(mtu, 1460)).to.deep.equal([8192, 8192, 8192, 4352, 4352, 4352, 1472, 1472, 1472, 1452]);
    expect(mtu.currentBytes).to.equal(1452);
  });

  it('rests for ten minutes when nothing large arrives', () => {
    const mtu = new PathMtu();
    mtu.begin(1500, 1);
    expect(discover(mtu, 1300)).to.have.lengthOf(12);
    expect(mtu.currentBytes).to.equal(0);
    expect(mtu.probeBytes(590 * SECOND_US)).to.equal(0);
    expect(mtu.probeBytes(610 * SECOND_US)).to.equal(1500);
  });

  it('tries nothing where no more than 1300 bytes are allowed', () => {
    const mtu = new PathMtu();
    mtu.begin(1300, 1);
    expect(discover(mtu, 8192)).to.deep.equal([]);
  });

  it('forgets what it knew when large packets are lost for a second, and tries again later', () => {
    const mtu = new PathMtu();
    mtu.begin(8192, 1);
    discover(mtu, 8192);
    mtu.onLargeLost(20, SECOND_US);
    mtu.onLargeLost(21, 1.9 * SECOND_US);
    expect(mtu.currentBytes).to.equal(8192);
    mtu.onLargeLost(22, 2 * SECOND_US);
    expect(mtu.currentBytes).to.equal(0);
    expect(mtu.probeBytes(2.9 * SECOND_US)).to.equal(0);
    expect(mtu.probeBytes(3 * SECOND_US)).to.equal(8192);
  });

  it('is not put off by losses between which large packets arrive', () => {
    const mtu = new PathMtu();
    mtu.begin(8192, 1);
    discover(mtu, 8192);
    for (let i = 0; i < 40; i++) {
      mtu.onLargeLost(20 + 2 * i, i * 500_000);
      mtu.onLargeArrived(21 + 2 * i, 8192, i * 500_000);
    }
    expect(mtu.currentBytes).to.equal(8192);
  });

  it('learns nothing about a new path from packets that went over the old one', () => {
    const mtu = new PathMtu();
    mtu.begin(8192, 1);
    discover(mtu, 8192);
    mtu.begin(8192, 100);
    expect(mtu.currentBytes).to.equal(0);
    mtu.onLargeArrived(99, 8192, SECOND_US);
    expect(mtu.currentBytes).to.equal(0);
  });
});

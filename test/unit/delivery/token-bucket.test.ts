// How fast data may go. Spec: 03 §3.11 "Token bucket".
import { expect } from 'chai';
import { TokenBucket } from '../../../src/core/delivery/token-bucket.ts';

const START_US = 1_000_000;
const MS = 1_000;

function bucketAt(rateBytesPerSec: number): TokenBucket {
  const bucket = new TokenBucket();
  bucket.rateBytesPerSec = rateBytesPerSec;
  bucket.start(START_US);
  return bucket;
}

describe('TokenBucket', () => {
  it('lets a first packet through, and the next one too if that was not larger than the burst', () => {
    const bucket = bucketAt(100_000);
    bucket.spend(1248);
    expect(bucket.isOpen).to.equal(true);
    bucket.spend(1);
    expect(bucket.isOpen).to.equal(false);
  });

  it('opens when the debt is earned, and a little later so that rounding does not matter', () => {
    const bucket = bucketAt(100_000);
    bucket.spend(1248 + 1000);
    const openAtUs = bucket.openAtUs(START_US);
    expect(openAtUs).to.be.within(START_US + 10 * MS, START_US + 10 * MS + 100);
    bucket.refill(openAtUs, true);
    expect(bucket.isOpen).to.equal(true);
  });

  it('is open at once without a debt', () => {
    expect(bucketAt(100_000).openAtUs(START_US)).to.equal(START_US);
  });

  it('saves no more than one burst while there is nothing to send', () => {
    const bucket = bucketAt(100_000);
    bucket.refill(START_US + 1000 * MS, false);
    bucket.refill(START_US + 2000 * MS, false);
    bucket.spend(1249);
    expect(bucket.isOpen).to.equal(false);
  });

  it('saves three milliseconds at a high rate while there is nothing to send', () => {
    const bucket = bucketAt(10_000_000);
    bucket.refill(START_US + 1000 * MS, false);
    bucket.refill(START_US + 2000 * MS, false);
    bucket.spend(30_000);
    expect(bucket.isOpen).to.equal(true);
    bucket.spend(1);
    expect(bucket.isOpen).to.equal(false);
  });

  it('makes up for a timer that was late while data waited', () => {
    const bucket = bucketAt(1_000_000);
    bucket.spend(1248);
    bucket.refill(START_US, true);
    bucket.refill(START_US + 20 * MS, true);
    bucket.spend(20_000);
    expect(bucket.isOpen).to.equal(true);
    bucket.spend(1);
    expect(bucket.isOpen).to.equal(false);
  });

  it('does not make up for a stall', () => {
    const bucket = bucketAt(1_000_000);
    bucket.refill(START_US, true);
    bucket.refill(START_US + 10_000 * MS, true);
    bucket.spend(50_001);
    expect(bucket.isOpen).to.equal(false);
  });

  it('keeps to the rate in the long run, however late the timer is', () => {
    const bucket = bucketAt(250_000);
    let sentBytes = 0;
    let nowUs = START_US;
    for (let i = 0; nowUs < START_US + 10_000 * MS; i++) {
      nowUs = Math.max(nowUs, bucket.openAtUs(nowUs)) + ((i * 7919) % 15_000);
      bucket.refill(nowUs, true);
      while (bucket.isOpen) {
        bucket.spend(1200);
        sentBytes += 1200;
      }
    }
    expect(sentBytes / 10).to.be.within(250_000 * 0.99, 250_000 * 1.01);
  });

  it('is closed for a while after the network refused a packet, whatever had been saved', () => {
    const bucket = bucketAt(100_000);
    bucket.penalize(1 * MS);
    expect(bucket.isOpen).to.equal(false);
    expect(bucket.openAtUs(START_US)).to.be.within(START_US + 1 * MS, START_US + 1 * MS + 100);
  });

  it('does not shorten a longer debt by a refused packet', () => {
    const bucket = bucketAt(100_000);
    bucket.spend(1248 + 10_000);
    bucket.penalize(1 * MS);
    expect(bucket.openAtUs(START_US)).to.be.at.least(START_US + 100 * MS);
  });
});

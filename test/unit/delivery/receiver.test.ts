// What a peer can make the receiving side keep, whatever it sends. Spec: 03 §3.5, §3.6.

import { expect } from 'chai';
import { Receiver } from '../../../src/core/delivery/receiver.ts';
import { Outcome } from '../../../src/core/wire/frames.ts';
import { streamHeaderBytes, writeStreamHeader } from '../../../src/core/wire/stream-header.ts';

const LIMIT = 10_000;
const SETTINGS = {
  recvBufferBytes: LIMIT,
  recvBufferMessages: 1000,
  recvMaxMessageBytes: 8_000,
  recvMaxSegmentsPerPacket: 1300,
};
const PIECE = 1_000;
const LANES = 256;

/** The stream bytes of one message of this size. */
function messageBytes(size: number): Uint8Array {
  const bytes = new Uint8Array(streamHeaderBytes(1, size) + size);
  writeStreamHeader(bytes, 0, 1, size);
  return bytes;
}

/** Sends stream bytes from `position` on, in pieces; how many were taken before one was refused. */
function sendOn(receiver: Receiver, lane: number, stream: Uint8Array, from: number): number {
  receiver.selectLane(lane);
  let at = from;
  for (; at < stream.length; at += PIECE) {
    const end = Math.min(at + PIECE, stream.length);
    if (receiver.onReliable(1 + at, stream, at, end) !== Outcome.Ok) break;
  }
  return Math.min(at, stream.length);
}

describe('what a peer can make us keep', () => {
  it('of reliable messages that are not complete is bounded over all lanes', () => {
    const receiver = new Receiver(SETTINGS);
    const stream = messageBytes(8_000);
    let keptBytes = 0;
    for (let lane = 0; lane < LANES; lane++) {
      keptBytes += sendOn(receiver, lane, stream.subarray(0, 7_000), 0);
    }
    expect(keptBytes).to.be.within(LIMIT, 3 * LIMIT);
  });

  it('behind gaps is bounded over all lanes', () => {
    const receiver = new Receiver(SETTINGS);
    let taken = 0;
    for (let lane = 0; lane < LANES; lane++) {
      receiver.selectLane(lane);
      if (receiver.onReliable(LIMIT - 10, new Uint8Array(5), 0, 5) === Outcome.Ok) taken++;
    }
    expect(taken).to.be.within(1, 3);
  });

  it('does not keep large messages on all lanes from arriving in the end', () => {
    const receiver = new Receiver(SETTINGS);
    const stream = messageBytes(8_000);
    const progress = Array.from({ length: LANES }, () => 0);
    let rounds = 0;
    for (; progress.some((at) => at < stream.length) && rounds < 2 * LANES; rounds++) {
      for (const [lane, at] of progress.entries()) progress[lane] = sendOn(receiver, lane, stream, at);
      while (receiver.take() !== undefined) receiver.resume(rounds);
    }
    expect(progress.every((at) => at === stream.length)).to.equal(true);
    expect(receiver.deliveredMessages).to.equal(LANES);
    expect(receiver.hasPartialMessage).to.equal(false);
  });

  it('does not keep small messages from arriving on other lanes', () => {
    const receiver = new Receiver(SETTINGS);
    const large = messageBytes(8_000);
    for (let lane = 0; lane < LANES - 1; lane++) sendOn(receiver, lane, large.subarray(0, 7_000), 0);
    const small = messageBytes(100);
    expect(sendOn(receiver, LANES - 1, small, 0)).to.equal(small.length);
    expect(receiver.deliveredMessages).to.equal(1);
  });

  it('of pieces of unreliable messages is bounded over all lanes, and later ones still arrive', () => {
    const receiver = new Receiver(SETTINGS);
    const piece = new Uint8Array(1_000);
    for (let lane = 0; lane < LANES; lane++) {
      receiver.selectLane(lane);
      for (let i = 1; i <= 20; i++) receiver.onUnreliable(1, i * 1_000, false, piece, 0, 1_000);
    }
    // Those of the first lanes were given up: their messages no longer become complete.
    receiver.selectLane(0);
    receiver.onUnreliable(1, 0, false, piece, 0, 1_000);
    receiver.onUnreliable(1, 7_000, true, piece, 0, 1_000);
    expect(receiver.deliveredMessages).to.equal(0);
    receiver.selectLane(200);
    receiver.onUnreliable(2, 0, false, piece, 0, 1_000);
    receiver.onUnreliable(2, 1_000, true, piece, 0, 1_000);
    expect(receiver.deliveredMessages).to.equal(1);
  });
});

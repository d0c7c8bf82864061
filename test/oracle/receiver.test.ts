// What is received on several lanes, against plain lists: the store of unreliable pieces, the streams, and the order of
// messages in the queue. Spec: 03 §3.5 – §3.7.
import { expect } from 'chai';
import fc from 'fast-check';
import { SeededRandom } from '../../src/core/base/random.ts';
import { Receiver } from '../../src/core/delivery/receiver.ts';
import { Outcome } from '../../src/core/wire/frames.ts';
import { streamHeaderBytes, writeStreamHeader } from '../../src/core/wire/stream-header.ts';
import { SEED } from '../support/seed.ts';

const RUN = { numRuns: 40, seed: SEED };
const SETTINGS = {
  recvBufferBytes: 1_048_576,
  recvBufferMessages: 1000,
  recvMaxMessageBytes: 524_288,
  recvMaxSegmentsPerPacket: 1300,
};
const LANES = [0, 3, 255];

interface Queued {
  readonly lane: number;
  readonly number: number;
  readonly reliable: boolean;
  readonly text: string;
}

/** The queue of the application, by the words of the spec. */
class ListModel {
  readonly queue: Queued[] = [];
  readonly maxMessages: number;
  readonly maxBytes: number;

  constructor(maxMessages: number, maxBytes: number) {
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
  }

  push(message: Queued): boolean {
    const bytes = this.queue.reduce((sum, { text }) => sum + text.length, 0);
    if (this.queue.length >= this.maxMessages || bytes + message.text.length > this.maxBytes) return false;
    const higher = this.queue.findIndex(({ lane, number }) => lane === message.lane && number > message.number);
    this.queue.splice(higher < 0 ? this.queue.length : higher, 0, message);
    return true;
  }
}

interface Piece {
  readonly message: number;
  readonly offset: number;
  readonly isLast: boolean;
  readonly text: string;
}

/** The pieces of unreliable messages on one lane. Undefined: nothing is complete with this one. */
class PieceStore {
  #pieces: Piece[] = [];

  add(piece: Piece): string | undefined {
    if (piece.offset === 0 && piece.isLast) return piece.text;
    if (this.#pieces.length > 20) {
      const lowest = Math.min(...this.#pieces.map(({ message }) => message));
      this.#pieces = this.#pieces.filter(({ message }) => message !== lowest);
    }
    const isKnown = this.#pieces.some(({ message, offset }) => message === piece.message && offset === piece.offset);
    if (isKnown) return undefined;
    this.#pieces.push(piece);
    const own = this.#pieces.filter(({ message }) => message === piece.message).sort((a, b) => a.offset - b.offset);
    let text = '';
    for (const each of own) {
      if (each.offset > text.length) return undefined;
      text = text.slice(0, each.offset) + each.text + text.slice(each.offset + each.text.length);
      if (!each.isLast) continue;
      this.#pieces = this.#pieces.filter(({ message }) => message !== piece.message);
      return text;
    }
    return undefined;
  }
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function take(receiver: Receiver): Queued | undefined {
  const message = receiver.take();
  if (message === undefined) return undefined;
  const { lane, messageNumber: number, reliable, data } = message;
  return { lane, number, reliable, text: String.fromCharCode(...data) };
}

/** Pieces of a few messages, at random; the application reads now and then, and its queue is small. */
function runUnreliable(seed: number): void {
  const random = new SeededRandom(seed);
  const limits = { recvBufferMessages: 2 + random.below(8), recvBufferBytes: 20 + random.below(60) };
  const receiver = new Receiver({ ...SETTINGS, ...limits });
  const model = new ListModel(limits.recvBufferMessages, limits.recvBufferBytes);
  const stores = new Map(LANES.map((lane) => [lane, new PieceStore()]));
  for (let i = 0; i < 300; i++) {
    receiver.beginPacket(i);
    const lane = LANES[random.below(LANES.length)]!;
    const message = 1 + random.below(12);
    const text = 'abcdefgh'.slice(0, random.below(9));
    const piece = { message, offset: random.below(4) * 4, isLast: random.below(3) === 0, text };
    receiver.selectLane(lane);
    const bytes = bytesOf(`..${text}..`);
    const outcome = receiver.onUnreliable(message, piece.offset, piece.isLast, bytes, 2, 2 + text.length);
    const whole = stores.get(lane)!.add(piece);
    const isTaken = whole === undefined || model.push({ lane, number: message, reliable: false, text: whole });
    expect(outcome).to.equal(isTaken ? Outcome.Ok : Outcome.Refused);
    expect(receiver.queuedMessages).to.equal(model.queue.length);
    if (random.below(3) === 0) expect(take(receiver)).to.deep.equal(model.queue.shift());
  }
  while (receiver.queuedMessages > 0) expect(take(receiver)).to.deep.equal(model.queue.shift());
}

/** The stream of a lane, and the messages in it. */
function makeStream(random: SeededRandom, lane: number): { bytes: Uint8Array; messages: Queued[] } {
  const messages: Queued[] = [];
  const bytes: number[] = [];
  let number = 0;
  for (let i = 0; i < 20; i++) {
    const gap = random.below(3) === 0 ? 1 + random.below(200) : 1;
    number += gap;
    const text = String.fromCharCode(97 + i).repeat(random.below(4) === 0 ? random.below(300) : random.below(20));
    const header = new Uint8Array(streamHeaderBytes(gap, text.length));
    expect(writeStreamHeader(header, 0, gap, text.length)).to.equal(header.length);
    bytes.push(...header, ...bytesOf(text));
    messages.push({ lane, number, reliable: true, text });
  }
  return { bytes: Uint8Array.from(bytes), messages };
}

/** Streams on several lanes in segments of any boundaries, some twice, not far out of order. */
function runReliable(seed: number, recvBufferMessages: number): void {
  const random = new SeededRandom(seed);
  const receiver = new Receiver({ ...SETTINGS, recvBufferMessages });
  const streams = LANES.map((lane) => ({ lane, ...makeStream(random, lane) }));
  const segments = streams.flatMap(({ lane, bytes }) => {
    const cuts: { lane: number; start: number; end: number; place: number }[] = [];
    for (let start = 0; start < bytes.length; ) {
      const end = Math.min(bytes.length, start + 1 + random.below(60));
      const overlap = random.below(3) === 0 ? Math.min(start, random.below(30)) : 0;
      const place = start + random.below(150);
      cuts.push({ lane, start: start - overlap, end, place });
      if (random.below(4) === 0) cuts.push({ lane, start, end, place: place + random.below(300) });
      start = end;
    }
    return cuts;
  });
  segments.sort((a, b) => a.place - b.place);
  const got: Queued[] = [];
  const refused: typeof segments = [];
  const receive = (segment: (typeof segments)[number]) => {
    receiver.beginPacket(0);
    receiver.selectLane(segment.lane);
    const { bytes } = streams.find(({ lane }) => lane === segment.lane)!;
    const outcome = receiver.onReliable(
      segment.start + 1,
      bytes.slice(segment.start, segment.end),
      0,
      segment.end - segment.start,
    );
    expect(outcome).to.be.oneOf([Outcome.Ok, Outcome.Refused]);
    if (outcome === Outcome.Refused) refused.push(segment);
  };
  const read = () => {
    for (let message = take(receiver); message !== undefined; message = take(receiver)) {
      got.push(message);
      expect(receiver.resume(0)).to.be.oneOf([Outcome.Ok, Outcome.Refused]);
    }
  };
  for (const segment of segments) {
    receive(segment);
    if (random.below(3) === 0) read();
  }
  // What was refused is sent again.
  for (let round = 0; round < 10 && refused.length > 0; round++) {
    for (const segment of refused.splice(0)) receive(segment);
    read();
  }
  read();
  for (const { lane, messages } of streams) expect(got.filter((each) => each.lane === lane)).to.deep.equal(messages);
  expect(receiver.hasPartialMessage).to.equal(false);
}

describe('Receiver against lists', () => {
  it('assembles and queues unreliable messages as the lists do', () => {
    fc.assert(fc.property(fc.integer(), runUnreliable), RUN);
  });

  it('delivers the messages of every reliable stream once and in order', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => runReliable(seed, 1000)),
      RUN,
    );
  });

  it('does so too when the application leaves hardly any room', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => runReliable(seed, 2)),
      RUN,
    );
  });
});

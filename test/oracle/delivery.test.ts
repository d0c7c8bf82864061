// Both halves of delivery together: two of them over a network that loses, repeats and reorders packets. What one sends
// the other gets, no packet is larger than it may be, and in the end nothing is left over. Spec: 03.
import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader } from '../../src/core/base/bytes.ts';
import { SeededRandom } from '../../src/core/base/random.ts';
import { Delivery } from '../../src/core/delivery/delivery.ts';
import { SequenceWindow } from '../../src/core/stats/sequence-window.ts';
import { FrameWriter } from '../../src/core/wire/frame-writer.ts';
import { Outcome } from '../../src/core/wire/frames.ts';
import { SEED } from '../support/seed.ts';

const RUN = { numRuns: 15, seed: SEED };
const FULL_PACKET_BYTES = 1232;
const STEP_US = 1_000;
const FIRST_NUMBER = 2;
const LANES = [{}, { priority: -1 }, { weight: 3 }];

interface Weather {
  readonly lossShare: number;
  readonly repeatShare: number;
  readonly delayUs: number;
  readonly jitterUs: number;
}

interface Packet {
  readonly number: number;
  readonly payload: Uint8Array;
  readonly atUs: number;
}

class Side {
  readonly delivery: Delivery;
  readonly window = new SequenceWindow();
  /** Reliable and unreliable messages, in the order of sending and of receiving. */
  readonly sent: string[] = [];
  readonly sentUnreliable = new Set<string>();
  readonly got: string[] = [];
  /** On their way to us. */
  arriving: Packet[] = [];
  readonly #random: SeededRandom;
  readonly #writer = new FrameWriter(new Uint8Array(1500));

  constructor(random: SeededRandom, redundantSends: number, nowUs: number) {
    this.#random = random;
    const receive = { recvBufferBytes: 60_000, recvBufferMessages: 50, recvMaxMessageBytes: 50_000 };
    this.delivery = new Delivery(
      { sendBufferBytes: 100_000, nagleUs: 5_000, redundantSends },
      { ...receive, recvMaxSegmentsPerPacket: 1300 },
    );
    this.delivery.configureLanes(LANES);
    this.window.start(FIRST_NUMBER - 1);
    this.delivery.fullPacketBytes = FULL_PACKET_BYTES;
    this.delivery.bucket.rateBytesPerSec = 2_000_000;
    this.delivery.start(FIRST_NUMBER, nowUs);
  }

  enqueue(nowUs: number): void {
    const random = this.#random;
    const payload = new Uint8Array(random.below(10) === 0 ? random.below(20_000) : random.below(300));
    random.fill(payload);
    const isReliable = random.below(3) > 0 || payload.length > 16_500;
    const lane = random.below(LANES.length);
    const number = this.delivery.enqueue(payload, isReliable, random.below(3) === 0, lane, nowUs);
    if (typeof number !== 'number') return;
    const text = inShort(lane, number, payload);
    if (isReliable) this.sent.push(text);
    else this.sentUnreliable.add(text);
  }

  /** Sends what is due. */
  transmit(peer: Side, weather: Weather, nowUs: number): void {
    const random = this.#random;
    for (let i = 0; i < 20 && this.delivery.packetDueUs(nowUs) <= nowUs; i++) {
      const space = FULL_PACKET_BYTES - random.below(32);
      const { number } = this.delivery.fillPacket(this.#writer, space, nowUs);
      const { pos } = this.#writer;
      if (pos > space) expect.fail(`packet ${number} has ${pos} bytes in a room of ${space}`);
      this.delivery.bucket.spend(pos + 30);
      const payload = this.#writer.bytes.slice(0, pos);
      while (random.float() >= weather.lossShare) {
        const atUs = nowUs + weather.delayUs + random.below(weather.jitterUs + 1);
        peer.arriving.push({ number, payload, atUs });
        if (random.float() >= weather.repeatShare) break;
      }
    }
  }

  receive(nowUs: number): void {
    const due = this.arriving.filter(({ atUs }) => atUs <= nowUs).sort((a, b) => a.atUs - b.atUs);
    this.arriving = this.arriving.filter(({ atUs }) => atUs > nowUs);
    const reader = new ByteReader();
    for (const { number, payload } of due) {
      if (this.window.check(number) !== 'new') continue;
      reader.reset(payload, 0, payload.length);
      const outcome = this.delivery.receive(reader, number, nowUs);
      if (outcome > Outcome.Refused) expect.fail(`packet ${number}: ${this.delivery.violation}`);
      this.window.mark(number);
    }
  }

  read(nowUs: number): void {
    const { receiver } = this.delivery;
    for (let message = receiver.take(); message !== undefined; message = receiver.take()) {
      this.got.push(`${message.reliable ? 'r' : 'u'} ${inShort(message.lane, message.messageNumber, message.data)}`);
      receiver.resume(nowUs);
    }
  }
}

function inShort(lane: number, number: number, payload: Uint8Array): string {
  return `${lane} ${number} ${Buffer.from(payload).toString('base64')}`;
}

function onLane(lane: number, texts: readonly string[]): readonly string[] {
  return texts.filter((text) => text.startsWith(`${lane} `));
}

function run(seed: number, weather: Weather, redundantSends: number): void {
  const random = new SeededRandom(seed);
  let nowUs = 1_000_000;
  const [a, b] = [new Side(random, redundantSends, nowUs), new Side(random, redundantSends, nowUs)];
  const step = (isBusy: boolean) => {
    nowUs += STEP_US;
    for (const [side, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      side.receive(nowUs);
      if (random.below(isBusy ? 4 : 1) === 0) side.read(nowUs);
      if (isBusy && random.below(3) === 0) side.enqueue(nowUs);
      side.delivery.onTime(nowUs);
      side.transmit(peer, weather, nowUs);
    }
  };
  for (let i = 0; i < 300; i++) step(true);
  const isDone = () => [a, b].every(({ delivery }) => delivery.undeliveredBytes + delivery.pendingBytes === 0);
  for (let i = 0; i < 60_000 && !isDone(); i++) step(false);
  expect(isDone(), 'everything was delivered').to.equal(true);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    expect(from.sent).to.have.length.above(10);
    const reliable = to.got.filter((text) => text.startsWith('r')).map((text) => text.slice(2));
    for (const lane of LANES.keys()) expect(onLane(lane, reliable)).to.deep.equal(onLane(lane, from.sent));
    for (const text of to.got) if (text.startsWith('u') && !from.sentUnreliable.has(text.slice(2))) expect.fail(text);
    expect(to.delivery.receiver.hasPartialMessage).to.equal(false);
  }
}

describe('two sides of delivery', () => {
  const weathers: Readonly<Record<string, Weather>> = {
    'a good network': { lossShare: 0, repeatShare: 0, delayUs: 10_000, jitterUs: 0 },
    'a network that reorders and repeats': { lossShare: 0.02, repeatShare: 0.2, delayUs: 5_000, jitterUs: 15_000 },
    'a network that loses a third': { lossShare: 0.33, repeatShare: 0, delayUs: 20_000, jitterUs: 1_000 },
  };
  for (const [name, weather] of Object.entries(weathers)) {
    for (const redundantSends of [0, 1, 3]) {
      const how = redundantSends === 0 ? '' : `, each in up to ${redundantSends} packets more`;
      it(`bring every reliable message over ${name}, in order and once${how}`, () => {
        fc.assert(
          fc.property(fc.integer(), (seed) => run(seed, weather, redundantSends)),
          RUN,
        );
      });
    }
  }
});

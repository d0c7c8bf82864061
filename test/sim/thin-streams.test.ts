// A few small messages in each second, and how late they come where packets are lost: without redundancy, and with
// `redundantSends`. Figures are of one minute or more of virtual time at 100 ms round trip. Spec: 03 §3.10.

import { expect } from 'chai';
import type { ConnectionStatus } from '../../src/index.ts';
import { type ConnectedPair, Pair, type PairOptions, patternOf, SECOND } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const MS = 1_000;
const PATH_US = 50 * MS;
const LOSSY = { delayUs: PATH_US, lossRatio: 0.02 };
const TICK_US = SECOND / 60;
const MESSAGE_BYTES = 128;
/** Thousands of packets: slow on a busy machine, however little time passes inside. */
const LONG_TEST_MS = 60_000;
const MTU_BYTES = 1300;

interface Course {
  /** Sorted, of messages that arrived. */
  readonly latenciesUs: readonly number[];
  /** Of the sender, when all is over. */
  readonly status: ConnectionStatus;
  /** Bytes of UDP payload and datagrams of the sender, while it sent. */
  readonly bytes: number;
  readonly packets: number;
  /** Reliable messages as they came: their numbers. */
  readonly numbers: readonly number[];
}

/** `send` is called for each tick and gives the number of the message that it sent. */
async function play(
  options: PairOptions,
  redundantSends: number,
  ticks: number,
  send: (pair: ConnectedPair, tick: number) => number,
  tickUs = TICK_US,
): Promise<Course> {
  const pair = new Pair({ reads: false, ...options });
  const ends = await pair.connect({ redundantSends });
  const { client, server } = ends;
  // The peer's version and a first round trip are known.
  await pair.advance(2 * SECOND);
  const sentAtUs = new Map<number, number>();
  const latenciesUs: number[] = [];
  const numbers: number[] = [];
  server.connection.on('message', ({ messageNumber, reliable }) => {
    const startUs = sentAtUs.get(messageNumber);
    if (startUs !== undefined) latenciesUs.push(pair.network.nowUs - startUs);
    if (reliable) numbers.push(messageNumber);
  });
  const before = client.connection.status();
  const startUs = pair.network.nowUs;
  for (let tick = 0; tick < ticks; tick++) {
    sentAtUs.set(send(ends, tick), pair.network.nowUs);
    await pair.advance(startUs + Math.round((tick + 1) * tickUs) - pair.network.nowUs);
  }
  const after = client.connection.status();
  await pair.until(() => client.connection.status().sentUnackedReliableBytes === 0);
  await pair.advance(SECOND);
  const status = client.connection.status();
  await pair.end();
  return {
    latenciesUs: latenciesUs.sort((a, b) => a - b),
    status,
    bytes: after.bytesSent - before.bytesSent,
    packets: after.packetsSent - before.packetsSent,
    numbers,
  };
}

function percentileUs({ latenciesUs }: Course, share: number): number {
  return latenciesUs[Math.floor(latenciesUs.length * share)]!;
}

const sendNow =
  (reliable: boolean, bytes = MESSAGE_BYTES) =>
  ({ client }: ConnectedPair) =>
    client.connection.send(new Uint8Array(bytes), { noNagle: true, reliable });

describe('small reliable messages at 60 Hz, with 2 % loss each way', () => {
  itSeeded('are at worst a round trip and a packet interval late, nearly always', async (seed) => {
    const course = await play({ seed, link: LOSSY }, 0, 3 * 60 * 60, sendNow(true));
    expect(course.latenciesUs).to.have.length(3 * 60 * 60);
    expect(percentileUs(course, 0.5)).to.be.below(51 * MS);
    expect(percentileUs(course, 0.95)).to.be.below(152 * MS);
    // Path, next packet, the peer's patience with what may be reordered, the news of it, and the path again.
    expect(percentileUs(course, 0.99)).to.be.below(PATH_US + TICK_US + 3 * MS + 2 * PATH_US + 10 * MS);
    expect(course.status.redundantSegmentsSent).to.equal(0);
  }).timeout(LONG_TEST_MS);

  itSeeded('with redundantSends, a loss costs a packet interval, not a round trip', async (seed) => {
    const plain = await play({ seed, link: LOSSY }, 0, 60 * 60, sendNow(true));
    const course = await play({ seed, link: LOSSY }, 1, 3 * 60 * 60, sendNow(true));
    expect(course.numbers).to.deep.equal(Array.from(course.numbers, (_, at) => at + 1));
    expect(course.latenciesUs).to.have.length(3 * 60 * 60);
    expect(percentileUs(course, 0.95)).to.be.below(51 * MS);
    expect(percentileUs(course, 0.99)).to.be.below(PATH_US + TICK_US + 5 * MS);
    expect(course.bytes / 3).to.be.below(2 * plain.bytes);
    expect(course.packets / 3).to.be.below(1.05 * plain.packets);
    expect(course.status.redundantBytesSent).to.be.within(0.95 * 3 * 60 * 60 * MESSAGE_BYTES, 3.3 * 60 * 60 * 130);
  }).timeout(LONG_TEST_MS);

  itSeeded('do not hold up unreliable ones, redundant or not', async (seed) => {
    const send = (pair: ConnectedPair) => {
      sendNow(true)(pair);
      return sendNow(false)(pair);
    };
    for (const redundantSends of [0, 1]) {
      const course = await play({ seed, link: LOSSY }, redundantSends, 60 * 60, send);
      expect(course.latenciesUs).to.have.length.above(0.96 * 60 * 60);
      expect(percentileUs(course, 0.99)).to.be.below(PATH_US + 2 * MS);
    }
  }).timeout(LONG_TEST_MS);
});

describe('small reliable messages at 60 Hz, of which a busy peer loses 7 % in bursts', () => {
  itSeeded('wait for the packet after the burst and the news of it, not for a timeout', async (seed) => {
    const pathUs = MS;
    const link = { delayUs: pathUs, burst: { enterRatio: 0.0376, leaveRatio: 0.5 } };
    const course = await play({ seed, link }, 0, 3 * 60 * 60, sendNow(true));
    expect(course.latenciesUs).to.have.length(3 * 60 * 60);
    // A burst takes two packets, and one in a hundred messages meets one of at least three.
    const recoveryUs = TICK_US + 3 * MS + 2 * pathUs;
    expect(percentileUs(course, 0.95)).to.be.below(2 * TICK_US + recoveryUs);
    expect(percentileUs(course, 0.99)).to.be.below(4 * TICK_US + recoveryUs);
    expect(percentileUs(course, 0.999)).to.be.below(8 * TICK_US + recoveryUs);
  }).timeout(LONG_TEST_MS);
});

describe('small reliable messages at 60 Hz, while nothing comes back for most of a second', () => {
  itSeeded('still come in time', async (seed) => {
    const link = { delayUs: MS };
    const pair = new Pair({ seed, link });
    const { client, server } = await pair.connect();
    await pair.advance(2 * SECOND);
    pair.setLink(link, { lossRatio: 1 });
    for (let tick = 1; tick <= 48; tick++) {
      client.connection.send(new Uint8Array(MESSAGE_BYTES), { noNagle: true });
      await pair.advance(TICK_US);
      expect(server.messages).to.have.length(tick);
    }
    pair.setLink(link);
    await pair.until(() => client.connection.status().sentUnackedReliableBytes === 0, SECOND);
    await pair.end();
  });
});

describe('redundantSends', () => {
  itSeeded('lets a message that nothing follows go again by itself, once for each', async (seed) => {
    const link = { delayUs: PATH_US };
    for (const redundantSends of [1, 3]) {
      const { status, numbers } = await play({ seed, link }, redundantSends, 20, sendNow(true), SECOND);
      expect(numbers).to.have.length(20);
      expect(status.redundantSegmentsSent).to.equal(20 * redundantSends);
    }
  });

  itSeeded('brings single messages over a loss in a packet interval, too', async (seed) => {
    const course = await play({ seed, link: LOSSY }, 1, 1_000, sendNow(true), SECOND / 2);
    expect(percentileUs(course, 0.99)).to.be.below(80 * MS);
  }).timeout(LONG_TEST_MS);

  itSeeded('sends nothing again that is acknowledged by then', async (seed) => {
    const { status } = await play({ seed, link: { delayUs: MS } }, 1, 100, ({ client, server }) => {
      const number = sendNow(true)({ client, server });
      // The answer that follows at once carries the ack.
      server.connection.once('message', () => server.connection.send('ack', { noNagle: true, reliable: false }));
      return number;
    });
    expect(status.redundantSegmentsSent).to.equal(0);
  });

  itSeeded('takes no part in bulk, and costs it nothing', async (seed) => {
    const rates = { sendRateMin: 1_000_000, sendRateMax: 1_000_000, sendBufferSize: 8_000_000 };
    const options = {
      seed,
      link: { delayUs: PATH_US },
      clientConfig: rates,
      serverConfig: { recvBufferSize: 8_000_000 },
    };
    const bulk = ({ client }: ConnectedPair) => client.connection.send(patternOf(400_000));
    const plain = await play(options, 0, 10, bulk, SECOND / 4);
    const course = await play(options, 3, 10, bulk, SECOND / 4);
    expect(course.status.redundantBytesSent).to.be.below(0.01 * course.status.bytesSent);
    expect(course.latenciesUs.at(-1)).to.be.at.most(plain.latenciesUs.at(-1)! + 5 * MS);
  }).timeout(LONG_TEST_MS);

  itSeeded('gives way where the send rate has nothing to spare', async (seed) => {
    const rates = { sendRateMin: 12_000, sendRateMax: 12_000 };
    const course = await play({ seed, link: { delayUs: PATH_US }, clientConfig: rates }, 3, 600, sendNow(true));
    expect(percentileUs(course, 0.99)).to.be.below(PATH_US + TICK_US);
    expect(course.status.redundantBytesSent).to.be.below(0.3 * course.status.bytesSent);
  });

  itSeeded('fills packets on several lanes no further than they may be', async (seed) => {
    const pair = new Pair({ seed, link: { delayUs: PATH_US, lossRatio: 0.1, reorderRatio: 0.1, duplicateRatio: 0.1 } });
    const { client, server } = await pair.connect({ redundantSends: 2 });
    client.connection.configureLanes([{}, { priority: 1 }, { weight: 3 }]);
    const seen = pair.watch();
    const sent: string[][] = [[], [], []];
    for (let i = 0; i < 900; i++) {
      const lane = i % 3;
      const text = `${lane}/${i} ${'x'.repeat((i * 37) % 700)}`;
      sent[lane]!.push(text);
      client.connection.send(text, { lane });
      if (i % 2 === 1) await pair.advance(10 * MS);
    }
    await pair.until(() => server.messages.length === 900);
    for (const lane of [0, 1, 2]) {
      const texts = server.texts.filter((_, at) => server.messages[at]!.lane === lane);
      expect(texts).to.deep.equal(sent[lane]);
    }
    expect(client.connection.status().redundantSegmentsSent).to.be.above(100);
    expect(Math.max(...seen.map(({ length }) => length))).to.be.at.most(MTU_BYTES);
    await pair.end();
  }).timeout(LONG_TEST_MS);

  itSeeded('may be switched on and off while connected', async (seed) => {
    const pair = new Pair({ seed, link: { delayUs: PATH_US } });
    const { client, server } = await pair.connect();
    const redundantAfter = async (redundantSends: number) => {
      client.connection.config.set('redundantSends', redundantSends);
      sendNow(true)({ client, server });
      await pair.advance(SECOND);
      return client.connection.status().redundantSegmentsSent;
    };
    expect(await redundantAfter(0)).to.equal(0);
    expect(await redundantAfter(2)).to.equal(2);
    expect(await redundantAfter(0)).to.equal(2);
    expect(client.connection.status().sentUnackedReliableBytes).to.equal(0);
    await pair.end();
  });
});

// Messages that are worth something only for a while, and receipts that tell what became of them.

import { expect } from 'chai';
import { SeededRandom } from '../../src/core/base/random.ts';
import { type Connection, type Fate, type IncomingMessage, Networking, type Receipt } from '../../src/index.ts';
import { type LinkConditions, nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';
import { itSeeded } from '../support/seed.ts';

const SECOND_US = 1_000_000;
const KIB = new Uint8Array(1024);
/** Random runs of the receipts test; more of them by hand. */
const RUNS = Number(process.env['RUNS'] ?? 60);

async function connected(link: LinkConditions = {}, config = {}, seed = 5) {
  const network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions: { delayUs: 10_000 } });
  const server = new Networking({ platform: network.host('server', { addresses: ['10.0.0.1'] }).platform });
  const client = new Networking({ platform: network.host('client').platform, config });
  const received: IncomingMessage[] = [];
  const receipts: Receipt[] = [];
  let accepted: Connection | undefined;
  server.listen({ port: 27015 }).on('connection', (incoming) => {
    accepted = incoming.accept().on('message', (message) => received.push(message));
  });
  const connection = await network.settle(client.connect('10.0.0.1:27015'), 10 * SECOND_US);
  connection.on('receipt', (receipt) => receipts.push(receipt));
  network.setConditions({ delayUs: 10_000, ...link });
  const fateOf = (messageNumber: number): Fate | undefined =>
    receipts.find((each) => each.messageNumber === messageNumber)?.fate;
  return { network, connection, received, receipts, fateOf, accepted: () => accepted! };
}

describe('a message with a time to live', () => {
  it('is dropped when its time is over before it was sent', async () => {
    const { network, connection, received, fateOf } = await connected();
    for (let i = 0; i < 100; i++) connection.send(KIB);
    const late = connection.send('late', { ttlMs: 50, receipt: true });
    const intime = connection.send('in time', { ttlMs: 5000, receipt: true });
    await network.advance(5 * SECOND_US);
    expect([fateOf(late), fateOf(intime)]).to.deep.equal(['expired', 'acked']);
    expect(received).to.have.lengthOf(101);
  });

  it('leaves the numbering of later reliable messages right', async () => {
    const { network, connection, received } = await connected();
    for (let i = 0; i < 50; i++) connection.send(KIB);
    for (let i = 0; i < 5; i++) connection.send('late', { ttlMs: 1 });
    const last = connection.send('last');
    await network.advance(5 * SECOND_US);
    expect(received.at(-1)!.messageNumber).to.equal(last);
  });
});

describe('a message with a key', () => {
  it('takes the place of the one that still waits', async () => {
    const { network, connection, received, fateOf } = await connected();
    for (let i = 0; i < 50; i++) connection.send(KIB);
    const first = connection.send('position 1', { key: 'position', receipt: true });
    const second = connection.send('position 2', { key: 'position', receipt: true });
    await network.advance(5 * SECOND_US);
    expect([fateOf(first), fateOf(second)]).to.deep.equal(['replaced', 'acked']);
    expect(new TextDecoder().decode(received.at(-1)!.data)).to.equal('position 2');
  });

  it('leaves alone what was sent under that key before', async () => {
    const { network, connection, received } = await connected();
    for (let i = 0; i < 3; i++) {
      connection.send(`position ${i}`, { key: 'position' });
      await network.advance(SECOND_US);
    }
    expect(received).to.have.lengthOf(3);
  });
});

describe('messages of every worth', () => {
  itSeeded('arrive or are told to be gone, and leave nothing behind', async (seed) => {
    const random = new SeededRandom(seed);
    for (let run = 0; run < RUNS; run++) {
      const config = { sendBufferSize: 20 * 1024, sendRateMin: 200_000, sendRateMax: 200_000 };
      const { network, connection, received, receipts } = await connected({}, config, seed + run);
      const sent: number[] = [];
      for (let i = 0; i < 150; i++) {
        const options = {
          receipt: true,
          reliable: random.below(2) === 0,
          droppable: random.below(3) === 0,
          ...(random.below(3) === 0 ? { key: random.below(5) } : {}),
          ...(random.below(3) === 0 ? { ttlMs: 1 + random.below(100) } : {}),
        };
        try {
          sent.push(connection.send(new Uint8Array(random.below(1_000)).fill(i), options));
        } catch (error) {
          expect(error).to.have.property('code', 'LimitExceeded');
        }
        if (random.below(20) === 0) await network.advance(random.below(60_000));
      }
      await network.advance(5 * SECOND_US);
      expect(receipts.map(({ messageNumber }) => messageNumber).sort((a, b) => a - b)).to.deep.equal(sent);
      const acked = receipts.filter(({ fate }) => fate === 'acked').map(({ messageNumber }) => messageNumber);
      const arrived = received.map(({ messageNumber }) => messageNumber);
      expect(arrived.sort((a, b) => a - b)).to.deep.equal(acked.sort((a, b) => a - b));
      expect(connection.bufferedBytes).to.equal(0);
    }
  });
});

describe('droppable messages', () => {
  it('give way to newer ones when the send buffer is full', async () => {
    const { network, connection, received, fateOf } = await connected({}, { sendBufferSize: 20 * 1024 });
    const numbers = Array.from({ length: 100 }, () =>
      connection.send(KIB, { droppable: true, receipt: true, reliable: false }),
    );
    await network.advance(5 * SECOND_US);
    expect(fateOf(numbers[1]!)).to.equal('replaced');
    expect(fateOf(numbers.at(-1)!)).to.equal('acked');
    expect(received.length).to.be.within(15, 25);
  });

  it('do not make room for others', async () => {
    const { connection } = await connected({}, { sendBufferSize: 20 * 1024 });
    for (let i = 0; i < 19; i++) connection.send(KIB, { droppable: true });
    expect(() => connection.send(new Uint8Array(4096)))
      .to.throw()
      .with.property('code', 'LimitExceeded');
  });
});

describe('receipts', () => {
  itSeeded('say acked only of what arrived, and tell of every message once', async (seed) => {
    const random = new SeededRandom(seed);
    for (let run = 0; run < RUNS; run++) {
      const link = { lossRatio: random.float() * 0.4, jitterUs: 20_000, reorderRatio: 0.1, reorderDelayUs: 20_000 };
      const { network, connection, received, receipts } = await connected(
        link,
        { timeoutConnected: 60_000 },
        seed + run,
      );
      const sent: number[] = [];
      for (let i = 0; i < 60; i++) {
        const size = random.below(3) === 0 ? 3000 : random.below(200);
        sent.push(connection.send(new Uint8Array(size), { reliable: random.below(2) === 0, receipt: true }));
        await network.advance(random.below(40_000));
      }
      await network.advance(20 * SECOND_US);
      const arrived = new Set(received.map(({ messageNumber }) => messageNumber));
      expect(receipts.map(({ messageNumber }) => messageNumber).sort((a, b) => a - b)).to.deep.equal(sent);
      for (const { messageNumber, fate } of receipts) {
        if (fate === 'acked') expect(arrived.has(messageNumber), `message ${messageNumber}`).to.equal(true);
      }
      for (const message of received.filter(({ reliable }) => reliable)) {
        expect(receipts.find(({ messageNumber }) => messageNumber === message.messageNumber)!.fate).to.equal('acked');
      }
    }
  });

  it('say lost of what was never confirmed when the connection ends', async () => {
    const { network, connection, fateOf } = await connected({ lossRatio: 1 });
    const number = connection.send('into the void', { receipt: true });
    await network.advance(60 * SECOND_US);
    expect(fateOf(number)).to.equal('lost');
  });
});

describe('a lane that drops what is late', () => {
  it('delivers unreliable messages in rising order, and reliable ones all the same', async () => {
    const link = { reorderRatio: 0.3, reorderDelayUs: 30_000, duplicateRatio: 0.1 };
    const { network, connection, received, accepted } = await connected(link);
    accepted().dropLate(0);
    for (let i = 0; i < 300; i++) {
      connection.send('state', { reliable: i % 10 === 0, noNagle: true });
      await network.advance(5_000);
    }
    await network.advance(2 * SECOND_US);
    const unreliable = received.filter(({ reliable }) => !reliable).map(({ messageNumber }) => messageNumber);
    expect(unreliable).to.deep.equal([...unreliable].sort((a, b) => a - b));
    expect(unreliable.length).to.be.within(120, 269);
    expect(received.filter(({ reliable }) => reliable)).to.have.lengthOf(30);
  });
});

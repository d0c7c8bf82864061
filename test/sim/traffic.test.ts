// How messages flow over links of all kinds: on the public interface, in virtual time. Spec: 03.

import { expect } from 'chai';
import { Pair, patternOf, SECOND, textOf } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const DELAY_US = 20_000;
const LINK = { delayUs: DELAY_US };
const MS = 1_000;
/** Whole runs of thousands of packets: slow on a busy machine, however little time passes inside. */
const LONG_TEST_MS = 60_000;

describe('small messages', () => {
  itSeeded('wait for company for nagleTime and share a datagram', async (seed) => {
    const pair = new Pair({ seed });
    const { client, server } = await pair.connect();
    await pair.advance(SECOND);
    const seen = pair.watch();
    client.connection.send('one');
    await pair.advance(2 * MS);
    client.connection.send('two');
    expect(seen).to.deep.equal([]);
    const sentAtUs = pair.network.nowUs - 2 * MS;
    await pair.until(() => server.messages.length === 2);
    expect(seen.filter(({ from }) => from === 'client')).to.have.length(1);
    expect(seen[0]!.sentAtUs - sentAtUs).to.equal(5 * MS);
    await pair.end();
  });

  itSeeded('go at once with noNagle, and take along what waits', async (seed) => {
    const pair = new Pair({ seed });
    const { client, server } = await pair.connect();
    await pair.advance(SECOND);
    const seen = pair.watch();
    client.connection.send('one');
    client.connection.send('two', { noNagle: true });
    await pair.advance(0);
    expect(seen.filter(({ from }) => from === 'client')).to.have.length(1);
    expect(server.texts).to.deep.equal(['one', 'two']);
    await pair.end();
  });

  itSeeded('go at once on flush', async (seed) => {
    const pair = new Pair({ seed });
    const { client, server } = await pair.connect();
    client.connection.send('one');
    client.connection.flush();
    await pair.advance(0);
    expect(server.texts).to.deep.equal(['one']);
    await pair.end();
  });
});

describe('the send rate', () => {
  for (const rateBytesPerSec of [50_000, 1_000_000]) {
    itSeeded(`of ${rateBytesPerSec} bytes per second is kept within 5 %`, async (seed) => {
      const rates = { sendRateMin: rateBytesPerSec, sendRateMax: rateBytesPerSec, sendBufferSize: 50_000_000 };
      const pair = new Pair({ seed, link: LINK, clientConfig: rates });
      const { client } = await pair.connect();
      const messageBytes = 100_000;
      const durationUs = 10 * SECOND;
      for (let sent = 0; sent < 1.5 * rateBytesPerSec * 10; sent += messageBytes) {
        client.connection.send(new Uint8Array(messageBytes));
      }
      const seen = pair.watch();
      await pair.advance(durationUs);
      const bytes = seen.filter(({ from }) => from === 'client').reduce((sum, { length }) => sum + length, 0);
      expect(bytes / 10).to.be.within(0.95 * rateBytesPerSec, 1.05 * rateBytesPerSec);
      await pair.end();
    }).timeout(LONG_TEST_MS);
  }
});

describe('a slow reader', () => {
  itSeeded('holds the peer back by recvBufferMessages, and loses nothing', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false, serverConfig: { recvBufferMessages: 10 } });
    const { client, server } = await pair.connect();
    const sent = Array.from({ length: 300 }, (_, at) => `message ${at} ${'.'.repeat(at)}`);
    for (const text of sent) client.connection.send(text);
    const received: string[] = [];
    await pair.advance(2 * SECOND);
    const { sentUnackedReliableBytes, pendingReliableBytes } = client.connection.status();
    expect(sentUnackedReliableBytes + pendingReliableBytes).to.be.above(0);
    for (let round = 0; received.length < sent.length && round < 200; round++) {
      received.push(...server.connection.receiveMessages().map(textOf));
      await pair.advance(500 * MS);
    }
    expect(received).to.deep.equal(sent);
    expect(client.connection.state).to.equal('Connected');
    await pair.end();
  });

  itSeeded('holds the peer back by recvBufferSize, and loses nothing', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false, serverConfig: { recvBufferSize: 20_000 } });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 60; i++) client.connection.send(patternOf(3_500, i));
    await pair.advance(5 * SECOND);
    const { sentUnackedReliableBytes, pendingReliableBytes } = client.connection.status();
    expect(sentUnackedReliableBytes + pendingReliableBytes).to.be.at.least(60 * 3_500 - 2 * 20_000);
    let received = 0;
    for (let round = 0; received < 60 && round < 200; round++) {
      await pair.advance(2 * SECOND);
      // One by one: taking a message makes room for the next.
      const message = server.connection.receiveMessages(1)[0];
      if (message === undefined) continue;
      expect(message.data).to.deep.equal(patternOf(3_500, received));
      received++;
    }
    expect(received).to.equal(60);
    await pair.end();
  }).timeout(LONG_TEST_MS);

  itSeeded('that reads nothing for a minute does not lose the connection', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false, serverConfig: { recvBufferSize: 50_000 } });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 5; i++) client.connection.send(patternOf(40_000, i));
    await pair.advance(60 * SECOND);
    expect(client.connection.state).to.equal('Connected');
    const received: Uint8Array[] = [];
    for (let round = 0; received.length < 5 && round < 60; round++) {
      received.push(...server.connection.receiveMessages().map(({ data }) => data));
      await pair.advance(SECOND);
    }
    expect(received).to.deep.equal([0, 1, 2, 3, 4].map((salt) => patternOf(40_000, salt)));
    await pair.end();
  }).timeout(LONG_TEST_MS);
});

describe('the send buffer', () => {
  itSeeded('refuses what exceeds sendBufferSize, and takes more when there is room again', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: { sendBufferSize: 100_000 } });
    const { client, server } = await pair.connect();
    client.connection.send(patternOf(90_000));
    expect(() => client.connection.send(patternOf(20_000)))
      .to.throw()
      .with.property('code', 'LimitExceeded');
    await pair.until(() => server.messages.length === 1);
    client.connection.send(patternOf(90_000, 1));
    await pair.until(() => server.messages.length === 2);
    await pair.end();
  });
});

describe('unreliable messages', () => {
  itSeeded('of many fragments arrive whole or not at all', async (seed) => {
    const pair = new Pair({ seed, link: { ...LINK, lossRatio: 0.05, reorderRatio: 0.1 } });
    const { client, server } = await pair.connect();
    const count = 200;
    for (let i = 0; i < count; i++) {
      client.connection.send(patternOf(8_000 + i, i), { reliable: false });
      await pair.advance(50 * MS);
    }
    await pair.advance(SECOND);
    // Seven fragments each: about 0.95 ^ 7 = 70 % get through.
    expect(server.messages.length).to.be.within(count * 0.5, count * 0.9);
    for (const { data, messageNumber, reliable } of server.messages) {
      expect(reliable).to.equal(false);
      expect(data).to.deep.equal(patternOf(8_000 + messageNumber - 1, messageNumber - 1));
    }
    expect(new Set(server.messages.map(({ messageNumber }) => messageNumber)).size).to.equal(server.messages.length);
    await pair.end();
  }).timeout(LONG_TEST_MS);

  itSeeded('all arrive, in order, where nothing is lost', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 100; i++) client.connection.send(patternOf(i * 100, i), { reliable: false });
    await pair.until(() => server.messages.length === 100);
    server.messages.forEach(({ data }, i) => {
      expect(data).to.deep.equal(patternOf(i * 100, i));
    });
    await pair.end();
  });
});

describe('packet numbers', () => {
  itSeeded('go on beyond the 16 bits that are on the wire', async (seed) => {
    const link = { ...LINK, lossRatio: 0.02, reorderRatio: 0.02, duplicateRatio: 0.01 };
    const pair = new Pair({ seed, link, reads: false });
    const { client, server } = await pair.connect();
    let next = 0;
    let wrong = 0;
    server.connection.on('message', (message) => {
      if (textOf(message) !== `${next++}`) wrong++;
    });
    const count = 70_000;
    for (let i = 0; i < count; i++) {
      client.connection.send(`${i}`, { noNagle: true });
      pair.network.run(MS);
    }
    pair.network.run(5 * SECOND);
    expect(client.connection.status().packetsSent).to.be.above(0x1_0000);
    expect({ next, wrong }).to.deep.equal({ next: count, wrong: 0 });
    await pair.end();
  }).timeout(LONG_TEST_MS);
});

describe('reliable messages', () => {
  itSeeded('of half a megabyte arrive over a link that loses, swaps and doubles', async (seed) => {
    const link = { delayUs: 30_000, jitterUs: 20_000, lossRatio: 0.1, reorderRatio: 0.1, duplicateRatio: 0.1 };
    const pair = new Pair({ seed, link });
    const { client, server } = await pair.connect();
    client.connection.send(patternOf(524_288));
    await pair.until(() => server.messages.length === 1);
    expect(server.messages[0]!.data).to.deep.equal(patternOf(524_288));
    await pair.end();
  }).timeout(LONG_TEST_MS);
});

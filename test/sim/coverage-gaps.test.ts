// Configuration values that no other test looks at closely: what each does to the packets and the life of a connection.
// Spec: 06 §6.2, §6.3.

import { expect } from 'chai';
import { FakeNetwork } from '../../src/api/fake-network.ts';
import { SeededRandom } from '../../src/core/base/random.ts';
import { ConfigScope, type ConnectionConfigOptions, findConfigValue, Networking } from '../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';
import { Pair, patternOf, SECOND, type SeenDatagram } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const LINK = { delayUs: 20_000 };
const MS = 1_000;
/** Kept free in a packet for statistics. */
const BLOB_RESERVE_BYTES = 45;

function dataFromClient(seen: readonly SeenDatagram[]): readonly SeenDatagram[] {
  return seen.filter(({ from, kind }) => from === 'client' && kind === 'data');
}

describe('nagleTime', () => {
  for (const [nagleTime, packets] of [
    [0, 10],
    [4_000, 3],
    [20_000, 1],
  ] as const) {
    itSeeded(`of ${nagleTime} us makes ${packets} packets of ten small messages in ten ms`, async (seed) => {
      const pair = new Pair({ seed, link: LINK });
      const { client, server } = await pair.connect({ nagleTime });
      await pair.advance(SECOND);
      const seen = pair.watch();
      for (let i = 0; i < 10; i++) {
        client.connection.send(`${i}`, { reliable: false });
        await pair.advance(MS);
      }
      await pair.until(() => server.messages.length === 10);
      expect(dataFromClient(seen)).to.have.length(packets);
      await pair.end();
    });
  }
});

describe('mtuPacketSize', () => {
  for (const mtuPacketSize of [200, 576, 1300]) {
    itSeeded(`of ${mtuPacketSize} is filled and never exceeded`, async (seed) => {
      const pair = new Pair({ seed, link: LINK });
      const { client, server } = await pair.connect({ mtuPacketSize });
      const seen = pair.watch();
      client.connection.send(patternOf(20_000));
      client.connection.send(patternOf(2_000), { reliable: false });
      await pair.until(() => server.messages.length === 2);
      const longest = Math.max(...dataFromClient(seen).map(({ length }) => length));
      expect(longest).to.be.within(mtuPacketSize - BLOB_RESERVE_BYTES, mtuPacketSize);
      expect(server.messages.map(({ data }) => data.length)).to.have.members([20_000, 2_000]);
      await pair.end();
    });
  }

  itSeeded('may be changed while connected', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    client.connection.config.set('mtuPacketSize', 300);
    await pair.advance(SECOND);
    const seen = pair.watch();
    client.connection.send(patternOf(2_000), { reliable: false });
    await pair.until(() => server.messages.length === 1);
    expect(Math.max(...dataFromClient(seen).map(({ length }) => length))).to.be.within(300 - BLOB_RESERVE_BYTES, 300);
    await pair.end();
  });
});

describe('sendRateMin and sendRateMax', () => {
  itSeeded('follow changes while connected, and the lower limit wins', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    const rate = () => client.connection.status().sendRateBytesPerSec;
    client.connection.config.setAll({ sendRateMin: 50_000, sendRateMax: 50_000 });
    client.connection.send('x');
    await pair.advance(SECOND);
    expect(rate()).to.equal(50_000);
    client.connection.config.set('sendRateMin', 80_000);
    client.connection.send('x');
    await pair.advance(SECOND);
    expect(rate()).to.equal(80_000);
    await pair.end();
  });
});

describe('recvMaxMessageSize', () => {
  itSeeded('lets a message of that size in, and ends the connection with 5002 for one that is larger', async (seed) => {
    const pair = new Pair({ seed, link: LINK, serverConfig: { recvMaxMessageSize: 1_000 } });
    const { client, server } = await pair.connect();
    client.connection.send(patternOf(1_000));
    await pair.until(() => server.messages.length === 1);
    client.connection.send(patternOf(1_001));
    await pair.until(() => server.connection.state === 'ProblemDetectedLocally');
    expect(server.connection.info.endReason).to.equal(5002);
    await pair.until(() => client.connection.state === 'ClosedByPeer');
    expect(client.connection.info.endReason).to.equal(5002);
    await pair.end();
  });
});

describe('recvMaxSegmentsPerPacket', () => {
  itSeeded('drops what is beyond it in a packet, and denies to have received that packet', async (seed) => {
    const pair = new Pair({ seed, link: LINK, serverConfig: { recvMaxSegmentsPerPacket: 2 } });
    const { client, server } = await pair.connect();
    const sent = ['one', 'two', 'three', 'four'];
    for (const text of sent) client.connection.send(text, { reliable: false, receipt: true });
    const fates: string[] = [];
    client.connection.on('receipt', ({ fate }) => fates.push(fate));
    client.connection.flush();
    await pair.advance(5 * SECOND);
    expect(server.texts).to.deep.equal(['one', 'two']);
    expect(fates).to.deep.equal(sent.map(() => 'lost'));
    await pair.end();
  });
});

describe('sendTimeSincePreviousPacket', () => {
  for (const [sendTimeSincePreviousPacket, isMeasured] of [
    [-1, false],
    [0, false],
    [1, true],
  ] as const) {
    const what = isMeasured ? 'lets the peer measure' : 'leaves the peer without measurements of';
    itSeeded(`of ${sendTimeSincePreviousPacket} ${what} jitter`, async (seed) => {
      const pair = new Pair({ seed, link: { ...LINK, jitterUs: 5_000 } });
      const { client, server } = await pair.connect({ sendTimeSincePreviousPacket });
      for (let i = 0; i < 50; i++) {
        client.connection.send('tick', { reliable: false, noNagle: true });
        await pair.advance(30 * MS);
      }
      expect(server.connection.status().maxJitterUs >= 0).to.equal(isMeasured);
      await pair.end();
    });
  }
});

describe('timeoutInitial and timeoutConnected', () => {
  itSeeded('of two seconds end an attempt that nobody answers after two seconds', async (seed) => {
    const pair = new Pair({ seed, link: { lossRatio: 1 } });
    const client = pair.open({ timeoutInitial: 2_000 });
    await pair.advance(1.9 * SECOND);
    expect(client.connection.state).to.equal('Connecting');
    await pair.advance(0.2 * SECOND);
    expect(client.connection.info.endReason).to.equal(5003);
    await pair.end();
  });

  itSeeded('of two seconds end a connection two seconds after a reply is overdue', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect({ timeoutConnected: 2_000 });
    pair.setLink({ lossRatio: 1 });
    client.connection.send('are you there?');
    await pair.advance(1.9 * SECOND);
    expect(client.connection.state).to.equal('Connected');
    await pair.advance(SECOND);
    expect(client.connection.info.endReason).to.equal(5003);
    await pair.end();
  });
});

describe('unencrypted', () => {
  /** By what the server says (row) and what the client says (column). */
  const outcomes = [
    ['encrypted', 'encrypted', 'encrypted', 'refused'],
    ['encrypted', 'encrypted', 'encrypted', 'plain'],
    ['encrypted', 'plain', 'plain', 'plain'],
    ['refused', 'plain', 'plain', 'plain'],
  ];
  for (const [ofServer, row] of outcomes.entries()) {
    for (const [ofClient, outcome] of row.entries()) {
      itSeeded(`of the server ${ofServer}, of the client ${ofClient}: ${outcome}`, async (seed) => {
        const serverConfig = { unencrypted: ofServer };
        const pair = new Pair({ seed, link: LINK, serverConfig, clientConfig: { unencrypted: ofClient } });
        const client = pair.open();
        await pair.until(() => client.connection.state !== 'Connecting');
        const { state, flags } = client.connection.info;
        const found = state !== 'Connected' ? 'refused' : flags.unencrypted ? 'plain' : 'encrypted';
        expect(found).to.equal(outcome);
        await pair.end();
      });
    }
  }
});

describe('connectionUserData', () => {
  itSeeded('comes from the listen socket, and may be changed for one connection', async (seed) => {
    const pair = new Pair({ seed, link: LINK, serverConfig: { connectionUserData: 7n } });
    pair.socket.config.set('connectionUserData', 9n);
    const { server } = await pair.connect();
    expect(server.connection.config.get('connectionUserData')).to.equal(9n);
    server.connection.config.set('connectionUserData', -5n);
    expect(server.connection.config.get('connectionUserData')).to.equal(-5n);
    expect(pair.socket.config.get('connectionUserData')).to.equal(9n);
    await pair.end();
  });

  itSeeded('of the listen socket is copied when a client comes, and not followed', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    pair.socket.config.set('connectionUserData', 9n);
    const { server } = await pair.connect();
    pair.socket.config.set('connectionUserData', 10n);
    expect(server.connection.config.get('connectionUserData')).to.equal(9n);
    await pair.end();
  });
});

describe('symmetricConnect', () => {
  for (const call of ['open', 'listen'] as const) {
    it(`is refused by ${call}: it is for connections through signaling`, () => {
      const network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
      const net = new Networking({ platform: network.host('here').platform });
      const config = { symmetricConnect: 1 };
      expect(() => (call === 'open' ? net.open('10.0.0.9:1', { config }) : net.listen({ port: 1, config })))
        .to.throw()
        .with.property('code', 'NotSupported');
      expect(network.openPorts).to.equal(0);
    });
  }
});

describe('ipAllowWithoutAuth and ipLocalHostAllowWithoutAuth', () => {
  /** Whether a client with these values connects to a server without certificate, elsewhere or on its own machine. */
  async function connects(where: 'elsewhere' | 'here', config: ConnectionConfigOptions): Promise<boolean> {
    const network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
    const here = network.host('here');
    const client = new Networking({ platform: here.platform });
    const host = where === 'here' ? here : network.host('elsewhere');
    const server = new Networking({ platform: host.platform });
    server.listen({ port: 27_015, autoAccept: true });
    const connection = client.open(`${where === 'here' ? '127.0.0.1' : host.address}:27015`, { config });
    await network.advance(11 * SECOND);
    const isConnected = connection.state === 'Connected';
    await network.settle(client.close(), 60 * SECOND);
    await network.settle(server.close(), 60 * SECOND);
    return isConnected;
  }

  it('of 0 refuse a peer without certificate, each where it counts', async () => {
    const strict = { ipAllowWithoutAuth: 0, ipLocalHostAllowWithoutAuth: 0 };
    expect(await connects('elsewhere', strict)).to.equal(false);
    expect(await connects('here', strict)).to.equal(false);
    expect(await connects('elsewhere', { ...strict, ipLocalHostAllowWithoutAuth: 2 })).to.equal(false);
    expect(await connects('here', { ...strict, ipLocalHostAllowWithoutAuth: 2 })).to.equal(true);
    expect(await connects('elsewhere', { ...strict, ipAllowWithoutAuth: 1 })).to.equal(true);
  });
});

describe('outOfOrderCorrectionWindowMicroseconds', () => {
  itSeeded(
    'is accepted and changes nothing: messages of packets that were swapped are delivered at once',
    async (seed) => {
      const outOfOrderCorrectionWindowMicroseconds = 50_000;
      const pair = new Pair({ seed, link: LINK, config: { outOfOrderCorrectionWindowMicroseconds } });
      const { client, server } = await pair.connect();
      await pair.advance(SECOND);
      pair.setLink({ ...LINK, reorderRatio: 1, reorderDelayUs: 30 * MS });
      client.connection.send('slow', { reliable: false, noNagle: true });
      await pair.advance(0);
      pair.setLink(LINK);
      client.connection.send('fast', { reliable: false, noNagle: true });
      await pair.advance(21 * MS);
      expect(server.texts).to.deep.equal(['fast']);
      await pair.advance(SECOND);
      expect(server.texts).to.deep.equal(['fast', 'slow']);
      await pair.end();
    },
  );
});

describe('a value of the fake network for what comes in', () => {
  const settings: readonly (readonly [name: string, ...values: readonly (readonly [string, number])[]])[] = [
    ['FakePacketLoss_Recv', ['FakePacketLoss_Recv', 30]],
    ['FakePacketLag_Recv', ['FakePacketLag_Recv', 70]],
    ['FakePacketReorder_Recv', ['FakePacketReorder_Recv', 30]],
    ['FakePacketDup_Recv', ['FakePacketDup_Recv', 30]],
    ['FakeRateLimit_Recv_Rate', ['FakeRateLimit_Recv_Rate', 5_000]],
    ['FakeRateLimit_Recv_Burst', ['FakeRateLimit_Recv_Rate', 5_000], ['FakeRateLimit_Recv_Burst', 1_000]],
    ['FakePacketJitter_Recv_Avg', ['FakePacketJitter_Recv_Avg', 10]],
    ['FakePacketJitter_Recv_Max', ['FakePacketJitter_Recv_Avg', 10], ['FakePacketJitter_Recv_Max', 12]],
    ['FakePacketJitter_Recv_Pct', ['FakePacketJitter_Recv_Avg', 10], ['FakePacketJitter_Recv_Pct', 20]],
  ];

  /** When each of a hundred datagrams arrives, of this direction and with these values of it. */
  function fates(direction: 'Send' | 'Recv', values: readonly (readonly [string, number])[], seed: number): number[][] {
    const config = new ConfigScope('global');
    for (const [name, value] of values) config.set(findConfigValue(name.replace('Recv', direction))!, value);
    const network = new FakeNetwork(direction, config, new SeededRandom(seed));
    return Array.from({ length: 100 }, (_, i) => [...network.fate(500, SECOND + i * 10 * MS)]);
  }

  for (const [name, ...values] of settings) {
    itSeeded(`(${name}) does to it what its twin does to what goes out`, (seed) => {
      const found = fates('Recv', values, seed);
      expect(found).to.deep.equal(fates('Send', values, seed));
      expect(found).to.not.deep.equal(fates('Recv', values.slice(0, -1), seed));
    });
  }
});

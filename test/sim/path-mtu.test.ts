// Datagrams of more than 1300 bytes: between ours only, as large as the path carries, and nothing is lost on the way to
// knowing it.

import { expect } from 'chai';
import type { ConfigOptions, Connection, SendOptions } from '../../src/index.ts';
import { Networking } from '../../src/index.ts';
import { type LinkConditions, nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';

const SECOND_US = 1_000_000;
const FAST = { sendRateMin: 50 << 20, sendRateMax: 50 << 20, sendBufferSize: 8 << 20, recvBufferSize: 8 << 20 };

interface Lab {
  readonly network: SimulatedNetwork;
  readonly connection: Connection;
  /** First bytes of the messages that arrived, and their sizes. */
  readonly arrived: { readonly tag: number; readonly bytes: number }[];
  /** Of the datagrams from the client, lost ones included. */
  largestBytes(): number;
}

/** Client and server on one machine, or apart. */
async function connect(where: 'local' | 'apart', config: ConfigOptions, conditions: LinkConditions = {}): Promise<Lab> {
  const network = new SimulatedNetwork({ seed: 5, crypto: nodeCrypto, conditions: { delayUs: 1_000, ...conditions } });
  const host = network.host('server', { addresses: ['10.0.0.1'] });
  const clientHost = where === 'local' ? host : network.host('client', { addresses: ['10.0.0.2'] });
  const server = new Networking({ platform: host.platform, config: FAST });
  const client = new Networking({ platform: clientHost.platform, config: { ...FAST, ...config } });
  const arrived: Lab['arrived'] = [];
  server.listen({ port: 27015, autoAccept: true }).on('connection', ({ connection }) => {
    connection.on('message', ({ data }) => arrived.push({ tag: data[0]!, bytes: data.length }));
  });
  let largestBytes = 0;
  network.tap(({ bytes, to }) => {
    if (to.port === 27015) largestBytes = Math.max(largestBytes, bytes.length);
  });
  const address = where === 'local' ? '127.0.0.1' : '10.0.0.1';
  const connection = await network.settle(client.connect(`${address}:27015`), 10 * SECOND_US);
  return { network, connection, arrived, largestBytes: () => largestBytes };
}

/** Sends `count` messages, a bunch at a time, and waits until they have had the time to arrive. */
async function flood(lab: Lab, count: number, bytes: number, options: SendOptions = {}): Promise<void> {
  for (let i = 0; i < count; i++) {
    lab.connection.send(new Uint8Array(bytes).fill(i), options);
    if (i % 100 === 99) await lab.network.advance(20_000);
  }
  await lab.network.advance(5 * SECOND_US);
}

function expectAll({ arrived }: Lab, count: number, bytes: number): void {
  const expected = Array.from({ length: count }, (_, i) => ({ tag: i & 0xff, bytes }));
  expect(arrived).to.deep.equal(expected);
}

describe('datagrams of more than 1300 bytes', () => {
  it('carry bulk between ours on one machine', async () => {
    const lab = await connect('local', {});
    await flood(lab, 1_000, 1_200);
    expectAll(lab, 1_000, 1_200);
    expect(lab.connection.status().mtuBytes).to.be.within(8_180, 8_192);
    expect(lab.connection.status().packetsSent).to.be.below(300);
  });

  it('carry unreliable messages whole', async () => {
    const lab = await connect('local', {});
    await flood(lab, 200, 16_000, { reliable: false });
    expectAll(lab, 200, 16_000);
    expect(lab.largestBytes()).to.be.within(8_000, 8_192);
  });

  it('do not go to another machine unasked', async () => {
    const lab = await connect('apart', {});
    await flood(lab, 500, 1_200);
    expectAll(lab, 500, 1_200);
    expect(lab.largestBytes()).to.be.at.most(1_300);
    expect(lab.connection.status().mtuBytes).to.equal(1_300);
  });

  it('go as far as the application allows and the path carries', async () => {
    const lab = await connect('apart', { mtuDiscoveryMax: 4_352 }, { mtuBytes: 1_500 });
    await flood(lab, 4_000, 1_200);
    expectAll(lab, 4_000, 1_200);
    expect(lab.connection.status().mtuBytes).to.be.within(1_465, 1_472);
  });

  it('are given up on a path that carries them no longer, and nothing is lost', async () => {
    const lab = await connect('apart', { mtuDiscoveryMax: 8_192 });
    await flood(lab, 500, 1_200);
    expect(lab.largestBytes()).to.be.above(8_000);
    lab.network.setConditions({ delayUs: 1_000, mtuBytes: 1_400 });
    await flood(lab, 500, 1_200);
    expect(lab.arrived).to.have.lengthOf(1_000);
    expect(lab.connection.status().mtuBytes).to.be.within(1_300, 1_400);
  });

  it('do not go to a peer whose application wants small packets from us', async () => {
    const lab = await connect('local', { mtuPacketSize: 600 });
    await flood(lab, 300, 1_200);
    expectAll(lab, 300, 1_200);
    expect(lab.largestBytes()).to.be.at.most(600);
  });

  it('wait for a rate at which they hold nobody up', async () => {
    const lab = await connect('local', { sendRateMin: 262_144, sendRateMax: 262_144 });
    await flood(lab, 300, 1_200);
    expectAll(lab, 300, 1_200);
    expect(lab.connection.status().bytesSent / lab.connection.status().packetsSent).to.be.below(1_300);
  });

  for (const lossRatio of [0.02, 0.2]) {
    it(`lose nothing at ${100 * lossRatio} % loss`, async () => {
      const lab = await connect('apart', { mtuDiscoveryMax: 4_352 }, { lossRatio, jitterUs: 2_000 });
      await flood(lab, 1_000, 1_200);
      await lab.network.advance(10 * SECOND_US);
      expectAll(lab, 1_000, 1_200);
    });
  }
});

// What the library tells a log.

import { expect } from 'chai';
import { type ConfigOptions, type LogEntry, type LogLevel, Networking } from '../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';

const SECOND_US = 1_000_000;

/** A client that logs talks with a server for two seconds, and is cut off if `isCut`. */
async function play(level: LogLevel, config: ConfigOptions = {}, isCut = false): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  const network = new SimulatedNetwork({
    seed: 3,
    crypto: nodeCrypto,
    conditions: { delayUs: 10_000, lossRatio: 0.1 },
  });
  const serverHost = network.host('server', { addresses: ['10.0.0.1'] });
  const clientHost = network.host('client');
  const server = new Networking({ platform: serverHost.platform });
  const log = { level, output: (entry: LogEntry) => entries.push(entry) };
  const client = new Networking({ platform: clientHost.platform, config, log });
  server.listen({ port: 27015 }).on('connection', (incoming) => {
    const connection = incoming.accept();
    connection.on('message', ({ data }) => connection.send(data));
  });
  const connection = await network.settle(client.connect('10.0.0.1:27015'), 10 * SECOND_US);
  for (let i = 0; i < 100; i++) {
    connection.send('x');
    await network.advance(20_000);
  }
  if (isCut) {
    connection.send('into the void');
    network.partition(clientHost, serverHost);
    await network.advance(30 * SECOND_US);
  }
  void connection.close();
  await network.advance(6 * SECOND_US);
  return entries;
}

describe('the log', () => {
  it('tells what becomes of a connection, and names it', async () => {
    const entries = await play('msg');
    const changes = entries.map(({ text }) => text.replace(/^#\d+ UDP \S+ /, ''));
    expect(changes.slice(0, 2)).to.deep.equal(['None -> Connecting', 'Connecting -> Connected']);
    expect(changes.at(-1)).to.match(/^Connected -> FinWait: 1000 App_Generic/);
  });

  it('warns of a problem', async () => {
    const entries = await play('warning', {}, true);
    expect(entries.map(({ level }) => level)).to.deep.equal(['warning']);
    expect(entries[0]!.text).to.contain('5003 Misc_Timeout');
  });

  it('keeps quiet at level none', async () => {
    expect(await play('none', {}, true)).to.deep.equal([]);
  });

  const details = [
    { value: 'logLevelAckRtt', words: 'ping is' },
    { value: 'logLevelPacketDecode', words: 'datagrams' },
    { value: 'logLevelMessage', words: 'messages' },
    { value: 'logLevelPacketGaps', words: 'packets missing' },
  ] as const;
  for (const { value, words } of details) {
    it(`tells details only where ${value} asks for them`, async () => {
      const withDetails = await play('verbose', { [value]: 6 });
      const without = await play('verbose');
      expect(withDetails.some(({ text }) => text.includes(words))).to.equal(true);
      expect(without.some(({ text }) => text.includes(words))).to.equal(false);
    });
  }
});

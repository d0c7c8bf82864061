// When the crank turns: at once, or at the end of the turn.

import { expect } from 'chai';
import sinon from 'sinon';
import { Networking } from '../../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../../src/testing.ts';
import { itSeeded } from '../../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000_000;
const AT_ONCE = { noNagle: true };
const config = { sendRateMin: 100_000_000, sendRateMax: 100_000_000 };

/** A server that answers each message, its client, and what the server puts off until the end of the turn. */
async function echoPair(seed: number) {
  const network = new SimulatedNetwork({ seed, crypto: nodeCrypto });
  const { platform } = network.host('server');
  const server = new Networking({ platform, config });
  server.listen({ port: 27_015, autoAccept: true }).on('connection', ({ connection }) => {
    connection.on('message', ({ data }) => connection.send(data, AT_ONCE));
  });
  const client = new Networking({ platform: network.host('client').platform, config });
  const connection = await network.settle(client.connect('server:27015'), SECOND);
  const answers: Uint8Array[] = [];
  connection.on('message', ({ data }) => answers.push(data));
  await network.advance(SECOND);
  return { network, connection, answers, defer: sinon.spy(platform, 'defer') };
}

describe('the crank', () => {
  itSeeded('turns within the arrival of a datagram that comes alone', async (seed) => {
    const { network, connection, answers, defer } = await echoPair(seed);
    connection.send('a question', AT_ONCE);
    await network.advance(MS);
    expect(answers).to.have.length(1);
    expect(defer.callCount).to.equal(0);
  });

  itSeeded('waits for the end of the turn when datagrams follow closely', async (seed) => {
    const { network, connection, answers, defer } = await echoPair(seed);
    for (let i = 0; i < 5; i++) connection.send(new Uint8Array(1_000), AT_ONCE);
    await network.advance(MS);
    expect(answers).to.have.length(5);
    expect(defer.callCount).to.be.greaterThan(0);
  });

  itSeeded('stands still while nothing comes of what strangers send', async (seed) => {
    const { network, defer } = await echoPair(seed);
    const { platform } = network.host('stranger');
    const [server = ''] = await platform.resolve('server');
    const port = platform.openUdp({ address: '::', port: 0 }, { onDatagram: () => {} });
    for (let i = 0; i < 5; i++) port.send(new Uint8Array(600).fill(0x22), 600, { address: server, port: 27_015 });
    await network.advance(MS);
    expect(defer.callCount).to.equal(0);
  });
});

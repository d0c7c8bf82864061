// What went wrong once, seen from the public API.
import { expect } from 'chai';
import { Networking } from '../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';

const SECOND_US = 1_000_000;

function pair() {
  const network = new SimulatedNetwork({ seed: 7, crypto: nodeCrypto, conditions: { delayUs: 10_000 } });
  const serverHost = network.host('server', { addresses: ['10.0.0.1'] });
  const clientHost = network.host('client', { addresses: ['10.0.0.2'] });
  const server = new Networking({ identity: 'str:server', platform: serverHost.platform });
  const client = new Networking({ identity: 'str:client', platform: clientHost.platform });
  return { network, serverHost, clientHost, server, client };
}

describe('once broken, seen from the public API', () => {
  it('does not call delivered what was lost in a time-out', async () => {
    const { network, serverHost, clientHost, server, client } = pair();
    server.listen({ port: 27015, autoAccept: true });
    const connection = await network.settle(client.connect('10.0.0.1:27015'), 10 * SECOND_US);
    network.partition(clientHost, serverHost);
    connection.send('never arrives');
    await network.advance(30 * SECOND_US);
    expect(connection.state).to.equal('ProblemDetectedLocally');
    const result = await network.settle(connection.close(), 30 * SECOND_US);
    expect(result.delivered).to.equal(false);
  });

  it('does not call delivered what never left because no connection came about', async () => {
    const { network, client } = pair();
    const connection = client.open('10.0.0.1:27015');
    connection.send('never arrives');
    await network.advance(30 * SECOND_US);
    const result = await network.settle(connection.close(), 30 * SECOND_US);
    expect(result.delivered).to.equal(false);
  });

  it('hands out messages before it tells of the end, also if both came in one turn', async () => {
    const { network, serverHost, server, client } = pair();
    const log: string[] = [];
    const socket = server.listen({ port: 27015, autoAccept: true });
    socket.on('connection', ({ connection }) => {
      connection.on('message', ({ data }) => log.push(new TextDecoder().decode(data)));
      connection.on('ended', () => log.push('ended'));
    });
    const connection = await network.settle(client.connect('10.0.0.1:27015'), 10 * SECOND_US);
    serverHost.freeze();
    connection.send('a', { noNagle: true });
    await network.advance(0);
    void connection.close();
    await network.advance(100_000);
    serverHost.thaw();
    await network.advance(100_000);
    expect(log).to.deep.equal(['a', 'ended']);
  });

  it('lets go of a client that nobody answered and nobody was told of', async () => {
    const { network, server, client } = pair();
    const socket = server.listen({ port: 27015 });
    const attempt = client.connect('10.0.0.1:27015').catch(() => {});
    await network.settle(attempt, 30 * SECOND_US);
    await network.advance(60 * SECOND_US);
    expect(socket.connectionCount).to.equal(0);
  });

  it('gives clients that came before the loop to the loop', async () => {
    const { network, server, client } = pair();
    const socket = server.listen({ port: 27015 });
    client.open('10.0.0.1:27015');
    await network.advance(SECOND_US);
    const { value } = await network.settle(socket[Symbol.asyncIterator]().next(), SECOND_US);
    expect(String((value as { remoteIdentity: unknown }).remoteIdentity)).to.equal('str:client');
  });
});

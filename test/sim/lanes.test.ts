// Lanes between two instances in virtual time.

import { expect } from 'chai';
import { Networking } from '../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';

const SECOND_US = 1_000_000;

async function connectedPair() {
  const network = new SimulatedNetwork({ seed: 11, crypto: nodeCrypto, conditions: { delayUs: 10_000 } });
  const server = new Networking({ platform: network.host('server', { addresses: ['10.0.0.1'] }).platform });
  const config = { sendBufferSize: 8 << 20 };
  const client = new Networking({ platform: network.host('client').platform, config });
  const socket = server.listen({ port: 27015 });
  const bytesByLane = new Map<number, number>();
  const order: number[] = [];
  socket.on('connection', (incoming) => {
    const connection = incoming.accept();
    connection.on('message', ({ lane, data }) => {
      bytesByLane.set(lane, (bytesByLane.get(lane) ?? 0) + data.length);
      order.push(lane);
    });
  });
  const connection = await network.settle(client.connect('10.0.0.1:27015'), 10 * SECOND_US);
  return { network, server, client, connection, bytesByLane, order };
}

describe('lanes', () => {
  it('of a higher priority drain first', async () => {
    const { network, connection, order } = await connectedPair();
    connection.configureLanes([{ priority: 2 }, { priority: 1 }, { priority: 0 }]);
    for (let lane = 0; lane < 3; lane++) for (let i = 0; i < 20; i++) connection.send(new Uint8Array(1000), { lane });
    await network.advance(5 * SECOND_US);
    expect(order.slice(1)).to.deep.equal([...order.slice(1)].sort((a, b) => b - a));
    expect(order).to.have.lengthOf(60);
  });

  it('of equal priority share the rate by weight, within a tenth', async () => {
    const { network, connection, bytesByLane } = await connectedPair();
    const weights = [1, 2, 5];
    connection.configureLanes(weights.map((weight) => ({ weight })));
    for (let lane = 0; lane < 3; lane++) for (let i = 0; i < 2500; i++) connection.send(new Uint8Array(1000), { lane });
    await network.advance(10 * SECOND_US);
    const total = [...bytesByLane.values()].reduce((sum, each) => sum + each, 0);
    for (const [lane, weight] of weights.entries()) {
      const share = bytesByLane.get(lane)! / total;
      expect(share, `lane ${lane}`).to.be.closeTo(weight / 8, weight / 80);
    }
  });

  it('may be as many as 254 between our peers', async () => {
    const { network, connection, order } = await connectedPair();
    connection.configureLanes(Array.from({ length: 254 }, () => ({})));
    for (let lane = 0; lane < 254; lane++) connection.send(new Uint8Array(100), { lane, noNagle: true });
    await network.advance(5 * SECOND_US);
    expect(new Set(order).size).to.equal(254);
  });

  it('cannot become fewer', async () => {
    const { connection } = await connectedPair();
    connection.configureLanes([{}, {}]);
    expect(() => connection.configureLanes([{}]))
      .to.throw('there are 2 already')
      .with.property('code', 'InvalidParam');
  });
});

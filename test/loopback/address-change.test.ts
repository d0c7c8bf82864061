// Our client, on real sockets, behind a router that gives it another port now and then.

import { expect } from 'chai';
import { Networking } from '../../src/index.ts';
import { textOf } from '../support/pair.ts';
import { RebindingProxy } from '../support/rebinding-proxy.ts';

describe('a client behind a router that forgets', () => {
  it('stays connected and loses no reliable message', async () => {
    await using instance = new Networking();
    const socket = instance.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
    const ports: number[] = [];
    const texts: string[] = [];
    socket.on('connection', ({ connection }) => {
      connection.on('message', (message) => {
        texts.push(textOf(message));
        connection.send(message.data, { noNagle: true });
      });
      connection.on('addressChanged', () => ports.push(connection.remoteAddress.port));
    });
    await using proxy = await RebindingProxy.start(socket.address.port);
    const client = await instance.connect(`127.0.0.1:${proxy.port}`);
    const expected: string[] = [];
    const outsidePorts: number[] = [];
    for (let turn = 0; turn < 4; turn++) {
      await proxy.rebind();
      outsidePorts.push(proxy.outsidePort);
      expected.push(`after ${turn}`);
      client.send(`after ${turn}`, { noNagle: true });
      // The echo takes the new way: it comes when the server has moved.
      for await (const echo of readable(client)) if (textOf(echo) === `after ${turn}`) break;
    }
    expect(texts).to.deep.equal(expected);
    expect(ports).to.deep.equal(outsidePorts);
    await client.close();
  });
});

/** Messages as they come; leaving the loop leaves the connection open. */
async function* readable(connection: Awaited<ReturnType<Networking['connect']>>) {
  for (;;) {
    const [message] = connection.receiveMessages(1);
    if (message !== undefined) yield message;
    else await new Promise((resolve) => connection.once('readable', () => resolve(undefined)));
  }
}

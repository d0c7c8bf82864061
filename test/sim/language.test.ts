// Connections and sockets in the forms that the language has for such things: loops and scopes.

import { expect } from 'chai';
import { Pair } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const LINK = { delayUs: 20_000 };

describe('in the language, the library', () => {
  itSeeded('iterates over messages until the peer closes', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false });
    const { client, server } = await pair.connect();
    const texts: string[] = [];
    const reading = (async () => {
      for await (const { data } of server.connection) texts.push(new TextDecoder().decode(data));
    })();
    for (let i = 0; i < 5; i++) {
      client.connection.send(`${i}`);
      await pair.advance(100_000);
    }
    await pair.settle(client.connection.close({ linger: true }));
    await pair.settle(reading);
    expect(texts).to.deep.equal(['0', '1', '2', '3', '4']);
    expect(server.connection.state).to.equal('None');
    await pair.end();
  });

  itSeeded('closes with linger when an iteration is left', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false });
    const { client, server } = await pair.connect();
    const reading = (async () => {
      for await (const { data } of server.connection) {
        server.connection.send(data);
        break;
      }
    })();
    client.connection.send('echo');
    await pair.settle(reading);
    expect(client.connection.state).to.equal('ClosedByPeer');
    expect(client.connection.receiveMessages()).to.have.length(1);
    await pair.end();
  });

  itSeeded('iterates over clients until the socket closes', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    let accepted = 0;
    const serving = (async () => {
      for await (const arrival of pair.socket) {
        arrival.accept();
        accepted++;
      }
    })();
    for (let i = 0; i < 3; i++) await pair.settle(pair.open().connection.connected());
    void pair.socket.close();
    await pair.settle(serving);
    expect(accepted).to.equal(3);
    await pair.end();
  });

  itSeeded('closes connections, sockets and instances that go out of scope', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    const scope = async () => {
      await using connection = client.connection;
      connection.send('last words');
    };
    await pair.settle(scope());
    expect(server.texts).to.deep.equal(['last words']);
    expect(server.connection.state).to.equal('ClosedByPeer');
    await pair.settle(pair.socket[Symbol.asyncDispose]());
    await pair.settle(pair.server[Symbol.asyncDispose]());
    expect(pair.serverHost.openPorts).to.equal(0);
    await pair.end();
  });
});

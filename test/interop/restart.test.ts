// Peers that are killed and come back where they were.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { expect } from 'chai';
import { PeerProcess } from '../support/peer-process.ts';
import { addressOf, ConnectionEnd, describeInterop, isOurs, Pair, pause } from './pair.ts';

const HOST = '127.0.0.1';
/** For so long a connection that is closed answers late packets. */
const FIN_WAIT_MS = 5_000;

/** Stands between clients and a server, which sees whatever client there is at one and the same address. */
class Relay implements AsyncDisposable {
  readonly #front: Socket = createSocket('udp4');
  readonly #back: Socket = createSocket('udp4');

  async start(serverPort: number): Promise<string> {
    let clientPort = 0;
    this.#front.on('message', (datagram, from) => {
      clientPort = from.port;
      this.#back.send(datagram, serverPort, HOST);
    });
    this.#back.on('message', (datagram) => this.#front.send(datagram, clientPort, HOST));
    for (const socket of [this.#front, this.#back]) {
      // A server that is gone is part of the story.
      socket.on('error', () => {});
      socket.bind(0, HOST);
      await once(socket, 'listening');
    }
    return addressOf(HOST, this.#front.address().port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#front.close();
    this.#back.close();
  }
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

describeInterop('restarts', (roles) => {
  /** Ours lets a client in while the connection from its address is silent; GNS only once it has forgotten that one. */
  const replacesTheSilent = isOurs(roles.listener);

  it('a client that was killed comes in again from the same address', async () => {
    await using pair = await Pair.start(roles, { listener: { TimeoutConnected: 1_000 } });
    await using relay = new Relay();
    await pair.listen();
    const addr = await relay.start(portOf(pair.address));
    await pair.connector.ask('connect', { id: 'C', addr });
    await Promise.all([pair.connectorEnd.state('Connected'), pair.listenerEnd.state('Connected')]);
    await pair.connector.kill();
    if (!replacesTheSilent) {
      await pair.listenerEnd.ask('send', { text: 'are you there?' });
      await pair.listenerEnd.state('ProblemDetectedLocally');
      await pause(FIN_WAIT_MS + 100);
    }

    await using successor = new PeerProcess(roles.connector);
    await successor.ask('init');
    await successor.ask('connect', { id: 'C', addr });
    const again = new ConnectionEnd(pair.listener, 'L.2');
    await Promise.all([new ConnectionEnd(successor, 'C').state('Connected'), again.state('Connected')]);
    expect(again.states[0]!.addr).to.equal(pair.listenerEnd.states[0]!.addr);
    expect(pair.listenerEnd.states[2]).to.include({ reason: replacesTheSilent ? 5010 : 5003 });
    await successor.ask('send', { id: 'C', text: 'back again' });
    expect(await again.untilMessages(1)).to.have.lengthOf(1);
  });

  it('a listener that was killed and is back does not know its client, which times out and can connect anew', async () => {
    await using pair = await Pair.start(roles, { connector: { TimeoutConnected: 1_000 } });
    await pair.establish();
    await pair.listener.kill();

    await using successor = new PeerProcess(roles.listener);
    await successor.ask('init');
    await successor.ask('autoaccept on');
    await successor.ask('listen', { id: 'L', addr: pair.address });
    await pair.connectorEnd.ask('send', { text: 'do you know me?' });
    expect((await pair.connectorEnd.state('ProblemDetectedLocally')).reason).to.equal(5003);
    expect(successor.states('L.1')).to.deep.equal([]);

    await pair.connector.ask('connect', { id: 'C2', addr: pair.address });
    await new ConnectionEnd(pair.connector, 'C2').state('Connected');
  });
});

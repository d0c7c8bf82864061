// Many connections read as one, in virtual time: a server with several clients, whose messages cross each other.

import { expect } from 'chai';
import { type Connection, type GroupMessage, Networking } from '../../src/index.ts';
import { nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';

const SECOND_US = 1_000_000;
const CLIENTS = 3;

/** `connections[i]` is the server's end of `clients[i]`. */
async function serverWithClients() {
  const network = new SimulatedNetwork({ seed: 5, crypto: nodeCrypto, conditions: { delayUs: 10_000 } });
  const host = network.host('server', { addresses: ['10.0.0.1'] });
  const server = new Networking({ platform: host.platform });
  const socket = server.listen({ port: 27015, autoAccept: true });
  const connections: Connection[] = [];
  socket.on('connection', ({ connection }) => connections.push(connection));
  const hosts: SimulatedHost[] = [];
  const clients: Connection[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    hosts.push(network.host(`client ${i}`));
    const client = new Networking({ platform: hosts[i]!.platform });
    clients.push(await network.settle(client.connect('10.0.0.1:27015'), SECOND_US));
  }
  const group = server.createPollGroup();
  const say = async (client: number, text: string) => {
    clients[client]!.send(text, { noNagle: true });
    await network.advance(SECOND_US / 10);
  };
  return { network, group, connections, clients, say };
}

function textsOf(received: readonly GroupMessage[]): string[] {
  return received.map(({ message }) => new TextDecoder().decode(message.data));
}

describe('a poll group', () => {
  it('gives the messages of all its connections in the order in which they came', async () => {
    const { group, connections, say } = await serverWithClients();
    for (const connection of connections) group.add(connection);
    for (const [client, text] of ['a', 'b', 'c', 'd', 'e', 'f'].entries()) await say((client * 2) % CLIENTS, text);
    expect(textsOf(group.receiveMessages())).to.deep.equal(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('gives messages of the same instant in the order of their arrival', async () => {
    const { network, group, connections, clients } = await serverWithClients();
    for (const connection of connections) group.add(connection);
    for (const client of [...clients].reverse()) client.send('first', { noNagle: true });
    await network.advance(SECOND_US / 10);
    expect(group.receiveMessages().map(({ connection }) => connection)).to.deep.equal([...connections].reverse());
  });

  it('tells which connection a message came through', async () => {
    const { group, connections, say } = await serverWithClients();
    for (const connection of connections) group.add(connection);
    await say(1, 'from the second');
    expect(group.receiveMessages()[0]?.connection).to.equal(connections[1]);
  });

  it('gives no more messages than were asked for', async () => {
    const { group, connections, say } = await serverWithClients();
    group.add(connections[0]!);
    for (const text of ['a', 'b', 'c']) await say(0, text);
    expect(textsOf(group.receiveMessages(2))).to.deep.equal(['a', 'b']);
    expect(textsOf(group.receiveMessages(2))).to.deep.equal(['c']);
  });

  it('does not give what was taken from the connection', async () => {
    const { group, connections, say } = await serverWithClients();
    for (const connection of connections) group.add(connection);
    await say(0, 'a');
    await say(1, 'b');
    await say(0, 'c');
    connections[0]!.receiveMessages(1);
    expect(textsOf(group.receiveMessages())).to.deep.equal(['b', 'c']);
  });

  it('leaves nothing for the connection of what was taken from the group', async () => {
    const { group, connections, say } = await serverWithClients();
    group.add(connections[0]!);
    await say(0, 'a');
    group.receiveMessages();
    expect(connections[0]!.receiveMessages()).to.deep.equal([]);
  });

  it('has the unread messages of a connection that joins, by the time of their arrival', async () => {
    const { group, connections, say } = await serverWithClients();
    group.add(connections[0]!);
    await say(1, 'a');
    await say(0, 'b');
    await say(1, 'c');
    group.add(connections[1]!);
    expect(textsOf(group.receiveMessages())).to.deep.equal(['a', 'b', 'c']);
  });

  it('does not have the messages of a connection that has left', async () => {
    const { group, connections, say } = await serverWithClients();
    group.add(connections[0]!);
    await say(0, 'a');
    expect(group.delete(connections[0]!)).to.equal(true);
    expect(group.receiveMessages()).to.deep.equal([]);
    expect(connections[0]!.receiveMessages()).to.have.lengthOf(1);
  });

  it('loses a connection to the group that it joins next', async () => {
    const { network, group, connections, say } = await serverWithClients();
    const other = new Networking({ platform: network.host('other').platform }).createPollGroup();
    group.add(connections[0]!);
    other.add(connections[0]!);
    await say(0, 'a');
    expect(group.has(connections[0]!)).to.equal(false);
    expect(group.receiveMessages()).to.deep.equal([]);
    expect(textsOf(other.receiveMessages())).to.deep.equal(['a']);
  });

  it('loses the unread messages of a connection that is closed', async () => {
    const { group, connections, say } = await serverWithClients();
    group.add(connections[0]!).add(connections[1]!);
    await say(0, 'a');
    await say(1, 'b');
    void connections[0]!.close();
    expect(textsOf(group.receiveMessages())).to.deep.equal(['b']);
  });

  it('still has what came before the peer closed', async () => {
    const { network, group, connections, clients } = await serverWithClients();
    group.add(connections[0]!);
    clients[0]!.send('last words');
    void clients[0]!.close({ linger: true });
    await network.advance(SECOND_US);
    expect(connections[0]!.state).to.equal('ClosedByPeer');
    expect(textsOf(group.receiveMessages())).to.deep.equal(['last words']);
  });

  it('is left by a connection that is gone', async () => {
    const { network, group, connections } = await serverWithClients();
    group.add(connections[0]!).add(connections[1]!);
    void connections[0]!.close();
    expect(group.size).to.equal(2);
    await network.advance(10 * SECOND_US);
    expect([...group.connections]).to.deep.equal([connections[1]]);
  });

  it('cannot be joined by a connection that was closed', async () => {
    const { group, connections } = await serverWithClients();
    void connections[0]!.close();
    expect(() => group.add(connections[0]!))
      .to.throw('was closed')
      .with.property('code', 'InvalidParam');
  });

  it('tells when a connection has messages again', async () => {
    const { group, connections, say } = await serverWithClients();
    group.add(connections[0]!);
    let told = 0;
    group.on('readable', () => told++);
    await say(0, 'a');
    await say(0, 'b');
    expect(told).to.equal(1);
    group.receiveMessages();
    await say(0, 'c');
    expect(told).to.equal(2);
  });

  it('tells of messages that a joining connection brings', async () => {
    const { network, group, connections, say } = await serverWithClients();
    await say(0, 'a');
    let told = 0;
    group.on('readable', () => told++);
    group.add(connections[0]!);
    await network.advance(1000);
    expect(told).to.equal(1);
  });

  it('hands messages to listeners, those included that came before them', async () => {
    const { network, group, connections, say } = await serverWithClients();
    group.add(connections[0]!).add(connections[1]!);
    await say(1, 'a');
    const received: GroupMessage[] = [];
    group.on('message', (each) => received.push(each));
    await network.advance(1000);
    await say(0, 'b');
    expect(textsOf(received)).to.deep.equal(['a', 'b']);
  });

  it('hands out last words before the end is told', async () => {
    const { network, group, connections, clients } = await serverWithClients();
    group.add(connections[0]!);
    const log: string[] = [];
    group.on('message', ({ message }) => log.push(new TextDecoder().decode(message.data)));
    connections[0]!.on('ended', () => log.push('ended'));
    clients[0]!.send('last words');
    void clients[0]!.close({ linger: true });
    await network.advance(SECOND_US);
    expect(log).to.deep.equal(['last words', 'ended']);
  });

  it('can be read with a loop, until it is closed', async () => {
    const { group, connections, say } = await serverWithClients();
    for (const connection of connections) group.add(connection);
    const received: GroupMessage[] = [];
    const loop = (async () => {
      for await (const each of group) received.push(each);
    })();
    await say(2, 'a');
    await say(0, 'b');
    group.close();
    await loop;
    expect(textsOf(received)).to.deep.equal(['a', 'b']);
  });

  it('lets go of its connections when it is disposed of, and they keep their messages', async () => {
    const { group, connections, say } = await serverWithClients();
    group.add(connections[0]!);
    await say(0, 'a');
    group[Symbol.dispose]();
    expect(group.size).to.equal(0);
    expect(() => group.add(connections[0]!))
      .to.throw()
      .with.property('code', 'InvalidState');
    expect(connections[0]!.receiveMessages()).to.have.lengthOf(1);
  });
});

// The line protocol of GNS's examples, on real sockets.

import { connect } from 'node:net';
import { expect } from 'chai';
import { TrivialSignaling, TrivialSignalingServer } from '../../src/signaling/trivial.ts';
import { eventually } from '../support/eventually.ts';

describe('trivial signaling', () => {
  let server: TrivialSignalingServer;
  const clients: TrivialSignaling[] = [];
  const received: string[] = [];

  beforeEach(async () => {
    server = await TrivialSignalingServer.listen(0);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    received.length = 0;
    await server.close();
  });

  function enter(identity: string): TrivialSignaling {
    const client = new TrivialSignaling({ port: server.port, identity });
    client.onSignal = (signal, from) => received.push(`${from} to ${identity}: ${Buffer.from(signal).toString()}`);
    clients.push(client);
    return client;
  }

  it('takes signals to whom they are for, and says who sent them', async () => {
    const alice = enter('str:alice');
    const bob = enter('str:bob');
    await eventually(() => alice.isConnected && bob.isConnected);
    alice.send('str:bob', Buffer.from('hello'));
    bob.send('str:alice', Buffer.from('yes?'));
    await eventually(() => received.length === 2);
    expect(received).to.have.members(['str:alice to str:bob: hello', 'str:bob to str:alice: yes?']);
  });

  it('keeps what is sent before the connection is there', async () => {
    const bob = enter('str:bob');
    await eventually(() => bob.isConnected);
    enter('str:alice').send('str:bob', Buffer.from('early'));
    await eventually(() => received.length === 1);
    expect(received).to.deep.equal(['str:alice to str:bob: early']);
  });

  it('comes back when the server has gone and another one is there', async () => {
    const alice = enter('str:alice');
    const bob = enter('str:bob');
    await eventually(() => alice.isConnected && bob.isConnected);
    const { port } = server;
    await server.close();
    await eventually(() => !alice.isConnected && !bob.isConnected);
    server = await TrivialSignalingServer.listen(port);
    await eventually(() => alice.isConnected && bob.isConnected);
    alice.send('str:bob', Buffer.from('again'));
    await eventually(() => received.length === 1);
    expect(received).to.deep.equal(['str:alice to str:bob: again']);
  });

  it('gives a name to whoever came last under it', async () => {
    const first = enter('str:bob');
    await eventually(() => first.isConnected);
    const second = new TrivialSignaling({ port: server.port, identity: 'str:bob' });
    const heard: string[] = [];
    second.onSignal = (_, from) => heard.push(from);
    clients.push(second);
    await eventually(() => second.isConnected);
    first.close();
    const alice = enter('str:alice');
    await eventually(() => alice.isConnected);
    alice.send('str:bob', Buffer.from('which of you?'));
    await eventually(() => heard.length === 1);
    expect(received).to.deep.equal([]);
  });

  it('drops lines that are none, and who sends one without end', async () => {
    const alice = enter('str:alice');
    await eventually(() => alice.isConnected);
    const socket = connect(server.port, '127.0.0.1');
    let isCut = false;
    socket.on('close', () => {
      isCut = true;
    });
    socket.on('error', () => {});
    socket.write('str:mallory\nstr:alice xyz\nstr:alice\n\nstr:alice 0\nstr:alice 6869\n');
    await eventually(() => received.length === 1);
    expect(received).to.deep.equal(['str:mallory to str:alice: hi']);
    socket.write('a'.repeat(100_000));
    await eventually(() => isCut);
  });

  it('refuses identities that would break the line', () => {
    for (const identity of ['str:two words', 'nobody']) {
      expect(() => new TrivialSignaling({ identity }), identity).to.throw(/is no identity without spaces/);
    }
  });

  it('says that a port is taken', async () => {
    const error: unknown = await TrivialSignalingServer.listen(server.port).catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'BindFailed');
  });
});

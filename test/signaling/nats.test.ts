// A fleet of two signaling servers on a real NATS server. Runs where `nats-server` is installed.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { expect } from 'chai';
import { natsBackplane } from '../../src/signaling/nats.ts';
import { WebSocketSignaling } from '../../src/signaling/websocket-client.ts';
import { SignalingServer } from '../../src/signaling/websocket-server.ts';
import { eventually } from '../support/eventually.ts';

const PORT = 24_222;
const NATS = `nats://127.0.0.1:${PORT}`;
const TEST_MS = 20_000;
const isInstalled = spawnSync('nats-server', ['--version']).status === 0;

async function isListening(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(PORT, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

(isInstalled ? describe : describe.skip)('two signaling servers on one NATS', function () {
  this.timeout(TEST_MS);
  let nats: ChildProcess;
  const servers: SignalingServer[] = [];
  const clients: WebSocketSignaling[] = [];

  before(async () => {
    nats = spawn('nats-server', ['--addr', '127.0.0.1', '--port', `${PORT}`], { stdio: 'ignore' });
    while (!(await isListening()));
  });
  after(() => nats.kill());

  beforeEach(async () => {
    for (let number = 0; number < 2; number++) {
      servers.push(await SignalingServer.listen({ port: 0, backplane: await natsBackplane({ servers: NATS }) }));
    }
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  async function enter(name: string, ...at: readonly SignalingServer[]): Promise<WebSocketSignaling> {
    const urls = at.map(({ port }) => `ws://127.0.0.1:${port}`);
    const client = await WebSocketSignaling.connect({ urls, identity: `str:${name}` });
    clients.push(client);
    return client;
  }

  it('take signals from one to the other, and have rooms in common', async () => {
    const alice = await enter('alice', servers[0]!);
    const bob = await enter('bob', servers[1]!);
    const { code } = await alice.createRoom();
    const room = await bob.joinRoom(code);
    expect([...room.members]).to.deep.equal(['str:alice']);
    await eventually(() => alice.room?.members.has('str:bob') === true);
    const heard: string[] = [];
    bob.onSignal = (signal, from) => heard.push(`${from}: ${Buffer.from(signal).toString()}`);
    alice.send('str:bob', Buffer.from('hello'));
    await eventually(() => heard.length === 1);
    expect(heard).to.deep.equal(['str:alice: hello']);
  });

  it('let clients of one that dies come to the other, into the same room', async () => {
    const [first, second] = servers as [SignalingServer, SignalingServer];
    const alice = await enter('alice', first, second);
    const bob = await enter('bob', second);
    const { code } = await bob.createRoom();
    await alice.joinRoom(code);
    servers.shift();
    await first.close();
    await eventually(() => second.clientCount === 2 && alice.isConnected);
    await eventually(() => alice.room?.members.has('str:bob') === true && bob.room?.members.has('str:alice') === true);
    const heard: string[] = [];
    bob.onSignal = (_, from) => heard.push(from);
    alice.send('str:bob', Buffer.from('still there?'));
    await eventually(() => heard.length === 1);
  });

  it('say that there is no NATS', async () => {
    const error: unknown = await natsBackplane({ servers: 'nats://127.0.0.1:9' }).catch((reason: unknown) => reason);
    expect(error).to.have.property('message').that.contains('NATS does not answer at nats://127.0.0.1:9');
  });
});

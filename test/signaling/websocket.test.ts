// The WebSocket service on real sockets: proofs, rooms, servers that vanish.

import { expect } from 'chai';
import { WebSocket } from 'ws';
import { createCA, generateKeyPair, issueCertificate } from '../../src/index.ts';
import { WebSocketSignaling } from '../../src/signaling/websocket-client.ts';
import { SignalingServer, type SignalingServerOptions } from '../../src/signaling/websocket-server.ts';
import { eventually } from '../support/eventually.ts';

const authority = createCA();

function certificateFor(name: string, issuer = authority, lifetimeS = 3_600): Certificate {
  const nowMs = Date.now();
  const { certificate, privateKey } = issueCertificate({
    caKey: issuer.privateKey,
    identity: `str:${name}`,
    createdAt: new Date(nowMs - 60_000),
    expiresAt: new Date(nowMs + lifetimeS * 1_000),
  });
  return { certificate, privateKey: privateKey! };
}

interface Certificate {
  readonly certificate: string;
  readonly privateKey: string;
}

describe('WebSocket signaling', () => {
  const servers: SignalingServer[] = [];
  const clients: WebSocketSignaling[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  async function open(options: SignalingServerOptions = {}): Promise<SignalingServer> {
    const server = await SignalingServer.listen({ port: 0, ...options });
    servers.push(server);
    return server;
  }

  const urlOf = ({ port }: SignalingServer) => `ws://127.0.0.1:${port}`;

  async function enter(name: string, at: readonly SignalingServer[], certificate?: Certificate) {
    const options = { urls: at.map(urlOf), identity: `str:${name}` };
    const client = await WebSocketSignaling.connect({ ...options, ...certificate });
    clients.push(client);
    return client;
  }

  function hear(client: WebSocketSignaling): string[] {
    const heard: string[] = [];
    client.onSignal = (signal, from) => heard.push(`${from}: ${Buffer.from(signal).toString()}`);
    return heard;
  }

  async function failure(promise: Promise<unknown>): Promise<string> {
    return promise.then(
      () => 'none',
      (error: Error) => error.message,
    );
  }

  it('takes signals to whom they are for', async () => {
    const server = await open();
    const alice = await enter('alice', [server]);
    const heard = hear(await enter('bob', [server]));
    expect(alice.send('str:bob', Buffer.from('hello'))).to.equal(true);
    await eventually(() => heard.length === 1);
    expect(heard).to.deep.equal(['str:alice: hello']);
  });

  it('brings people together by a code', async () => {
    const server = await open();
    const [alice, bob] = [await enter('alice', [server]), await enter('bob', [server])];
    const { code } = await alice.createRoom();
    const room = await bob.joinRoom(code.toLowerCase());
    expect([...room.members]).to.deep.equal(['str:alice']);
    await eventually(() => alice.room?.members.has('str:bob') === true);
    bob.close();
    await eventually(() => alice.room?.members.size === 0);
  });

  it('says that there is no such room', async () => {
    const bob = await enter('bob', [await open()]);
    expect(await failure(bob.joinRoom('ABC234'))).to.equal('there is no room with the code ABC234');
  });

  it('lets in who proves an identity', async () => {
    const server = await open({ trustedCAs: authority.publicKey });
    const alice = await enter('alice', [server], certificateFor('alice'));
    expect(alice.isConnected).to.equal(true);
  });

  for (const [why, certificate, message] of [
    ['without a certificate', undefined, 'a certificate is needed here'],
    ['with that of another', certificateFor('mallory'), 'the certificate is for str:mallory, not for str:alice'],
    ['with one that has expired', certificateFor('alice', authority, -2), 'the certificate expired '],
    ['with one by a stranger', certificateFor('alice', createCA()), 'is unknown or not trusted'],
    [
      'with the certificate of another key',
      { ...certificateFor('alice'), privateKey: generateKeyPair().privateKey },
      'the signature is not by the key of the certificate',
    ],
  ] as const) {
    it(`turns away who comes ${why}, and says so`, async () => {
      const server = await open({ trustedCAs: authority.publicKey });
      const options = { urls: [urlOf(server)], identity: 'str:alice' };
      const said = await failure(WebSocketSignaling.connect({ ...options, ...certificate }));
      expect(said).to.contain('the signaling server refused str:alice').and.to.contain(message);
      expect(server.clientCount).to.equal(0);
    });
  }

  it('turns away a proof that was made for another server', async () => {
    const server = await open({ trustedCAs: authority.publicKey, audience: 'signaling.example.com' });
    const options = { urls: [urlOf(server)], identity: 'str:alice', ...certificateFor('alice') };
    expect(await failure(WebSocketSignaling.connect(options))).to.contain('the signature is not by the key');
  });

  it('does not fight over an identity: who is replaced stays away', async () => {
    const server = await open();
    const first = await enter('alice', [server]);
    let said = '';
    first.on('refused', ({ message }) => {
      said = message;
    });
    const second = await enter('alice', [server]);
    await eventually(() => said !== '');
    expect(said).to.contain('somebody else has come under this identity');
    expect(second.isConnected).to.equal(true);
  });

  it('says that no server answers', async () => {
    const server = await open();
    const url = urlOf(server);
    await servers.pop()!.close();
    const said = await failure(WebSocketSignaling.connect({ urls: [url], identity: 'str:alice' }));
    expect(said).to.contain(`no signaling server answers (${url})`);
  });

  it('comes back after a server has gone, and to the same room', async () => {
    const server = await open();
    const [alice, bob] = [await enter('alice', [server]), await enter('bob', [server])];
    const { code } = await alice.createRoom();
    await bob.joinRoom(code);
    const { port } = servers.pop()!;
    await server.close();
    await eventually(() => !alice.isConnected && !bob.isConnected);
    await open({ port });
    await eventually(() => alice.room?.members.has('str:bob') === true && bob.room?.members.has('str:alice') === true);
    const heard = hear(bob);
    await eventually(() => alice.isConnected && bob.isConnected);
    alice.send('str:bob', Buffer.from('still there?'));
    await eventually(() => heard.length === 1);
  });

  it('cuts off who talks nonsense, and who says nothing', async () => {
    const server = await open();
    for (const text of ['', '{}', 'null', '{"kind":"signal"}', '{"kind":"hello","identity":7}', '{"kind":"create"}']) {
      const socket = new WebSocket(urlOf(server));
      const code = await new Promise((resolve) => {
        socket.on('open', () => socket.send(text));
        socket.on('close', resolve);
      });
      expect(code, text).to.equal(4000);
    }
    expect(server.clientCount).to.equal(0);
  });
});

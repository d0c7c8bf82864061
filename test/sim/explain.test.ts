// What a connection says of itself: the diagnosis of each way to fail or to be slow, the notice of a rate that holds data
// back, and the text that describes it all. Spec: 05 §5.4.2, 10 §10.3.

import { expect } from 'chai';
import { type ControlPacket, decodeControlPacket, encodeControlPacket } from '../../src/core/wire/control-packets.ts';
import { ConnectionError, Networking, type RateLimit } from '../../src/index.ts';
import { Pair, PORT, SECOND } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const LINK = { delayUs: 20_000 };
const DEAD = { lossRatio: 1 };

async function failureOf(promise: Promise<unknown>): Promise<ConnectionError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(ConnectionError);
  return error as ConnectionError;
}

/** Connects where that fails, and returns why. */
async function whyNot(pair: Pair): Promise<ConnectionError> {
  return failureOf(pair.settle(pair.client.connect(pair.address)));
}

/** Changes what the server says to the client. */
function alter(pair: Pair, change: (packet: ControlPacket) => ControlPacket): void {
  const seen = pair.serverHost.address;
  pair.setLink(LINK, DEAD);
  pair.network.tap(({ from, to, bytes, fate, sentAtUs }) => {
    const packet = decodeControlPacket(bytes, bytes.length);
    if (from.address !== seen || fate !== 'lost' || packet === undefined) return;
    const out = new Uint8Array(2_000);
    const length = encodeControlPacket(change(packet), out);
    pair.clientHost.receive({ from, to, bytes: out.slice(0, length), sentAtUs });
  });
}

describe('the diagnosis of a connection that did not come about', () => {
  itSeeded('says that nobody answers, and the error gives advice', async (seed) => {
    const pair = new Pair({ seed, link: DEAD });
    const error = await whyNot(pair);
    expect(error.diagnosis.kind).to.equal('nobodyAnswers');
    expect(error.diagnosis.facts).to.include({ challengesSent: 20, challengeRepliesReceived: 0, requestsSent: 0 });
    expect(error.message).to.contain('5003 Misc_Timeout').and.to.contain(error.diagnosis.hint);
    await pair.end();
  });

  itSeeded('says that the server is there but does not accept', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false, serverConfig: { timeoutInitial: 60_000 } });
    const { kind, facts } = (await whyNot(pair)).diagnosis;
    expect(kind).to.equal('notAccepted');
    expect(facts.challengeRepliesReceived).to.be.greaterThan(0);
    expect(facts.requestsSent).to.be.greaterThan(0);
    await pair.end();
  });

  itSeeded('says on both sides that the application of the server did not answer in time', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false, serverConfig: { timeoutInitial: 3_000 } });
    expect((await whyNot(pair)).diagnosis.kind).to.equal('notAccepted');
    expect(pair.serverSides[0]!.connection.explain().kind).to.equal('notAccepted');
    await pair.end();
  });

  itSeeded('says that the server is too old', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    alter(pair, (packet) => (packet.kind === 'challengeReply' ? { ...packet, protocolVersion: 7 } : packet));
    const { kind, summary } = (await whyNot(pair)).diagnosis;
    expect(kind).to.equal('versionMismatch');
    expect(summary).to.contain('version 7');
    await pair.end();
  });

  itSeeded('says that one side requires encryption and the other forbids it', async (seed) => {
    const pair = new Pair({ seed, link: LINK, serverConfig: { unencrypted: 3 } });
    const { kind, hint } = (await whyNot(pair)).diagnosis;
    expect(kind).to.equal('encryptionMismatch');
    expect(hint).to.contain('unencrypted');
    await pair.end();
  });

  itSeeded('says that a certificate is wanted: ours, or that of the server', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: { ipAllowWithoutAuth: 0 } });
    const named = new Networking({ platform: pair.serverHost.platform, identity: 'str:server' });
    named.listen({ port: PORT + 1, autoAccept: true });
    const alice = new Networking({
      platform: pair.clientHost.platform,
      identity: 'str:alice',
      config: { ipAllowWithoutAuth: 0 },
    });
    const attempts = [alice.connect(pair.address), pair.client.connect(`server:${PORT + 1}`)];
    const errors = await pair.settle(Promise.all(attempts.map(failureOf)));
    for (const { diagnosis } of errors) {
      expect(diagnosis.kind).to.equal('certificateRefused');
      expect(diagnosis.hint).to.contain('ipAllowWithoutAuth');
    }
    await pair.settle(Promise.all([named.close(), alice.close()]));
    await pair.end();
  });

  itSeeded('repeats what the peer said when it turned us away', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    pair.socket.on('connection', (incoming) => incoming.reject({ reason: 1042, debug: 'the lobby is full' }));
    const { kind, summary } = (await whyNot(pair)).diagnosis;
    expect(kind).to.equal('closedByPeer');
    expect(summary).to.contain('the lobby is full').and.to.contain('1042');
    await pair.end();
  });

  itSeeded('tells meanwhile how far it has come', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    const { connection } = pair.open();
    await pair.advance(20_000);
    expect(connection.explain())
      .to.include({ kind: 'connecting' })
      .and.to.have.property('summary')
      .that.matches(/nobody/);
    await pair.advance(SECOND);
    expect(connection.explain().summary).to.match(/the server answers/);
    expect(pair.serverSides[0]!.connection.explain()).to.include({
      kind: 'connecting',
      hint: 'Call `accept` or `reject`.',
    });
    await pair.end();
  });
});

describe('the diagnosis of a connection', () => {
  itSeeded('is healthy when nothing is wrong', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    await pair.advance(30 * SECOND);
    expect(client.connection.explain()).to.include({ kind: 'healthy', hint: '' });
    expect(server.connection.explain().facts).to.include({ wasConnected: true, endReason: 0, pingMs: 40 });
    await pair.end();
  });

  itSeeded('says that the peer went silent: while it is, and when it was given up', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    pair.serverHost.unplug();
    client.connection.send('are you there?');
    await pair.advance(5 * SECOND);
    expect(client.connection.explain()).to.include({ kind: 'peerWentSilent' });
    await pair.advance(10 * SECOND);
    const { kind, facts } = client.connection.explain();
    expect(client.connection.state).to.equal('ProblemDetectedLocally');
    expect(kind).to.equal('peerWentSilent');
    expect(facts.silentUs).to.be.within(10 * SECOND, 11 * SECOND);
    expect(facts.unansweredProbes).to.be.at.least(4);
    await pair.end();
  });

  itSeeded('says who closed', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    await pair.settle(client.connection.close({ reason: 1234, debug: 'enough' }));
    expect(client.connection.explain().kind).to.equal('closedByUs');
    expect(server.connection.explain()).to.include({ kind: 'closedByPeer' });
    expect(server.connection.explain().summary).to.contain('enough');
    void server.connection.close();
    expect(server.connection.explain().kind, 'after our own close').to.equal('closedByPeer');
    await pair.end();
  });

  itSeeded('says that the peer was started anew', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { server } = await pair.connect();
    pair.clientHost.kill();
    await pair.advance(3 * SECOND);
    const reborn = new Networking({ platform: pair.clientHost.platform });
    await pair.settle(reborn.connect(pair.address));
    expect(server.connection.explain().kind).to.equal('unknownToPeer');
    await pair.settle(reborn.close());
    await pair.end();
  });

  itSeeded('says that our loop stood still a moment ago', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    client.connection.send('hello');
    pair.clientHost.freeze();
    await pair.advance(2 * SECOND);
    server.connection.send('hello');
    pair.clientHost.thaw();
    await pair.advance(SECOND);
    const { kind, facts } = client.connection.explain();
    expect(kind).to.equal('ourLoopStalled');
    expect(facts.longestStallUs).to.be.within(SECOND, 2 * SECOND);
    expect(facts.longestStallAgoUs).to.be.closeTo(SECOND, 50_000);
    await pair.advance(11 * SECOND);
    expect(client.connection.explain().kind).to.equal('healthy');
    await pair.end();
  });

  itSeeded('says on one side that we do not read, and on the other that the peer takes nothing', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false, serverConfig: { recvBufferMessages: 10 } });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 400; i++) client.connection.send(new Uint8Array(1_000));
    await pair.advance(15 * SECOND);
    expect(server.connection.explain().kind).to.equal('receiveBufferFull');
    expect(server.connection.explain().facts.unreadMessages).to.equal(10);
    expect(client.connection.explain().kind).to.equal('peerTakesNothing');
    await pair.end();
  });

  itSeeded('says how many packets are lost', async (seed) => {
    const pair = new Pair({ seed, link: { ...LINK, lossRatio: 0.2 } });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 600; i++) {
      client.connection.send('hello', { noNagle: true });
      await pair.advance(20_000);
    }
    const { kind, facts } = server.connection.explain();
    expect(kind).to.equal('lossy');
    expect(facts.lossRatio).to.be.within(0.1, 0.3);
    await pair.end();
  });
});

describe('a rate that is too low', () => {
  const RATE = 10_000;
  const LIMIT = { sendRateMin: RATE, sendRateMax: RATE, sendBufferSize: 1 << 20 };

  itSeeded('is told once, after a second, with the figures', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: LIMIT });
    const { client } = await pair.connect();
    const told: { limit: RateLimit; atUs: number }[] = [];
    const startUs = pair.network.nowUs;
    client.connection.on('rateLimited', (limit) => told.push({ limit, atUs: pair.network.nowUs - startUs }));
    for (let i = 0; i < 60; i++) client.connection.send(new Uint8Array(1_000));
    await pair.advance(4 * SECOND);
    expect(told).to.have.length(1);
    expect(told[0]!.atUs).to.be.within(SECOND, 1.5 * SECOND);
    expect(told[0]!.limit.limitedUs).to.be.within(SECOND, 1.5 * SECOND);
    expect(told[0]!.limit.sendRateBytesPerSec).to.equal(RATE);
    expect(told[0]!.limit.pendingBytes).to.be.within(40_000, 55_000);
    const { kind, facts } = client.connection.explain();
    expect(kind).to.equal('rateLimited');
    expect(facts.rateLimitedUs).to.be.within(3 * SECOND, 4 * SECOND);
    await pair.advance(6 * SECOND);
    expect(client.connection.explain().kind).to.equal('healthy');
    await pair.end();
  });

  itSeeded('is told again after it was no limit for ten seconds', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: LIMIT });
    const { client } = await pair.connect();
    let told = 0;
    client.connection.on('rateLimited', () => told++);
    for (const pauseUs of [5 * SECOND, 15 * SECOND, 0]) {
      for (let i = 0; i < 30; i++) client.connection.send(new Uint8Array(1_000));
      await pair.advance(4 * SECOND + pauseUs);
    }
    expect(told).to.equal(2);
    await pair.end();
  });

  itSeeded('is not what delays a burst, or small messages one by one', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    let told = 0;
    client.connection.on('rateLimited', () => told++);
    for (let i = 0; i < 200; i++) client.connection.send(new Uint8Array(1_000));
    for (let i = 0; i < 300; i++) {
      await pair.advance(10_000);
      client.connection.send('small');
    }
    expect(told).to.equal(0);
    await pair.end();
  });
});

describe('the description of a connection', () => {
  itSeeded('is short as in GNS', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    client.connection.name = 'main';
    const { id } = client.connection;
    expect(`${client.connection}`).to.equal(`#${id} UDP ${pair.serverHost.address}:${PORT} 'main'`);
    expect(`${server.connection}`).to.match(/^#\d+ UDP \d+\.\d+\.\d+\.\d+:\d+$/);
    await pair.end();
  });

  itSeeded('at length has what is known here, and what the peer told', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    client.connection.configureLanes([{ weight: 3 }, { priority: 1 }]);
    for (let i = 0; i < 3_000; i++) {
      client.connection.send('hello', { noNagle: true, lane: i % 2 });
      await pair.advance(50_000);
    }
    const text = client.connection.describe();
    expect(text.split('\n')[0]).to.equal(`${client.connection}`);
    for (const part of ['Connected for', 'outgoing', 'unauthenticated', 'healthy', '40 ms', 'lane 1', 'weight 3']) {
      expect(text).to.contain(part);
    }
    expect(text).to.contain('As the peer told last, of the last seconds:');
    expect(text).to.contain('As the peer told last, since the beginning:');
    expect(text).to.match(/ping, ms +≤50: \d+/);
    expect(text.split('\n').every((line) => line.length < 160)).to.equal(true);
    void server.connection.close({ reason: 1001, debug: 'good night' });
    await pair.advance(SECOND);
    expect(client.connection.describe()).to.contain('1001 App: good night');
    await pair.end();
  });

  itSeeded('does not take the largest jitter from the status', async (seed) => {
    const config = { sendTimeSincePreviousPacket: 1 };
    const pair = new Pair({ seed, link: { ...LINK, jitterUs: 5_000 }, config });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 20; i++) {
      server.connection.send('hello', { noNagle: true });
      await pair.advance(20_000);
    }
    client.connection.describe();
    expect(client.connection.status().maxJitterUs).to.be.greaterThan(0);
    expect(client.connection.status().maxJitterUs).to.equal(-1);
    await pair.end();
  });
});

describe('the status', () => {
  itSeeded('tells what waits on each lane, and how long', async (seed) => {
    const config = { sendRateMin: 10_000, sendRateMax: 10_000 };
    const pair = new Pair({ seed, link: LINK, clientConfig: config });
    const { client } = await pair.connect();
    client.connection.configureLanes([{ priority: 1 }, { weight: 1 }, { weight: 3 }]);
    for (let lane = 0; lane < 3; lane++) client.connection.send(new Uint8Array(10_000), { lane });
    client.connection.send(new Uint8Array(500), { lane: 2, reliable: false });
    const { lanes, ...all } = client.connection.status();
    expect(lanes.map(({ pendingUnreliableBytes }) => pendingUnreliableBytes)).to.deep.equal([0, 0, 500]);
    const reliable = lanes.map(({ pendingReliableBytes }) => pendingReliableBytes);
    expect(reliable.reduce((sum, each) => sum + each, 0)).to.equal(all.pendingReliableBytes);
    const waits = lanes.map(({ queueTimeUs }) => queueTimeUs / SECOND);
    expect(waits[2]).to.be.closeTo(1.4, 0.1);
    expect(waits[1]).to.be.closeTo(2.05, 0.1);
    expect(waits[0]).to.be.closeTo(3.05, 0.1);
    await pair.end();
  });
});

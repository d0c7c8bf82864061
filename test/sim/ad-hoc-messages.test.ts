// Ad-hoc messages in virtual time: what arrives, in which order, and what waits unread. Spec: 08 §8.1, §8.2.

import { expect } from 'chai';
import { type Connection, Networking, type P2PSignalingService } from '../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';
import { acquainted, codeOf, MessengerScene, textOf } from '../support/messenger.ts';
import { SEED } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;

describe('ad-hoc messages', () => {
  it('arrive without a connection to look after', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob')];
    expect(alice.messages.sendMessageToUser('str:bob', 'hello', { channel: 5 })).to.equal(1);
    scene.until(() => bob.received.length === 1);
    const [message] = bob.received;
    expect(textOf(message!)).to.equal('hello');
    expect(message).to.include({ channel: 5, reliable: true, messageNumber: 1 });
    expect(String(message!.identity)).to.equal('str:alice');
    expect(bob.requests.map(({ identity }) => String(identity))).to.deep.equal(['str:alice']);
    bob.messages.sendMessageToUser('str:alice', 'hello yourself');
    scene.until(() => alice.received.length === 1);
    expect(alice.requests).to.have.length(0);
  });

  it('belong to connections that the application does not see', () => {
    const { alice, bob } = acquainted();
    expect([...alice.networking.connections, ...bob.networking.connections]).to.have.length(0);
  });

  it('on one session keep their order across channels when they are reliable', () => {
    const { scene, alice, bob } = acquainted();
    scene.network.setConditions({ delayUs: 10 * MS, lossRatio: 0.2 });
    for (let i = 0; i < 200; i++) alice.messages.sendMessageToUser('str:bob', `${i}`, { channel: i % 7 });
    scene.until(() => bob.received.length === 201);
    expect(bob.texts.slice(1)).to.deep.equal(Array.from({ length: 200 }, (_, i) => `${i}`));
    expect(bob.received.slice(1).map(({ channel }) => channel)).to.deep.equal(
      Array.from({ length: 200 }, (_, i) => i % 7),
    );
  });

  it('go on any channel of 32 bits', () => {
    const { scene, alice, bob } = acquainted();
    const channels = [0, 1, -1, 0x7fff_ffff, -0x8000_0000];
    for (const channel of channels) alice.messages.sendMessageToUser('str:bob', '', { channel });
    scene.until(() => bob.received.length === 1 + channels.length);
    expect(bob.received.slice(1).map(({ channel }) => channel)).to.deep.equal(channels);
    for (const channel of [0.5, 2 ** 31, Number.NaN]) {
      expect(codeOf(() => alice.messages.sendMessageToUser('str:bob', '', { channel }))).to.equal('InvalidParam');
    }
  });

  it('are reliable whatever was asked for until there is a connection, and as asked for afterwards', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob')];
    alice.messages.sendMessageToUser('str:bob', 'early', { reliable: false, noDelay: true });
    scene.until(() => bob.received.length === 1);
    scene.run(SECOND);
    alice.messages.sendMessageToUser('str:bob', 'late', { reliable: false });
    scene.until(() => bob.received.length === 2);
    expect(bob.received.map(({ reliable }) => reliable)).to.deep.equal([true, false]);
  });

  it('have at most 524,283 bytes, which GNS takes', () => {
    const { scene, alice, bob } = acquainted();
    const code = codeOf(() => alice.messages.sendMessageToUser('str:bob', new Uint8Array(524_284)));
    expect(code).to.equal('MessageTooLarge');
    alice.messages.sendMessageToUser('str:bob', new Uint8Array(524_283));
    scene.until(() => bob.received.length === 2);
    expect(bob.received[1]!.data).to.have.length(524_283);
  });

  it('to oneself are passed in memory', () => {
    const scene = new MessengerScene(SEED);
    const alice = scene.join('alice');
    alice.messages.sendMessageToUser('str:alice', 'note to self', { channel: 3, reliable: false });
    expect(alice.received).to.have.length(0);
    scene.run(MS);
    expect(alice.texts).to.deep.equal(['note to self']);
    expect(alice.received[0]).to.include({ channel: 3, reliable: false, messageNumber: 1 });
    expect(alice.messages.acceptSessionWithUser('str:alice')).to.equal(false);
    scene.run(30 * SECOND);
    expect(alice.failed).to.have.length(0);
    expect(scene.signaling.sentSignals).to.equal(0);
  });

  it('to oneself that nobody reads are limited', () => {
    const scene = new MessengerScene(SEED);
    const alice = scene.join('alice', { reads: false, config: { recvBufferMessages: 3 } });
    for (let i = 0; i < 3; i++) alice.messages.sendMessageToUser('str:alice', `${i}`);
    expect(codeOf(() => alice.messages.sendMessageToUser('str:alice', '3'))).to.equal('LimitExceeded');
    expect(alice.messages.receiveMessagesOnChannel(0).map(textOf)).to.deep.equal(['0', '1', '2']);
    expect(alice.messages.sendMessageToUser('str:alice', '3')).to.equal(4);
  });

  it('are not sent to nobody', () => {
    const scene = new MessengerScene(SEED);
    const alice = scene.join('alice');
    expect(codeOf(() => alice.messages.sendMessageToUser('ip:127.0.0.1', ''))).to.equal('InvalidParam');
    expect(codeOf(() => alice.messages.sendMessageToUser('bob', ''))).to.equal('InvalidParam');
    expect(alice.messages.sessions).to.have.length(0);
  });

  it('need a signaling', () => {
    const { platform } = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto }).host('alice');
    const networking = new Networking({ platform, identity: 'str:alice' });
    expect(codeOf(() => networking.messages())).to.equal('InvalidState');
  });

  it('are one object per instance, whose options come with the first call', async () => {
    const scene = new MessengerScene(SEED);
    const { networking, messages } = scene.join('alice');
    expect(networking.messages()).to.equal(messages);
    expect(codeOf(() => networking.messages({ idleTimeoutMs: 1 }))).to.equal('InvalidState');
    void messages.close();
    expect(networking.messages({ idleTimeoutMs: 1 })).to.not.equal(messages);
  });

  it('wait by channel, in the order in which they came from all peers', () => {
    const scene = new MessengerScene(SEED);
    const server = scene.join('server', { reads: false });
    const clients = ['a', 'b', 'c'].map((name) => scene.join(name));
    for (const [i, client] of clients.entries()) {
      client.messages.sendMessageToUser('str:server', `${i}, five`, { channel: 5 });
      client.messages.sendMessageToUser('str:server', `${i}, six`, { channel: 6 });
      scene.run(2 * SECOND);
    }
    expect(server.messages.receiveMessagesOnChannel(6, 2).map(textOf)).to.deep.equal(['0, six', '1, six']);
    expect(server.messages.receiveMessagesOnChannel(5).map(textOf)).to.deep.equal(['0, five', '1, five', '2, five']);
    expect(server.messages.receiveMessagesOnChannel(6).map(textOf)).to.deep.equal(['2, six']);
    expect(server.messages.receiveMessagesOnChannel(7)).to.have.length(0);
  });

  it('that came before anybody listened are handed out in the order in which they came', () => {
    const { scene, alice, bob } = acquainted({ reads: false, accepts: true });
    for (const channel of [2, 1, 2, 3]) alice.messages.sendMessageToUser('str:bob', `${channel}`, { channel });
    scene.run(SECOND);
    const texts: string[] = [];
    bob.messages.on('message', (message) => texts.push(textOf(message)));
    scene.run(MS);
    expect(texts).to.deep.equal(['hello', '2', '1', '2', '3']);
  });

  it('that are too short to have a channel are dropped and counted', () => {
    const scene = new MessengerScene(SEED);
    const bob = scene.join('bob');
    const { platform } = scene.network.host('alice');
    const signaling = scene.signaling.join('str:alice', platform);
    let hidden: Connection | undefined;
    const spying: P2PSignalingService = {
      send: (to, signal, connection) => {
        hidden = connection;
        return signaling.send(to, signal);
      },
    };
    const alice = new Networking({ platform, identity: 'str:alice', signaling: spying });
    signaling.onSignal = (signal) => void alice.receivedP2PCustomSignal(signal);
    alice.messages().sendMessageToUser('str:bob', 'with a channel');
    scene.until(() => hidden?.state === 'Connected');
    for (const size of [0, 4, 5]) hidden!.send(new Uint8Array(size));
    scene.run(SECOND);
    expect(bob.messages.droppedCount).to.equal(2);
    expect(bob.texts).to.deep.equal(['with a channel', '']);
    expect(bob.closed).to.have.length(0);
  });

  it('can be read in a loop over a channel, until the end', async () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob', { reads: false })];
    const texts: string[] = [];
    const loop = (async () => {
      for await (const message of bob.messages.channel(4)) texts.push(textOf(message));
    })();
    for (const channel of [4, 5, 4]) alice.messages.sendMessageToUser('str:bob', `${channel}`, { channel });
    await scene.network.advanceUntil(() => texts.length === 2, 10 * SECOND);
    void bob.messages.close();
    await scene.network.settle(loop, SECOND);
    expect(texts).to.deep.equal(['4', '4']);
  });
});

describe('unread ad-hoc messages', () => {
  it('hold up the peer and nobody else, and none is lost', () => {
    const scene = new MessengerScene(SEED);
    const config = { recvBufferMessages: 50 };
    const [alice, carol] = [scene.join('alice'), scene.join('carol')];
    const bob = scene.join('bob', { reads: false, config });
    for (let i = 0; i < 500; i++) alice.messages.sendMessageToUser('str:bob', `${i}`, { channel: 1 });
    scene.run(5 * SECOND);
    carol.messages.sendMessageToUser('str:bob', 'hello', { channel: 2 });
    scene.run(5 * SECOND);
    expect(bob.messages.receiveMessagesOnChannel(2).map(textOf)).to.deep.equal(['hello']);
    expect(
      alice.messages.sessionStatus('str:bob')!.pendingReliableBytes +
        alice.messages.sessionStatus('str:bob')!.sentUnackedReliableBytes,
    ).to.be.greaterThan(0);
    const texts: string[] = [];
    for (let i = 0; i < 500 && texts.length < 500; i++) {
      texts.push(...bob.messages.receiveMessagesOnChannel(1, 10).map(textOf));
      scene.run(100 * MS);
    }
    expect(texts).to.deep.equal(Array.from({ length: 500 }, (_, i) => `${i}`));
  });

  it('stay when the peer closes', () => {
    const { scene, alice, bob } = acquainted({ reads: false });
    for (let i = 0; i < 5; i++) alice.messages.sendMessageToUser('str:bob', `${i}`);
    scene.run(SECOND);
    alice.messages.closeSessionWithUser('str:bob');
    scene.until(() => bob.closed.length === 1);
    expect(bob.messages.receiveMessagesOnChannel(0).map(textOf)).to.deep.equal(['hello', '0', '1', '2', '3', '4']);
  });

  it('are thrown away with the session, and with the channel', () => {
    const scene = new MessengerScene(SEED);
    const bob = scene.join('bob', { reads: false });
    const peers = ['alice', 'carol'].map((name) => scene.join(name));
    for (let i = 0; i < 4; i++) {
      for (const { messages } of peers) messages.sendMessageToUser('str:bob', `${i}`, { channel: i % 2 });
    }
    scene.run(3 * SECOND);
    expect(bob.messages.closeChannelWithUser('str:alice', 2)).to.equal(false);
    expect(bob.messages.closeChannelWithUser('str:alice', 1)).to.equal(true);
    const from = (channel: number) =>
      bob.messages.receiveMessagesOnChannel(channel).map(({ identity }) => `${identity}`);
    expect(from(1)).to.deep.equal(['str:carol', 'str:carol']);
    expect(bob.messages.sessionInfo('str:alice')?.state).to.equal('Connected');
    expect(bob.messages.closeSessionWithUser('str:alice')).to.equal(true);
    expect(from(0)).to.deep.equal(['str:carol', 'str:carol']);
  });
});

describe('the end of ad-hoc messages', () => {
  it('ends all sessions, and the port is given back', async () => {
    const { scene, alice, bob } = acquainted();
    await scene.network.settle(alice.messages.close(), 10 * SECOND);
    scene.until(() => bob.closed.length === 1);
    expect(codeOf(() => alice.messages.sendMessageToUser('str:bob', ''))).to.equal('InvalidState');
    scene.run(10 * SECOND);
    expect(alice.host.openPorts).to.equal(0);
    expect(alice.host.pendingAlarms).to.equal(0);
  });

  it('delivers what was sent, if asked to', async () => {
    const { scene, alice, bob } = acquainted();
    for (let i = 0; i < 100; i++) alice.messages.sendMessageToUser('str:bob', new Uint8Array(4_000));
    await scene.network.settle(alice.messages.close({ linger: true }), 10 * SECOND);
    expect(bob.received).to.have.length(101);
  });

  it('comes with that of the instance, with reason 2999', async () => {
    const { scene, alice, bob } = acquainted();
    await scene.network.settle(alice.networking.close(), 10 * SECOND);
    scene.until(() => bob.closed.length === 1);
    expect(bob.closed[0]!.info.endReason).to.equal(2999);
    scene.run(10 * SECOND);
    expect(alice.host.openPorts).to.equal(0);
  });

  it('leaves requests unheard', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob')];
    void bob.messages.close();
    alice.messages.sendMessageToUser('str:bob', 'hello');
    scene.run(15 * SECOND);
    expect(bob.requests).to.have.length(0);
    expect(alice.failed).to.have.length(1);
  });
});

// Sessions of ad-hoc messages in virtual time: how they begin, fail, close, idle out and begin anew. Spec: 08 §8.3 – §8.5.

import { expect } from 'chai';
import { decodeSignal, EMPTY_SIGNAL, encodeSignal } from '../../src/core/wire/signal.ts';
import { acquainted, codeOf, MessengerScene, textOf } from '../support/messenger.ts';
import { itSeeded, SEED } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;

describe('a session', () => {
  it('waits for consent, and delivers when it is given', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob', { accepts: false })];
    for (const text of ['one', 'two']) alice.messages.sendMessageToUser('str:bob', text);
    scene.run(5 * SECOND);
    expect(bob.requests).to.have.length(1);
    expect(bob.received).to.have.length(0);
    expect(bob.messages.sessionInfo('str:alice')?.state).to.equal('Connecting');
    expect(bob.requests[0]!.accept()).to.equal(true);
    scene.until(() => bob.received.length === 2);
    expect(bob.texts).to.deep.equal(['one', 'two']);
  });

  it('is accepted by sending to the peer', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob', { accepts: false })];
    alice.messages.sendMessageToUser('str:bob', 'ping');
    scene.until(() => bob.requests.length === 1);
    bob.messages.sendMessageToUser('str:alice', 'pong');
    scene.until(() => alice.received.length === 1 && bob.received.length === 1);
    expect([...alice.texts, ...bob.texts]).to.deep.equal(['pong', 'ping']);
  });

  it('fails on both sides when nobody accepts, and is broken then', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob', { accepts: false })];
    alice.messages.sendMessageToUser('str:bob', 'anybody there?');
    scene.until(() => alice.failed.length === 1 && bob.failed.length === 1);
    for (const { failed } of [alice, bob]) expect(failed[0]!.info.endReason).to.equal(5003);
    expect(alice.failed[0]!.undeliveredBytes).to.be.greaterThan(0);
    expect(String(alice.failed[0]!.identity)).to.equal('str:bob');
    for (const [peer, other] of [
      [alice, 'str:bob'],
      [bob, 'str:alice'],
    ] as const) {
      expect(peer.messages.sessionInfo(other)?.endReason).to.equal(5003);
      expect(codeOf(() => peer.messages.sendMessageToUser(other, ''))).to.equal('ConnectFailed');
      expect(peer.messages.acceptSessionWithUser(other)).to.equal(false);
    }
  });

  it('of a caller that has gone before anybody was told fails, and leaves nothing behind', () => {
    const scene = new MessengerScene(SEED);
    const bob = scene.join('bob', { accepts: false });
    const alice = scene.join('alice');
    let accepted: boolean | undefined;
    bob.messages.on('request', (request) => {
      accepted = request.accept();
    });
    const { platform } = scene.network.host('spy');
    const spy = scene.signaling.join('str:bob', platform);
    spy.onSignal = (call) => {
      spy.onSignal = undefined;
      const { fromConnectionId } = decodeSignal(call)!;
      const closed = { reason: 1001, debug: '' };
      bob.networking.receivedP2PCustomSignal(call);
      bob.networking.receivedP2PCustomSignal(
        encodeSignal({ ...EMPTY_SIGNAL, closed, fromIdentity: 'str:alice', fromConnectionId }),
      );
    };
    alice.messages.sendMessageToUser('str:bob', 'hello');
    scene.run(SECOND);
    expect(accepted).to.equal(false);
    expect(bob.failed.map(({ info }) => info.endReason)).to.deep.equal([1001]);
    void bob.messages.close();
    scene.run(10 * SECOND);
    expect(bob.host.openPorts).to.equal(0);
  });

  it('that failed begins anew with autoRestart', () => {
    const scene = new MessengerScene(SEED);
    const alice = scene.join('alice');
    alice.messages.sendMessageToUser('str:bob', 'too early');
    scene.until(() => alice.failed.length === 1);
    const bob = scene.join('bob');
    alice.messages.sendMessageToUser('str:bob', 'again', { autoRestart: true });
    alice.messages.sendMessageToUser('str:bob', 'and again');
    scene.until(() => bob.received.length === 2);
    expect(bob.texts).to.deep.equal(['again', 'and again']);
  });

  it('that failed begins anew when the peer calls', () => {
    const scene = new MessengerScene(SEED);
    const alice = scene.join('alice');
    alice.messages.sendMessageToUser('str:bob', 'too early');
    scene.until(() => alice.failed.length === 1);
    const bob = scene.join('bob');
    bob.messages.sendMessageToUser('str:alice', 'here I am');
    scene.until(() => alice.received.length === 1);
    expect(alice.messages.sessionInfo('str:bob')?.endReason).to.equal(0);
    alice.messages.sendMessageToUser('str:bob', 'good');
    scene.until(() => bob.received.length === 1);
  });

  it('that failed is forgotten after the idle time', () => {
    const scene = new MessengerScene(SEED);
    const alice = scene.join('alice');
    alice.messages.sendMessageToUser('str:bob', 'too early');
    scene.run(179 * SECOND);
    expect(alice.messages.sessions.map(String)).to.deep.equal(['str:bob']);
    scene.run(2 * SECOND);
    expect(alice.messages.sessions).to.have.length(0);
    expect(alice.closed).to.have.length(0);
    expect(alice.messages.sendMessageToUser('str:bob', 'later')).to.equal(1);
  });

  it('that is turned down fails at the caller with reason 1001', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob', { accepts: false })];
    bob.messages.on('request', (request) => request.reject());
    alice.messages.sendMessageToUser('str:bob', 'hello');
    scene.until(() => alice.failed.length === 1, 2 * SECOND);
    expect(alice.failed[0]!.info).to.include({ state: 'ClosedByPeer', endReason: 1001 });
    expect(bob.messages.sessions).to.have.length(0);
  });

  it('that the peer closes is closed with reason 1001, and the next message opens another', () => {
    const { scene, alice, bob } = acquainted();
    expect(alice.messages.closeSessionWithUser('str:bob')).to.equal(true);
    expect(alice.messages.closeSessionWithUser('str:bob')).to.equal(false);
    scene.until(() => bob.closed.length === 1, SECOND);
    expect(bob.closed[0]).to.deep.include({ undeliveredBytes: 0 });
    expect(bob.closed[0]!.info).to.include({ state: 'ClosedByPeer', endReason: 1001 });
    expect(bob.messages.sessionInfo('str:alice')).to.equal(undefined);
    bob.messages.sendMessageToUser('str:alice', 'wait');
    scene.until(() => alice.received.length === 1);
    expect(alice.requests).to.have.length(1);
    expect([...alice.closed, ...alice.failed]).to.have.length(0);
  });

  it('that is closed while the other sends tells how much was not delivered', () => {
    const { scene, alice, bob } = acquainted();
    for (let i = 0; i < 10; i++) alice.messages.sendMessageToUser('str:bob', new Uint8Array(40_000));
    scene.run(200 * MS);
    bob.messages.closeSessionWithUser('str:alice');
    scene.until(() => alice.closed.length === 1);
    expect(alice.closed[0]!.undeliveredBytes).to.be.within(100_000, 401_000);
    alice.messages.sendMessageToUser('str:bob', 'once more');
    scene.until(() => bob.texts.includes('once more'));
    expect(bob.requests).to.have.length(2);
  });

  it('is closed with its last open channel', () => {
    const { scene, alice, bob } = acquainted();
    alice.messages.sendMessageToUser('str:bob', 'hi', { channel: 1 });
    scene.until(() => bob.received.length === 2);
    expect(bob.messages.closeChannelWithUser('str:alice', 0)).to.equal(true);
    expect(bob.messages.closeChannelWithUser('str:alice', 0)).to.equal(false);
    expect(bob.messages.sessions).to.have.length(1);
    expect(bob.messages.closeChannelWithUser('str:alice', 1)).to.equal(true);
    expect(bob.messages.sessions).to.have.length(0);
    scene.until(() => alice.closed.length === 1);
    expect(alice.closed[0]!.info.endReason).to.equal(1001);
  });

  it('is one where both sides send at the same time', () => {
    for (let seed = SEED; seed < SEED + 10; seed++) {
      const scene = new MessengerScene(seed);
      const [alice, bob] = [scene.join('alice'), scene.join('bob')];
      alice.messages.sendMessageToUser('str:bob', 'from alice');
      bob.messages.sendMessageToUser('str:alice', 'from bob');
      scene.until(() => alice.received.length === 1 && bob.received.length === 1);
      scene.run(30 * SECOND);
      expect([...alice.texts, ...bob.texts], `seed ${seed}`).to.deep.equal(['from bob', 'from alice']);
      expect([...alice.requests, ...bob.requests], `seed ${seed}`).to.have.length(0);
      expect([...alice.failed, ...bob.failed, ...alice.closed, ...bob.closed], `seed ${seed}`).to.have.length(0);
    }
  });

  itSeeded('comes about over a signaling that loses, doubles and reorders', (seed) => {
    for (let i = 0; i < 10; i++) {
      const scene = new MessengerScene(seed + i);
      scene.signaling.conditions = { delayUs: 20 * MS, jitterUs: 200 * MS, lossRatio: 0.4, duplicateRatio: 0.2 };
      const config = { timeoutInitial: 60_000 };
      const [alice, bob] = [scene.join('alice', { config }), scene.join('bob', { config })];
      alice.messages.sendMessageToUser('str:bob', 'from alice');
      if (i % 2 === 1) bob.messages.sendMessageToUser('str:alice', 'from bob');
      scene.until(() => bob.received.length === 1 && alice.received.length === i % 2, 120 * SECOND);
      expect(alice.failed.length + bob.failed.length).to.equal(0);
    }
  });

  it('fails when signals get lost', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob')];
    scene.signaling.conditions = { lossRatio: 1 };
    alice.messages.sendMessageToUser('str:bob', 'hello');
    scene.run(9 * SECOND);
    expect(alice.failed).to.have.length(0);
    scene.run(2 * SECOND);
    expect(alice.failed.map(({ info }) => info.endReason)).to.deep.equal([5003]);
    expect(bob.requests).to.have.length(0);
  });

  it('ends when the peer vanishes, and finds the restarted one', () => {
    const { scene, alice, bob } = acquainted();
    const risen = scene.restart(bob);
    alice.messages.sendMessageToUser('str:bob', 'are you well?');
    scene.until(() => alice.closed.length === 1, 30 * SECOND);
    expect(alice.closed[0]!.info).to.include({ state: 'ProblemDetectedLocally', endReason: 5003 });
    expect(alice.closed[0]!.undeliveredBytes).to.be.greaterThan(0);
    alice.messages.sendMessageToUser('str:bob', 'welcome back', { autoRestart: true });
    scene.until(() => risen.received.length === 1);
    expect(risen.texts).to.deep.equal(['welcome back']);
  });

  it('is found by a peer that was restarted, after two seconds in which the old one did not answer', () => {
    const { scene, alice, bob } = acquainted();
    scene.run(4 * SECOND);
    const risen = scene.restart(bob);
    risen.messages.sendMessageToUser('str:alice', 'here I am again');
    scene.until(() => alice.received.length === 1, 4 * SECOND);
    expect(alice.closed.map(({ info }) => info.endReason)).to.deep.equal([5010]);
    expect([...alice.failed, ...risen.failed]).to.have.length(0);
    alice.messages.sendMessageToUser('str:bob', 'so you are');
    scene.until(() => risen.received.length === 1);
    expect(risen.requests).to.have.length(0);
  });

  it('does not give way to somebody who only calls with the name of a peer that answers', () => {
    const { scene, alice, bob } = acquainted();
    const { signaling } = scene;
    // Bob's signals arrive at the impostor from now on, but Bob is still there.
    const impostor = scene.join('mallory', { name: 'str:bob' });
    impostor.messages.sendMessageToUser('str:alice', 'I am bob');
    scene.run(9 * SECOND);
    expect(signaling.sentSignals).to.be.greaterThan(10);
    expect([...alice.closed, ...bob.closed]).to.have.length(0);
    alice.messages.sendMessageToUser('str:bob', 'are you?');
    scene.until(() => bob.received.length === 2);
    scene.until(() => impostor.failed.length === 1);
    expect(alice.texts).to.deep.equal([]);
  });

  it('with very many peers is one each', () => {
    const scene = new MessengerScene(SEED);
    const server = scene.join('server');
    server.messages.on('message', ({ identity, data }) => server.messages.sendMessageToUser(identity, data));
    const clients = Array.from({ length: 60 }, (_, i) => scene.join(`client${i}`));
    for (const { host, messages } of clients) messages.sendMessageToUser('str:server', host.name);
    scene.until(() => clients.every(({ received }) => received.length === 1), 60 * SECOND);
    for (const { host, texts } of clients) expect(texts).to.deep.equal([host.name]);
    expect(server.messages.sessions).to.have.length(60);
    expect(server.requests).to.have.length(60);
  });
});

describe('an idle session', () => {
  it('is closed after 180 s with reason 1002, and both sides are told', () => {
    const { scene, alice, bob } = acquainted();
    scene.run(178 * SECOND);
    expect(alice.messages.sessionInfo('str:bob')?.state).to.equal('Connected');
    scene.run(3 * SECOND);
    const ends = [...alice.closed, ...bob.closed];
    expect(ends.map(({ info }) => info.endReason)).to.deep.equal([1002, 1002]);
    expect(ends.map(({ undeliveredBytes }) => undeliveredBytes)).to.deep.equal([0, 0]);
    alice.messages.sendMessageToUser('str:bob', 'still there?');
    scene.until(() => bob.received.length === 2);
    expect(bob.requests).to.have.length(2);
  });

  it('is one that neither sends nor receives: receiving keeps it', () => {
    const { scene, alice, bob } = acquainted();
    for (let i = 0; i < 60; i++) {
      alice.messages.sendMessageToUser('str:bob', `${i}`);
      scene.run(10 * SECOND);
    }
    expect(bob.received).to.have.length(61);
    expect(bob.requests).to.have.length(1);
    expect([...alice.closed, ...bob.closed]).to.have.length(0);
  });

  it('is one of which nothing is unread', () => {
    const scene = new MessengerScene(SEED);
    const [alice, bob] = [scene.join('alice'), scene.join('bob', { reads: false, idleTimeoutMs: 5_000 })];
    alice.messages.sendMessageToUser('str:bob', 'hello');
    scene.run(60 * SECOND);
    expect(bob.closed).to.have.length(0);
    expect(bob.messages.receiveMessagesOnChannel(0).map(textOf)).to.deep.equal(['hello']);
    scene.run(2 * SECOND);
    expect(bob.closed).to.have.length(1);
  });

  it('is not one whose message is on its way', () => {
    const { scene, alice, bob } = acquainted({
      idleTimeoutMs: 3_000,
      config: { sendRateMin: 20_000, sendRateMax: 20_000 },
    });
    alice.messages.sendMessageToUser('str:bob', new Uint8Array(200_000));
    scene.until(() => bob.received.length === 2, 30 * SECOND);
    expect([...alice.closed, ...bob.closed]).to.have.length(0);
    scene.until(() => alice.closed.length === 1 && bob.closed.length === 1, 6 * SECOND);
  });

  it('is closed after the time that was asked for', () => {
    const { scene, alice } = acquainted({ idleTimeoutMs: 10_000 });
    scene.run(7 * SECOND);
    expect(alice.closed).to.have.length(0);
    alice.messages.acceptSessionWithUser('str:bob');
    scene.run(4 * SECOND);
    expect(alice.messages.sessionInfo('str:bob')).to.equal(undefined);
  });
});

// How connections end, and how they fail to come about: what each side is told, in which order, and how soon.

import { expect } from 'chai';
import { addressOf, type ConnectionEnd, describeInterop, freePort, isOurs, Pair, pause, SEED } from './pair.ts';

const MESSAGE_BYTES = 131_072;
const MESSAGE_COUNT = 16;
const ROOM_FOR_ALL = { SendBufferSize: 4_000_000, RecvBufferSize: 4_000_000 };
/** A silent peer is given up after this long, and half a second of doubt. */
const TIMEOUT_CONNECTED_MS = 1_000;

async function queueTwoMegabytes(sender: ConnectionEnd): Promise<void> {
  await sender.ask('send', { flags: 'reliable', pattern: SEED, size: MESSAGE_BYTES, count: MESSAGE_COUNT });
}

/** What happened between two reports of one or two peers, in milliseconds. */
function msBetween(first: { readonly t: number }, second: { readonly t: number }): number {
  return (second.t - first.t) / 1_000;
}

describeInterop(`ends of connections (SEED=${SEED})`, (roles) => {
  for (const way of [0, 1] as const) {
    const who = way === 0 ? 'the connector' : 'the listener';

    it(`a close with linger by ${who} delivers 2 MB before the other is told`, async () => {
      await using pair = await Pair.start(roles, { both: { ...ROOM_FOR_ALL, SendRateMin: 4e6, SendRateMax: 4e6 } });
      await pair.establish();
      const [closer, other] = pair.directions[way]!;
      await other.ask('verify', { pattern: SEED });
      await queueTwoMegabytes(closer);
      await closer.ask('close', { reason: 1500, debug: 'all said', linger: 1 });
      await other.state('ClosedByPeer', 10_000);
      expect(await other.peer.ask('counters')).to.include({ rx_msgs: MESSAGE_COUNT, verified: MESSAGE_COUNT });
      // The closed handle is gone at once, whatever goes on below.
      expect(closer.story).to.deep.equal(['Connecting', 'Connected', 'None 1500 all said']);
      expect(other.story.slice(0, 3)).to.deep.equal(['Connecting', 'Connected', 'ClosedByPeer 1500 all said']);
    });

    it(`a close with linger by ${who} delivers everything over a network that loses a fifth`, async () => {
      const gns = { FakePacketLoss_Send: 20, FakePacketLoss_Recv: 20 };
      await using pair = await Pair.start(roles, {
        both: { ...ROOM_FOR_ALL, SendRateMin: 4e6, SendRateMax: 4e6 },
        gns,
      });
      await pair.establish(10_000);
      const [closer, other] = pair.directions[way]!;
      await other.ask('verify', { pattern: SEED });
      await queueTwoMegabytes(closer);
      await closer.ask('close', { reason: 1501, debug: 'all said', linger: 1 });
      await other.untilMessages(MESSAGE_COUNT, 20_000);
      expect(await other.peer.ask('counters')).to.include({ verified: MESSAGE_COUNT, mismatches: 0 });
    });

    it(`a close without linger by ${who} is told at once, and what was queued is dropped`, async () => {
      await using pair = await Pair.start(roles, { both: ROOM_FOR_ALL });
      await pair.establish();
      const [closer, other] = pair.directions[way]!;
      await queueTwoMegabytes(closer);
      await closer.ask('close', { reason: 2500, debug: 'in a hurry' });
      const ended = await other.state('ClosedByPeer');
      expect(ended).to.include({ reason: 2500, debug: 'in a hurry' });
      expect(msBetween(await closer.state('None'), ended)).to.be.lessThan(500);
      expect(other.messages.length).to.be.lessThan(MESSAGE_COUNT);
    });

    it(`a close by ${who} without a reason, and with one that is out of range, is told alike by both`, async () => {
      for (const [given, told] of [
        [{}, '1000 Application closed connection'],
        [{ reason: 2000 }, '2000 Application closed connection in an unusual way'],
        [{ reason: 4000, debug: 'out of range' }, '1999 '],
      ] as const) {
        await using pair = await Pair.start(roles);
        await pair.establish();
        const [closer, other] = pair.directions[way]!;
        await closer.ask('close', given);
        await other.state('ClosedByPeer');
        expect(other.story[2], JSON.stringify(given)).to.match(new RegExp(`^ClosedByPeer ${told}`));
        expect(other.story[2]).to.equal(closer.story[2]!.replace('None', 'ClosedByPeer'));
      }
    });

    it(`a peer that was killed while it was ${who} is given up after TimeoutConnected`, async () => {
      await using pair = await Pair.start(roles, { both: { TimeoutConnected: TIMEOUT_CONNECTED_MS } });
      await pair.establish();
      const [victim, survivor] = pair.directions[way]!;
      await victim.peer.kill();
      const sent = await survivor.ask('send', { text: 'are you there?' });
      const ended = await survivor.state('ProblemDetectedLocally');
      expect(ended).to.include({ reason: 5003, reasonName: 'Misc_Timeout' });
      expect(msBetween(sent, ended)).to.be.within(TIMEOUT_CONNECTED_MS, TIMEOUT_CONNECTED_MS + 2_500);
    });
  }

  it('a long text reaches the peer cut to 127 bytes', async () => {
    await using pair = await Pair.start(roles);
    await pair.establish();
    await pair.connectorEnd.ask('close', { reason: 1001, debug: 'x'.repeat(300) });
    expect((await pair.listenerEnd.state('ClosedByPeer')).debug).to.equal('x'.repeat(127));
  });

  it('a client that is turned away gets the reason and the text while it is connecting', async () => {
    await using pair = await Pair.start(roles, { autoAccept: false });
    await pair.listen();
    await pair.connect();
    await pair.listenerEnd.state('Connecting');
    await pair.listenerEnd.ask('reject', { reason: 2003, debug: 'members only' });
    await pair.connectorEnd.state('None');
    expect(pair.listenerEnd.story).to.deep.equal(['Connecting', 'None 2003 members only']);
    expect(pair.connectorEnd.story).to.deep.equal([
      'Connecting',
      'ClosedByPeer 2003 members only',
      'None 2003 members only',
    ]);
  });

  it('a client that gives up while it waits to be accepted tells the listener', async () => {
    await using pair = await Pair.start(roles, { autoAccept: false });
    await pair.listen();
    await pair.connect();
    await pair.listenerEnd.state('Connecting');
    await pair.connectorEnd.ask('close', { reason: 1002, debug: 'changed my mind' });
    const { reason, debug } = await pair.listenerEnd.state('ClosedByPeer');
    expect({ reason, debug }).to.deep.equal({ reason: 1002, debug: 'changed my mind' });
  });

  it('a listener whose application does not answer gives up after TimeoutInitial and says so', async () => {
    await using pair = await Pair.start(roles, { autoAccept: false });
    await pair.listen({ TimeoutInitial: 600 });
    await pair.connect();
    const problem = await pair.listenerEnd.state('ProblemDetectedLocally');
    const told = await pair.connectorEnd.state('ClosedByPeer');
    expect(problem.reason).to.equal(5003);
    expect({ reason: told.reason, debug: told.debug }).to.deep.equal({ reason: 5003, debug: problem.debug });
    expect(msBetween(pair.listenerEnd.states[0]!, problem)).to.be.within(550, 1_500);
  });

  it('a client that is not accepted gives up after its TimeoutInitial and says so', async () => {
    await using pair = await Pair.start(roles, { autoAccept: false });
    await pair.listen();
    await pair.connect({ TimeoutInitial: 600 });
    const problem = await pair.connectorEnd.state('ProblemDetectedLocally');
    const told = await pair.listenerEnd.state('ClosedByPeer');
    expect(problem.reason).to.equal(5003);
    expect({ reason: told.reason, debug: told.debug }).to.deep.equal({ reason: 5003, debug: problem.debug });
    expect(msBetween(pair.connectorEnd.states[0]!, problem)).to.be.within(550, 1_500);
  });

  it('where nobody listens the client gives up after its TimeoutInitial', async () => {
    await using pair = await Pair.start(roles);
    const addr = addressOf('127.0.0.1', await freePort('127.0.0.1'));
    await pair.connector.ask('connect', { id: 'C', addr, TimeoutInitial: 600 });
    const problem = await pair.connectorEnd.state('ProblemDetectedLocally');
    expect(problem).to.include({ reason: 5003, reasonName: 'Misc_Timeout' });
    expect(msBetween(pair.connectorEnd.states[0]!, problem)).to.be.within(550, 1_500);
  });

  it('the end of a listen socket is told to the clients by ours; by GNS it is not, and they time out', async () => {
    await using pair = await Pair.start(roles, { both: { TimeoutConnected: TIMEOUT_CONNECTED_MS } });
    await pair.establish();
    await pair.listener.ask('closelisten', { id: 'L' });
    if (isOurs(roles.listener)) {
      expect((await pair.connectorEnd.state('ClosedByPeer')).reason).to.equal(1000);
      return;
    }
    await pair.connectorEnd.ask('send', { text: 'are you there?' });
    expect((await pair.connectorEnd.state('ProblemDetectedLocally')).reason).to.equal(5003);
  });

  it('when both close at the same time, neither is told of the other', async () => {
    await using pair = await Pair.start(roles);
    await pair.establish();
    await pair.gnsEnd.peer.ask('config', { FakePacketLag_Send: 100, FakePacketLag_Recv: 100 });
    await Promise.all([
      pair.connectorEnd.ask('close', { reason: 1101, debug: 'first' }),
      pair.listenerEnd.ask('close', { reason: 1102, debug: 'no, first' }),
    ]);
    await Promise.all([pair.connectorEnd.state('None'), pair.listenerEnd.state('None')]);
    await pause(300);
    expect(pair.connectorEnd.story).to.deep.equal(['Connecting', 'Connected', 'None 1101 first']);
    expect(pair.listenerEnd.story).to.deep.equal(['Connecting', 'Connected', 'None 1102 no, first']);
  });

  it('a close notice of ours that is lost is repeated until GNS hears it', async function () {
    if (!isOurs(roles.listener) && !isOurs(roles.connector)) this.skip();
    await using pair = await Pair.start(roles);
    await pair.establish();
    await pair.gnsEnd.peer.ask('config', { FakePacketLoss_Recv: 100 });
    await pair.otherEnd.ask('close', { reason: 1300, debug: 'can you hear me?' });
    await pause(300);
    expect(pair.gnsEnd.story).to.deep.equal(['Connecting', 'Connected']);
    await pair.gnsEnd.peer.ask('config', { FakePacketLoss_Recv: 0 });
    // GNS, with nothing to send, would not notice for ten seconds.
    await pair.gnsEnd.state('ClosedByPeer', 4_000);
    expect(pair.gnsEnd.story[2]).to.equal('ClosedByPeer 1300 can you hear me?');
  });

  it('a close notice of GNS that is lost is made up for when we send', async () => {
    await using pair = await Pair.start(roles);
    await pair.establish();
    await pair.gnsEnd.peer.ask('config', { FakePacketLoss_Send: 100 });
    await pair.gnsEnd.ask('close', { reason: 1301, debug: 'lost' });
    await pause(100);
    await pair.gnsEnd.peer.ask('config', { FakePacketLoss_Send: 0 });
    await pair.otherEnd.ask('send', { text: 'are you there?' });
    await pair.otherEnd.state('ClosedByPeer');
    expect(pair.otherEnd.story[2]).to.equal('ClosedByPeer 1301 lost');
  });
});

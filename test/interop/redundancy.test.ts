// Reliable data that our side sends again unasked: the reference peer gets it through a network that loses, reorders and
// repeats, and delivers each message once.

import { expect } from 'chai';
import { describeInterop, Pair, pause, SEED } from './pair.ts';

const MESSAGES = 150;
const MESSAGE_BYTES = 128;
const TICK_MS = 4;

const WEATHERS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'a slow path': { FakePacketLag_Recv: 40, FakePacketLag_Send: 40 },
  'a path that loses a tenth': { FakePacketLoss_Recv: 10, FakePacketLoss_Send: 10, FakePacketLag_Recv: 20 },
  'a path that reorders and repeats': {
    FakePacketLoss_Recv: 5,
    FakePacketReorder_Recv: 20,
    FakePacketReorder_Time: 10,
    FakePacketDup_Recv: 20,
  },
};

describeInterop(`redundant sends (SEED=${SEED})`, (roles) => {
  for (const [name, weather] of Object.entries(WEATHERS)) {
    for (const redundantSends of [1, 3]) {
      it(`each message in ${redundantSends} packets more, over ${name}, arrives once and in order`, async () => {
        await using pair = await Pair.start(roles, { gns: weather, ours: { RedundantSends: redundantSends } });
        await pair.establish();
        const [from, to] = [pair.otherEnd, pair.gnsEnd];
        await to.ask('verify', { pattern: SEED });
        for (let base = 0; base < MESSAGES; base++) {
          await from.ask('send', { flags: 'reliable,nonagle', pattern: SEED, size: MESSAGE_BYTES, base });
          await pause(TICK_MS);
        }
        await to.untilMessages(MESSAGES);
        await pause(300);
        expect(to.messages).to.have.length(MESSAGES);
        expect(await to.peer.ask('counters')).to.include({ verified: MESSAGES, mismatches: 0 });
        expect(to.story.at(-1)).to.equal('Connected');
        expect(await from.ask('status')).to.include({ unacked_reliable: 0, pending_reliable: 0 });
      });
    }
  }

  it('messages on several lanes, between unreliable ones, arrive once and in order', async () => {
    const gns = { FakePacketLoss_Recv: 10, FakePacketLoss_Send: 10, FakePacketLag_Recv: 20 };
    await using pair = await Pair.start(roles, { gns, ours: { RedundantSends: 2 } });
    await pair.establish();
    const [from, to] = [pair.otherEnd, pair.gnsEnd];
    await from.ask('lanes', { n: 3, priorities: '0,1,0', weights: '1,1,3' });
    for (let i = 0; i < MESSAGES; i++) {
      const lane = i % 3;
      // The size tells which it is.
      await from.ask('send', { flags: 'reliable', size: i, lane });
      await from.ask('send', { flags: 'unreliable,nonagle', size: 10, lane: (lane + 1) % 3 });
    }
    const reliable = () => to.messages.filter(({ flags }) => flags === 'reliable');
    await to.peer.until('all reliable messages', () => (reliable().length >= MESSAGES ? true : undefined));
    for (const lane of [0, 1, 2]) {
      const sent = Array.from({ length: MESSAGES / 3 }, (_, at) => 3 * at + lane);
      expect(reliable().flatMap((message) => (message.lane === lane ? [message.size] : []))).to.deep.equal(sent);
    }
    expect(to.story.at(-1)).to.equal('Connected');
  });
});

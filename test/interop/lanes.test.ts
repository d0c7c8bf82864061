// Several lanes on one connection: each has its own order, and priorities and weights say whose turn it is.

import { expect } from 'chai';
import { type Parameters, PeerRefusal } from '../support/peer-process.ts';
import { type ConnectionEnd, describeInterop, Pair, SEED } from './pair.ts';

const MESSAGE_BYTES = 3_000;

/** False if this peer sends on one lane only. */
async function configureLanes(end: ConnectionEnd, parameters: Parameters): Promise<boolean> {
  try {
    await end.ask('lanes', parameters);
    return true;
  } catch (error) {
    if (error instanceof PeerRefusal && error.answer['result'] === 'NotSupported') return false;
    throw error;
  }
}

describeInterop(`lanes (SEED=${SEED})`, (roles) => {
  for (const way of [0, 1] as const) {
    const who = way === 0 ? 'the connector' : 'the listener';

    it(`reliable messages on four lanes of ${who} arrive, those of each lane in order`, async function () {
      await using pair = await Pair.start(roles);
      await pair.establish();
      const [sender, receiver] = pair.directions[way]!;
      const lanes = [0, 1, 2, 3];
      if (!(await configureLanes(sender, { n: 4, priorities: '0,1,1,2', weights: '1,1,3,1' }))) this.skip();
      await receiver.ask('verify', { pattern: SEED });
      for (const lane of lanes) await sender.ask('send', { lane, pattern: SEED, size: MESSAGE_BYTES, count: 20 });
      const messages = await receiver.untilMessages(lanes.length * 20);
      for (const lane of lanes) {
        const numbers = messages.filter((message) => message.lane === lane).map(({ msgnum }) => msgnum);
        expect(numbers, `lane ${lane}`).to.deep.equal(Array.from({ length: 20 }, (_, i) => i + 1));
      }
      expect(await receiver.peer.ask('counters')).to.include({ verified: messages.length, mismatches: 0 });
    });

    it(`unreliable messages on three lanes of ${who} arrive on theirs`, async function () {
      await using pair = await Pair.start(roles);
      await pair.establish();
      const [sender, receiver] = pair.directions[way]!;
      if (!(await configureLanes(sender, { n: 3 }))) this.skip();
      for (const lane of [2, 0, 1, 2]) {
        const before = receiver.messages.length;
        await sender.ask('send', { lane, flags: 'unreliable,nonagle', pattern: SEED, size: MESSAGE_BYTES });
        await receiver.untilMessages(before + 1);
      }
      const arrived = receiver.messages.map(({ lane, flags, msgnum }) => ({ lane, flags, msgnum }));
      const flags = 'unreliable';
      expect(arrived).to.deep.equal([
        { lane: 2, flags, msgnum: 1 },
        { lane: 0, flags, msgnum: 1 },
        { lane: 1, flags, msgnum: 1 },
        { lane: 2, flags, msgnum: 2 },
      ]);
    });

    it(`an urgent lane of ${who} overtakes one that has much to send`, async function () {
      await using pair = await Pair.start(roles);
      await pair.establish();
      const [sender, receiver] = pair.directions[way]!;
      if (!(await configureLanes(sender, { n: 2, priorities: '1,0', weights: '1,1' }))) this.skip();
      await sender.ask('send', { lane: 0, size: 10_000, count: 30 });
      await receiver.untilMessages(1);
      await sender.ask('send', { lane: 1, text: 'let me through' });
      const messages = await receiver.untilMessages(31);
      const place = messages.findIndex(({ lane }) => lane === 1);
      expect(place, 'messages before the urgent one').to.be.lessThan(25);
    });
  }
});

// Many messages of both kinds and of random sizes in both directions at once, over a clean and over a bad network.

import { expect } from 'chai';
import { fillPattern, fnv1a } from '../../src/cli/peer/pattern.ts';
import { SeededRandom } from '../../src/core/base/random.ts';
import type { MessageReport, Parameters } from '../support/peer-process.ts';
import { type ConnectionEnd, describeInterop, Pair, SEED } from './pair.ts';

interface Planned {
  readonly size: number;
  readonly isReliable: boolean;
}

/** Mostly small ones, as games send them; some need several packets. */
function plan(seed: number, count: number, reliableShare: number): readonly Planned[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, () => ({
    size: random.below(20) === 0 ? random.below(6_000) : random.below(400),
    isReliable: random.float() < reliableShare,
  }));
}

const ROOMY: Parameters = {
  SendBufferSize: 50_000_000,
  RecvBufferSize: 50_000_000,
  RecvBufferMessages: 50_000,
};

/** Sends them all, each with the pattern of its place in the plan. */
async function sendAll(sender: ConnectionEnd, seed: number, messages: readonly Planned[]): Promise<void> {
  const answers = messages.map(({ size, isReliable }, base) =>
    sender.ask('send', { flags: isReliable ? 'reliable' : 'unreliable', pattern: seed, size, base }),
  );
  for (const answer of await Promise.all(answers)) expect(answer).to.include({ sent: 1 });
}

/** Everything reliable has arrived in order, nothing twice, and nothing that was not sent like this. */
function check(received: readonly MessageReport[], seed: number, messages: readonly Planned[]): void {
  for (const { size, flags, msgnum, fnv1a: hash } of received) {
    const planned = messages[msgnum - 1];
    const bytes = new Uint8Array(planned?.size ?? 0);
    fillPattern(seed, msgnum - 1, bytes);
    const expected = {
      size: planned?.size,
      flags: planned?.isReliable ? 'reliable' : 'unreliable',
      hash: fnv1a(bytes),
    };
    expect({ size, flags, hash }, `message ${msgnum}`).to.deep.equal(expected);
  }
  const numbersOf = (flags: string) => received.filter((message) => message.flags === flags).map((m) => m.msgnum);
  const reliable = messages.flatMap(({ isReliable }, index) => (isReliable ? [index + 1] : []));
  expect(numbersOf('reliable')).to.deep.equal(reliable);
  expect(new Set(numbersOf('unreliable')).size, 'no duplicates').to.equal(numbersOf('unreliable').length);
}

/** Waits for all reliable messages, and returns what share of the unreliable ones has come by then. */
async function arrival(receiver: ConnectionEnd, messages: readonly Planned[], timeoutMs: number): Promise<number> {
  const reliable = messages.filter(({ isReliable }) => isReliable).length;
  const haveArrived = () => receiver.messages.filter(({ flags }) => flags === 'reliable').length >= reliable;
  await receiver.peer.until(`${reliable} reliable messages`, () => (haveArrived() ? true : undefined), timeoutMs);
  return (receiver.messages.length - reliable) / (messages.length - reliable);
}

function badNetwork(lossPercent: number): Parameters {
  return {
    FakePacketLoss_Send: lossPercent,
    FakePacketLoss_Recv: lossPercent,
    FakePacketReorder_Send: 10,
    FakePacketReorder_Recv: 10,
    FakePacketReorder_Time: 15,
    FakePacketDup_Send: 10,
    FakePacketDup_Recv: 10,
    FakePacketDup_TimeMax: 20,
  };
}

/** Both directions, each with a seed and a plan of its own. */
function waysOf(pair: Pair, count: number, reliableShare: number) {
  return pair.directions.map(([from, to], i) => {
    const seed = SEED + i;
    return { from, to, seed, messages: plan(seed, count, reliableShare) };
  });
}

describeInterop(`mixed traffic (SEED=${SEED})`, (roles) => {
  it('20,000 messages, half of them each way at once', async function () {
    this.timeout(60_000);
    await using pair = await Pair.start(roles, { both: { ...ROOMY, SendRateMin: 3_000_000, SendRateMax: 3_000_000 } });
    await pair.establish();
    const ways = waysOf(pair, 10_000, 0.5);
    await Promise.all(ways.map(({ from, seed, messages }) => sendAll(from, seed, messages)));
    for (const { to, seed, messages } of ways) {
      const share = await arrival(to, messages, 30_000);
      check(to.messages, seed, messages);
      expect(share, 'unreliable messages that arrived').to.be.greaterThan(0.9);
    }
  });

  for (const side of ['gns', 'ours'] as const) {
    for (const [lossPercent, count] of [
      [5, 3_000],
      [25, 1_500],
    ] as const) {
      const whose = side === 'gns' ? "GNS's" : 'our';

      it(`${lossPercent} % loss, reordering and duplicates by ${whose} fake network: the reliable arrive in order`, async () => {
        const both = { ...ROOMY, SendRateMin: 1_000_000, SendRateMax: 1_000_000, TimeoutInitial: 20_000 };
        await using pair = await Pair.start(roles, { both, [side]: badNetwork(lossPercent) });
        await pair.establish(20_000);
        const ways = waysOf(pair, count, 0.9);
        await Promise.all(ways.map(({ from, seed, messages }) => sendAll(from, seed, messages)));
        for (const { to, seed, messages } of ways) {
          await arrival(to, messages, 25_000);
          check(to.messages, seed, messages);
        }
        for (const end of [pair.connectorEnd, pair.listenerEnd]) {
          expect(end.story).to.deep.equal(['Connecting', 'Connected']);
        }
      });
    }
  }
});

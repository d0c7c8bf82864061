// Messages of the sizes where something changes in the wire format, checked by hash on arrival.

import { expect } from 'chai';
import { fillPattern, fnv1a } from '../../src/cli/peer/pattern.ts';
import { type MessageReport, PeerRefusal } from '../support/peer-process.ts';
import { describeInterop, Pair, SEED } from './pair.ts';

const SIZES = [0, 1, 31, 32, 33, 1199, 1200, 1201, 1279, 1280, 1281, 16_384];
const RELIABLE_SIZES = [...SIZES, 65_536, 524_288];
const UNRELIABLE_SIZES = [...SIZES, 16_500];
/** Unreliable messages above this are sent reliably. */
const MAX_UNRELIABLE_BYTES = 16_500;

/** The largest message has to fit into the buffers twice, and not to take seconds. */
const FAST_AND_ROOMY = {
  SendRateMin: 20_000_000,
  SendRateMax: 20_000_000,
  SendBufferSize: 4_000_000,
  RecvBufferSize: 4_000_000,
};

type Payload = Pick<MessageReport, 'size' | 'flags' | 'msgnum' | 'fnv1a'>;

/** The k-th message of a connection, as its receiver has to report it. */
function payload(index: number, size: number, flags: MessageReport['flags']): Payload {
  const bytes = new Uint8Array(size);
  fillPattern(SEED, index, bytes);
  return { size, flags, msgnum: index + 1, fnv1a: fnv1a(bytes) };
}

function essence({ size, flags, msgnum, fnv1a }: MessageReport): Payload {
  return { size, flags, msgnum, fnv1a };
}

describeInterop(`messages of all sizes (SEED=${SEED})`, (roles) => {
  for (const way of [0, 1] as const) {
    const who = way === 0 ? 'from the connector' : 'from the listener';

    it(`reliable ones ${who} arrive complete and in order`, async () => {
      await using pair = await Pair.start(roles, { both: FAST_AND_ROOMY });
      await pair.establish();
      const [sender, receiver] = pair.directions[way]!;
      for (const [base, size] of RELIABLE_SIZES.entries()) {
        await sender.ask('send', { flags: 'reliable', pattern: SEED, size, base });
      }
      const messages = await receiver.untilMessages(RELIABLE_SIZES.length);
      expect(messages.map(essence)).to.deep.equal(RELIABLE_SIZES.map((size, i) => payload(i, size, 'reliable')));
    });

    it(`unreliable ones ${who} arrive complete where nothing is lost`, async () => {
      await using pair = await Pair.start(roles, { both: FAST_AND_ROOMY });
      await pair.establish();
      const [sender, receiver] = pair.directions[way]!;
      for (const [base, size] of UNRELIABLE_SIZES.entries()) {
        await sender.ask('send', { flags: 'unreliable,nonagle', pattern: SEED, size, base });
        await receiver.untilMessages(base + 1);
      }
      const expected = UNRELIABLE_SIZES.map((size, i) => payload(i, size, 'unreliable'));
      expect(receiver.messages.map(essence)).to.deep.equal(expected);
    });

    it(`one that is too large to be unreliable goes reliably ${who}`, async () => {
      await using pair = await Pair.start(roles, { both: FAST_AND_ROOMY });
      await pair.establish();
      const [sender, receiver] = pair.directions[way]!;
      await sender.ask('send', { flags: 'unreliable', pattern: SEED, size: MAX_UNRELIABLE_BYTES + 1 });
      const messages = await receiver.untilMessages(1);
      expect(messages.map(essence)).to.deep.equal([payload(0, MAX_UNRELIABLE_BYTES + 1, 'reliable')]);
    });

    it(`what is sent ${who} before it is connected arrives afterwards`, async () => {
      await using pair = await Pair.start(roles, { autoAccept: false });
      await pair.listen();
      await pair.connect();
      await pair.listenerEnd.state('Connecting');
      const [sender, receiver] = pair.directions[way]!;
      for (const base of [0, 1, 2]) await sender.ask('send', { flags: 'reliable', pattern: SEED, size: 100, base });
      await pair.listenerEnd.ask('accept');
      const messages = await receiver.untilMessages(3);
      expect(messages.map(essence)).to.deep.equal([0, 1, 2].map((index) => payload(index, 100, 'reliable')));
    });
  }

  it('the largest message is refused by one byte more, on both sides alike', async () => {
    await using pair = await Pair.start(roles, { both: FAST_AND_ROOMY });
    await pair.establish();
    for (const [sender] of pair.directions) {
      const refusal = await sender.ask('send', { pattern: SEED, size: 524_289 }).catch((error: unknown) => error);
      expect(refusal).to.be.instanceOf(PeerRefusal);
      expect((refusal as PeerRefusal).answer, sender.peer.name).to.include({ result: 'InvalidParam' });
    }
  });
});

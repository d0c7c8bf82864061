// The same calls in the same states have the same results on both sides. Spec: 04 §4.5.

import { expect } from 'chai';
import { type Parameters, PeerRefusal } from '../support/peer-process.ts';
import { type ConnectionEnd, describeInterop, Pair } from './pair.ts';

const CALLS: Readonly<Record<string, readonly [command: string, parameters: Parameters]>> = {
  send: ['send', { text: 'x' }],
  'send without delay': ['send', { text: 'x', flags: 'unreliable,nodelay' }],
  'send on a lane that is not there': ['send', { text: 'x', lane: 1 }],
  'send too much': ['send', { size: 524_289 }],
  flush: ['flush', {}],
  accept: ['accept', {}],
};

/** `OK` or the name of the error, by call. */
async function results(
  end: ConnectionEnd,
  without: readonly string[] = [],
): Promise<Readonly<Record<string, unknown>>> {
  const found: Record<string, unknown> = {};
  for (const [name, [command, parameters]] of Object.entries(CALLS)) {
    if (without.includes(name)) continue;
    found[name] = await end.ask(command, parameters).then(
      () => 'OK',
      (error: unknown) => (error instanceof PeerRefusal ? error.answer['result'] : error),
    );
  }
  return found;
}

describeInterop('results of calls', (roles) => {
  it('while a client waits to be accepted', async () => {
    await using pair = await Pair.start(roles, { autoAccept: false });
    await pair.listen();
    await pair.connect();
    await pair.listenerEnd.state('Connecting');
    const expected = {
      send: 'OK',
      'send without delay': 'Ignored',
      'send on a lane that is not there': 'InvalidParam',
      'send too much': 'InvalidParam',
      flush: 'Ignored',
    };
    expect(await results(pair.listenerEnd, ['accept']), 'listener').to.deep.equal(expected);
    expect(await results(pair.connectorEnd), 'connector').to.deep.equal({ ...expected, accept: 'InvalidParam' });
  });

  it('while connected', async () => {
    await using pair = await Pair.start(roles);
    await pair.establish();
    for (const end of [pair.listenerEnd, pair.connectorEnd]) {
      expect(await results(end), end.peer.name).to.deep.equal({
        send: 'OK',
        'send without delay': 'OK',
        'send on a lane that is not there': 'InvalidParam',
        'send too much': 'InvalidParam',
        flush: 'OK',
        accept: 'InvalidState',
      });
    }
  });

  for (const way of [0, 1] as const) {
    const who = way === 0 ? 'the connector' : 'the listener';

    it(`after ${who} has closed, at the other, which keeps its handle`, async () => {
      await using pair = await Pair.start(roles);
      await pair.establish();
      const [closer, other] = pair.directions[way]!;
      await other.peer.ask('autoclose off');
      await closer.ask('close', { reason: 1003, debug: 'over' });
      await other.state('ClosedByPeer');
      expect(await results(other, ['send too much'])).to.deep.equal({
        send: 'NoConnection',
        'send without delay': 'NoConnection',
        'send on a lane that is not there': 'NoConnection',
        flush: 'NoConnection',
        accept: 'InvalidState',
      });
      const info = await other.ask('info');
      expect(info).to.include({ state: 'ClosedByPeer', reason: 1003, debug: 'over' });
      // Its own reason comes too late.
      await other.ask('close', { reason: 1004, debug: 'ignored' });
      expect((await other.state('None')).debug).to.equal('over');
    });
  }

  it('a full send buffer', async () => {
    await using pair = await Pair.start(roles, {
      both: { SendBufferSize: 100_000, SendRateMin: 1_024, SendRateMax: 1_024 },
    });
    await pair.establish();
    for (const end of [pair.listenerEnd, pair.connectorEnd]) {
      await end.ask('send', { size: 60_000 });
      const refusal = await end.ask('send', { size: 60_000 }).catch((error: unknown) => error);
      expect((refusal as PeerRefusal).answer['result'], end.peer.name).to.equal('LimitExceeded');
    }
  });
});

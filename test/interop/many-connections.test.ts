// Many connections between two processes.

import { expect } from 'chai';
import type { MessageReport, PeerProcess, StateReport } from '../support/peer-process.ts';
import { describeInterop, Pair, pause, SEED } from './pair.ts';

const COUNT = 200;

/** Connections that reached this state. */
function reached(peer: PeerProcess, state: string): readonly StateReport[] {
  return peer.events.filter((event): event is StateReport => event.ev === 'state' && event['new'] === state);
}

function messages(peer: PeerProcess): readonly MessageReport[] {
  return peer.events.filter((event): event is MessageReport => event.ev === 'msg');
}

function distinctConnections(reports: readonly { readonly conn: string }[]): number {
  return new Set(reports.map(({ conn }) => conn)).size;
}

describeInterop(`many connections (SEED=${SEED})`, (roles) => {
  it(`${COUNT} at once are made, carry a message each way, and are closed`, async () => {
    await using pair = await Pair.start(roles);
    const { listener, connector } = pair;
    await pair.listen();
    await connector.ask('connect', { id: 'P', addr: pair.address, count: COUNT });
    const batch = await connector.event('connectbatch', () => true, 20_000);
    expect(batch).to.include({ count: COUNT, connected: COUNT, failed: 0 });

    const all = (peer: PeerProcess, found: () => readonly unknown[]) =>
      peer.until(`all ${COUNT}`, () => (found().length >= COUNT ? true : undefined), 10_000);
    await all(listener, () => reached(listener, 'Connected'));
    expect(await connector.ask('send', { id: 'P.*', text: 'ping' })).to.include({ sent: COUNT, failed: 0 });
    await all(listener, () => messages(listener));
    expect(await listener.ask('send', { id: 'L.*', text: 'pong' })).to.include({ sent: COUNT, failed: 0 });
    await all(connector, () => messages(connector));
    for (const peer of [listener, connector]) {
      expect(distinctConnections(messages(peer)), `connections of ${peer.name} with a message`).to.equal(COUNT);
      expect(messages(peer)).to.have.lengthOf(COUNT);
    }

    await connector.ask('close', { id: 'P.*', reason: 1700, debug: 'enough' });
    await all(listener, () => reached(listener, 'ClosedByPeer'));
    expect(distinctConnections(reached(listener, 'ClosedByPeer'))).to.equal(COUNT);
    for (const { reason, debug } of reached(listener, 'ClosedByPeer')) {
      expect({ reason, debug }).to.deep.equal({ reason: 1700, debug: 'enough' });
    }
  });

  it('50 at once come about over a network that loses, repeats and swaps a quarter, and carry everything', async () => {
    const percent = 25;
    await using pair = await Pair.start(roles, {
      gns: {
        FakePacketLoss_Send: percent,
        FakePacketLoss_Recv: percent,
        FakePacketDup_Send: percent,
        FakePacketDup_Recv: percent,
        FakePacketReorder_Send: percent,
        FakePacketReorder_Recv: percent,
      },
    });
    const { listener, connector } = pair;
    await pair.listen();
    for (const peer of [listener, connector]) {
      await peer.ask('sink on');
      await peer.ask('verify', { pattern: SEED });
    }
    await connector.ask('connect', { id: 'P', addr: pair.address, count: 50, window: 50, TimeoutInitial: 20_000 });
    const batch = await connector.event('connectbatch', () => true, 25_000);
    expect(batch).to.include({ connected: 50, failed: 0 });
    await connector.ask('send', { id: 'P.*', pattern: SEED, size: 3_000, count: 5 });
    await listener.ask('send', { id: 'L.*', pattern: SEED, size: 3_000, count: 5 });
    for (const peer of [listener, connector]) {
      const counters = async () => (await peer.ask('counters'))['verified'];
      for (let tries = 0; tries < 50 && (await counters()) !== 250; tries++) await pause(100);
      expect(await peer.ask('counters'), peer.name).to.include({ rx_msgs: 250, verified: 250, mismatches: 0 });
    }
  });
});

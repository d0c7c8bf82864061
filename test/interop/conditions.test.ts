// Connections under conditions that are not the usual ones: slow paths, pauses, small packets, tight limits, and so
// much traffic that the packet numbers of the wire format start again from 0.

import { expect } from 'chai';
import { describeInterop, Pair, pause, SEED } from './pair.ts';

const LAG_MS = 100;
/** More than 65,536 packets of at most 1,300 bytes. */
const BYTES_TO_WRAP = 90_000_000;

describeInterop(`unusual conditions (SEED=${SEED})`, (roles) => {
  it('both measure the ping of a slow path', async () => {
    await using pair = await Pair.start(roles, { gns: { FakePacketLag_Send: LAG_MS, FakePacketLag_Recv: LAG_MS } });
    await pair.establish();
    for (const [from, to] of pair.directions) {
      await from.ask('send', { text: 'hello' });
      await to.untilMessages(1);
    }
    for (const end of [pair.connectorEnd, pair.listenerEnd]) {
      const { ping_ms: pingMs } = await end.ask('status');
      expect(pingMs, end.peer.name).to.be.within(2 * LAG_MS - 5, 2 * LAG_MS + 100);
    }
  });

  for (const way of [0, 1] as const) {
    const who = way === 0 ? 'the connector' : 'the listener';

    it(`small packets of ${who}, and large ones of the other, carry large messages both ways`, async () => {
      const small = { MTU_PacketSize: 400 };
      await using pair = await Pair.start(roles, way === 0 ? { connector: small } : { listener: small });
      await pair.establish();
      for (const [from, to] of pair.directions) {
        await to.ask('verify', { pattern: SEED });
        await from.ask('send', { pattern: SEED, size: 50_000, count: 2 });
        await to.untilMessages(2);
        expect(await to.peer.ask('counters'), to.peer.name).to.include({ verified: 2, mismatches: 0 });
      }
    });

    for (const flags of ['reliable', 'unreliable'] as const) {
      it(`${who} ends a connection with 5002 over a ${flags} message that is larger than it takes`, async () => {
        const limit = { RecvMaxMessageSize: 1_000 };
        await using pair = await Pair.start(roles, way === 0 ? { connector: limit } : { listener: limit });
        await pair.establish();
        const [receiver, sender] = pair.directions[way]!;
        await sender.ask('send', { flags, size: 1_000 });
        await receiver.untilMessages(1);
        await sender.ask('send', { flags, size: 1_001 });
        const { reason, debug } = await receiver.state('ProblemDetectedLocally');
        const told = await sender.state('ClosedByPeer');
        expect(reason).to.equal(5002);
        expect({ reason: told.reason, debug: told.debug }).to.deep.equal({ reason, debug });
      });
    }

    it(`${who} that stands still for two seconds catches up with what it missed`, async () => {
      await using pair = await Pair.start(roles);
      await pair.establish();
      const [sleeper, other] = pair.directions[way]!;
      await sleeper.ask('verify', { pattern: SEED });
      sleeper.peer.pause();
      await other.ask('send', { pattern: SEED, size: 1_000, count: 100 });
      await pause(2_000);
      sleeper.peer.resume();
      await sleeper.untilMessages(100);
      expect(await sleeper.peer.ask('counters')).to.include({ verified: 100, mismatches: 0 });
      expect(other.story).to.deep.equal(['Connecting', 'Connected']);
    });
  }

  it('90 MB each way at full speed, with packet numbers that wrap, arrive complete and in order', async function () {
    this.timeout(60_000);
    const both = {
      SendRateMin: 40_000_000,
      SendRateMax: 40_000_000,
      SendBufferSize: 16_000_000,
      RecvBufferSize: 16_000_000,
      RecvBufferMessages: 100_000,
    };
    await using pair = await Pair.start(roles, { both });
    await pair.establish();
    const ends = [pair.connectorEnd, pair.listenerEnd];
    const size = 10_000;
    for (const { peer } of ends) {
      await peer.ask('sink on');
      await peer.ask('verify', { pattern: SEED });
    }
    for (const end of ends) await end.ask('stream', { size, bytes: BYTES_TO_WRAP, pattern: SEED });
    for (const { peer } of ends) await peer.event('stream', () => true, 50_000);
    for (const { peer } of ends) {
      expect(await peer.ask('counters')).to.include({
        verified: BYTES_TO_WRAP / size,
        mismatches: 0,
        rx_bytes: BYTES_TO_WRAP,
      });
    }
  });

  it('a client that insists on certificates does not connect to a listener without one', async () => {
    const insist = { IP_AllowWithoutAuth: 0, IPLocalHost_AllowWithoutAuth: 0 };
    await using pair = await Pair.start(roles, { connector: { ...insist, TimeoutInitial: 700 } });
    await pair.listen();
    await pair.connect();
    const { reason } = await pair.connectorEnd.state('ProblemDetectedLocally');
    expect(reason).to.equal(5003);
  });
});

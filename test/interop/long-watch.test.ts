// What takes its time: keepalives on an idle connection, and statistics under steady traffic.

import { expect } from 'chai';
import type { Report } from '../support/peer-process.ts';
import { type ConnectionEnd, describeInterop, Pair, pause, type Roles } from './pair.ts';

/** Enough for two keepalives, and for the statistics that are exchanged after 20 s. */
const WATCH_S = 25;
const MESSAGES_PER_S = 60;
const MESSAGE_BYTES = 128;
const LOSS_PERCENT = 15;

/** What one end says about its connection in the end. */
interface Outcome {
  readonly story: readonly string[];
  readonly status: Report;
  readonly packets: Readonly<Record<string, number>>;
  readonly messages: number;
}

async function outcome(end: ConnectionEnd): Promise<Outcome> {
  const status = await end.ask('status');
  const { rx_msgs: messages } = await end.peer.ask('counters');
  return {
    story: end.story,
    status,
    packets: status['packets'] as Outcome['packets'],
    messages: Number(messages),
  };
}

/** Both ends after 25 s in which nobody said a word. */
async function watchIdle(roles: Roles): Promise<readonly Outcome[]> {
  await using pair = await Pair.start(roles);
  await pair.establish();
  await pause(WATCH_S * 1_000);
  return await Promise.all([outcome(pair.connectorEnd), outcome(pair.listenerEnd)]);
}

/** Both ends after 25 s of a game's traffic both ways, over a network with this loss each way. */
async function watchTraffic(roles: Roles, lossPercent: number): Promise<readonly Outcome[]> {
  const gns = { FakePacketLoss_Send: lossPercent, FakePacketLoss_Recv: lossPercent };
  await using pair = await Pair.start(roles, { both: { SendTimeSincePreviousPacket: 1 }, gns });
  await pair.establish();
  const ends = [pair.connectorEnd, pair.listenerEnd];
  for (const { peer } of ends) await peer.ask('sink on');
  for (const end of ends) {
    await end.ask('rate', { hz: MESSAGES_PER_S, size: MESSAGE_BYTES, seconds: WATCH_S, flags: 'unreliable,nonagle' });
  }
  for (const { peer } of ends) await peer.event('rate', () => true, (WATCH_S + 5) * 1_000);
  return await Promise.all(ends.map(outcome));
}

describeInterop(`${WATCH_S} seconds`, (roles) => {
  // They wait side by side, to spare the user's time.
  let idle: Promise<readonly Outcome[]>;
  let traffic: Promise<readonly Outcome[]>;
  let lossyTraffic: Promise<readonly Outcome[]>;
  before(() => {
    idle = watchIdle(roles);
    traffic = watchTraffic(roles, 0);
    lossyTraffic = watchTraffic(roles, LOSS_PERCENT);
    // What goes wrong is reported by the test that awaits it, however much later that is.
    for (const watch of [idle, traffic, lossyTraffic]) watch.catch(() => {});
  });

  it('keepalives hold an idle connection, sparingly', async function () {
    this.timeout((WATCH_S + 10) * 1_000);
    for (const { story, packets, status } of await idle) {
      expect(story).to.deep.equal(['Connecting', 'Connected']);
      // Two rounds of keepalive, answer and acknowledgement, and the handshake.
      expect(packets['recv_sequenced']).to.be.within(2, 8);
      expect(packets['sent_pkts']).to.be.within(2, 12);
      expect(packets['recv_dropped']).to.equal(0);
      expect(status['ping_ms']).to.be.within(0, 20);
    }
  });

  it('under steady traffic both know ping, rates, jitter and quality, their own and the other side', async function () {
    this.timeout((WATCH_S + 10) * 1_000);
    const [connector, listener] = await traffic;
    for (const { story, status, messages } of [connector!, listener!]) {
      expect(story).to.deep.equal(['Connecting', 'Connected']);
      expect(messages).to.equal(WATCH_S * MESSAGES_PER_S);
      expect(status['ping_ms']).to.be.within(0, 20);
      expect(status['quality_local']).to.be.within(0.95, 1);
      expect(status['quality_remote']).to.be.within(0.95, 1);
      expect(status['in_pkts_per_s']).to.be.within(MESSAGES_PER_S * 0.8, MESSAGES_PER_S * 1.6);
      expect(status['out_pkts_per_s']).to.be.within(MESSAGES_PER_S * 0.8, MESSAGES_PER_S * 1.6);
      expect(status['out_bytes_per_s']).to.be.greaterThan(MESSAGES_PER_S * MESSAGE_BYTES);
      // Samples are taken of gaps up to 250 ms; on a busy machine they can be that large.
      expect(status['max_jitter_us']).to.be.within(0, 250_000);
    }
    for (const [from, to] of [
      [connector!, listener!],
      [listener!, connector!],
    ] as const) {
      // What one sent the other has received; the challenge is not counted by the listener, the last may be under way.
      expect(to.packets['recv_pkts']).to.be.within(from.packets['sent_pkts']! - 4, from.packets['sent_pkts']! + 4);
      expect(to.packets['recv_dropped']).to.equal(0);
    }
  });

  it(`under ${LOSS_PERCENT} % loss both know how bad the connection is, at their side and at the other`, async function () {
    this.timeout((WATCH_S + 10) * 1_000);
    for (const { story, status, messages } of await lossyTraffic) {
      expect(story).to.deep.equal(['Connecting', 'Connected']);
      expect(messages / (WATCH_S * MESSAGES_PER_S)).to.be.within(0.75, 0.95);
      // Of the last five seconds: 300 packets.
      expect(status['quality_local']).to.be.within(0.72, 0.95);
      expect(status['quality_remote']).to.be.within(0.72, 0.95);
    }
  });
});

// What can be measured of a connection with GNS, in figures: shares of lanes, rates, ping, quality, packets, limits.
// Spec: 03 §3.7 and §3.11, 04 §4.8 to §4.10.

import { expect } from 'chai';
import { type Connection, Networking } from '../../src/index.ts';
import { type Parameters, PeerProcess, type Report } from '../support/peer-process.ts';
import { type ConnectionEnd, describeInterop, freePort, isOurs, Pair, pause, type Roles } from './pair.ts';

const SEND_RATE = 200_000;
const RATE: Parameters = { SendRateMin: SEND_RATE, SendRateMax: SEND_RATE, SendBufferSize: 16_000_000 };
/** Lane 0 goes first; lanes 1 to 3 have what it leaves, in these parts. */
const LANES: Parameters = { n: 4, priorities: '0,1,1,1', weights: '1,1,2,4' };
const SHARES = [
  [1, 1 / 7],
  [2, 2 / 7],
  [3, 4 / 7],
] as const;
const LANE_MESSAGE_BYTES = 1_000;
/** More than any lane can send meanwhile, and on lane 0 one second's worth. */
const LANE_MESSAGES = 2_000;
const URGENT_MESSAGES = 200;
const SATURATED_S = 10;

const MESSAGES_PER_S = 60;
const MESSAGE_BYTES = 128;
const LAG_MS = 25;
const LAG_WATCH_S = 6;
const LOSS_PERCENT = 5;
/** Of the statistics, in seconds. */
const INTERVAL_S = 5;
const INTERVALS = 5;

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function packets(status: Report): Readonly<Record<string, number>> {
  return status['packets'] as Readonly<Record<string, number>>;
}

// ---- lanes and rate

/** What came in at one end while the other had more to send than the rate allows. */
interface Intake {
  readonly name: string;
  /** Bytes by lane after lane 0 was through. */
  readonly bytesOfLane: readonly number[];
  /** Messages of other lanes between the first of lane 0 and its last. */
  readonly intruders: number;
  readonly urgent: number;
  /** Of UDP payload, per second. */
  readonly wireRate: number;
  /** Of messages, per second. */
  readonly messageRate: number;
}

/** Both ways at once, for ten seconds and the one that lane 0 takes. */
async function watchSaturated(roles: Roles): Promise<readonly Intake[]> {
  await using pair = await Pair.start(roles, { both: RATE });
  await pair.establish();
  const ends = [pair.connectorEnd, pair.listenerEnd];
  for (const end of ends) {
    await end.ask('lanes', LANES);
    for (const lane of [1, 2, 3]) await end.ask('send', { lane, size: LANE_MESSAGE_BYTES, count: LANE_MESSAGES });
    await end.ask('send', { lane: 0, size: LANE_MESSAGE_BYTES, count: URGENT_MESSAGES });
  }
  await pause(1_500);
  const before = await Promise.all(ends.map((end) => end.ask('status')));
  await pause(SATURATED_S * 1_000);
  const after = await Promise.all(ends.map((end) => end.ask('status')));
  return ends.map((end, i) => intake(end, before[i]!, after[i]!));
}

function intake(end: ConnectionEnd, before: Report, after: Report): Intake {
  const { messages } = end;
  const first = messages.findIndex(({ lane }) => lane === 0);
  const last = messages.findLastIndex(({ lane }) => lane === 0);
  const bytesOf = (some: typeof messages) => sum(some.map(({ size }) => size));
  const seconds = (after.t - before.t) / 1e6;
  return {
    name: end.peer.name,
    bytesOfLane: [0, 1, 2, 3].map((lane) => bytesOf(messages.slice(last + 1).filter((each) => each.lane === lane))),
    intruders: messages.slice(first, last).filter(({ lane }) => lane !== 0).length,
    urgent: messages.filter(({ lane }) => lane === 0).length,
    wireRate: (packets(after)['recv_bytes']! - packets(before)['recv_bytes']!) / seconds,
    messageRate: bytesOf(messages.filter(({ t }) => t > before.t && t <= after.t)) / seconds,
  };
}

// ---- ping and quality

/** The statuses of one end, taken at intervals. */
interface Samples {
  readonly name: string;
  readonly statuses: readonly Report[];
}

/** Both ends of a connection with a game's traffic both ways, asked every so often. */
async function watchTraffic(
  roles: Roles,
  gns: Parameters,
  { seconds, everyMs, firstMs }: { readonly seconds: number; readonly everyMs: number; readonly firstMs: number },
): Promise<readonly Samples[]> {
  await using pair = await Pair.start(roles, { gns });
  await pair.establish();
  const ends = [pair.connectorEnd, pair.listenerEnd];
  for (const end of ends) {
    await end.peer.ask('sink on');
    await end.ask('rate', { hz: MESSAGES_PER_S, size: MESSAGE_BYTES, seconds, flags: 'unreliable,nonagle' });
  }
  const statuses: (readonly Report[])[] = [];
  for (let ms = firstMs; ms < seconds * 1_000; ms += everyMs) {
    await pause(statuses.length === 0 ? firstMs : everyMs);
    statuses.push(await Promise.all(ends.map((end) => end.ask('status'))));
  }
  return ends.map(({ peer }, i) => ({ name: peer.name, statuses: statuses.map((both) => both[i]!) }));
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

// ---- packets

/** Between messages that are not sent at once. */
const GAP_MS = 2;

/** How many packets leave with fifty messages of 20 bytes, sent in one go or one every two milliseconds. */
async function packetsOfFifty(from: ConnectionEnd, to: ConnectionEnd, flags: string, paced: boolean): Promise<number> {
  const arrived = to.messages.length;
  const before = packets(await from.ask('status'));
  if (!paced) await from.ask('send', { size: 20, count: 50, flags });
  for (let i = 0; paced && i < 50; i++) {
    await from.ask('send', { size: 20, flags });
    await pause(GAP_MS);
  }
  await to.untilMessages(arrived + 50);
  const after = packets(await from.ask('status'));
  return after['sent_pkts']! - before['sent_pkts']!;
}

// ---- unread messages

const UNREAD_LIMIT = 10;
const UNREAD_SENT = 100;
/** In the reference peer: so long it does not look for messages, unless a command wakes it. */
const AWAY_MS = 5_000;
const BACKLOG_WATCH_MS = 2_000;

/** Connects an application in this process, made of our library, with the reference peer in the other role. */
async function connectApplication(
  networking: Networking,
  gns: PeerProcess,
  listens: boolean,
): Promise<{ readonly connection: Connection; readonly gnsId: string }> {
  await gns.ask('init');
  if (!listens) {
    const addr = `127.0.0.1:${await freePort('127.0.0.1')}`;
    await gns.ask('autoaccept on');
    await gns.ask('listen', { id: 'L', addr });
    return { connection: await networking.connect(addr), gnsId: 'L.1' };
  }
  const socket = networking.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
  const came = new Promise<Connection>((resolve) => {
    socket.on('connection', ({ connection }) => resolve(connection));
  });
  await gns.ask('connect', { id: 'C', addr: String(socket.address) });
  return { connection: await (await came).connected(), gnsId: 'C' };
}

describeInterop('figures', (roles) => {
  // They wait side by side, to spare the user's time.
  let saturated: Promise<readonly Intake[]>;
  let slow: Promise<readonly Samples[]>;
  let lossy: Promise<readonly Samples[]>;
  before(() => {
    saturated = watchSaturated(roles);
    slow = watchTraffic(
      roles,
      { FakePacketLag_Send: LAG_MS, FakePacketLag_Recv: LAG_MS },
      { seconds: LAG_WATCH_S, everyMs: 1_000, firstMs: 1_000 },
    );
    // A second after the end of each interval.
    lossy = watchTraffic(
      roles,
      { FakePacketLoss_Send: LOSS_PERCENT, FakePacketLoss_Recv: LOSS_PERCENT },
      { seconds: INTERVALS * INTERVAL_S + 2, everyMs: INTERVAL_S * 1_000, firstMs: (INTERVAL_S + 1) * 1_000 },
    );
    // What goes wrong is reported by the test that awaits it, however much later that is.
    for (const watch of [saturated, slow, lossy]) watch.catch(() => {});
  });

  it('eight lanes: one message on each of 0 to 7, both ways', async () => {
    await using pair = await Pair.start(roles);
    await pair.establish();
    const lanes = [0, 1, 2, 3, 4, 5, 6, 7];
    for (const [from, to] of pair.directions) {
      await from.ask('lanes', { n: lanes.length });
      for (const lane of lanes) await from.ask('send', { lane, size: 100 + lane });
      const arrived = (await to.untilMessages(lanes.length)).map(({ lane, size, msgnum }) => ({ lane, size, msgnum }));
      arrived.sort((a, b) => a.lane - b.lane);
      expect(arrived).to.deep.equal(lanes.map((lane) => ({ lane, size: 100 + lane, msgnum: 1 })));
      expect(to.story).to.deep.equal(['Connecting', 'Connected']);
    }
  });

  for (const way of [0, 1] as const) {
    const who = way === 0 ? 'the connector' : 'the listener';

    it(`Nagle: 50 messages of 20 bytes that ${who} sends at once leave in at most 3 packets`, async () => {
      await using pair = await Pair.start(roles);
      await pair.establish();
      const [from, to] = pair.directions[way]!;
      for (const kind of ['reliable', 'unreliable']) {
        expect(await packetsOfFifty(from, to, kind, false), kind).to.be.within(1, 3);
      }
    });

    it(`Nagle: 50 messages of ${who}, one every 2 ms: at most 10 packets with 50 ms, at least 40 without`, async () => {
      await using pair = await Pair.start(roles, { both: { NagleTime: 50_000 } });
      await pair.establish();
      const [from, to] = pair.directions[way]!;
      for (const kind of ['reliable', 'unreliable']) {
        expect(await packetsOfFifty(from, to, kind, true), kind).to.be.within(1, 10);
        expect(await packetsOfFifty(from, to, `${kind},nonagle`, true), `${kind}, no Nagle`).to.be.within(40, 55);
      }
    });

    it(`RecvBufferMessages=${UNREAD_LIMIT}: ${UNREAD_SENT} messages, 50 in a packet, all reach ${who}`, async () => {
      const limit = { RecvBufferMessages: UNREAD_LIMIT };
      await using pair = await Pair.start(roles, way === 0 ? { connector: limit } : { listener: limit });
      await pair.establish();
      const [to, from] = pair.directions[way]!;
      await from.ask('send', { size: 20, count: UNREAD_SENT });
      const numbers = (await to.untilMessages(UNREAD_SENT)).map(({ msgnum }) => msgnum);
      expect(numbers).to.deep.equal(Array.from({ length: UNREAD_SENT }, (_, i) => i + 1));
      expect(to.story).to.deep.equal(['Connecting', 'Connected']);
    });
  }

  it(`RecvBufferMessages=${UNREAD_LIMIT} at GNS that does not read for 2 s: ${UNREAD_SENT} wait, and all arrive`, async () => {
    await using pair = await Pair.start(roles, { gns: { RecvBufferMessages: UNREAD_LIMIT } });
    await pair.establish();
    const { gnsEnd, otherEnd } = pair;
    await gnsEnd.peer.ask(`tick ${AWAY_MS}`);
    await otherEnd.ask('send', { size: 1_000, count: UNREAD_SENT });
    await pause(BACKLOG_WATCH_MS);
    expect(gnsEnd.messages).to.have.length(0);
    const status = await otherEnd.ask('status');
    const held = Number(status['pending_reliable']) + Number(status['unacked_reliable']);
    // At least what does not fit must still be held by the sender.
    expect(held).to.be.greaterThan(0);
    await gnsEnd.peer.ask('tick 1');
    const numbers = (await gnsEnd.untilMessages(UNREAD_SENT)).map(({ msgnum }) => msgnum);
    expect(numbers).to.deep.equal(Array.from({ length: UNREAD_SENT }, (_, i) => i + 1));
    expect(otherEnd.story).to.deep.equal(['Connecting', 'Connected']);
  });

  it(`recvBufferMessages=${UNREAD_LIMIT} at ours that does not read for 2 s: ${UNREAD_SENT} wait, and all arrive`, async function () {
    const listens = isOurs(roles.listener);
    if (!listens && !isOurs(roles.connector)) this.skip();
    await using gns = new PeerProcess(listens ? roles.connector : roles.listener);
    const networking = new Networking({ config: { recvBufferMessages: UNREAD_LIMIT } });
    try {
      const { connection, gnsId } = await connectApplication(networking, gns, listens);
      await gns.ask('send', { id: gnsId, size: 1_000, count: UNREAD_SENT });
      await pause(BACKLOG_WATCH_MS);
      const { unacked_reliable: held } = await gns.ask('status', { id: gnsId });
      expect(held).to.be.greaterThan(0);
      const numbers: number[] = [];
      for await (const { messageNumber } of connection) {
        if (numbers.push(messageNumber) === UNREAD_SENT) break;
      }
      expect(numbers).to.deep.equal(Array.from({ length: UNREAD_SENT }, (_, i) => i + 1));
    } finally {
      await networking.close();
    }
  });

  it('ping: with a round trip of 50 ms both say 50 within 5 ms, and within 5 ms of each other', async () => {
    const pings = (await slow).map(({ statuses }) => median(statuses.map((status) => Number(status['ping_ms']))));
    for (const ping of pings) expect(ping).to.be.within(2 * LAG_MS - 5, 2 * LAG_MS + 5);
    expect(Math.abs(pings[0]! - pings[1]!)).to.be.at.most(5);
  });

  it('priorities: 200 kB on the urgent lane overtake 6 MB on three others, both ways', async () => {
    for (const { name, intruders, urgent } of await saturated) {
      expect(urgent, name).to.equal(URGENT_MESSAGES);
      expect(intruders, `${name}: messages of other lanes in between`).to.be.at.most(5);
    }
  });

  it(`weights 1:2:4: over ${SATURATED_S} s each lane has its share of the bytes within 10 %, both ways`, async () => {
    for (const { name, bytesOfLane } of await saturated) {
      const total = sum(bytesOfLane);
      expect(total, name).to.be.greaterThan(0.8 * SATURATED_S * SEND_RATE);
      for (const [lane, share] of SHARES) {
        const ratio = bytesOfLane[lane]! / total / share;
        expect(ratio, `${name}: lane ${lane} of ${bytesOfLane}`).to.be.within(0.9, 1.1);
      }
    }
  });

  it(`SendRateMin=SendRateMax=${SEND_RATE}: so many bytes per second arrive within 5 %, both ways`, async () => {
    for (const { name, wireRate, messageRate } of await saturated) {
      expect(wireRate / SEND_RATE, `${name}: of the rate, on the wire`).to.be.within(0.95, 1.05);
      // Headers and acknowledgements take their part.
      expect(messageRate / wireRate, `${name}: messages, of what is on the wire`).to.be.within(0.9, 1);
    }
  });

  it('quality: with 5 % loss each way both say 95 % within 2 points, and know what the other says after 20 s', async function () {
    this.timeout((INTERVALS * INTERVAL_S + 15) * 1_000);
    // Of 1500 packets: one standard deviation of such a sample is 0.56 points.
    for (const { name, statuses } of await lossy) {
      const qualities = statuses.map((status) => Number(status['quality_local']));
      expect(qualities, name).to.have.length(INTERVALS);
      for (const quality of qualities) expect(quality, `${name}: ${qualities}`).to.be.within(0.85, 1);
      expect(sum(qualities) / INTERVALS, `${name}: ${qualities}`).to.be.within(0.93, 0.97);
      const last = statuses.at(-1)!;
      expect(last['quality_remote'], `${name}: remote`).to.be.within(0.85, 1);
      const { recv_sequenced: arrived, recv_dropped: lost } = packets(last);
      // What it says is what it counted.
      expect(sum(qualities) / INTERVALS, name).to.be.closeTo(1 - lost! / (arrived! + lost!), 0.01);
    }
  });
});

// The fake network: what it does to each datagram, number by number, and what instances on simulated hosts notice of it.

import { expect } from 'chai';
import { FakeNetwork, FakePorts } from '../../../src/api/fake-network.ts';
import { SeededRandom } from '../../../src/core/base/random.ts';
import { ConfigScope } from '../../../src/core/config/scope.ts';
import type { ConfigOptions } from '../../../src/core/config/values.ts';
import type { Random } from '../../../src/core/platform.ts';
import { Networking } from '../../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../../src/testing.ts';
import { itSeeded } from '../../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000_000;
const NOW_US = 5 * SECOND;

function configOf(options: ConfigOptions): ConfigScope {
  const config = new ConfigScope('global');
  config.setAll(options);
  return config;
}

/** Draws what is written: shares of 1, one after the other. */
function scripted(...draws: number[]): Random {
  return {
    fill: () => {},
    u32: () => {
      const draw = draws.shift();
      if (draw === undefined) throw new Error('more draws than written');
      return Math.floor(draw * 0x1_0000_0000);
    },
  };
}

/** The draw that makes an exponential delay of so many times the mean. */
function drawFor(means: number): number {
  return Math.exp(-means);
}

function sending(options: ConfigOptions, random: Random): FakeNetwork<string> {
  return new FakeNetwork<string>('Send', configOf(options), random);
}

describe('the fate of a datagram', () => {
  it('is to pass at once, without a draw, as long as nothing is set', () => {
    const network = sending({}, scripted());
    expect(network.isActive).to.equal(false);
    expect(network.fate(1200, NOW_US)).to.deep.equal([NOW_US]);
  });

  it('is not touched by values of the other direction', () => {
    const config = configOf({ fakePacketLossRecv: 100, fakePacketLagRecv: 9, fakeRateLimitRecvRate: 1 });
    expect(new FakeNetwork('Send', config, scripted()).isActive).to.equal(false);
    expect(new FakeNetwork('Recv', config, scripted(0)).fate(1, NOW_US)).to.deep.equal([]);
  });

  it('is to be lost if the draw is below the share', () => {
    const network = sending({ fakePacketLossSend: 20 }, scripted(0.199, 0.201));
    expect(network.fate(1, NOW_US)).to.deep.equal([]);
    expect(network.fate(1, NOW_US)).to.deep.equal([NOW_US]);
    expect(network.counts).to.deep.equal({ dropped: 1, delayed: 0, duplicated: 0 });
  });

  it('is to be late by lag, jitter and reordering together', () => {
    const network = sending(
      {
        fakePacketLagSend: 100,
        fakePacketReorderSend: 50,
        fakePacketReorderTime: 30,
        fakePacketJitterSendAvg: 10,
        fakePacketJitterSendPct: 50,
      },
      scripted(0, 0, drawFor(2)),
    );
    const [atUs] = network.fate(1, NOW_US);
    expect(atUs).to.be.closeTo(NOW_US + 150 * MS, 20);
    expect(network.counts.delayed).to.equal(1);
  });

  it('is not to be late by more jitter than the limit', () => {
    const options = { fakePacketJitterSendAvg: 10, fakePacketJitterSendMax: 15, fakePacketJitterSendPct: 100 };
    expect(sending(options, scripted(0, drawFor(5))).fate(1, NOW_US)).to.deep.equal([NOW_US + 15 * MS]);
  });

  it('is not to overtake the one that jitter delayed before, whether it has jitter of its own or not', () => {
    const options = { fakePacketJitterSendAvg: 10, fakePacketJitterSendPct: 50 };
    const network = sending(options, scripted(0, drawFor(2), 0, drawFor(0.1), 0.9, 0.9));
    const [first] = network.fate(1, NOW_US);
    expect(network.fate(1, NOW_US)).to.deep.equal([first! + 1]);
    expect(network.fate(1, NOW_US + MS)).to.deep.equal([first! + 2]);
    expect(network.fate(1, NOW_US + 50 * MS), 'long after').to.deep.equal([NOW_US + 50 * MS]);
  });

  it('is to fall behind later ones when reordered, which are not held up by it', () => {
    const options = { fakePacketReorderSend: 50, fakePacketJitterSendAvg: 1, fakePacketJitterSendPct: 100 };
    const network = sending(options, scripted(0, 0, drawFor(2), 0.9, 0, drawFor(0.1)));
    const [first] = network.fate(1, NOW_US);
    expect(first).to.be.closeTo(NOW_US + 17 * MS, 20);
    // The floor is where jitter alone put the first.
    expect(network.fate(1, NOW_US)).to.deep.equal([first! - 15 * MS + 1]);
  });

  it('is to go out twice, the copy between 1 us and the limit behind the datagram', () => {
    const options = { fakePacketDupSend: 100, fakePacketLagSend: 5, fakePacketDupTimeMax: 10 };
    const network = sending(options, scripted(0, 0, 0, 0.9999999));
    expect(network.fate(1, NOW_US)).to.deep.equal([NOW_US + 5 * MS, NOW_US + 5 * MS + 1]);
    expect(network.fate(1, NOW_US)).to.deep.equal([NOW_US + 5 * MS, NOW_US + 15 * MS]);
    expect(network.counts).to.deep.equal({ dropped: 0, delayed: 2, duplicated: 2 });
  });

  it('is never to be duplicated once lost', () => {
    const network = sending({ fakePacketLossSend: 50, fakePacketDupSend: 100 }, scripted(0));
    expect(network.fate(1, NOW_US)).to.deep.equal([]);
    expect(network.counts).to.deep.equal({ dropped: 1, delayed: 0, duplicated: 0 });
  });
});

describe('the rate limit of the fake network', () => {
  it('lets the burst and one datagram more pass, from the first byte on', () => {
    const network = sending({ fakeRateLimitSendRate: 10_000, fakeRateLimitSendBurst: 2_000 }, scripted());
    const fates = Array.from({ length: 6 }, () => network.fate(600, NOW_US).length);
    expect(fates).to.deep.equal([1, 1, 1, 1, 0, 0]);
    // 400 bytes below zero: 40 ms until it is even, and it must be above.
    expect(network.fate(600, NOW_US + 40 * MS)).to.have.length(0);
    expect(network.fate(600, NOW_US + 41 * MS)).to.have.length(1);
  });

  it('passes the configured rate, to 5 %, over ten seconds', () => {
    const network = sending({ fakeRateLimitSendRate: 50_000, fakeRateLimitSendBurst: 4_096 }, scripted());
    let passedBytes = 0;
    for (let us = 0; us < 10 * SECOND; us += 2 * MS) passedBytes += 1_000 * network.fate(1_000, NOW_US + us).length;
    expect(passedBytes).to.be.within(500_000 * 0.95, 500_000 * 1.05);
  });

  it('counts what is lost behind it', () => {
    const options = { fakeRateLimitSendRate: 1, fakeRateLimitSendBurst: 1_000, fakePacketLossSend: 50 };
    const network = sending(options, scripted(0, 0, 0.9));
    expect(network.fate(500, NOW_US)).to.have.length(0);
    expect(network.fate(500, NOW_US)).to.have.length(0);
    // The bucket is empty; without a draw.
    expect(network.fate(500, NOW_US)).to.have.length(0);
  });

  it('drops everything if there is no burst at all, as GNS says', () => {
    const network = sending({ fakeRateLimitSendRate: 1_000, fakeRateLimitSendBurst: 0 }, scripted());
    expect(network.fate(1, NOW_US)).to.have.length(0);
    expect(network.fate(1, NOW_US + 10 * SECOND)).to.have.length(0);
  });

  it('begins with a full bucket whenever it is switched on', () => {
    const config = configOf({ fakeRateLimitSendRate: 1, fakeRateLimitSendBurst: 100 });
    const network = new FakeNetwork('Send', config, scripted());
    expect([network.fate(200, NOW_US).length, network.fate(1, NOW_US).length]).to.deep.equal([1, 0]);
    config.set('fakeRateLimitSendRate', 0);
    expect(network.fate(1, NOW_US)).to.have.length(1);
    config.set('fakeRateLimitSendRate', 1);
    expect([network.fate(200, NOW_US).length, network.fate(1, NOW_US).length]).to.deep.equal([1, 0]);
  });
});

describe('the statistics of the fake network', () => {
  const COUNT = 20_000;
  /** Fates of datagrams sent a second apart, relative to when they were sent. */
  function delaysOf(options: ConfigOptions, seed: number): readonly (readonly number[])[] {
    const network = sending(options, new SeededRandom(seed));
    const times = Array.from({ length: COUNT }, (_, i) => NOW_US + i * SECOND);
    return times.map((nowUs) => network.fate(100, nowUs).map((atUs) => atUs - nowUs));
  }
  /** Four standard deviations of a share. */
  const tolerance = (share: number) => 4 * Math.sqrt((share * (1 - share)) / COUNT);
  const shareOf = <T>(all: readonly T[], is: (each: T) => boolean) => all.filter(is).length / all.length;

  itSeeded('loses the configured share', (seed) => {
    const delays = delaysOf({ fakePacketLossSend: 7.5 }, seed);
    expect(shareOf(delays, (each) => each.length === 0)).to.be.closeTo(0.075, tolerance(0.075));
  });

  itSeeded('reorders the configured share by the configured time', (seed) => {
    const delays = delaysOf({ fakePacketReorderSend: 30, fakePacketReorderTime: 40 }, seed).flat();
    expect(shareOf(delays, (each) => each === 40 * MS)).to.be.closeTo(0.3, tolerance(0.3));
    expect(shareOf(delays, (each) => each === 0)).to.be.closeTo(0.7, tolerance(0.7));
  });

  itSeeded('duplicates the configured share, evenly over the configured time', (seed) => {
    const delays = delaysOf({ fakePacketDupSend: 25, fakePacketDupTimeMax: 8 }, seed);
    const copies = delays.filter((each) => each.length === 2).map((each) => each[1]!);
    expect(copies.length / COUNT).to.be.closeTo(0.25, tolerance(0.25));
    expect(Math.min(...copies)).to.be.at.least(1);
    expect(Math.max(...copies)).to.be.at.most(8 * MS);
    expect(copies.reduce((sum, each) => sum + each, 0) / copies.length).to.be.closeTo(4 * MS, 150);
  });

  itSeeded('jitters the configured share exponentially, to the limit', (seed) => {
    const options = { fakePacketJitterSendAvg: 10, fakePacketJitterSendMax: 30, fakePacketJitterSendPct: 60 };
    const delays = delaysOf(options, seed).flat();
    expect(shareOf(delays, (each) => each > 0)).to.be.closeTo(0.6, tolerance(0.6));
    const jittered = delays.filter((each) => each > 0);
    expect(shareOf(jittered, (each) => each === 30 * MS)).to.be.closeTo(Math.exp(-3), 0.01);
    expect(shareOf(jittered, (each) => each > 10 * MS)).to.be.closeTo(Math.exp(-1), 0.02);
    expect(Math.max(...jittered)).to.equal(30 * MS);
  });

  itSeeded('is the same again with the same seed', (seed) => {
    const options = { fakePacketLossSend: 10, fakePacketJitterSendAvg: 5, fakePacketDupSend: 10 };
    expect(delaysOf(options, seed)).to.deep.equal(delaysOf(options, seed));
  });
});

describe('what the fake network holds back', () => {
  it('comes out by time, and first in first out among equal times', () => {
    const network = sending({}, scripted());
    network.hold('b', 20);
    network.hold('c', 20);
    network.hold('a', 10);
    network.hold('d', 20);
    expect(network.nextUs).to.equal(10);
    expect(network.takeDue(9)).to.equal(undefined);
    const out = Array.from({ length: 5 }, () => network.takeDue(20));
    expect(out).to.deep.equal(['a', 'b', 'c', 'd', undefined]);
    expect(network.nextUs).to.equal(Number.POSITIVE_INFINITY);
  });
});

describe('a port behind the fake network', () => {
  /** Two hosts, and ports of the first behind a fake network. */
  function stage(options: ConfigOptions) {
    const network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
    const [near, far] = [network.host('near'), network.host('far')];
    const config = configOf(options);
    const ports = new FakePorts(near.platform, config);
    const nearGot: string[] = [];
    const farGot: string[] = [];
    const noteIn = (got: string[]) => ({
      onDatagram: (bytes: Uint8Array, _: unknown, nowUs: number) => {
        got.push(`${new TextDecoder().decode(bytes)}@${(nowUs - START_US) / MS}`);
      },
    });
    const START_US = network.nowUs;
    const nearPort = ports.open({ address: '0.0.0.0', port: 1_000 }, noteIn(nearGot));
    const farPort = far.platform.openUdp({ address: '0.0.0.0', port: 2_000 }, noteIn(farGot));
    const farAddress = { address: far.addresses[0]!, port: 2_000 };
    const nearAddress = { address: near.addresses[0]!, port: 1_000 };
    const buffer = new Uint8Array(8);
    const write = (text: string) => new TextEncoder().encodeInto(text, buffer).written;
    const say = (text: string) => nearPort.send(buffer, write(text), farAddress);
    const sayBack = (text: string) => farPort.send(buffer, write(text), nearAddress);
    return { network, near, config, ports, nearPort, nearGot, farGot, say, sayBack };
  }

  it('delays in both directions, with bytes of its own', () => {
    const { network, say, sayBack, nearGot, farGot } = stage({ fakePacketLagSend: 10, fakePacketLagRecv: 20 });
    expect([say('one'), say('two'), sayBack('three')]).to.deep.equal([true, true, true]);
    network.run(SECOND);
    expect(farGot).to.deep.equal(['one@10', 'two@10']);
    expect(nearGot).to.deep.equal(['three@20']);
  });

  it('delivers the original before its copy', () => {
    const { network, say, farGot } = stage({ fakePacketDupSend: 100, fakePacketDupTimeMax: 0 });
    say('one');
    network.run(SECOND);
    expect(farGot).to.deep.equal(['one@0', 'one@0.001']);
  });

  it('drops what is delayed when it closes, and leaves no alarm behind', () => {
    const { network, say, sayBack, nearPort, nearGot, farGot } = stage({
      fakePacketLagSend: 10,
      fakePacketLagRecv: 10,
    });
    say('one');
    sayBack('two');
    network.run(5 * MS);
    nearPort.close();
    expect(network.pendingAlarms).to.equal(0);
    network.run(SECOND);
    expect([nearGot, farGot]).to.deep.equal([[], []]);
  });

  it('does not drop what is delayed at another port', () => {
    const { network, ports, say, farGot } = stage({ fakePacketLagSend: 10 });
    const other = ports.open({ address: '0.0.0.0', port: 0 }, { onDatagram: () => {} });
    say('one');
    other.close();
    network.run(SECOND);
    expect(farGot).to.deep.equal(['one@10']);
  });

  it('does not keep the process alive with what is delayed', () => {
    const { near, nearPort, say } = stage({ fakePacketLagSend: 10 });
    nearPort.setRef(false);
    say('one');
    expect(near.pendingAlarms).to.equal(1);
    expect(near.isKeptAlive).to.equal(false);
  });

  it('follows values that change, and lets what is delayed come out in its time', () => {
    const { network, config, say, farGot } = stage({ fakePacketLagSend: 10 });
    say('one');
    config.set('fakePacketLagSend', 0);
    say('two');
    config.set('fakePacketLossSend', 100);
    say('three');
    config.set('fakePacketLossSend', undefined);
    network.run(SECOND);
    expect(farGot).to.deep.equal(['two@0', 'one@10']);
  });
});

describe('an instance with a fake network', () => {
  async function connected(serverConfig: ConfigOptions, clientConfig: ConfigOptions, seed: number) {
    const network = new SimulatedNetwork({ seed, crypto: nodeCrypto });
    const server = new Networking({ platform: network.host('server').platform, config: serverConfig });
    const client = new Networking({ platform: network.host('client').platform, config: clientConfig });
    const socket = server.listen({ port: 27_015, autoAccept: true });
    const got: string[] = [];
    socket.on('connection', ({ connection }) => {
      connection.on('message', ({ data }) => got.push(new TextDecoder().decode(data)));
    });
    const connection = await network.settle(client.connect('server:27015'), 20 * SECOND);
    return { network, server, client, connection, got };
  }

  async function end(network: SimulatedNetwork, ...instances: Networking[]): Promise<void> {
    for (const instance of instances) await network.settle(instance.close(), 20 * SECOND);
    expect([network.openPorts, network.pendingAlarms], 'left behind').to.deep.equal([0, 0]);
  }

  itSeeded('delivers reliable messages in order whatever it does to the datagrams', async (seed) => {
    const bad = {
      fakePacketLossSend: 10,
      fakePacketLossRecv: 10,
      fakePacketLagSend: 15,
      fakePacketReorderSend: 10,
      fakePacketReorderRecv: 10,
      fakePacketDupSend: 10,
      fakePacketDupRecv: 10,
      fakePacketJitterSendAvg: 5,
      fakePacketJitterRecvAvg: 5,
    };
    const { network, server, client, connection, got } = await connected(bad, bad, seed);
    const words = Array.from({ length: 200 }, (_, i) => `${i} ${'x'.repeat(500)}`);
    for (const word of words) connection.send(word);
    await network.advanceUntil(() => got.length === words.length, 60 * SECOND);
    expect(got).to.deep.equal(words);
    for (const counts of [client.fakeNetworkCounts.sent, server.fakeNetworkCounts.received]) {
      expect(counts.dropped).to.be.above(0);
      expect(counts.delayed).to.be.above(0);
      expect(counts.duplicated).to.be.above(0);
    }
    await end(network, client, server);
  });

  itSeeded('shows lag in the ping, and leaves other instances alone', async (seed) => {
    const lag = { fakePacketLagSend: 40, fakePacketLagRecv: 30 };
    const { network, server, client, connection } = await connected({}, lag, seed);
    expect(connection.status().pingMs).to.be.within(70, 72);
    expect(client.fakeNetworkCounts.sent.delayed).to.be.above(0);
    expect(server.fakeNetworkCounts.sent).to.deep.equal({ dropped: 0, delayed: 0, duplicated: 0 });
    await end(network, client, server);
  });

  itSeeded('can be cut off and let in again while it runs', async (seed) => {
    const { network, server, client, connection, got } = await connected({}, {}, seed);
    client.config.set('fakePacketLossSend', 100);
    connection.send('hello');
    await network.advance(2 * SECOND);
    expect(got).to.deep.equal([]);
    client.config.set('fakePacketLossSend', 0);
    await network.advance(2 * SECOND);
    expect(got).to.deep.equal(['hello']);
    await end(network, client, server);
  });

  itSeeded('keeps to its rate limit from the first byte on', async (seed) => {
    const fast = { sendRateMin: 1_000_000, sendRateMax: 1_000_000 };
    const limit = { fakeRateLimitRecvRate: 50_000, fakeRateLimitRecvBurst: 4_096 };
    const { network, server, client, connection } = await connected(limit, fast, seed);
    const receivedBytes = () => [...server.connections][0]!.status().bytesReceived;
    const before = receivedBytes();
    // Far more than passes: what is sent meanwhile is 1 MB/s.
    const end10Us = network.nowUs + 10 * SECOND;
    while (network.nowUs < end10Us) {
      if (connection.status().pendingUnreliableBytes < 100_000) {
        for (let i = 0; i < 50; i++) connection.send(new Uint8Array(1_000), { reliable: false });
      }
      await network.advance(20 * MS);
    }
    expect(receivedBytes() - before).to.be.within(500_000 * 0.95, 500_000 * 1.05);
    await end(network, client, server);
  });
});

// One-way latency of small, regular messages over a bad link: the traffic of games. All contestants use the same
// emulated link at the same time; together they take a few percent of it, and each loses its own packets to the same
// dice. The plain datagram among them is the path itself: what nobody can be faster than.

import { findConfigValue, Networking } from '../src/index.ts';
import { type LinkConditions, nodeCrypto, SimulatedNetwork } from '../src/testing.ts';
import { EmulatedLink, FAR_HOST, whyNoEmulatedLink } from './emulated-link.ts';
import { type Distribution, distributionOf, percentile, printTable, rounded } from './figures.ts';
import type { Contestant } from './loopback.ts';
import { GNS_PEER, type PeerProcess, startPeer } from './processes.ts';

export interface LatencyRow extends Distribution {
  readonly name: string;
  /** Messages sent; what did not arrive is missing from the distribution. */
  readonly sent: number;
  /** IP bytes per second and connection in the direction of the messages, and back. */
  readonly bytesPerSec: number;
  readonly returnBytesPerSec: number;
  /** Latency in milliseconds at each of `CURVE_PERCENTILES`. */
  readonly curveMs: readonly number[];
}

export interface LatencyScenario {
  readonly id: string;
  readonly title: string;
  readonly conditions: LinkConditions;
}

export interface LatencyResult {
  readonly scenario: LatencyScenario;
  /** `simulator`: the machine could not emulate a link; ours alone, in virtual time. */
  readonly method: 'emulated link' | 'simulator';
  readonly whyNot?: string;
  readonly seconds: number;
  readonly connections: number;
  readonly rows: readonly LatencyRow[];
}

export const CURVE_PERCENTILES = [
  0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.925, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985, 0.99, 0.995, 0.999, 1,
] as const;

const TEN_MBIT_BYTES_PER_SEC = 1_250_000;

export const SCENARIOS: readonly LatencyScenario[] = [
  {
    id: 'loss2',
    title: '100 ms round trip, 2 % loss, 10 Mbit/s',
    conditions: { delayUs: 50_000, lossRatio: 0.02, rateBytesPerSec: TEN_MBIT_BYTES_PER_SEC, queueBytes: 100_000 },
  },
  {
    id: 'bursts',
    title: '100 ms round trip, bursts of loss (3 % in all), 1 % reordered',
    conditions: {
      delayUs: 50_000,
      burst: { enterRatio: 0.01, leaveRatio: 0.3, lossRatio: 0.9 },
      reorderRatio: 0.01,
      rateBytesPerSec: TEN_MBIT_BYTES_PER_SEC,
      queueBytes: 100_000,
    },
  },
];

export const PACE = { hz: 60, size: 128 } as const;
const OURS = { sendRateMin: 1_250_000, sendRateMax: 1_250_000 } as const;
/** Of the values offered for redundancy, the one that is asked to meet the goal at twice the bytes at most. */
const REDUNDANCY = { redundantSends: 1 };

export const PATH = 'the path (raw dgram)';
export const OURS_RELIABLE = 'ours, reliable';
export const OURS_REDUNDANT = 'ours, redundant';
export const OURS_UNRELIABLE = 'ours, unreliable';
export const KERNEL_TCP = 'kernel TCP';
export const GNS = 'GNS (C++)';

export function latencyContestants(): Contestant[] {
  const hasRedundancy = findConfigValue('redundantSends') !== undefined;
  return [
    { name: PATH, wire: { kind: 'dgram' } },
    { name: OURS_UNRELIABLE, wire: { kind: 'ours', reliable: false, noNagle: true, config: OURS } },
    { name: OURS_RELIABLE, wire: { kind: 'ours', noNagle: true, config: OURS } },
    ...(hasRedundancy
      ? [{ name: OURS_REDUNDANT, wire: { kind: 'ours', noNagle: true, config: { ...OURS, ...REDUNDANCY } } }]
      : []),
    { name: KERNEL_TCP, wire: { kind: 'tcp' } },
    ...(GNS_PEER === undefined ? [] : [{ name: GNS, wire: { kind: 'gns', noNagle: true, config: OURS } }]),
  ];
}

export async function latency(
  scenario: LatencyScenario,
  seconds: number,
  connections: number,
  seed: number,
): Promise<LatencyResult> {
  const whyNot = whyNoEmulatedLink();
  if (whyNot !== undefined) {
    console.log(`  no emulated link: ${whyNot}. Ours alone, in the simulator:`);
    const rows = await simulatedLatencies(latencyContestants(), scenario.conditions, seconds * connections, seed);
    return show({ scenario, method: 'simulator', whyNot, seconds, connections, rows });
  }
  await using link = await EmulatedLink.open(scenario.conditions, seed);
  const pairs: Pair[] = [];
  try {
    for (const contestant of latencyContestants()) {
      const pair = new Pair(contestant, link);
      pairs.push(pair);
      await pair.connect(connections);
    }
    const rows = await Promise.all(pairs.map((pair) => pair.measure(seconds, connections)));
    return show({ scenario, method: 'emulated link', seconds, connections, rows });
  } finally {
    await Promise.all(pairs.map((pair) => pair.stop()));
  }
}

/** Sender and receiver of one contestant. */
class Pair {
  readonly #contestant: Contestant;
  readonly #sender: PeerProcess;
  readonly #receiver: PeerProcess;
  readonly #link: EmulatedLink;
  #port = 0;

  constructor(contestant: Contestant, link: EmulatedLink) {
    this.#contestant = contestant;
    this.#receiver = startPeer(contestant.wire.kind, { prefix: link.prefix('far') });
    this.#sender = startPeer(contestant.wire.kind, { prefix: link.prefix('near') });
    this.#link = link;
  }

  async connect(connections: number): Promise<void> {
    const { wire } = this.#contestant;
    this.#port = await this.#receiver.listen(wire, FAR_HOST, 'latency');
    await this.#sender.connect(wire, FAR_HOST, this.#port, connections);
  }

  async measure(seconds: number, connections: number): Promise<LatencyRow> {
    const before = await this.#link.bytesOfPort(this.#port);
    const sent = await this.#sender.pace(PACE.hz, PACE.size, seconds);
    // What is lost now still goes again.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const after = await this.#link.bytesOfPort(this.#port);
    const times = await this.#receiver.latencies();
    return {
      name: this.#contestant.name,
      ...summarize(times),
      sent,
      bytesPerSec: Math.round((after[0] - before[0]) / seconds / connections),
      returnBytesPerSec: Math.round((after[1] - before[1]) / seconds / connections),
    };
  }

  async stop(): Promise<void> {
    await Promise.all([this.#sender.stop(), this.#receiver.stop()]);
  }
}

/** Percentiles and curve of latencies in microseconds. */
export function summarize(timesUs: readonly number[]): Distribution & Pick<LatencyRow, 'curveMs'> {
  const sorted = [...timesUs].sort((a, b) => a - b);
  const { n, p50, p95, p99, max } = distributionOf(sorted);
  return {
    n,
    p50: Math.round(p50),
    p95: Math.round(p95),
    p99: Math.round(p99),
    max: Math.round(max),
    curveMs: CURVE_PERCENTILES.map((q) => rounded(percentile(sorted, q) / 1e3, 2)),
  };
}

function show(result: LatencyResult): LatencyResult {
  const { scenario, rows, seconds, connections } = result;
  console.log(
    `\n  ${scenario.title}; ${connections} connections each, ${PACE.hz} Hz, ${PACE.size} B, ${seconds} s; ms`,
  );
  const ms = (us: number) => (us / 1e3).toFixed(1);
  printTable(
    ['', 'p50', 'p95', 'p99', 'max', 'arrived', 'B/s', 'B/s back'],
    rows.map((row) => [
      row.name,
      ms(row.p50),
      ms(row.p95),
      ms(row.p99),
      ms(row.max),
      `${((row.n / row.sent) * 100).toFixed(1)} %`,
      row.bytesPerSec,
      row.returnBytesPerSec,
    ]),
  );
  return result;
}

// ---- where there is no emulated link

/** Ours alone, one after the other, on the simulated network in virtual time. */
async function simulatedLatencies(
  contestants: readonly Contestant[],
  conditions: LinkConditions,
  seconds: number,
  seed: number,
): Promise<LatencyRow[]> {
  const rows: LatencyRow[] = [];
  for (const { name, wire } of contestants) {
    if (wire.kind !== 'ours') continue;
    const network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions });
    const config = wire.config ?? {};
    const server = new Networking({ config, platform: network.host('server').platform });
    const client = new Networking({ config, platform: network.host('client').platform });
    const times: number[] = [];
    server.listen({ port: 27015, autoAccept: true }).on('connection', ({ connection }) => {
      connection.on('message', ({ data }) => times.push(network.nowUs - Buffer.from(data).readDoubleBE(0)));
    });
    const connection = await network.settle(client.connect('server:27015'), 60e6);
    const bytes = [0, 0];
    const stopTap = network.tap(({ from, to, bytes: datagram }) => {
      bytes[from.port === 27015 ? 1 : 0]! += datagram.length + (to.port > 0 ? IP_AND_UDP_BYTES : 0);
    });
    const message = Buffer.alloc(PACE.size);
    const sent = Math.floor(seconds * PACE.hz);
    for (let i = 0; i < sent; i++) {
      message.writeDoubleBE(network.nowUs, 0);
      connection.send(message, { reliable: wire.reliable ?? true, noNagle: true });
      await network.advance(Math.round(1e6 / PACE.hz));
    }
    await network.advance(1.5e6);
    stopTap();
    rows.push({
      name,
      ...summarize(times),
      sent,
      bytesPerSec: Math.round(bytes[0]! / seconds),
      returnBytesPerSec: Math.round(bytes[1]! / seconds),
    });
    void Promise.all([client.close(), server.close()]);
    await network.advance(10e6);
  }
  return rows;
}

const IP_AND_UDP_BYTES = 28;

// Throughput and round trip times over 127.0.0.1, each side a process of its own, each sample a fresh pair of processes.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Distribution, interleave, medianOf, printTable, rounded, sleep } from './figures.ts';
import { installedNpmPeers } from './npm-peers.ts';
import type { Snapshot } from './peer.ts';
import type { Wire } from './pipes.ts';
import { GNS_PEER, type PeerProcess, type ProcessOptions, startPeer, summarizeProfile } from './processes.ts';

export interface Contestant {
  readonly name: string;
  readonly wire: Wire;
}

/** One message size of one contestant: medians over the rounds. */
export interface ThroughputRow {
  readonly name: string;
  readonly size: number;
  readonly bytesPerSec: number;
  readonly messagesPerSec: number;
  /** Slowest and fastest round. */
  readonly spreadBytesPerSec: readonly [number, number];
  /** Microseconds per datagram of data; per message where there are none to count. */
  readonly senderUsPerPacket: number;
  readonly receiverUsPerPacket: number;
  readonly senderUsPerMessage: number;
  readonly receiverUsPerMessage: number;
  readonly rounds: number;
  /** For those without congestion control: the configured rate that was best. */
  readonly sendRateBytesPerSec?: number;
}

export interface SweepRow {
  readonly name: string;
  readonly size: number;
  readonly sendRateBytesPerSec: number;
  /** 0 if the connection did not live through it. */
  readonly bytesPerSec: number;
}

export interface RoundTripRow extends Distribution {
  readonly name: string;
  readonly rounds: number;
}

export interface LoopbackOptions {
  readonly rounds: number;
  readonly warmUpMs: number;
  readonly windowMs: number;
  readonly sizes: readonly number[];
  readonly pings: number;
  /** Before them: V8 compiles while a process is young, and stops it for milliseconds to do so. */
  readonly warmUpPings: number;
  /** Settings to try where the sender does not find the rate by itself, and how often each. */
  readonly sendRates: readonly number[];
  readonly sweeps: number;
}

export const OURS = 'ours';
/** In datagrams that any network carries, which GNS sends and the yardsticks send, too. */
export const OURS_SMALL = 'ours, 1300 B';

const HOST = '127.0.0.1';
const SWEEP_WINDOW_MS = 600;

type Sample = Pick<
  ThroughputRow,
  | 'bytesPerSec'
  | 'messagesPerSec'
  | 'senderUsPerPacket'
  | 'receiverUsPerPacket'
  | 'senderUsPerMessage'
  | 'receiverUsPerMessage'
>;

function withRate(wire: Wire, bytesPerSec: number): Wire {
  return { ...wire, config: { ...wire.config, sendRateMin: bytesPerSec, sendRateMax: bytesPerSec } };
}

async function withPair<T>(
  wire: Wire,
  duty: 'count' | 'echo',
  use: (sender: PeerProcess, receiver: PeerProcess) => Promise<T>,
  options: ProcessOptions = {},
): Promise<T> {
  const receiver = startPeer(wire.kind, options);
  const sender = startPeer(wire.kind, options);
  try {
    const port = await receiver.listen(wire, HOST, duty);
    await sender.connect(wire, HOST, port, 1);
    return await use(sender, receiver);
  } finally {
    await Promise.all([sender.stop(), receiver.stop()]);
  }
}

/** What happens between two looks at both sides while messages flow; start and end of the flow do not count. */
function sampleThroughput(wire: Wire, size: number, options: LoopbackOptions): Promise<Sample> {
  return withPair(wire, 'count', async (sender, receiver) => {
    await sender.stream(size);
    await sleep(options.warmUpMs);
    const before = await Promise.all([sender.snapshot(), receiver.snapshot()]);
    await sleep(options.windowMs);
    const after = await Promise.all([sender.snapshot(), receiver.snapshot()]);
    return difference(before, after);
  });
}

function difference(before: readonly [Snapshot, Snapshot], after: readonly [Snapshot, Snapshot]): Sample {
  const elapsedUs = after[1].atUs - before[1].atUs;
  const messages = after[1].messages - before[1].messages;
  if (messages === 0) throw new Error('nothing arrived');
  const sentPackets = (after[0].packets?.sent ?? messages) - (before[0].packets?.sent ?? 0);
  const receivedPackets = (after[1].packets?.received ?? messages) - (before[1].packets?.received ?? 0);
  const [senderUs, receiverUs] = [after[0].cpuUs - before[0].cpuUs, after[1].cpuUs - before[1].cpuUs];
  return {
    bytesPerSec: ((after[1].bytes - before[1].bytes) / elapsedUs) * 1e6,
    messagesPerSec: (messages / elapsedUs) * 1e6,
    senderUsPerPacket: senderUs / sentPackets,
    receiverUsPerPacket: receiverUs / receivedPackets,
    senderUsPerMessage: senderUs / messages,
    receiverUsPerMessage: receiverUs / messages,
  };
}

/** Those to compare; what is not there is left out. */
export function contestants(): Contestant[] {
  return [
    { name: 'dgram', wire: { kind: 'dgram' } },
    { name: 'floor', wire: { kind: 'floor' } },
    { name: 'node:net', wire: { kind: 'tcp' } },
    { name: 'node:tls', wire: { kind: 'tls' } },
    { name: OURS, wire: { kind: 'ours' } },
    { name: OURS_SMALL, wire: { kind: 'ours', config: { mtuDiscoveryMax: 1300 } } },
    ...(GNS_PEER === undefined ? [] : [{ name: 'GNS (C++)', wire: { kind: 'gns' } }]),
    ...installedNpmPeers().map((kind) => ({ name: kind, wire: { kind } })),
  ];
}

function hasFixedRate({ wire }: Contestant): boolean {
  return wire.kind === 'ours' || wire.kind === 'gns';
}

/** Short samples of each setting, twice: a setting is worth what it gives both times. */
async function sweepRates(fixed: readonly Contestant[], size: number, options: LoopbackOptions): Promise<SweepRow[]> {
  const short = { ...options, windowMs: Math.min(options.windowMs, SWEEP_WINDOW_MS) };
  const settings = options.sendRates.flatMap((sendRateBytesPerSec) =>
    fixed.map(({ name, wire }) => ({
      name: `${name} at ${sendRateBytesPerSec / 1e6} MB/s`,
      contestant: name,
      wire,
      sendRateBytesPerSec,
    })),
  );
  const samples = await interleave(settings, options.sweeps, ({ wire, sendRateBytesPerSec }) =>
    sampleThroughput(withRate(wire, sendRateBytesPerSec), size, short),
  );
  return settings.map(({ name, contestant, sendRateBytesPerSec }) => {
    const speeds = samples.get(name)!.map((sample) => sample.bytesPerSec);
    const bytesPerSec = speeds.length < options.sweeps ? 0 : Math.round(Math.min(...speeds));
    return { name: contestant, size, sendRateBytesPerSec, bytesPerSec };
  });
}

export async function throughput(options: LoopbackOptions): Promise<{ rows: ThroughputRow[]; sweep: SweepRow[] }> {
  const rows: ThroughputRow[] = [];
  const sweep: SweepRow[] = [];
  for (const size of options.sizes) {
    const all = contestants();
    const sweepOfSize = await sweepRates(all.filter(hasFixedRate), size, options);
    sweep.push(...sweepOfSize);
    const bestRates = new Map<string, number>();
    for (const { name } of all.filter(hasFixedRate)) {
      const best = sweepOfSize.filter((row) => row.name === name).sort((a, b) => b.bytesPerSec - a.bytesPerSec)[0]!;
      bestRates.set(name, best.sendRateBytesPerSec);
    }
    const rated = all.map(({ name, wire }) => {
      const rate = bestRates.get(name);
      return { name, wire: rate === undefined ? wire : withRate(wire, rate) };
    });
    const samples = await interleave(rated, options.rounds, ({ wire }) => sampleThroughput(wire, size, options));
    const rowsOfSize = [...samples].flatMap(([name, each]) =>
      each.length === 0 ? [] : [throughputRow(name, size, each, bestRates.get(name))],
    );
    rows.push(...rowsOfSize);
    printThroughput(size, rowsOfSize);
  }
  return { rows, sweep };
}

function throughputRow(
  name: string,
  size: number,
  samples: readonly Sample[],
  rate: number | undefined,
): ThroughputRow {
  const speeds = samples.map((sample) => sample.bytesPerSec);
  const median = (key: keyof Sample) =>
    rounded(
      medianOf(samples, (sample) => sample[key]),
      2,
    );
  return {
    name,
    size,
    bytesPerSec: Math.round(medianOf(samples, (sample) => sample.bytesPerSec)),
    messagesPerSec: Math.round(medianOf(samples, (sample) => sample.messagesPerSec)),
    spreadBytesPerSec: [Math.round(Math.min(...speeds)), Math.round(Math.max(...speeds))],
    senderUsPerPacket: median('senderUsPerPacket'),
    receiverUsPerPacket: median('receiverUsPerPacket'),
    senderUsPerMessage: median('senderUsPerMessage'),
    receiverUsPerMessage: median('receiverUsPerMessage'),
    rounds: samples.length,
    ...(rate === undefined ? {} : { sendRateBytesPerSec: rate }),
  };
}

function printThroughput(size: number, rows: readonly ThroughputRow[]): void {
  const floor = rows.find(({ name }) => name === 'floor')?.bytesPerSec ?? Number.NaN;
  console.log(`\n  reliable messages of ${size} B`);
  printTable(
    ['', 'MB/s', 'of the floor', 'messages/s', 'us/packet: sender', 'receiver', 'us/message: sender', 'receiver'],
    rows.map((row) => [
      row.name,
      (row.bytesPerSec / 1e6).toFixed(1),
      (row.bytesPerSec / floor).toFixed(2),
      row.messagesPerSec,
      row.senderUsPerPacket.toFixed(2),
      row.receiverUsPerPacket.toFixed(2),
      row.senderUsPerMessage.toFixed(2),
      row.receiverUsPerMessage.toFixed(2),
    ]),
  );
}

const PING_BYTES = 32;

export async function roundTrips(options: LoopbackOptions): Promise<RoundTripRow[]> {
  const hasty = contestants()
    .filter(({ name }) => name !== OURS_SMALL)
    .map(({ name, wire }) => ({ name, wire: { ...wire, noNagle: true } }));
  const samples = await interleave(hasty, options.rounds, ({ wire }) =>
    withPair(wire, 'echo', (sender) => sender.pingPong(PING_BYTES, options.pings, options.warmUpPings)),
  );
  const rows = [...samples].flatMap(([name, each]) =>
    each.length === 0
      ? []
      : [
          {
            name,
            n: each.reduce((sum, { n }) => sum + n, 0),
            p50: rounded(medianOf(each, ({ p50 }) => p50)),
            p95: rounded(medianOf(each, ({ p95 }) => p95)),
            p99: rounded(medianOf(each, ({ p99 }) => p99)),
            max: rounded(medianOf(each, ({ max }) => max)),
            rounds: each.length,
          },
        ],
  );
  console.log(`\n  round trip of ${PING_BYTES} B, microseconds`);
  const floor = rows.find(({ name }) => name === 'floor');
  printTable(
    ['', 'p50', 'p95', 'p99', 'p50 of the floor', 'p99 of the floor'],
    rows.map((row) => [
      row.name,
      row.p50.toFixed(0),
      row.p95.toFixed(0),
      row.p99.toFixed(0),
      (row.p50 / (floor?.p50 ?? Number.NaN)).toFixed(2),
      (row.p99 / (floor?.p99 ?? Number.NaN)).toFixed(2),
    ]),
  );
  return rows;
}

/** Long enough for what happens at the start not to count. */
const PROFILE_MS = 5000;
const PROFILE_PINGS = 20_000;

/** Runs one of ours under the profiler; a summary for each side. */
export async function profileStream(size: number): Promise<string[]> {
  return profilePair((wire, nodeOptions) =>
    withPair(
      wire,
      'count',
      async (sender) => {
        await sender.stream(size);
        await sleep(PROFILE_MS);
      },
      { nodeOptions },
    ),
  );
}

export async function profilePings(): Promise<string[]> {
  return profilePair((wire, nodeOptions) =>
    withPair({ ...wire, noNagle: true }, 'echo', (sender) => sender.pingPong(PING_BYTES, PROFILE_PINGS, 0), {
      nodeOptions,
    }),
  );
}

async function profilePair(run: (wire: Wire, nodeOptions: readonly string[]) => Promise<unknown>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-profile-'));
  try {
    await run({ kind: 'ours' }, ['--cpu-prof', `--cpu-prof-dir=${folder}`]);
    return readdirSync(folder).flatMap((file, i) => [`process ${i + 1}`, ...summarizeProfile(join(folder, file))]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

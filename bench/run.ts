// One run of the benches: what is measured in which order, on what machine, and where the results go.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type HandshakeRow, handshakes, type ScaleRow, scale } from './connections.ts';
import { type LatencyResult, latency, SCENARIOS } from './latency.ts';
import {
  type LoopbackOptions,
  type RoundTripRow,
  roundTrips,
  type SweepRow,
  type ThroughputRow,
  throughput,
} from './loopback.ts';
import { type MicroRow, micro } from './micro.ts';
import { installedNpmPeers } from './npm-peers.ts';
import { GNS_PEER } from './processes.ts';
import { headlineSvg, page } from './report.ts';
import { type SteadyResult, steady } from './steady.ts';
import { type WorkersResult, workers } from './workers.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly v8: string;
  readonly openssl: string;
  /** Of the library; with a mark if files differ from it. */
  readonly commit: string;
  readonly gns: string;
  readonly npmPeers: string;
  /** Load average when the run began: anything above 0 was somebody else's. */
  readonly loadBefore: number;
  readonly loadAfter?: number;
  /** Programs that used more than 5 % of a core when the run began. */
  readonly alsoRunning: readonly string[];
}

/** One line of the list of promises. `holds` is absent where it could not be measured. */
export interface Goal {
  readonly id: string;
  readonly what: string;
  readonly value: string;
  readonly goal: string;
  readonly holds?: boolean;
}

export interface Profile {
  readonly title: string;
  readonly lines: readonly string[];
}

export interface Run {
  readonly startedAt: string;
  readonly quick: boolean;
  machine: Machine;
  elapsedSeconds?: number;
  micro?: MicroRow[];
  throughput?: { readonly rows: ThroughputRow[]; readonly sweep: SweepRow[] };
  roundTrips?: RoundTripRow[];
  latency?: LatencyResult[];
  scale?: ScaleRow[];
  handshakes?: HandshakeRow;
  steady?: SteadyResult;
  workers?: WorkersResult;
  goals?: Goal[];
  profiles?: Profile[];
}

export const SUITES = ['micro', 'throughput', 'roundtrip', 'latency', 'connections', 'steady', 'workers'] as const;
export type Suite = (typeof SUITES)[number];

function loopbackOptions(quick: boolean): LoopbackOptions {
  const sizes = [64, 1200, 65_536];
  return quick
    ? {
        rounds: 1,
        warmUpMs: 300,
        windowMs: 500,
        sizes,
        pings: 500,
        warmUpPings: 500,
        sendRates: [40e6, 100e6],
        sweeps: 1,
      }
    : {
        rounds: 5,
        warmUpMs: 500,
        windowMs: 1200,
        sizes,
        pings: 3000,
        warmUpPings: 6000,
        sendRates: [10e6, 25e6, 50e6, 75e6, 100e6],
        sweeps: 2,
      };
}

/** Runs the suites in the order of the list, and tells as it goes. */
export async function measure(suites: readonly Suite[], quick: boolean): Promise<Run> {
  const startedMs = Date.now();
  const run: Run = { startedAt: new Date(startedMs).toISOString(), quick, machine: describeMachine() };
  console.log(
    `${run.machine.cpu}, ${run.machine.cores} cores, Node ${run.machine.node}, library ${run.machine.commit}`,
  );
  if (run.machine.loadBefore > 0.3) console.log(`the machine is busy already: load ${run.machine.loadBefore}`);
  if (GNS_PEER === undefined) console.log('without the C++ library: GNS_PEER names no peer');
  for (const suite of SUITES) {
    if (!suites.includes(suite)) continue;
    console.log(`\n== ${suite}`);
    await MEASUREMENTS[suite](run, quick);
  }
  run.machine = { ...run.machine, loadAfter: loadavg()[0]! };
  run.elapsedSeconds = Math.round((Date.now() - startedMs) / 1000);
  return run;
}

const MEASUREMENTS: Readonly<Record<Suite, (run: Run, quick: boolean) => Promise<void>>> = {
  async micro(run) {
    run.micro = await micro();
  },
  async throughput(run, quick) {
    run.throughput = await throughput(loopbackOptions(quick));
  },
  async roundtrip(run, quick) {
    run.roundTrips = await roundTrips(loopbackOptions(quick));
  },
  async latency(run, quick) {
    run.latency = [];
    const seed = Number(process.env['SEED'] ?? 1);
    for (const [i, scenario] of SCENARIOS.entries()) {
      run.latency.push(await latency(scenario, quick ? 6 : i === 0 ? 45 : 30, 4, seed));
    }
  },
  async connections(run, quick) {
    const options = {
      counts: quick ? [1, 100, 1000] : [1, 100, 1000, 10_000],
      idleMs: quick ? 2000 : 12_000,
      handshakes: quick ? 300 : 1000,
      rounds: quick ? 3 : 5,
    };
    run.handshakes = await handshakes(options);
    run.scale = await scale(options);
  },
  async steady(run, quick) {
    run.steady = await steady({ seconds: quick ? 6 : 120, packetsPerSec: 50_000, connections: 100 });
  },
  async workers(run, quick) {
    run.workers = await workers(quick ? 2 : 6);
  },
};

function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${process.platform} ${release()}`,
    node: process.version,
    v8: process.versions.v8,
    openssl: process.versions.openssl,
    commit: `${output('git', 'rev-parse', '--short', 'HEAD')}${output('git', 'status', '--porcelain', 'src') ? '+' : ''}`,
    gns: GNS_PEER === undefined ? 'not there' : (process.env['GNS_VERSION'] ?? 'version not told (GNS_VERSION)'),
    npmPeers: installedNpmPeers().join(', ') || 'none',
    loadBefore: loadavg()[0]!,
    alsoRunning: output('ps', '-eo', 'pcpu=,comm=', '--sort=-pcpu')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => Number.parseFloat(line) > 5),
  };
}

function output(program: string, ...args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

/** In the sources, not in what is built of them. */
const RESULTS = fileURLToPath(new URL('../../bench/results/', import.meta.url));
/** A quick look does not replace figures that may be quoted. */
const nameOf = ({ quick }: Pick<Run, 'quick'>) => (quick ? 'quick' : 'latest');

export function writeResults(run: Run): void {
  const name = nameOf(run);
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(`${RESULTS}${name}.json`, `${JSON.stringify(run, undefined, 1)}\n`);
  writeFileSync(`${RESULTS}${name}.html`, page(run));
  const headline = headlineSvg(run);
  if (headline !== undefined) writeFileSync(`${RESULTS}${name}.svg`, headline);
  console.log(`\nbench/results/${name}.html shows it all; ${name}.json has the figures`);
}

export function readResults(quick: boolean): Run {
  return JSON.parse(readFileSync(`${RESULTS}${nameOf({ quick })}.json`, 'utf8')) as Run;
}

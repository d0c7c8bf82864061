// The promises that a run is held against, each as a row: what was measured, what is wanted, and whether it holds. Where
// one does not, a profile shows where the time goes.

import { GNS, KERNEL_TCP, OURS_REDUNDANT, OURS_RELIABLE, OURS_UNRELIABLE, PATH } from './latency.ts';
import { OURS, OURS_SMALL, profilePings, profileStream, type ThroughputRow } from './loopback.ts';
import type { Goal, Profile, Run } from './run.ts';

const GNS_NAME = 'GNS (C++)';
const NO_GNS = 'no C++ library here';

export function judge(run: Run): Goal[] {
  return [
    ...largeMessages(run),
    ...smallMessages(run),
    ...cpuPerPacket(run),
    ...roundTrip(run),
    ...latencyUnderLoss(run),
    ...manyConnections(run),
    ...steadyState(run),
    ...twoWorkers(run),
  ];
}

/** A goal whose value is a number with a limit; not measured if either is missing. */
function limit(
  id: string,
  what: string,
  value: number | undefined,
  sign: '>=' | '<=' | '<',
  bound: number | undefined,
  unit = '',
  details = '',
): Goal {
  const text = (number: number) => `${Number(number.toPrecision(4))}${unit}`;
  const goal = bound === undefined ? 'the other side was not measured' : `${sign} ${text(bound)}`;
  if (value === undefined || Number.isNaN(value)) return { id, what, value: 'not measured', goal };
  const shown = `${text(value)}${details && ` (${details})`}`;
  if (bound === undefined || Number.isNaN(bound)) return { id, what, value: shown, goal };
  const holds = sign === '>=' ? value >= bound : sign === '<=' ? value <= bound : value < bound;
  return { id, what, value: shown, goal, holds };
}

function throughputRow({ throughput }: Run, name: string, size: number): ThroughputRow | undefined {
  return throughput?.rows.find((row) => row.name === name && row.size === size);
}

/** The most that a setting gave both times, where the connection lived: the strictest yardstick. */
function bestSurviving({ throughput }: Run, name: string, size: number): number | undefined {
  const speeds = throughput?.sweep.filter((row) => row.name === name && row.size === size) ?? [];
  return speeds.length === 0 ? undefined : Math.max(...speeds.map(({ bytesPerSec }) => bytesPerSec));
}

function againstGns(run: Run, id: string, size: number): Goal {
  const what = `reliable ${size} B: MB/s against the C++ library at its best setting`;
  const ours = throughputRow(run, OURS, size)?.bytesPerSec;
  const gns = bestSurviving(run, GNS_NAME, size);
  if (gns === undefined) return { id, what, value: NO_GNS, goal: 'at least as much' };
  return limit(id, what, ours === undefined ? undefined : ours / 1e6, '>=', gns / 1e6, ' MB/s');
}

function largeMessages(run: Run): Goal[] {
  return [1200, 65_536].flatMap((size) => [
    ofFloor(run, `1-${size}`, OURS, size),
    ofFloor(run, `1-${size}-1300`, OURS_SMALL, size),
    againstGns(run, `1-${size}-gns`, size),
  ]);
}

function ofFloor(run: Run, id: string, name: string, size: number): Goal {
  const ours = throughputRow(run, name, size);
  const floor = throughputRow(run, 'floor', size);
  const ratio = ours && floor ? ours.bytesPerSec / floor.bytesPerSec : undefined;
  const details = ours && floor ? `${mb(ours)} of ${mb(floor)} MB/s` : '';
  const what = `reliable ${size} B, ${name}: share of the floor's bytes per second`;
  return limit(id, what, ratio, '>=', 0.85, '', details);
}

const mb = ({ bytesPerSec }: ThroughputRow) => (bytesPerSec / 1e6).toFixed(1);

function smallMessages(run: Run): Goal[] {
  const ours = throughputRow(run, OURS, 64);
  const tcp = throughputRow(run, 'node:net', 64);
  const ratio = ours && tcp ? ours.bytesPerSec / tcp.bytesPerSec : undefined;
  const details = ours && tcp ? `${mb(ours)} and ${mb(tcp)} MB/s` : '';
  return [
    limit('2-64', 'reliable 64 B: times node:net with one write per message', ratio, '>=', 3, '', details),
    againstGns(run, '2-64-gns', 64),
    collapse(run),
  ];
}

/** At each setting the connection must give at least 0.7 of the setting, or of what it gives at its best. */
function collapse(run: Run): Goal {
  const rows = run.throughput?.sweep.filter(({ name }) => name === OURS || name === OURS_SMALL) ?? [];
  const shares = rows.map((row) => {
    const best = bestSurviving(run, row.name, row.size)!;
    return { row, share: row.bytesPerSec / Math.min(row.sendRateBytesPerSec, best) };
  });
  const worst = shares.sort((a, b) => a.share - b.share)[0];
  const what = 'no send rate up to 100 MB/s makes it collapse: least share of the setting, or of its best';
  const details = worst ? `${worst.row.name}, ${worst.row.size} B at ${worst.row.sendRateBytesPerSec / 1e6} MB/s` : '';
  return limit('2-collapse', what, worst?.share, '>=', 0.7, '', details);
}

/** Strictly by the packet of 1200 bytes, and by the message as it goes here, in larger packets. */
function cpuPerPacket(run: Run): Goal[] {
  const floor = throughputRow(run, 'floor', 1200);
  const over = (name: string, key: 'UsPerPacket' | 'UsPerMessage', side: 'sender' | 'receiver') => {
    const ours = throughputRow(run, name, 1200);
    return ours && floor ? ours[`${side}${key}`] - floor[`${side}${key}`] : undefined;
  };
  return (['sender', 'receiver'] as const).flatMap((side) => [
    limit(
      `3-${side}`,
      `processor time per 1200 B packet over the floor, ${side}`,
      over(OURS_SMALL, 'UsPerPacket', side),
      '<=',
      3,
      ' us',
    ),
    limit(
      `3-${side}-message`,
      `processor time per 1200 B message over the floor, ${side}, in packets as large as they get`,
      over(OURS, 'UsPerMessage', side),
      '<=',
      3,
      ' us',
    ),
  ]);
}

function roundTrip({ roundTrips }: Run): Goal[] {
  const row = (name: string) => roundTrips?.find((each) => each.name === name);
  const [ours, floor, gns] = [row(OURS), row('floor'), row(GNS_NAME)];
  const goals: Goal[] = [];
  for (const [key, most] of [
    ['p50', 1.3],
    ['p99', 2],
  ] as const) {
    const ratio = ours && floor ? ours[key] / floor[key] : undefined;
    const details = ours && floor ? `${ours[key]} and ${floor[key]} us` : '';
    goals.push(limit(`4-${key}`, `round trip of 32 B, ${key}: times the floor's`, ratio, '<=', most, '', details));
    goals.push(limit(`4-${key}-gns`, `round trip of 32 B, ${key}: below GNS's`, ours?.[key], '<', gns?.[key], ' us'));
  }
  return goals;
}

function latencyUnderLoss(run: Run): Goal[] {
  const result = run.latency?.find(({ scenario }) => scenario.id === 'loss2');
  const row = (name: string) => result?.rows.find((each) => each.name === name);
  const p99 = (name: string) => (row(name) === undefined ? undefined : row(name)!.p99 / 1e3);
  const [reliable, redundant, path] = [row(OURS_RELIABLE), row(OURS_REDUNDANT), p99(PATH)];
  const traffic = redundant && reliable ? redundant.bytesPerSec / reliable.bytesPerSec : undefined;
  const overPath = path === undefined || p99(OURS_UNRELIABLE) === undefined ? undefined : p99(OURS_UNRELIABLE)! - path;
  return [
    limit('5-reliable', 'p99 of reliable messages below kernel TCP', p99(OURS_RELIABLE), '<', p99(KERNEL_TCP), ' ms'),
    limit('5-reliable-gns', "p99 of reliable messages below GNS's", p99(OURS_RELIABLE), '<', p99(GNS), ' ms'),
    limit('5-redundant', 'p99 with redundancy', p99(OURS_REDUNDANT), '<=', 80, ' ms'),
    limit('5-redundant-bytes', 'bytes with redundancy, times those without', traffic, '<=', 2),
    limit('5-unreliable', "p99 of unreliable messages over the path's", overPath, '<=', 2, ' ms'),
  ];
}

function manyConnections({ scale, handshakes }: Run): Goal[] {
  const most = scale?.find(({ connections }) => connections === 10_000);
  const idlePerThousand = most && (most.idleCpuPercent / most.connections) * 1000;
  const kib = (bytes: number | undefined) => (bytes === undefined ? undefined : bytes / 1000);
  return [
    limit('6-memory', '10,000 idle connections, one process: heap each', kib(most?.heapBytesEach), '<=', 10, ' KB'),
    limit('6-resident', 'the same: memory of the process each', kib(most?.residentBytesEach), '<=', 10, ' KB'),
    limit('6-idle', 'the same: processor per 1,000', idlePerThousand, '<=', 3, ' %'),
    limit('6-handshakes', "handshakes per second of the server's core", handshakes?.perServerCpuSecond, '>=', 1200),
  ];
}

/** Growth that is more than chance over two minutes. */
const FLAT_MIB = 2;

function steadyState({ steady }: Run): Goal[] {
  const details = steady ? `at ${steady.packetsPerSec} packets/s` : '';
  const rate = steady && steady.packetsPerSec / steady.askedPacketsPerSec;
  return [
    limit('7-rate', 'share of 50,000 packets/s that the machine sustained', rate, '>=', 0.97),
    limit('7-pause', 'event loop pause, p99.9', steady?.pauseMs.p999, '<=', 5, ' ms', details),
    limit('7-heap', `growth of the heap in ${steady?.seconds ?? 0} s`, steady?.heapGrowthMiB, '<=', FLAT_MIB, ' MiB'),
  ];
}

function twoWorkers({ workers }: Run): Goal[] {
  const what = "two workers' load, times one's, by processor time of the busier one";
  if (workers?.whyNot !== undefined)
    return [{ id: '8', what, value: `not measured: ${workers.whyNot}`, goal: '>= 1.6' }];
  return [limit('8', what, workers?.ratio, '>=', 1.6)];
}

/** Where the time goes, for each promise about time that does not hold. */
export async function explainShortfalls(goals: readonly Goal[]): Promise<Profile[]> {
  const profiles: Profile[] = [];
  const fallsShort = (prefix: string) => goals.some(({ id, holds }) => id.startsWith(prefix) && holds === false);
  for (const [prefix, size] of [
    ['2-64', 64],
    ['1-1200', 1200],
    ['1-65536', 65_536],
  ] as const) {
    if (!fallsShort(prefix) && !(size === 1200 && fallsShort('3-'))) continue;
    profiles.push({ title: `streaming ${size} B`, lines: await profileStream(size) });
  }
  if (fallsShort('4-')) profiles.push({ title: 'round trips', lines: await profilePings() });
  return profiles;
}

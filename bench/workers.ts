// Several processes that share one port (`reusePort`): how much more two of them serve than one. Processor time decides,
// not the clock: what the busiest worker spends per message says what two could serve if each had a core of its own, on
// a machine that has none to spare, too. BENCH_NODE names another Node for the workers; sharing needs 22.12.

import { printTable, rounded, sleep } from './figures.ts';
import type { Wire } from './pipes.ts';
import { type PeerProcess, startPeer } from './processes.ts';

export interface WorkersResult {
  /** Why there are no figures. */
  readonly whyNot?: string;
  readonly node: string;
  readonly connections?: number;
  /** Messages per second of the busiest worker's processor time, with one worker and with two. */
  readonly oneServes?: number;
  readonly twoServe?: number;
  /** The busier worker's share of the messages. */
  readonly largerShare?: number;
  readonly ratio?: number;
}

const HOST = '127.0.0.1';
/** So many that chance divides them almost evenly. */
const CONNECTIONS = 256;
/** Enough to keep one worker busy: with less, most of a message's cost is that somebody has to wake up for it. */
const HZ = 60;
const NODE = process.env['BENCH_NODE'] || process.execPath;

export async function workers(seconds: number): Promise<WorkersResult> {
  const result: WorkersResult = await compare(seconds).catch((error) => ({
    whyNot: String(error).slice(0, 300),
    node: process.version,
  }));
  if (result.whyNot !== undefined) console.log(`  not measured: ${result.whyNot}`);
  else {
    printTable(
      ['connections', 'one serves /s', 'two serve /s', 'larger share', 'ratio'],
      [[CONNECTIONS, result.oneServes!, result.twoServe!, result.largerShare!, result.ratio!]],
    );
  }
  return result;
}

async function compare(seconds: number): Promise<WorkersResult> {
  const one = await serve(1, seconds);
  const two = await serve(2, seconds);
  return {
    node: NODE === process.execPath ? process.version : NODE.split('/').slice(-3).join('/'),
    connections: CONNECTIONS,
    oneServes: Math.round(one.perBusiestCpuSecond),
    twoServe: Math.round(two.perBusiestCpuSecond),
    largerShare: rounded(two.largerShare, 2),
    ratio: rounded(two.perBusiestCpuSecond / one.perBusiestCpuSecond, 2),
  };
}

async function serve(count: number, seconds: number): Promise<{ perBusiestCpuSecond: number; largerShare: number }> {
  const servers: PeerProcess[] = [];
  const client = startPeer('ours', { node: NODE });
  try {
    let port = 0;
    for (let i = 0; i < count; i++) {
      const server = startPeer('ours', { node: NODE });
      servers.push(server);
      const wire: Wire = { kind: 'ours', noNagle: true, reusePort: true, port };
      port = await server.listen(wire, HOST, 'echo');
    }
    await client.connect({ kind: 'ours', noNagle: true }, HOST, port, CONNECTIONS);
    const load = client.pace(HZ, 64, seconds + 1);
    await sleep(1000);
    const before = await Promise.all(servers.map((server) => server.snapshot()));
    await sleep(seconds * 1000 - 200);
    const after = await Promise.all(servers.map((server) => server.snapshot()));
    await load;
    const spentUs = after.map((snapshot, i) => snapshot.cpuUs - before[i]!.cpuUs);
    const served = after.map((snapshot, i) => snapshot.messages - before[i]!.messages);
    const total = served.reduce((sum, messages) => sum + messages, 0);
    return { perBusiestCpuSecond: (total / Math.max(...spentUs)) * 1e6, largerShare: Math.max(...served) / total };
  } finally {
    await Promise.all([client, ...servers].map((peer) => peer.stop()));
  }
}

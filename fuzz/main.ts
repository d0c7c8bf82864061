// The fuzzer and the endurance tests as a command.

import { parseArgs } from 'node:util';
import { SeededRandom } from '../src/core/base/random.ts';
import { Day } from '../test/sim/day.ts';
import { connectKill, connectPlayClose } from './cycles.ts';
import { decoderTargets, type Target } from './decoders.ts';
import { fuzzGuided } from './guided.ts';
import { type LiveTarget, LyingPeer, MeddledPath } from './live.ts';
import { ForgedStun, rendezvousTargets } from './rendezvous.ts';
import { fuzz } from './run.ts';
import { addToCorpus, loadSeeds, type Seeds } from './seeds.ts';
import { MeddledSignals } from './signals.ts';

const USAGE = `usage: npm run fuzz -- [decoders | live | guided | days | cycles] [options]
  decoders   spoilt inputs to every decoder (default: 1,000,000 to each)
  live       spoilt packets to living connections (default: 200,000 to each kind)
  guided     follows the coverage of every decoder (default: 20 s each)
  days       days of virtual time on which everything that can break does (default: 3, each with the next seed)
  cycles     connections that come and go, and those that are killed (default: 1,000 each)
  --count N      inputs to each target; packets, days or cycles
  --seconds S    guided: time for each target
  --seed N       of all randomness (default: drawn, and printed)
  --only NAME    targets whose name contains this
  --save         guided: adds the inputs that led to something new to the corpus, which the tests replay`;

const CHUNK = 1_000_000;
const DAY_US = 24 * 3_600 * 1_000_000;
const SAVED_PER_TARGET = 24;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    save: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
const seed = values.seed === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(values.seed);
const only = values.only ?? '';
const seeds = loadSeeds();

const COMMANDS: Readonly<Record<string, () => void | Promise<void>>> = { decoders, live, guided, days, cycles };
const chosen = positionals.length > 0 ? positionals : ['decoders', 'live'];
const unknown = chosen.find((name) => COMMANDS[name] === undefined);
if (values.help === true || unknown !== undefined) {
  if (unknown !== undefined) console.error(`there is no "${unknown}"`);
  console.error(USAGE);
  process.exit(values.help === true ? 0 : 2);
}
console.log(`seed ${seed}`);
for (const name of chosen) await COMMANDS[name]!();

function targets(): readonly Target[] {
  return [...decoderTargets(seeds), ...rendezvousTargets(seeds)].filter(({ name }) => name.includes(only));
}

function decoders(): void {
  const count = Number(values.count ?? 1_000_000);
  let total = 0;
  for (const target of targets()) {
    const startMs = performance.now();
    // In pieces, each of which a seed of its own repeats.
    for (let done = 0; done < count; done += CHUNK) fuzz(target, seed + done / CHUNK, Math.min(CHUNK, count - done));
    total += count;
    console.log(`${target.name.padEnd(28)} ${count} inputs, ${perInput(startMs, count)}, ${heap()}`);
  }
  console.log(`${total} inputs to ${targets().length} decoders: nothing thrown, nothing read behind the end`);
}

function live(): void {
  const count = Number(values.count ?? 200_000);
  const kinds: readonly ((random: SeededRandom, all: Seeds) => LiveTarget)[] = [
    (random, all) => new MeddledPath(random, all),
    (random, all) => new LyingPeer(random, all),
    (random) => new ForgedStun(random),
    (random) => new MeddledSignals(random),
  ];
  for (const make of kinds) {
    const target = make(new SeededRandom(seed), seeds);
    if (!target.name.includes(only)) continue;
    const startMs = performance.now();
    while (target.packets < count) target.step();
    const left = target.end();
    console.log(`${target.name.padEnd(28)} ${target.packets} packets, ${perInput(startMs, count)}, ${heap()}`);
    if (left.length > 0) throw new Error(`${target.name}: ${left.join(', ')}`);
  }
}

function guided(): void {
  const durationMs = Number(values.seconds ?? 20) * 1_000;
  for (const target of targets()) {
    const { inputs: count, found, features } = fuzzGuided(target, seed, durationMs);
    console.log(`${target.name.padEnd(28)} ${count} inputs, ${features} features, ${found.length} inputs kept`);
    const inputs = found.slice(-SAVED_PER_TARGET).map((input) => Buffer.from(input).toString('hex'));
    if (values.save === true) addToCorpus(target.name, inputs);
  }
}

async function days(): Promise<void> {
  const count = Number(values.count ?? 3);
  const total = { connections: 0, faults: 0, sent: 0, received: 0, complete: 0 };
  for (let day = 0; day < count; day++) {
    const report = await new Day(seed + day).run(DAY_US);
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += report[name];
    console.log(`day ${seed + day}: ${JSON.stringify(report)}`);
    if (report.complaints.length > 0) throw new Error(`seed ${seed + day}: ${report.complaints.join('; ')}`);
  }
  console.log(`${count} days: ${JSON.stringify(total)}, no complaint`);
}

async function cycles(): Promise<void> {
  const count = Number(values.count ?? 1_000);
  for (const run of [connectPlayClose, connectKill]) {
    const { heapBytesBefore, heapBytesAfter, leftovers } = await run(count);
    const [before, after] = [heapBytesBefore, heapBytesAfter].map((bytes) => (bytes / 1e6).toFixed(2));
    console.log(
      `${run.name.padEnd(28)} ${count} cycles: heap ${before} MB after a tenth of them, ${after} MB in the end`,
    );
    if (leftovers.length > 0) throw new Error(`left: ${leftovers.join(', ')}`);
  }
}

function perInput(startMs: number, count: number): string {
  return `${(((performance.now() - startMs) * 1_000) / count).toFixed(1)} us each`;
}

/** After a collection, where the command was started so that it can ask for one. */
function heap(): string {
  globalThis.gc?.();
  return `heap ${(process.memoryUsage().heapUsed / 1e6).toFixed(1)} MB`;
}

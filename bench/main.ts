// npm run bench [-- [--quick] [--must-show FILE] [SUITE …]]: measures and writes `bench/results`.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { printTable } from './figures.ts';
import { explainShortfalls, judge } from './must-show.ts';
import { measure, readResults, SUITES, type Suite, writeResults } from './run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    'must-show': { type: 'string' },
    /** Draw the page of the last run again. */
    redraw: { type: 'boolean', default: false },
  },
});

const unknown = positionals.filter((name) => !SUITES.some((suite) => suite === name));
if (unknown.length > 0) {
  console.error(`no suite is called ${unknown.join(', ')}; there are ${SUITES.join(', ')}`);
  process.exit(2);
}

if (values.redraw) writeResults(readResults(values.quick));
else await main(positionals.length === 0 ? SUITES : (positionals as Suite[]));

async function main(suites: readonly Suite[]): Promise<void> {
  const run = await measure(suites, values.quick);
  run.goals = judge(run);
  const file = values['must-show'];
  if (file !== undefined) {
    console.log('\n== goals');
    const rows = run.goals.map(({ id, value, goal, holds }) => [id, value, goal, holds ?? 'not measured']);
    printTable(
      ['', 'measured', 'goal', 'holds'],
      rows.map((row) => row.map(String)),
    );
    run.profiles = await explainShortfalls(run.goals);
    for (const { title, lines } of run.profiles) console.log(`\n${title}\n  ${lines.join('\n  ')}`);
    writeFileSync(file, `[\n${run.goals.map((goal) => `  ${JSON.stringify(goal)}`).join(',\n')}\n]\n`);
  }
  if (suites.length === SUITES.length) writeResults(run);
  else console.log('\nbench/results keeps the last run of all suites');
}

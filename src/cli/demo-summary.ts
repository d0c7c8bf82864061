// What the demo says at its end: every expectation with what came of it, and the states that were seen.

import { CONNECTION_STATES, type ConnectionState } from '../index.ts';
import { SIDES } from './demo-cast.ts';
import type { Check, Checks } from './demo-checks.ts';
import { type DemoRecord, pathOf } from './demo-record.ts';
import type { Paint } from './demo-screen.ts';

const WIDTH = 80;

/** What holds in each state, in at most 39 characters. */
const MEANINGS: Readonly<Record<ConnectionState, string>> = {
  None: 'before it begins, after it was closed',
  Connecting: 'may we talk? who are you? which keys?',
  FindingRoute: 'not used by direct UDP: signaling only',
  Connected: 'messages flow',
  ClosedByPeer: 'the other side has closed, we have not',
  ProblemDetectedLocally: 'a timeout, say; we have not closed yet',
  FinWait: 'closed by us; answers late packets',
  Linger: 'closed by us; reliable data still flows',
  Dead: 'nothing happens any more',
};
const UNUSED: ReadonlySet<string> = new Set(['FindingRoute']);

/** States that some side never came to, as checks. */
export function checkStates(record: DemoRecord): readonly Check[] {
  const missing = SIDES.flatMap((side) => {
    const seen = statesSeen(record, side);
    return stateNames()
      .filter((state) => seen.has(state) === UNUSED.has(state))
      .map((state) => ({ side, state }));
  });
  if (missing.length === 0) return [{ isOk: true, text: 'each state was seen on both sides, FindingRoute on none' }];
  return missing.map(({ side, state }) => ({
    isOk: false,
    text: `${state} was ${UNUSED.has(state) ? 'seen' : 'never seen'} on the ${side} side`,
  }));
}

export function summaryText(record: DemoRecord, checks: Checks, elapsedUs: number, paint: Paint): string {
  const lines: string[] = [];
  for (const [what, results] of checks) {
    lines.push('', paint('bold', what));
    for (const { isOk, text } of results) {
      const [first, ...rest] = wrap(text, WIDTH - 10);
      lines.push(`  ${isOk ? paint('green', 'ok    ') : paint('red', 'FAILED')}  ${first}`);
      lines.push(...rest.map((each) => `${''.padEnd(12)}${each}`));
    }
  }
  lines.push('', ...stateTable(record, paint), '');
  lines.push(...verdict(checks, elapsedUs, paint));
  return `${lines.join('\n')}\n`;
}

function verdict(checks: Checks, elapsedUs: number, paint: Paint): readonly string[] {
  const all = [...checks.values()].flat();
  const failures = [...checks].flatMap(([what, results]) =>
    results.filter(({ isOk }) => !isOk).map(({ text }) => `  ${what}: ${text}`),
  );
  const seconds = (elapsedUs / 1e6).toFixed(1);
  if (failures.length === 0) return [paint('green', `All ${all.length} expectations were met, in ${seconds} s.`)];
  const count = `${failures.length} of ${all.length} expectations were not met, in ${seconds} s:`;
  return [paint('red', count), ...failures];
}

function stateTable(record: DemoRecord, paint: Paint): readonly string[] {
  const seen = SIDES.map((side) => statesSeen(record, side));
  const rows = stateNames().map((state) => {
    const marks = seen.map((states) => (states.has(state) ? 'seen' : '-').padEnd(8));
    return `  ${state.padEnd(23)}${marks.join('')}${MEANINGS[state]}`;
  });
  return [paint('bold', `${'what a state means'.padEnd(25)}client  server`), ...rows];
}

function stateNames(): readonly ConnectionState[] {
  return Object.keys(CONNECTION_STATES) as ConnectionState[];
}

function statesSeen({ roles }: DemoRecord, side: (typeof SIDES)[number]): ReadonlySet<ConnectionState> {
  return new Set([...roles.values()].flatMap((role) => pathOf(role[side])));
}

/** Breaks between words. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

// The table of docs/nat.md, which tests take for what should happen.

import { readFileSync } from 'node:fs';

/** As the documentation calls them, easiest first. */
export const KINDS = {
  none: 'none',
  'full cone': 'fullCone',
  'restricted cone': 'restrictedCone',
  'port restricted': 'portRestrictedCone',
  symmetric: 'symmetric',
  'UDP blocked': 'udpBlocked',
} as const;
export type KindName = keyof typeof KINDS;
export const NAMES = Object.keys(KINDS) as KindName[];
export type Outcome = 'direct' | 'relay' | 'never';

function documented(): Map<string, Outcome> {
  const text = readFileSync(new URL('../../../docs/nat.md', import.meta.url), 'utf8');
  const rows = text.split('\n').map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  const headAt = rows.findIndex(([first, second]) => first === '' && second === 'none');
  const table = new Map<string, Outcome>();
  for (const [title, ...cells] of rows.slice(headAt + 2, headAt + 2 + NAMES.length)) {
    for (const [i, cell] of cells.entries()) table.set(`${title} ${rows[headAt]![i + 1]}`, cell as Outcome);
  }
  return table;
}

/** By the names of both kinds, with a space between. */
export const TABLE: ReadonlyMap<string, Outcome> = documented();

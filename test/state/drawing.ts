// Draws docs/state-machine.md from the tables that the code itself goes by, so that the page cannot be wrong.

import {
  type ConnectionState,
  FACTS,
  TRANSITIONS,
  TRIGGERS,
  type Trigger,
} from '../../src/core/connection/state-table.ts';

const STATES = Object.keys(FACTS) as ConnectionState[];
const ALL_TRIGGERS = Object.keys(TRIGGERS) as Trigger[];

/** The whole page. */
export function stateMachinePage(): string {
  return `# The states of a connection

This page is drawn from the tables in [\`src/core/connection/state-table.ts\`](../src/core/connection/state-table.ts),
which decide what is legal. Do not edit it: change the tables and run \`npm run draw-states\`.

## States

The application sees a hidden state as \`None\`. In an active state the peer still counts on us.

${table(['state', 'number', 'visible', 'active', 'carries data'], factRows())}

## What can happen

${table(['trigger', 'when'], Object.entries(TRIGGERS))}

## The picture

From every state \`destroy\` leads to \`Dead\`; those arrows, and what changes nothing, are left out.

\`\`\`mermaid
${diagram()}
\`\`\`

## All transitions

Each row is a state, each column a trigger. "stays" is legal and changes nothing; what is empty cannot happen.

${table(['state', ...ALL_TRIGGERS], transitionRows())}
`;
}

function factRows(): string[][] {
  return STATES.map((state) => {
    const { number, isVisible, isActive, carriesData } = FACTS[state];
    return [state, String(number), yes(isVisible), yes(isActive), yes(carriesData)];
  });
}

function yes(fact: boolean): string {
  return fact ? 'yes' : '';
}

function diagram(): string {
  const lines = ['stateDiagram-v2', '    [*] --> None'];
  for (const from of STATES) {
    const triggersByTarget = new Map<ConnectionState, Trigger[]>();
    for (const trigger of ALL_TRIGGERS) {
      const to = TRANSITIONS[from][trigger];
      if (to === undefined || to === from || trigger === 'destroy') continue;
      triggersByTarget.set(to, [...(triggersByTarget.get(to) ?? []), trigger]);
    }
    for (const [to, triggers] of triggersByTarget) lines.push(`    ${from} --> ${to}: ${triggers.join(', ')}`);
  }
  return [...lines, '    Dead --> [*]'].join('\n');
}

function transitionRows(): string[][] {
  return STATES.map((from) => {
    const targets = ALL_TRIGGERS.map((trigger) => {
      const to = TRANSITIONS[from][trigger];
      return to === from ? 'stays' : (to ?? '');
    });
    return [from, ...targets];
  });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`.replace(/ {2,}/g, ' ');
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

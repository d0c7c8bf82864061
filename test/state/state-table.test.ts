// The state machine as a table, walked completely: what the specification promises holds for every state and trigger.
// Spec: 00, 04 §4.1, §4.2.

import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import {
  type ConnectionState,
  FACTS,
  TRANSITIONS,
  TRIGGERS,
  type Trigger,
  visibleState,
} from '../../src/core/connection/state-table.ts';
import { stateMachinePage } from './drawing.ts';

const STATES = Object.keys(FACTS) as ConnectionState[];
const ALL_TRIGGERS = Object.keys(TRIGGERS) as Trigger[];

/** Every legal step. */
const STEPS = STATES.flatMap((from) =>
  ALL_TRIGGERS.flatMap((trigger) => {
    const to = TRANSITIONS[from][trigger];
    return to === undefined ? [] : [{ from, trigger, to }];
  }),
);

/** All 90 cells, written down independently: a state letter, `=` for the same state, `.` for what cannot happen. */
// biome-ignore format: a table
const EXPECTED: Readonly<Record<ConnectionState, string>> = {
  //                        start findRoute establish peerClose fail close closeLinger flushed expire destroy
  None:                   'C     .         +         .         .    .     .           .       .      D',
  Connecting:             '.     R         +         P         X    F     F           .       .      D',
  FindingRoute:           '.     =         +         P         X    F     F           .       .      D',
  Connected:              '.     .         .         P         X    F     L           .       .      D',
  ClosedByPeer:           '.     .         .         =         =    F     F           .       .      D',
  ProblemDetectedLocally: '.     .         .         =         =    F     F           .       .      D',
  FinWait:                '.     .         .         =         =    .     .           .       D      D',
  Linger:                 '.     .         .         F         F    .     .           F       .      D',
  Dead:                   '.     .         .         .         .    .     .           .       .      .',
};
const LETTERS: Readonly<Record<string, ConnectionState>> = {
  C: 'Connecting',
  R: 'FindingRoute',
  '+': 'Connected',
  P: 'ClosedByPeer',
  X: 'ProblemDetectedLocally',
  F: 'FinWait',
  L: 'Linger',
  D: 'Dead',
};

describe('the state table', () => {
  it("has chapter 00's states with its numbers", () => {
    const numbers = Object.fromEntries(STATES.map((state) => [state, FACTS[state].number]));
    expect(numbers).to.deep.equal({
      None: 0,
      Connecting: 1,
      FindingRoute: 2,
      Connected: 3,
      ClosedByPeer: 4,
      ProblemDetectedLocally: 5,
      FinWait: -1,
      Linger: -2,
      Dead: -3,
    });
  });

  for (const from of STATES) {
    const cells = EXPECTED[from].split(/ +/);
    ALL_TRIGGERS.forEach((trigger, column) => {
      const cell = cells[column]!;
      const expected = cell === '=' ? from : LETTERS[cell];
      it(`${from}, ${trigger}: ${expected === undefined ? 'cannot happen' : `leads to ${expected}`}`, () => {
        expect(TRANSITIONS[from][trigger]).to.equal(expected);
      });
    });
  }

  it('leads from every state to Dead, in one step by destroy', () => {
    for (const state of STATES) if (state !== 'Dead') expect(TRANSITIONS[state].destroy, state).to.equal('Dead');
  });

  it('leads from every state to Dead without destroy, too', () => {
    const reachesDead = new Set<ConnectionState>(['Dead']);
    for (let before = 0; before !== reachesDead.size; ) {
      before = reachesDead.size;
      for (const { from, trigger, to } of STEPS)
        if (trigger !== 'destroy' && reachesDead.has(to)) reachesDead.add(from);
    }
    expect([...reachesDead]).to.have.members(STATES);
  });

  it('leads nowhere from Dead', () => {
    expect(TRANSITIONS.Dead).to.deep.equal({});
  });

  it('reaches every state from None', () => {
    const reached = new Set<ConnectionState>(['None']);
    for (const state of reached) for (const { from, to } of STEPS) if (from === state) reached.add(to);
    expect([...reached]).to.have.members(STATES);
  });

  it('enters Connected from Connecting, FindingRoute and None only', () => {
    const sources = STEPS.filter(({ from, to }) => to === 'Connected' && from !== to).map(({ from }) => from);
    expect(sources).to.have.members(['Connecting', 'FindingRoute', 'None']);
  });

  it('never makes a hidden state visible again', () => {
    const hidden = STEPS.filter(({ from }) => from !== 'None' && !FACTS[from].isVisible);
    expect(hidden.filter(({ to }) => FACTS[to].isVisible)).to.deep.equal([]);
  });

  it('never makes an ended connection active again', () => {
    const ended = STEPS.filter(({ from }) => from !== 'None' && !FACTS[from].isActive);
    expect(ended.filter(({ to }) => FACTS[to].isActive)).to.deep.equal([]);
  });

  it('lets the application close whatever it sees, and nothing else', () => {
    for (const state of STATES) {
      const canClose = TRANSITIONS[state].close !== undefined && TRANSITIONS[state].closeLinger !== undefined;
      expect(canClose, state).to.equal(FACTS[state].isVisible);
    }
  });

  it('hides every state that follows a close', () => {
    const closing = STEPS.filter(({ trigger }) => trigger === 'close' || trigger === 'closeLinger');
    for (const { from, to } of closing) expect(FACTS[to].isVisible, `${from} -> ${to}`).to.equal(false);
  });

  it('enters Linger from Connected only, by a close that asks for it', () => {
    const entering = STEPS.filter(({ to }) => to === 'Linger');
    expect(entering).to.deep.equal([{ from: 'Connected', trigger: 'closeLinger', to: 'Linger' }]);
  });

  it('carries data in Connected and Linger only', () => {
    expect(STATES.filter((state) => FACTS[state].carriesData)).to.have.members(['Connected', 'Linger']);
  });

  it('shows hidden states as None', () => {
    for (const state of STATES) expect(visibleState(state)).to.equal(FACTS[state].number > 0 ? state : 'None');
  });
});

describe('docs/state-machine.md', () => {
  it('shows the tables as they are', () => {
    const path = new URL('../../../docs/state-machine.md', import.meta.url);
    const isCurrent = readFileSync(path, 'utf8').replaceAll('\r\n', '\n') === stateMachinePage();
    expect(
      isCurrent,
      'docs/state-machine.md differs from the tables; write it anew with: npm run draw-states',
    ).to.equal(true);
  });

  it('has a picture with an arrow for each change but destroy', () => {
    const [, picture = ''] = /```mermaid\n(.*?)```/s.exec(stateMachinePage()) ?? [];
    for (const { from, trigger, to } of STEPS) {
      const isDrawn = new RegExp(`^ +${from} --> ${to}: .*\\b${trigger}\\b`, 'm').test(picture);
      expect(isDrawn, `${from} -> ${to}: ${trigger}`).to.equal(from !== to && trigger !== 'destroy');
    }
  });
});

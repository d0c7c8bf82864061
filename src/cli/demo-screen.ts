// The demo as a live table on a terminal, on the terminal's second screen, so that the first one comes back as it was.

import { CAST, SIDES } from './demo-cast.ts';
import { type DemoView, entryText, rate } from './demo-lines.ts';
import { type DemoRecord, progressText, type RoleRecord, type SideRecord, stateOf } from './demo-record.ts';

/** Least size of the terminal: the table and two events. */
export const MIN_COLUMNS = 80;
export const MIN_ROWS = 20;

// Second screen, no cursor, and no new line where a terminal has become too narrow.
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** Colours a text; the way without colours returns it as it is. */
export type Paint = (colour: keyof typeof COLOURS, text: string) => string;

const COLOURS = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const;

export const paintPlain: Paint = (_, text) => text;
export const paintAnsi: Paint = (colour, text) => `\x1b[${COLOURS[colour]}m${text}\x1b[0m`;

const STATE_COLOURS: Readonly<Record<string, keyof typeof COLOURS>> = {
  Connecting: 'yellow',
  Connected: 'green',
  ClosedByPeer: 'cyan',
  ProblemDetectedLocally: 'red',
  Linger: 'magenta',
  FinWait: 'blue',
};

export class ScreenView implements DemoView {
  readonly #record: DemoRecord;
  readonly #terminal: NodeJS.WriteStream;
  readonly #paint: Paint;
  readonly #leave = () => {
    this.#terminal.write(LEAVE);
  };

  constructor(record: DemoRecord, terminal: NodeJS.WriteStream, paint: Paint) {
    this.#record = record;
    this.#terminal = terminal;
    this.#paint = paint;
    terminal.write(ENTER);
    // Also if something unexpected ends the process.
    process.on('exit', this.#leave);
  }

  draw(nowUs: number): void {
    // The last line stays empty: a terminal scrolls when it is full.
    const lines = this.#lines(nowUs).slice(0, this.#terminal.rows - 1);
    this.#terminal.write(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE}\r\n`).join('')}${CLEAR_BELOW}`);
  }

  end(nowUs: number): void {
    this.draw(nowUs);
    process.off('exit', this.#leave);
    this.#leave();
  }

  #lines(nowUs: number): readonly string[] {
    const { roles, entries, startUs } = this.#record;
    const paint = this.#paint;
    const seconds = `${((nowUs - startUs) / 1e6).toFixed(1)} s`;
    const title = ` One server, ${CAST.length} client processes, UDP on 127.0.0.1`;
    const lines = [
      paint('bold', title.padEnd(64)) + seconds.padStart(12),
      '',
      paint('dim', ` ${'who'.padEnd(6)} ${'client'.padEnd(23)}${'server'.padEnd(23)}   ping  kB/s up   down`),
    ];
    for (const role of roles.values()) lines.push(...this.#roleLines(role));
    lines.push('', paint('dim', ' what happened last (Ctrl-C stops)'));
    const room = this.#terminal.rows - 1 - lines.length;
    const latest = entries.toSorted((a, b) => a.atUs - b.atUs).slice(-Math.max(room, 1));
    return [...lines, ...latest.map((entry) => cut(entryText(entry, startUs), this.#terminal.columns))];
  }

  #roleLines(record: RoleRecord): readonly [string, string] {
    const { role, client } = record;
    const paint = this.#paint;
    const { traffic } = client;
    const isOver = record.exit !== '';
    const states = SIDES.map((side) => {
      const isKilled = side === 'client' && isOver && role.isKilled === true;
      return isKilled ? paint('dim', '(killed)'.padEnd(23)) : this.#state(record[side]);
    });
    const ping = traffic === undefined || isOver || traffic.pingMs < 0 ? '-' : `${traffic.pingMs} ms`;
    const up = traffic === undefined || isOver ? '-' : rate(traffic.outBytesPerSec);
    const down = traffic === undefined || isOver ? '-' : rate(traffic.inBytesPerSec);
    const numbers = `${ping.padStart(7)}  ${up.padStart(7)}${down.padStart(7)}`;
    return [
      ` ${paint('bold', role.name.padEnd(6))} ${states.join('')}${numbers}`,
      paint('dim', ` ${''.padEnd(6)} ${role.story.padEnd(36)}${progressText(record).padStart(34)}`),
    ];
  }

  #state(side: SideRecord): string {
    const state = stateOf(side) ?? 'None';
    return this.#paint(STATE_COLOURS[state] ?? 'dim', state.padEnd(23));
  }
}

function cut(text: string, columns: number): string {
  return text.length < columns ? text : `${text.slice(0, columns - 2)}…`;
}

// The demo as plain lines, in the order of time: for pipes, files and terminals that cannot do more.

import { CAST } from './demo-cast.ts';
import { type DemoRecord, type Entry, progressText, type RoleRecord, stateOf } from './demo-record.ts';

/** Shows a record while it grows. */
export interface DemoView {
  /** Called some ten times a second. */
  draw(nowUs: number): void;
  /** Shows what is left, and leaves the terminal as it was. */
  end(nowUs: number): void;
}

const HEAD = `One server and ${CAST.length} clients, each in a process of its own, talk over UDP on 127.0.0.1.
Each line says when (in seconds), who, on which side, and what; -> is a new state.

`;
// Reports of other processes may come a little late.
const REORDER_US = 150_000;
const TRAFFIC_INTERVAL_US = 1_500_000;

export class LinesView implements DemoView {
  readonly #record: DemoRecord;
  readonly #write: (text: string) => void;
  #waiting: Entry[] = [];
  #taken = 0;
  #trafficAtUs: number;

  constructor(record: DemoRecord, write: (text: string) => void) {
    this.#record = record;
    this.#write = write;
    this.#trafficAtUs = record.startUs;
    write(HEAD);
  }

  draw(nowUs: number): void {
    this.#print(nowUs - REORDER_US);
    if (nowUs - this.#trafficAtUs < TRAFFIC_INTERVAL_US) return;
    this.#trafficAtUs = nowUs;
    for (const role of this.#record.roles.values()) {
      const text = trafficText(role);
      if (text !== '') this.#record.note(nowUs, role.role.name, 'traffic', text);
    }
  }

  end(): void {
    this.#print(Number.POSITIVE_INFINITY);
  }

  /** What happened until `untilUs`. */
  #print(untilUs: number): void {
    const { entries, startUs } = this.#record;
    this.#waiting.push(...entries.slice(this.#taken));
    this.#taken = entries.length;
    this.#waiting.sort((a, b) => a.atUs - b.atUs);
    const later = this.#waiting.findIndex(({ atUs }) => atUs > untilUs);
    const ready = this.#waiting.splice(0, later === -1 ? this.#waiting.length : later);
    for (const entry of ready) this.#write(`${entryText(entry, startUs)}\n`);
  }
}

/** Without the end of the line. */
export function entryText({ atUs, name, place, state, text }: Entry, startUs: number): string {
  const seconds = ((atUs - startUs) / 1e6).toFixed(2).padStart(6);
  const what = state === '' ? text : `-> ${state.padEnd(state === 'ProblemDetectedLocally' ? 0 : 13)} ${text}`;
  return `${seconds}  ${name.padEnd(5)}  ${place.padEnd(7)}  ${what}`.trimEnd();
}

/** Empty if nothing flows. */
function trafficText(record: RoleRecord): string {
  const { client, exit } = record;
  const state = stateOf(client);
  const traffic = state === 'Connected' || state === 'Linger' ? client.traffic : undefined;
  if (exit !== '' || traffic === undefined || traffic.outBytesPerSec + traffic.inBytesPerSec === 0) return '';
  const ping = traffic.pingMs < 0 ? 'ping unknown' : `ping ${traffic.pingMs} ms`;
  const rates = `${rate(traffic.outBytesPerSec)} kB/s up, ${rate(traffic.inBytesPerSec)} down`;
  return `${ping}, ${rates}, ${progressText(record)}`;
}

/** Thousands, with one digit behind the point. */
export function rate(bytesPerSec: number): string {
  return (bytesPerSec / 1_000).toFixed(1);
}

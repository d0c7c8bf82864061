// Writes the peer's reports: one JSON object per line, with an event name and a time.

import { monotonicUs } from './clock.ts';

/** What a report can hold. A field that is undefined is left out; 64-bit integers are written as plain numbers. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | Fields | undefined;
export interface Fields {
  readonly [name: string]: Json;
}

/** Lines are collected and written together, once per turn of the event loop. */
export class Reporter {
  readonly #write: (text: string) => void;
  #lines = '';

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  event(name: string, fields: Fields = {}): void {
    if (this.#lines === '') setImmediate(() => this.flush());
    this.#lines += `${toJson({ ev: name, t: Math.trunc(monotonicUs()), ...fields })}\n`;
    if (this.#lines.length > FLUSH_AT_CHARACTERS) this.flush();
  }

  flush(): void {
    const lines = this.#lines;
    this.#lines = '';
    if (lines !== '') this.#write(lines);
  }
}

const FLUSH_AT_CHARACTERS = 256 * 1024;

/** As `JSON.stringify`, which cannot write a `bigint`. */
export function toJson(value: Exclude<Json, undefined>): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isArray(value)) return `[${value.map((item) => toJson(item ?? null)).join(',')}]`;
  const members: string[] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) members.push(`${JSON.stringify(name)}:${toJson(member)}`);
  }
  return `{${members.join(',')}}`;
}

function isArray(value: readonly Json[] | Fields): value is readonly Json[] {
  return Array.isArray(value);
}

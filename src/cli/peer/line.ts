// A command line of the peer: `command word ... key=value key="JSON string" ...`.

import { NetworkingError } from '../../index.ts';

/** Answered with an `error` line. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  /** GNS's EResult, where there is one. */
  readonly result: number | undefined;

  constructor(message: string, result?: number) {
    super(message);
    this.result = result;
  }

  /** What is known to whoever asks, of any error a command can end with. */
  static from(error: unknown): CommandError {
    if (error instanceof CommandError) return error;
    if (error instanceof NetworkingError) return new CommandError(error.message, error.result);
    throw error;
  }
}

/** A command with its parameters; remembers which of them were asked for, so that the others can be refused. */
export class Command {
  readonly name: string;
  /** Bare words behind the name. */
  readonly words: readonly string[];
  readonly #values: readonly (readonly [key: string, value: string])[];
  readonly #used = new Set<string>();

  constructor(name: string, words: readonly string[], values: readonly (readonly [string, string])[]) {
    this.name = name;
    this.words = words;
    this.#values = values;
  }

  find(key: string): string | undefined {
    this.#used.add(key);
    return this.#values.find(([name]) => name === key)?.[1];
  }
  text(key: string, otherwise: string): string {
    return this.find(key) ?? otherwise;
  }
  need(key: string): string {
    const value = this.find(key);
    if (value === undefined) throw new CommandError(`missing ${key}=`);
    return value;
  }
  integer(key: string, otherwise: number): number {
    const value = this.find(key);
    return value === undefined ? otherwise : parseInteger(value, key);
  }
  needInteger(key: string): number {
    return parseInteger(this.need(key), key);
  }
  number(key: string, otherwise: number): number {
    const value = this.find(key);
    return value === undefined ? otherwise : parseDecimal(value, key);
  }
  flag(key: string, otherwise: boolean): boolean {
    const value = this.find(key);
    return value === undefined ? otherwise : parseSwitch(value, key);
  }
  word(index: number): string {
    return this.words[index] ?? '';
  }
  /** The first word as a switch. */
  onOff(): boolean {
    if (this.words.length === 0) throw new CommandError('expected on or off');
    return parseSwitch(this.word(0), this.name);
  }

  /** The parameters that nobody asked for, which count as asked for now. */
  takeRest(): readonly (readonly [key: string, value: string])[] {
    const rest = this.#values.filter(([key]) => !this.#used.has(key));
    for (const [key] of rest) this.#used.add(key);
    return rest;
  }
  /** Throws if there are such. */
  noMore(): void {
    const [first] = this.takeRest();
    if (first !== undefined) throw new CommandError(`unknown parameter '${first[0]}'`);
  }
}

const BLANKS = ' \t\r';

/** Undefined for an empty line and for a comment. Throws `CommandError` for a quote that does not end. */
export function parseLine(line: string): Command | undefined {
  const words: string[] = [];
  const values: [string, string][] = [];
  let name: string | undefined;
  let at = 0;
  for (;;) {
    while (at < line.length && BLANKS.includes(line[at]!)) at++;
    if (at >= line.length) break;
    const start = at;
    while (at < line.length && line[at] !== '=' && !BLANKS.includes(line[at]!)) at++;
    const key = line.slice(start, at);
    let value: string | undefined;
    if (line[at] === '=') {
      [value, at] = readValue(line, at + 1, key);
    }
    if (name === undefined) {
      if (key.startsWith('#')) return undefined;
      name = key.toLowerCase();
      // `tick=1` is short for `tick 1`.
      if (value !== undefined) words.push(value);
    } else if (value === undefined) words.push(key);
    else values.push([key, value]);
  }
  return name === undefined ? undefined : new Command(name, words, values);
}

/** The value that begins at `start`, and where the text behind it begins. */
function readValue(line: string, start: number, key: string): [value: string, end: number] {
  let end = start;
  if (line[start] !== '"') {
    while (end < line.length && !BLANKS.includes(line[end]!)) end++;
    return [line.slice(start, end), end];
  }
  for (end++; end < line.length && line[end] !== '"'; end++) if (line[end] === '\\') end++;
  if (end >= line.length) throw new CommandError(`unterminated quoted value for '${key}'`);
  try {
    return [JSON.parse(line.slice(start, end + 1).replaceAll('\t', '\\t')) as string, end + 1];
  } catch {
    throw new CommandError(`the quoted value for '${key}' is not a JSON string`);
  }
}

/** Decimal, or hexadecimal with `0x`. */
export function parseBigInteger(text: string, what: string): bigint {
  const [, sign, digits] = /^([+-]?)(0x[0-9a-f]+|\d+)$/i.exec(text) ?? [];
  if (digits === undefined) throw new CommandError(`${what}: not an integer: '${text}'`);
  return sign === '-' ? -BigInt(digits) : BigInt(digits);
}

export function parseInteger(text: string, what: string): number {
  const value = Number(parseBigInteger(text, what));
  if (!Number.isSafeInteger(value)) throw new CommandError(`${what}: too large: '${text}'`);
  return value;
}

export function parseDecimal(text: string, what: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new CommandError(`${what}: not a number: '${text}'`);
  return value;
}

export function parseSwitch(text: string, what: string): boolean {
  const lower = text.toLowerCase();
  if (['1', 'on', 'true', 'yes'].includes(lower)) return true;
  if (['0', 'off', 'false', 'no'].includes(lower)) return false;
  throw new CommandError(`${what}: expected on or off, got '${text}'`);
}

/** Undefined if it is not hexadecimal with two digits per byte. */
export function parseHex(text: string): Uint8Array | undefined {
  if (!/^(?:[0-9a-f]{2})*$/i.test(text)) return undefined;
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

/** Undefined if it is not base64, of either alphabet. */
export function parseBase64(text: string): Uint8Array | undefined {
  if (!/^[a-z0-9+/_-]*=*$/i.test(text)) return undefined;
  return Uint8Array.from(Buffer.from(text, 'base64'));
}

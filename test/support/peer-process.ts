// A peer program as a test drives it: commands go in, answers and events come out, one JSON object per line. GNS's
// gns-peer and our own `gns peer` speak the same lines.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface PeerProgram {
  /** For people. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** Parameters of a command: `id=C size=12`. */
export type Parameters = Readonly<Record<string, string | number>>;

/** One line of a peer. */
export interface Report {
  readonly ev: string;
  /** Microseconds of the machine's monotonic clock: comparable between peers. */
  readonly t: number;
  readonly [field: string]: unknown;
}

export interface StateReport extends Report {
  readonly conn: string;
  readonly old: string;
  readonly new: string;
  readonly incoming: boolean;
  readonly listen: string | null;
  readonly reason: number;
  readonly reasonName: string;
  readonly debug: string;
  readonly identity: string;
  readonly addr: string;
  readonly flagNames: readonly string[];
}

export interface MessageReport extends Report {
  readonly conn: string;
  readonly size: number;
  readonly flags: 'reliable' | 'unreliable';
  readonly lane: number;
  readonly msgnum: number;
  readonly fnv1a: number;
}

/** A peer did not do what was waited for, or it is no longer there. */
export class PeerError extends Error {}

/** A peer answered a command with an error. */
export class PeerRefusal extends PeerError {
  readonly answer: Report;

  constructor(message: string, answer: Report) {
    super(message);
    this.answer = answer;
  }
}

/** Waits of this class give up after this long, unless told otherwise. */
const PATIENCE_MS = 5_000;
const QUIT_MS = 2_000;

interface PendingAnswer {
  readonly line: string;
  readonly resolve: (answer: Report) => void;
  readonly reject: (error: Error) => void;
}

export class PeerProcess implements AsyncDisposable {
  readonly name: string;
  /** Everything reported that is no answer, in order. */
  readonly events: Report[] = [];
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #closed: Promise<void>;
  /** Answers come in the order of the commands. */
  readonly #pending: PendingAnswer[] = [];
  readonly #watchers = new Set<() => void>();
  #rest = '';
  #isGone = false;
  #isEnding = false;
  /** How it ended before it was asked to. */
  #death: PeerError | undefined;

  /** With `PEER_TRACE` in the environment, every line of every peer is copied to the standard error output. */
  constructor(program: PeerProgram) {
    this.name = program.name;
    this.#child = spawn(program.command, program.args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout.setEncoding('utf8');
    this.#child.stdout.on('data', (text: string) => this.#onOutput(text));
    // A peer that is gone is noticed by its exit.
    this.#child.stdin.on('error', () => {});
    this.#closed = new Promise((resolve) => {
      const end = (how: string) => {
        this.#onEnd(how);
        resolve();
      };
      this.#child.on('error', (error) => end(error.message));
      this.#child.on('close', (status, signal) => end(`status ${status ?? signal}`));
    });
  }

  /** Sends a command and returns its answer. Throws `PeerRefusal` if that is an error. */
  ask(command: string, parameters: Parameters = {}): Promise<Report> {
    const words = Object.entries(parameters).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    const line = [command, ...words].join(' ');
    if (this.#isGone) return Promise.reject(new PeerError(`${this.name} is gone: '${line}'`));
    this.#trace('<', line);
    this.#child.stdin.write(`${line}\n`);
    return new Promise((resolve, reject) => this.#pending.push({ line, resolve, reject }));
  }

  /** The first value other than undefined that `find` gives, now or after what is yet to be reported. */
  async until<T>(what: string, find: () => T | undefined, timeoutMs = PATIENCE_MS): Promise<T> {
    const present = find();
    if (present !== undefined) return present;
    return new Promise((resolve, reject) => {
      const settle = (value: T | undefined, problem: string) => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        if (value === undefined) reject(new PeerError(`${this.name}: ${problem} ${what}; last: ${this.#lastEvents()}`));
        else resolve(value);
      };
      const watch = () => {
        const value = find();
        if (value !== undefined || this.#isGone) settle(value, 'gone before');
      };
      const timer = setTimeout(() => settle(undefined, `waited ${timeoutMs} ms in vain for`), timeoutMs);
      this.#watchers.add(watch);
    });
  }

  /** The first event of this kind that `matches`. */
  event(kind: string, matches: (event: Report) => boolean = () => true, timeoutMs = PATIENCE_MS): Promise<Report> {
    const find = () => this.events.find((event) => event.ev === kind && matches(event));
    return this.until(`a '${kind}' event`, find, timeoutMs);
  }

  /** What became of the connection so far. */
  states(conn: string): readonly StateReport[] {
    return this.events.filter((event): event is StateReport => event.ev === 'state' && event['conn'] === conn);
  }

  messages(conn: string): readonly MessageReport[] {
    return this.events.filter((event): event is MessageReport => event.ev === 'msg' && event['conn'] === conn);
  }

  /** Ends it without a chance to say goodbye. */
  async kill(): Promise<void> {
    this.#isEnding = true;
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  /** Stops it where it is, until `resume`. */
  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  /** Asks it to end. Throws if it had ended before, by an assertion for instance. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    this.#child.stdin.end('quit\n');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), QUIT_MS);
    await this.#closed;
    clearTimeout(timer);
    if (this.#death !== undefined) throw this.#death;
  }

  #onOutput(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#onLine(line);
    this.#wake();
  }

  #onLine(line: string): void {
    this.#trace('>', line);
    const report = JSON.parse(line) as Report;
    const isAnswer = (report.ev === 'ok' || report.ev === 'error') && report['cmd'] !== undefined;
    if (!isAnswer) {
      this.events.push(report);
      return;
    }
    const pending = this.#pending.shift();
    if (report.ev === 'ok') pending?.resolve(report);
    else
      pending?.reject(new PeerRefusal(`${this.name} refused '${pending.line}': ${report['message'] ?? line}`, report));
  }

  #onEnd(how: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const error = new PeerError(`${this.name} ended with ${how}; last: ${this.#lastEvents()}`);
    if (!this.#isEnding) this.#death = error;
    for (const pending of this.#pending.splice(0)) pending.reject(error);
    this.#wake();
  }

  #wake(): void {
    for (const watch of [...this.#watchers]) watch();
  }

  #lastEvents(): string {
    return this.events
      .slice(-3)
      .map((event) => JSON.stringify(event))
      .join(' ');
  }

  #trace(direction: string, line: string): void {
    if (process.env['PEER_TRACE'] !== undefined) process.stderr.write(`${this.name} ${direction} ${line}\n`);
  }
}

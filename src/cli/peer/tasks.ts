// Commands that go on after their answer: gives each its turns, and reports it when it has ended.

import { cpuUs, monotonicUs } from './clock.ts';
import { orNull } from './names.ts';
import type { Fields, Reporter } from './report.ts';
import type { PeerConnection } from './session.ts';

/** What a turn ended with: nothing more to do, why it cannot go on, or how long it can wait for the next turn. */
export type Turn = 'done' | { readonly error: string } | { readonly waitMs: number };

/** As soon as everything else had its turn. */
export const AT_ONCE = { waitMs: 0 };
/** Soon, for what nobody tells when it has changed. */
export const POLL = { waitMs: 1 };

export interface Task {
  /** Name of the command. */
  readonly kind: string;
  /** Name of the report. */
  readonly event: string;
  readonly conn: string;
  readonly tag: string;
  /** Undefined: it has no connection of its own. */
  readonly peer: PeerConnection | undefined;
  turn(nowUs: number): Turn;
  /** What the report says. */
  report(hasFailed: boolean): Fields;
  /** Takes an answer to a ping, if it waits for such. */
  handlePing?(data: Uint8Array, nowUs: number): boolean;
}

export class TaskList {
  readonly #reporter: Reporter;
  readonly #onEnd: () => void;
  /** With what cancels the planned turn. */
  readonly #tasks = new Map<Task, () => void>();

  constructor(reporter: Reporter, onEnd: () => void) {
    this.#reporter = reporter;
    this.#onEnd = onEnd;
  }

  get isEmpty(): boolean {
    return this.#tasks.size === 0;
  }
  get all(): readonly Task[] {
    return [...this.#tasks.keys()];
  }

  add(task: Task): void {
    this.#plan(task, AT_ONCE);
  }

  /** Something changed for the tasks of this connection: their turn is now. */
  poke(peer: PeerConnection): void {
    for (const task of this.all) if (task.peer === peer || task.peer === undefined) this.#plan(task, AT_ONCE);
  }

  /** Ends those of this id, or all; returns how many. */
  stop(conn: string): number {
    const stopped = this.all.filter((task) => conn === '' || task.conn === conn);
    for (const task of stopped) this.#end(task, 'stopped');
    return stopped.length;
  }

  handlePing(peer: PeerConnection, data: Uint8Array, nowUs: number): boolean {
    for (const task of this.#tasks.keys()) {
      if (task.peer === peer && task.handlePing?.(data, nowUs)) return true;
    }
    return false;
  }

  #run(task: Task): void {
    const turn = task.turn(monotonicUs());
    if (turn === 'done') this.#end(task, undefined);
    else if ('error' in turn) this.#end(task, turn.error);
    else this.#plan(task, turn);
  }

  #plan(task: Task, { waitMs }: { readonly waitMs: number }): void {
    this.#tasks.get(task)?.();
    if (waitMs > 0) {
      const timer = setTimeout(() => this.#run(task), waitMs);
      this.#tasks.set(task, () => clearTimeout(timer));
    } else {
      const immediate = setImmediate(() => this.#run(task));
      this.#tasks.set(task, () => clearImmediate(immediate));
    }
  }

  #end(task: Task, error: string | undefined): void {
    this.#tasks.get(task)?.();
    this.#tasks.delete(task);
    this.#reporter.event(task.event, { ...taskHead(task), ...task.report(error !== undefined), error });
    this.#onEnd();
  }
}

/** What names a task in reports. */
export function taskHead({ conn, tag }: Task): Fields {
  return { conn: orNull(conn), tag: tag === '' ? undefined : tag };
}

/** Processor and real time since this was made. */
export class Stopwatch {
  readonly #startUs = monotonicUs();
  readonly #cpu = cpuUs();

  get elapsedUs(): number {
    return monotonicUs() - this.#startUs;
  }
  get cpuUs(): { readonly user: number; readonly system: number; readonly total: number } {
    const { user, system, total } = cpuUs();
    return { user: user - this.#cpu.user, system: system - this.#cpu.system, total: total - this.#cpu.total };
  }
}

// The client processes of the demo: starts them, hears what they report, and makes sure that none stays behind.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { RoleName } from './demo-cast.ts';
import type { Report } from './demo-party.ts';

export interface ClientExit {
  /** `exit status 0`, for example, or the name of a signal. */
  readonly status: string;
  /** What it wrote to its standard error. */
  readonly complaints: string;
}

export class ClientProcesses {
  readonly #running = new Map<RoleName, ChildProcess>();
  readonly #exits: Promise<void>[] = [];

  /** Starts the client of this role; returns its process id. `onExit` comes last. */
  start(
    name: RoleName,
    address: string,
    onReport: (report: Report) => void,
    onExit: (exit: ClientExit) => void,
  ): number | undefined {
    // Compiled to `main.js`, which is the only form that runs as a program.
    const program = fileURLToPath(new URL('./main.js', import.meta.url));
    const child = fork(program, ['demo', '--role', 'client', '--name', name, '--address', address], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
    });
    this.#running.set(name, child);
    let complaints = '';
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      complaints += text;
    });
    child.on('error', (error) => {
      complaints += error.message;
    });
    child.on('message', (report) => onReport(report as Report));
    const exited = new Promise<void>((resolve) => {
      child.on('close', (status, signal) => {
        this.#running.delete(name);
        onExit({ status: signal ?? `exit status ${status}`, complaints });
        resolve();
      });
    });
    this.#exits.push(exited);
    return child.pid;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** The process gets no chance to say goodbye. */
  kill(name: RoleName): void {
    this.#running.get(name)?.kill('SIGKILL');
  }

  /** Resolves when none is left. */
  async killAll(): Promise<void> {
    for (const child of this.#running.values()) child.kill('SIGKILL');
    await Promise.all(this.#exits);
  }
}

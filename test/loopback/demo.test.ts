// The demo as a user starts it: a program with client processes of its own, on real sockets.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CONNECTION_STATES } from '../../src/index.ts';

// It takes 13 s on a machine that is not busy.
const TIMEOUT_MS = 60_000;

/** The demo as a process, and what it has printed so far. */
class DemoRun {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  complaints = '';
  readonly #end: Promise<number | null>;

  constructor() {
    const program = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    this.child = spawn(process.execPath, [program, 'demo'], { stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS });
    createInterface(this.child.stdout!).on('line', (line) => {
      this.lines.push(line);
      this.child.emit('line', line);
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.complaints += text;
    });
    this.#end = once(this.child, 'close').then(([status]) => status);
  }

  get text(): string {
    return this.lines.join('\n');
  }

  /** Calls back when a client is connected, with the id of its process. */
  onceConnected(name: string, then: (id: number) => void): void {
    const onLine = (line: string) => {
      if (!new RegExp(`${name} +client +-> Connected `).test(line)) return;
      this.child.off('line', onLine);
      then(Number(new RegExp(`${name} +process +starts with id (\\d+)`).exec(this.text)?.[1]));
    };
    this.child.on('line', onLine);
  }

  /** Exit status. */
  untilEnd(): Promise<number | null> {
    return this.#end;
  }

  /** Ids of the client processes that still run. */
  get processesLeft(): readonly number[] {
    return this.lines.flatMap((line) => {
      const id = Number(/starts with id (\d+)/.exec(line)?.[1]);
      return Number.isNaN(id) || !isRunning(id) ? [] : [id];
    });
  }
}

function isRunning(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch {
    return false;
  }
}

describe('the demo', function () {
  this.timeout(TIMEOUT_MS);
  this.slow(20_000);

  // Both take a while, so they run at the same time.
  let undisturbed: DemoRun;
  let disturbed: DemoRun;
  before(() => {
    undisturbed = new DemoRun();
    disturbed = new DemoRun();
    disturbed.onceConnected('alice', (id) => process.kill(id, 'SIGKILL'));
  });

  it('shows every state on both sides, meets its own expectations and leaves no process', async () => {
    const run = undisturbed;
    const status = await run.untilEnd();
    expect(status, run.text).to.equal(0);
    expect(run.complaints).to.equal('');
    expect(run.lines.at(-1)).to.match(/^All \d+ expectations were met, in [\d.]+ s\.$/);
    for (const state of Object.keys(CONNECTION_STATES)) {
      const seen = state === 'FindingRoute' ? '- +-' : 'seen +seen';
      expect(run.text).to.match(new RegExp(`^  ${state} +${seen} `, 'm'));
    }
    for (const side of ['client', 'server']) {
      for (const state of ['Connecting', 'Connected', 'ClosedByPeer', 'ProblemDetectedLocally', 'FinWait', 'Linger']) {
        expect(run.text).to.match(new RegExp(`^ *[\\d.]+ +\\w+ +${side} +-> ${state} `, 'm'));
      }
    }
    expect(run.processesLeft).to.deep.equal([]);
  });

  it('says what was not as expected and ends with 1 when a client dies that should not', async () => {
    const run = disturbed;
    const status = await run.untilEnd();
    expect(status, run.text).to.equal(1);
    expect(run.text).to.match(/^ {2}FAILED {2}its process ended: SIGKILL$/m);
    expect(run.text).to.match(/^\d+ of \d+ expectations were not met, in [\d.]+ s:$/m);
    expect(run.processesLeft).to.deep.equal([]);
  });

  it('ends with 130 at an interrupt and takes its processes with it', async () => {
    const run = new DemoRun();
    run.onceConnected('bob', () => run.child.kill('SIGINT'));
    const status = await run.untilEnd();
    expect(status).to.equal(130);
    expect(run.complaints).to.equal('');
    expect(run.processesLeft).to.deep.equal([]);
  });
});

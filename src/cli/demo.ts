// `gns demo`: a server in this process and six clients in processes of their own go through every state of a
// connection, over real sockets, and are watched while they do. Spec: 00.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { CAST, findRole, KILLED_AFTER_MS, type Role, type RoleName } from './demo-cast.ts';
import { type Aftermath, checkAll } from './demo-checks.ts';
import { playClient } from './demo-client.ts';
import { type DemoView, LinesView } from './demo-lines.ts';
import type { Report } from './demo-party.ts';
import { ClientProcesses } from './demo-processes.ts';
import { DemoRecord } from './demo-record.ts';
import { MIN_COLUMNS, MIN_ROWS, type Paint, paintAnsi, paintPlain, ScreenView } from './demo-screen.ts';
import { DemoServer } from './demo-server.ts';
import { checkStates, summaryText } from './demo-summary.ts';
import { parseArguments, UsageError } from './usage.ts';

const USAGE = `usage: gns demo [--plain]

Shows every state of a connection, in about 15 seconds: a server in this process and
six clients in processes of their own talk over UDP on 127.0.0.1. Exit status 0 if all
went as it should, 1 if not.

  --plain   lines instead of a live table, on a terminal too`;

// It takes 13 s; a machine that is very busy needs more.
const PATIENCE_MS = 40_000;
const DRAW_INTERVAL_MS = 100;
/** How long the table stays when all is over. */
const LAST_LOOK_MS = 1_000;

/** Resolves with the exit status. */
export async function demo(args: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  // Role, name and address are how a client process is told what it is.
  const options = { plain: flag, help: { ...flag, short: 'h' }, role: text, name: text, address: text } as const;
  const { values } = parseArguments({ args: [...args], options }, USAGE);
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (values.role === undefined) return new Demo(values.plain).run();
  const role = findRole(values.name);
  if (values.role !== 'client' || role === undefined || values.address === undefined) {
    throw new UsageError('there is no such role', USAGE);
  }
  return playClient(role, values.address);
}

class Demo {
  readonly #processes = new ClientProcesses();
  readonly #server: DemoServer;
  readonly #record: DemoRecord;
  readonly #paint: Paint;
  readonly #isLive: boolean;
  #isStopped = false;

  constructor(isPlain: boolean) {
    const { stdout, env } = process;
    const isTerminal = stdout.isTTY && env['TERM'] !== 'dumb';
    this.#paint = isTerminal && env['NO_COLOR'] === undefined ? paintAnsi : paintPlain;
    this.#isLive = isTerminal && !isPlain && stdout.columns >= MIN_COLUMNS && stdout.rows >= MIN_ROWS;
    this.#server = new DemoServer((name, report) => this.#record.add(name, 'server', report));
    this.#record = new DemoRecord(this.#server.nowUs());
  }

  async run(): Promise<number> {
    const interruption = listenForInterruption();
    const silent = await openSilentPort();
    const view = this.#openView();
    const drawing = setInterval(() => view.draw(this.#server.nowUs()), DRAW_INTERVAL_MS);
    const interrupted = await Promise.race([interruption, this.#perform(silent)]);
    clearInterval(drawing);
    view.end(this.#server.nowUs());
    const aftermath = {
      unansweredDatagrams: silent.received,
      connectionsLeft: this.#server.connectionCount,
      processesLeft: this.#processes.runningCount,
    };
    this.#isStopped = true;
    this.#server.close();
    silent.close();
    await this.#processes.killAll();
    return interrupted ?? this.#conclude(aftermath);
  }

  #openView(): DemoView {
    const { stdout } = process;
    if (this.#isLive) return new ScreenView(this.#record, stdout, this.#paint);
    return new LinesView(this.#record, (text) => stdout.write(text));
  }

  /** Returns when everybody has finished, or has had enough time to. */
  async #perform(silent: SilentPort): Promise<undefined> {
    this.#note('', 'server', `listens on ${this.#server.address} in process ${process.pid}`);
    for (const role of CAST) setTimeout(() => this.#start(role, silent), role.startsAfterMs);
    const endMs = performance.now() + PATIENCE_MS;
    const roles = [...this.#record.roles.values()];
    const isOver = () => roles.every(({ exit }) => exit !== '') && this.#server.connectionCount === 0;
    while (!isOver() && performance.now() < endMs) await pause(DRAW_INTERVAL_MS);
    if (this.#isLive) await pause(LAST_LOOK_MS);
  }

  #start({ name, story }: Role, silent: SilentPort): void {
    if (this.#isStopped) return;
    const address = name === 'frank' ? silent.address : `${this.#server.address}`;
    const pid = this.#processes.start(
      name,
      address,
      (report) => this.#onReport(name, report),
      ({ status, complaints }) => {
        this.#note(name, 'process', `ends: ${status}`);
        const record = this.#record.roles.get(name)!;
        record.exit = status;
        record.complaints = complaints;
      },
    );
    this.#note(name, 'process', `starts with id ${pid}: ${story}`);
  }

  #onReport(name: RoleName, report: Report): void {
    this.#record.add(name, 'client', report);
    const isKilledNow = this.#record.roles.get(name)!.role.isKilled === true && report.kind === 'state';
    if (!isKilledNow || report.to !== 'Connected') return;
    setTimeout(() => {
      this.#note(name, 'process', 'is killed (SIGKILL) and cannot tell anybody');
      this.#processes.kill(name);
    }, KILLED_AFTER_MS);
  }

  #note(name: string, place: string, text: string): void {
    this.#record.note(this.#server.nowUs(), name, place, text);
  }

  #conclude(aftermath: Aftermath): number {
    const elapsedUs = this.#server.nowUs() - this.#record.startUs;
    const checks = new Map([...checkAll(this.#record, aftermath), ['states', checkStates(this.#record)]]);
    process.stdout.write(summaryText(this.#record, checks, elapsedUs, this.#paint));
    return [...checks.values()].flat().every(({ isOk }) => isOk) ? 0 : 1;
  }
}

/** A port that takes what comes, so that nobody else answers there, and says nothing. */
interface SilentPort {
  readonly address: string;
  /** Datagrams so far. */
  readonly received: number;
  close(): void;
}

async function openSilentPort(): Promise<SilentPort> {
  const socket = createSocket('udp4');
  let received = 0;
  socket.on('message', () => {
    received++;
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    get received() {
      return received;
    },
    close: () => socket.close(),
  };
}

const SIGNAL_STATUS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Resolves with the exit status when somebody wants the demo to end, or nobody reads it any more. */
function listenForInterruption(): Promise<number> {
  return new Promise((resolve) => {
    for (const [signal, status] of Object.entries(SIGNAL_STATUS)) process.on(signal, () => resolve(status));
    process.stdout.on('error', () => resolve(1));
  });
}

// `gns peer`: reads commands line by line, runs them in order, and holds them up while one waits. Lines and reports are
// described in docs/cli.md.

import { closeSoon } from '../farewell.ts';
import { DONE, type Workshop } from './command-table.ts';
import { COMMANDS } from './commands.ts';
import { Inbox } from './inbox.ts';
import { type Command, CommandError, parseDecimal, parseLine } from './line.ts';
import { EResult, resultName } from './names.ts';
import { type Fields, Reporter } from './report.ts';
import { type PeerConnection, Session } from './session.ts';
import { TaskList } from './tasks.ts';

export interface PeerOptions {
  /** Command lines to run before those that are read. */
  readonly lines: readonly string[];
  readonly input: NodeJS.ReadableStream;
  readonly write: (text: string) => void;
  readonly version: string;
}

/** Runs until `quit`, the end of input, or a call of `stop`. */
export class Peer {
  /** Resolves when the last report is written. */
  readonly ended: Promise<void>;
  readonly #reporter: Reporter;
  readonly #session: Session;
  readonly #tasks: TaskList;
  readonly #shop: Workshop;
  readonly #lines: string[];
  #hasInputEnded = false;
  #pause: Pause | undefined;
  #isQuitting = false;
  #end: () => void = () => {};

  constructor({ lines, input, write, version }: PeerOptions) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#lines = [...lines];
    this.#reporter = new Reporter(write);
    this.#tasks = new TaskList(this.#reporter, () => this.#checkPause());
    this.#session = new Session(this.#reporter, {
      onReadable: (peer) => this.#shop.inbox.drain(peer),
      onGroupReadable: (group) => this.#shop.inbox.drainGroup(group),
      onChange: (peer) => this.#onChange(peer),
    });
    this.#shop = { session: this.#session, inbox: new Inbox(this.#session, this.#tasks), tasks: this.#tasks };
    this.#reporter.event('hello', {
      peer: 'gns',
      protocol: PROTOCOL,
      pid: process.pid,
      sockets: `game-networking-sockets ${version}`,
      utils: null,
      messages: null,
      castore: true,
    });
    this.#read(input);
    this.#runLines();
  }

  #read(input: NodeJS.ReadableStream): void {
    let rest = '';
    input.setEncoding('utf8');
    input.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      this.#lines.push(...lines);
      this.#runLines();
    });
    input.on('end', () => {
      this.#lines.push(rest);
      this.#hasInputEnded = true;
      this.#runLines();
    });
  }

  #runLines(): void {
    while (this.#pause === undefined && !this.#isQuitting) {
      const line = this.#lines.shift();
      if (line !== undefined) this.#runLine(line);
      else if (this.#hasInputEnded) this.#quit(0);
      else return;
    }
  }

  #runLine(line: string): void {
    let name = line.trimStart().split(' ', 1)[0]!;
    let head: Fields = {};
    try {
      const command = parseLine(line);
      if (command === undefined) return;
      name = command.name;
      head = commandHead(command);
      const fields = this.#run(command, head);
      if (fields !== 'later') this.#reporter.event('ok', { cmd: name, ...head, ...fields });
    } catch (error) {
      this.#reportError(name, head, CommandError.from(error));
    }
  }

  #reportError(cmd: string, head: Fields, { message, result }: CommandError): void {
    const code = result === undefined ? undefined : { result: resultName(result), code: result };
    this.#reporter.event('error', { cmd, ...head, message, ...code });
  }

  #run(command: Command, head: Fields): Fields | 'later' {
    switch (command.name) {
      case 'help':
        return { commands: [...Object.keys(COMMANDS), ...CONTROL_COMMANDS].sort() };
      case 'sleep':
        this.#sleep(command, head);
        return 'later';
      case 'wait':
        this.#wait(command, head);
        return 'later';
      case 'quit':
        this.#quit(command.number('wait', 0));
        return DONE;
      default: {
        const run = Object.hasOwn(COMMANDS, command.name) ? COMMANDS[command.name] : undefined;
        if (run === undefined) throw new CommandError(`unknown command '${command.name}'`);
        return run(command, this.#shop);
      }
    }
  }

  // ---- commands that hold up the others

  #sleep(command: Command, { tag }: Fields): void {
    const ms = parseDecimal(command.words[0] ?? command.need('ms'), 'sleep');
    this.#startPause(ms, {
      isOver: () => false,
      onTimeout: () => this.#reporter.event('ok', { cmd: 'sleep', tag }),
      onOver: () => {},
    });
  }

  #wait(command: Command, head: Fields): void {
    const timeoutMs = command.number('timeout', 10_000);
    const isOver = this.#waitCondition(command);
    command.noMore();
    this.#startPause(timeoutMs, {
      isOver,
      onOver: () => this.#reporter.event('ok', { cmd: 'wait', ...head }),
      onTimeout: () => this.#reportError('wait', head, new CommandError('timed out', EResult.Timeout)),
    });
  }

  #waitCondition(command: Command): () => boolean {
    if (command.word(0) === 'tasks') return () => this.#tasks.isEmpty;
    const id = command.need('id');
    const text = command.text('state', 'Connected');
    if (text.toLowerCase() === 'gone') return () => this.#session.find(id) === undefined;
    const state = STATES.find((each) => each.toLowerCase() === text.toLowerCase());
    if (state === undefined) throw new CommandError(`unknown state '${text}'`);
    return () => this.#session.find(id)?.state === state;
  }

  #startPause(timeoutMs: number, pause: Omit<Pause, 'timer'>): void {
    const timer = setTimeout(() => this.#endPause(pause.onTimeout), timeoutMs);
    this.#pause = { ...pause, timer };
    this.#checkPause();
  }

  /** Something may have happened that a command waits for. */
  #checkPause(): void {
    const pause = this.#pause;
    if (pause === undefined) return;
    // Not from within what is going on: a command may change just that.
    setImmediate(() => {
      if (this.#pause === pause && pause.isOver()) this.#endPause(pause.onOver);
    });
  }

  #endPause(report: () => void): void {
    clearTimeout(this.#pause?.timer);
    this.#pause = undefined;
    report();
    this.#runLines();
  }

  #onChange(peer: PeerConnection): void {
    this.#tasks.poke(peer);
    this.#checkPause();
  }

  // ---- the end

  /** As the `quit` command does. */
  stop(): void {
    if (!this.#isQuitting) this.#quit(0);
  }

  #quit(waitMs: number): void {
    this.#isQuitting = true;
    if (waitMs > 0) {
      for (const peer of this.#session.connections) {
        this.#session.drop(peer);
        void peer.connection.close({ debug: 'quit', linger: true });
      }
    }
    setTimeout(() => void this.#finish(), waitMs);
  }

  async #finish(): Promise<void> {
    const { networking } = this.#session;
    if (networking !== undefined) await closeSoon(networking);
    this.#reporter.event('bye');
    this.#reporter.flush();
    this.#end();
  }
}

const PROTOCOL = 1;
const CONTROL_COMMANDS = ['help', 'quit', 'sleep', 'wait'];
const STATES = ['None', 'Connecting', 'FindingRoute', 'Connected', 'ClosedByPeer', 'ProblemDetectedLocally'] as const;

/** Commands behind one that waits. */
interface Pause {
  readonly timer: NodeJS.Timeout;
  isOver(): boolean;
  onOver(): void;
  onTimeout(): void;
}

/** What every answer repeats of its command. */
function commandHead(command: Command): Fields {
  const id = command.text('id', '');
  const tag = command.text('tag', '');
  return { id: id === '' ? undefined : id, tag: tag === '' ? undefined : tag };
}

/** Runs the peer on the process's own input and output; resolves with the exit status. */
export async function runPeer(lines: readonly string[], version: string): Promise<number> {
  const peer = new Peer({ lines, input: process.stdin, write: (text) => process.stdout.write(text), version });
  const stop = () => peer.stop();
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // Whoever read our reports has gone.
  process.stdout.on('error', stop);
  await peer.ended;
  return 0;
}

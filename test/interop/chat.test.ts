// Our chat and the C++ library's example program are in one room: whoever keeps it, everybody hears everybody.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { addressOf, freePort, pause } from './pair.ts';

const GNS_CHAT = process.env['GNS_CHAT'];
const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const HOST = '127.0.0.1';
const PATIENCE_MS = 5_000;
/** The example program has surely looked for messages meanwhile. What it is told it prints when it ends. */
const POLL_MS = 300;

/** A chat program; what it prints is collected. */
class Chatter implements AsyncDisposable {
  readonly #child: ChildProcess;
  #output = '';

  constructor(command: string, ...args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.on('data', (text: Buffer) => {
      this.#output += text.toString();
    });
  }

  say(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  async prints(what: RegExp): Promise<void> {
    for (let waitedMs = 0; !what.test(this.#output); waitedMs += 20) {
      if (waitedMs > PATIENCE_MS) throw new Error(`waited in vain for ${what} in:\n${this.#output}`);
      await pause(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'close');
  }
}

function ours(...args: readonly string[]): Chatter {
  return new Chatter(process.execPath, MAIN, 'chat', ...args);
}

describe('interoperability: chat', function () {
  this.timeout(20_000);
  this.slow(20_000);

  before(function () {
    if (GNS_CHAT === undefined) this.skip();
  });

  it('in our room, with the example program as a guest (needs GNS_CHAT, the path of example_chat)', async () => {
    const port = await freePort(HOST);
    await using host = ours('--listen', addressOf(HOST, port));
    await host.prints(/room is open/);
    await using theirs = new Chatter(GNS_CHAT!, 'client', addressOf(HOST, port));
    await using guest = ours('--connect', addressOf(HOST, port), '--nick', 'ann');
    await theirs.prints(/Connected to server OK/);
    await guest.prints(/You are now known as ann/);
    theirs.say('/nick carl');
    await guest.prints(/carl/);
    theirs.say('good evening');
    for (const listener of [host, guest]) await listener.prints(/carl: good evening/);
    guest.say('welcome, carl');
    await host.prints(/ann: welcome, carl/);
    await pause(POLL_MS);
    theirs.say('/quit');
    await host.prints(/carl has left/);
    await theirs.prints(/ann: welcome, carl/);
  });

  it("in the example program's room, as a guest (needs GNS_CHAT, the path of example_chat)", async () => {
    const port = await freePort(HOST);
    await using host = new Chatter(GNS_CHAT!, 'server', '--port', String(port));
    await host.prints(/Server listening/);
    await using guest = ours('--connect', addressOf(HOST, port), '--nick', 'ann');
    await using theirs = new Chatter(GNS_CHAT!, 'client', addressOf(HOST, port));
    await guest.prints(/known as ann/);
    await theirs.prints(/Connected to server OK/);
    guest.say('anybody here?');
    await pause(POLL_MS);
    theirs.say('me');
    await guest.prints(/: me\b/);
    guest.say('/quit');
    await host.prints(/closed by peer/);
    theirs.say('/quit');
    await theirs.prints(/ann: anybody here\?/);
  });
});

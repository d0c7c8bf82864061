// The examples do what they say: each runs as a program of its own, as a user would start it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const TIMEOUT_MS = 20_000;

function start(name: string, ...args: readonly string[]): ChildProcess {
  const path = fileURLToPath(new URL(`../examples/${name}.js`, import.meta.url));
  return spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'], timeout: TIMEOUT_MS });
}

/** Its output by lines, until it has exited without an error. */
async function run(name: string, ...args: readonly string[]): Promise<readonly string[]> {
  const program = start(name, ...args);
  const lines: string[] = [];
  createInterface(program.stdout!).on('line', (line) => lines.push(line));
  const [status] = await once(program, 'close');
  expect(status, `exit code of ${name}`).to.equal(0);
  return lines;
}

describe('examples', function () {
  this.timeout(TIMEOUT_MS);
  this.slow(2_000);

  it('echo-server sends back what echo-client says, and both tell how it went', async () => {
    const server = start('echo-server', '0');
    try {
      const lines = createInterface(server.stdout!)[Symbol.asyncIterator]();
      const [, port] = /^listening on .*:(\d+)$/.exec((await lines.next()).value) ?? [];
      expect(port, 'port of echo-server').to.not.equal(undefined);
      const answers = await run('echo-client', `127.0.0.1:${port}`, 'good', 'morning');
      expect(answers).to.deep.equal(['good', 'morning', 'all came back']);
      expect((await lines.next()).value).to.match(/^str:echo-client came from 127\.0\.0\.1:\d+$/);
      expect((await lines.next()).value).to.equal('str:echo-client left: Application closed connection (1000)');
    } finally {
      server.kill();
    }
  });

  it('simulated passes its own checks, without waiting for the minute it simulates', async () => {
    const [line] = await run('simulated');
    expect(line).to.match(/^1000 messages arrived in order, although [1-9]\d* packets were lost$/);
  });
});

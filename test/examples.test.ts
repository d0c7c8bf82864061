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

  it('messages go both ways by name, and the session ends', async () => {
    expect(await run('messages')).to.deep.equal([
      'str:alice wants to talk',
      'str:alice says "hello" on channel 0',
      'str:alice says "e2 e4" on channel 1',
      'str:bob answers "well moved"',
      'str:alice is done: CloseSessionWithUser (1001)',
    ]);
  });

  it('dedicated-server welcomes, ticks and tells why a player left', async () => {
    const lines = await run('dedicated-server');
    expect(lines[0]).to.match(/^listening on /);
    const [welcome, joined] = lines.slice(1, 3).sort();
    expect(welcome).to.match(/^player: \{"welcome":"str:player","tick":\d+\}$/);
    expect(joined).to.equal('str:player joined');
    // 60 Hz for two seconds, on a machine that may be busy.
    const [, snapshots] = /^player: saw (\d+) snapshots$/.exec(lines[3]!) ?? [];
    expect(Number(snapshots)).to.be.within(30, 150);
    expect(lines[4]).to.equal('str:player left: that was fun (1002)');
    expect(lines[5]).to.match(/^stopped after \d+ ticks$/);
  });

  it('lanes lets voice and the newest state through, and the download waits', async () => {
    const lines = await run('lanes');
    const numberIn = (at: number, pattern: RegExp) => Number(pattern.exec(lines[at]!)?.[1]);
    expect(lines[0]).to.equal('after 1500 ms at 60000 bytes/s:');
    expect(numberIn(1, /^voice: (\d+) of 75 frames$/)).to.be.within(60, 75);
    expect(numberIn(2, /^state: (\d+) of 150 updates, the last is "position 7\d\.5"$/)).to.be.within(40, 149);
    expect(numberIn(3, /^download: (\d+) of 200000 bytes$/)).to.be.within(1, 150_000);
    expect(lines[4]).to.equal('download: 200000 of 200000 bytes when all was delivered');
  });

  it('workers serves clients from several threads, or says why it cannot', async () => {
    const lines = [...(await run('workers', '2', '32'))];
    const isShared = !lines[0]!.startsWith('cannot share UDP port');
    if (!isShared) expect(lines.shift()).to.match(/needs Linux or a BSD, and Node 22\.12, 23\.1 or later/);
    expect(lines[0]).to.equal(`${isShared ? 2 : 1} workers on one port, 32 clients have their echo`);
    const served = lines.slice(1).map((line) => Number(/^worker \d served (\d+)$/.exec(line)?.[1]));
    expect(served.reduce((sum, each) => sum + each)).to.equal(32);
  });

  it('tickets lets in who has one, and nobody else', async () => {
    expect((await run('tickets')).toSorted()).to.deep.equal([
      'alice is sure to talk to str:game-server',
      'mallory: 5003',
      'str:alice plays',
      'str:alice stays out: the certificate is not signed, and unsigned ones are not allowed',
    ]);
  });

  it('players meet by a code, tell each other where they are, and hear that one leaves', async () => {
    const [room, ...lines] = await run('players');
    expect(room).to.match(/^alice: come to room [A-Z2-9]{6}$/);
    expect(lines.slice(0, 4)).to.deep.equal([
      'all three are connected with each other',
      'alice sees str:bob at 20, str:carol at 20',
      'bob sees str:alice at 20, str:carol at 20',
      'carol sees str:alice at 20, str:bob at 20',
    ]);
    expect(lines.slice(4).toSorted()).to.deep.equal([
      'alice: str:carol left: good night (1001)',
      'bob: str:carol left: good night (1001)',
    ]);
  });

  it('bot-swarm brings every reliable message of fifty bots through the loss', async () => {
    const lines = await run('bot-swarm');
    expect(lines[0]).to.equal('50 of 50 bots are in');
    expect(lines[1]).to.match(/^the fake network lost [1-9]\d* packets$/);
    const [, came, sent] = /^reliable: (\d+) of (\d+) came back$/.exec(lines[2]!) ?? [];
    expect(came).to.equal(sent);
    expect(lines[3]).to.match(/^unreliable: [1-9]\d* of \d+ came back$/);
    expect(lines[4]).to.match(/^ping: \d+ ms at best, \d+ ms in the middle, \d+ ms at worst$/);
  });
});

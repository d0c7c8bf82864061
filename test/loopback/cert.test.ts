// The walk-throughs of README.md and docs/certificates.md, as written; and the files it makes, with Networking and with GNS's certtool.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type ConnectionError, Networking } from '../../src/index.ts';
import { freePort } from '../interop/pair.ts';
import { eventually } from '../support/eventually.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CERTTOOL = process.env['GNS_CERTTOOL'];

/** The commands of a page, in order. */
function walkThrough(page: string): readonly string[] {
  const blocks = [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)];
  const lines = blocks.flatMap(([, block]) => block!.trim().split('\n'));
  return page === 'README.md' ? lines.slice(lines.findIndex((line) => line.startsWith('gns cert'))) : lines;
}

/** Behind a command is how it ends, and what it says. */
function check(line: string, { status, stdout, stderr }: Run, remark: string): void {
  const isRefused = remark.includes('exit status 1');
  expect(status, `${line}\n${stderr}`).to.equal(isRefused ? 1 : 0);
  const told = remark.replace('exit status 1:', '').trim();
  if (told !== '' && !told.startsWith('wait')) expect(`${stdout}${stderr}`).to.contain(told);
}

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A `gns chat --listen` that runs. */
class Room {
  told = '';
  readonly #process;

  private constructor(args: readonly string[], cwd: string) {
    this.#process = spawn(process.execPath, [MAIN, ...args], { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.told += text;
    });
  }

  static async open(args: readonly string[], cwd: string): Promise<Room> {
    const room = new Room(args, cwd);
    await eventually(() => room.told.includes('The room is open'));
    return room;
  }

  async close(): Promise<void> {
    this.#process.stdin.end();
    if (this.#process.exitCode === null) await once(this.#process, 'exit');
  }
}

describe('gns cert', function () {
  this.timeout(60_000);
  this.slow(20_000);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cert-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function gns(...args: readonly string[]) {
    return spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: 'utf8' });
  }
  function make(...names: readonly string[]): void {
    expect(gns('cert', 'ca', '--out', 'ca').status).to.equal(0);
    for (const name of names) gns('cert', 'issue', '--ca', 'ca.key', '--identity', `str:${name}`, '--out', name);
  }
  const file = (name: string) => readFileSync(join(folder, name));
  const member = (name: string, trusted = 'ca.pub') =>
    new Networking({
      trustedCAs: file(trusted),
      certificate: file(`${name}.cert`),
      privateKey: file(`${name}.key`),
      allowWithoutAuth: 'never',
    });

  for (const page of ['README.md', 'docs/certificates.md']) {
    it(`does what the walk-through in ${page} shows`, async () => {
      const lines = walkThrough(page);
      expect(lines.length).to.be.at.least(6);
      const port = await freePort('127.0.0.1');
      const rooms: Room[] = [];
      try {
        for (const line of lines) {
          const [command, remark = ''] = line.replace('27020', String(port)).split('#');
          const [program, ...args] = command!.trim().split(/ +/);
          expect(program).to.equal('gns');
          if (remark.includes('a terminal of its own')) rooms.push(await Room.open(args, folder));
          else check(line, gns(...args), remark);
          if (remark.includes('wait')) await delay(2_100);
        }
        const hears = (words: RegExp) => eventually(() => words.test(rooms[0]!.told));
        await hears(/has come in: str:alice\./);
        await hears(/was lost: the peer is str:server, and str:bank was expected\./);
        if (page !== 'README.md') await hears(/str:mallory at \S+ stays out: .* is unknown or not trusted\./);
      } finally {
        for (const room of rooms) await room.close();
      }
      expect(statSync(join(folder, 'ca.key')).mode & 0o777).to.equal(0o600);
    });
  }

  it('makes what servers and clients take that demand certificates, over real sockets', async () => {
    make('server', 'alice');
    await using server = member('server');
    await using alice = member('alice');
    const socket = server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
    const connection = await alice.connect(`${socket.address}`, { expectedIdentity: 'str:server' });
    expect(connection.info.flags.unauthenticated).to.equal(false);
    const failure = (await alice
      .connect(`${socket.address}`, { expectedIdentity: 'str:other' })
      .catch((error) => error)) as ConnectionError;
    expect(failure.endReason).to.equal(4003);
  });

  it('never has a secret in a file that others may read, even where one was', () => {
    writeFileSync(join(folder, 'public.key'), 'x', { mode: 0o644 });
    const old = openSync(join(folder, 'public.key'), 'r');
    expect(gns('cert', 'ca', '--out', 'public', '--force').stderr).to.equal('');
    expect(statSync(join(folder, 'public.key')).mode & 0o777).to.equal(0o600);
    expect(readFileSync(old, 'utf8')).to.equal('x');
    closeSync(old);
  });

  it('overwrites nothing unless told to', () => {
    make();
    const before = file('ca.key');
    const { status, stderr } = gns('cert', 'ca', '--out', 'ca');
    expect([status, stderr]).to.deep.equal([1, 'gns: ca.key exists already; --force overwrites it\n']);
    expect(file('ca.key')).to.deep.equal(before);
  });

  it('says what is wrong with a command line', () => {
    const { status, stderr } = gns('cert', 'issue', '--identity', 'str:x', '--out', 'x');
    expect(status).to.equal(2);
    expect(stderr).to.match(/^gns: --ca is missing\nusage: gns cert ca/);
  });

  describe("and GNS's certtool", () => {
    before(function () {
      if (CERTTOOL === undefined) this.skip();
    });

    it('it signs with our key, and we find its signature good', () => {
      make();
      const args = ['--ca-priv-key-file', join(folder, 'ca.key'), '--app', '0', 'gen_keypair', 'create_cert'];
      const { status, stdout } = spawnSync(CERTTOOL!, args, { encoding: 'utf8' });
      expect(status, stdout).to.equal(0);
      writeFileSync(join(folder, 'theirs.txt'), stdout);
      // It cannot name an identity, which is all that is missing.
      const verdict = gns('cert', 'verify', 'theirs.txt', '--trust', 'ca.pub');
      expect(verdict.stdout).to.equal('refused: the signed certificate is not bound to an identity\n');
    });

    it('we sign with its key, and for its key', () => {
      writeFileSync(join(folder, 'tool.txt'), spawnSync(CERTTOOL!, ['gen_keypair'], { encoding: 'utf8' }).stdout);
      const issue = ['cert', 'issue', '--ca', 'tool.txt', '--identity', 'str:x', '--key', 'tool.txt', '--out', 'mixed'];
      expect(gns(...issue).stderr).to.equal('');
      expect(gns('cert', 'verify', 'mixed.cert', '--trust', 'tool.txt').status).to.equal(0);
    });
  });
});

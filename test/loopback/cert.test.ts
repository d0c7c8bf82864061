// The walk-through of docs/certificates.md, as written; and the files it makes, with Networking and with GNS's certtool.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type ConnectionError, Networking } from '../../src/index.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const PAGE = fileURLToPath(new URL('../../../docs/certificates.md', import.meta.url));
const CERTTOOL = process.env['GNS_CERTTOOL'];

describe('gns cert', function () {
  this.timeout(60_000);
  this.slow(20_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cert-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  function gns(...args: readonly string[]) {
    return spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: 'utf8' });
  }
  const file = (name: string) => readFileSync(join(folder, name));
  const member = (name: string, trusted = 'ca.pub') =>
    new Networking({
      trustedCAs: file(trusted),
      certificate: file(`${name}.cert`),
      privateKey: file(`${name}.key`),
      allowWithoutAuth: 'never',
    });

  it('does what the walk-through shows', () => {
    const blocks = [...readFileSync(PAGE, 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!);
    const lines = blocks.join('').trim().split('\n');
    expect(lines).to.have.length(10);
    for (const line of lines) {
      const [command, remark = ''] = line.split('#');
      const [program, ...args] = command!.trim().split(/ +/);
      expect(program).to.equal('gns');
      const { status, stdout, stderr } = gns(...args);
      expect(status, `${line}\n${stderr}`).to.equal(remark.includes('exit status 1') ? 1 : 0);
      const [, why] = /exit status 1: (.*)/.exec(remark) ?? [];
      if (why !== undefined) expect(stdout).to.contain(why);
    }
    expect(statSync(join(folder, 'ca.key')).mode & 0o777).to.equal(0o600);
  });

  it('makes what servers and clients take that demand certificates, over real sockets', async () => {
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

  it('overwrites nothing unless told to', () => {
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

// `gns signal` as a process: whom it lets in, with and without an authority.

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { createCA, issueCertificate } from '../../src/index.ts';
import { WebSocketSignaling } from '../../src/signaling/websocket-client.ts';
import { eventually } from '../support/eventually.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** Told to stop when the test is over. */
class Server implements AsyncDisposable {
  told = '';
  readonly #process: ChildProcessByStdio<null, Readable, null>;

  constructor(...args: readonly string[]) {
    const stdio = ['ignore', 'pipe', 'inherit'] as const;
    this.#process = spawn(process.execPath, [MAIN, 'signal', '--port', '0', ...args], { stdio: [...stdio] });
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.told += text;
    });
  }

  /** Where it is, once it is there. */
  async url(): Promise<string> {
    await eventually(() => this.told.split('\n').length > 2);
    return /ws:\S+/.exec(this.told)![0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGTERM');
    await once(this.#process, 'exit');
  }
}

describe('gns signal', function () {
  this.timeout(20_000);
  const ca = createCA();
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'signal-'));
    writeFileSync(join(folder, 'ca.pub'), ca.publicKey);
  });
  after(() => rmSync(folder, { recursive: true }));

  const enter = async (url: string, identity: string, proof = {}) => {
    const client = await WebSocketSignaling.connect({ urls: [url], identity, ...proof });
    client.close();
    return client.identity;
  };

  it('believes everybody, and says so', async () => {
    await using server = new Server();
    expect(await enter(await server.url(), 'str:alice')).to.equal('str:alice');
    expect(server.told).to.match(/everybody is who they say they are/);
  });

  it('with --ca lets in only who proves an identity', async () => {
    await using server = new Server('--ca', join(folder, 'ca.pub'));
    const url = await server.url();
    expect(server.told).to.match(/everybody has to prove who they are/);
    const { certificate, privateKey } = issueCertificate({ caKey: ca.privateKey, identity: 'str:alice' });
    expect(await enter(url, 'str:alice', { certificate, privateKey })).to.equal('str:alice');
    const refusals = await Promise.allSettled([
      enter(url, 'str:alice'),
      enter(url, 'str:bob', { certificate, privateKey }),
    ]);
    const reasons = refusals.map((refusal) => (refusal as PromiseRejectedResult).reason.message);
    expect(reasons[0]).to.match(/refused str:alice.*a certificate is needed here/);
    expect(reasons[1]).to.match(/the certificate is for str:alice, not for str:bob/);
  });

  it('does not promise proofs by a protocol that has none', () => {
    const args = [MAIN, 'signal', '--ca', join(folder, 'ca.pub'), '--trivial', '0'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(status).to.equal(2);
    expect(stderr).to.match(/--ca and --trivial exclude each other/);
  });
});

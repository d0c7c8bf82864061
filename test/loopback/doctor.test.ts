// `gns doctor`, as a process that asks servers on this machine.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { SurveyReport } from '../../src/cli/doctor/survey.ts';
import { TurnServer } from '../../src/netsim/turn-server.ts';
import { nodePlatform } from '../../src/node/platform.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const CREDENTIALS = { username: 'user', password: 'secret' };

interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function doctor(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'doctor', ...args], (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe('gns doctor', function () {
  this.timeout(30_000);
  const servers: TurnServer[] = [];
  let stun = '';
  let turn = '';

  before(() => {
    for (let count = 0; count < 2; count++) {
      servers.push(new TurnServer(nodePlatform(), { address: '127.0.0.1', port: 0, credentials: CREDENTIALS }));
    }
    const names = servers.map(({ address }) => `${address.address}:${address.port}`);
    stun = names.join(',');
    turn = names[0]!;
  });

  after(() => {
    for (const server of servers) server.close();
  });

  it('shows what servers answer and what that means', async () => {
    const args = ['--loopback', '--stun', stun, '--turn', turn, '--user', 'user', '--pass', 'secret'];
    const { status, stdout } = await doctor(...args);
    expect(status).to.equal(0);
    expect(stdout).to.match(/^STUN {5}127\.0\.0\.1:\d+ sees 127\.0\.0\.1:\d+$/m);
    expect(stdout).to.match(/^TURN {5}127\.0\.0\.1:\d+ lends 127\.0\.0\.1:\d+$/m);
    expect(stdout).to.match(/^UDP {6}works$/m);
    expect(stdout).to.match(/^NAT {6}none$/m);
  });

  it('tells the same as one line of JSON, and fails when a server refuses', async () => {
    const args = ['--loopback', '--stun', stun, '--turn', turn, '--user', 'user', '--pass', 'wrong', '--json'];
    const { status, stdout } = await doctor(...args);
    expect(status).to.equal(1);
    const report = JSON.parse(stdout) as SurveyReport;
    expect(report).to.include({ udp: 'works', nat: 'none' });
    expect(report.turn[0]).to.include({ relayed: null, errorCode: 401 });
  });

  it('refuses lists that do not go together', async () => {
    const { status, stderr } = await doctor('--turn', 'a,b', '--user', 'one', '--pass', 'one');
    expect(status).to.equal(2);
    expect(stderr).to.contain('2 TURN servers, 1 users and 1 passwords do not go together');
  });
});

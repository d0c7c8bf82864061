// `gns ping`, as a process that asks servers on real sockets.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type ListenSocket, Networking } from '../../src/index.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function ping(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'ping', ...args], (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function listen(server: Networking): ListenSocket {
  return server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
}

describe('gns ping', function () {
  this.timeout(20_000);

  it('shows who the server is and how far away', async () => {
    await using server = new Networking({ identity: 'str:alice' });
    const socket = listen(server);
    const { status, stdout } = await ping(String(socket.address), '--count', '2');
    expect(status).to.equal(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).to.have.length(5);
    expect(lines[0]).to.equal(`${socket.address} is str:alice; nobody vouches for that`);
    expect(lines[1]).to.match(/^handshake \d+\.?\d* ms, encryption AES-256-GCM$/);
    expect(lines[2]).to.match(/^1: \d+\.\d{3} ms$/);
    expect(lines[4]).to.match(/^protocol version 13; 2 sent, 2 answered, 0 % lost; round trip .* ms/);
  });

  it('tells the same as one line of JSON', async () => {
    await using server = new Networking({ identity: 'str:alice' });
    const { status, stdout } = await ping(String(listen(server).address), '--count=1', '--json');
    expect(status).to.equal(0);
    const report = JSON.parse(stdout) as { handshakeMs: number; pingsMs: number[] };
    expect(report).to.include({ connected: true, identity: 'str:alice', authenticated: false, protocolVersion: 13 });
    expect(report).to.include({ encryption: 'AES-256-GCM', lossRatio: 0 });
    expect(report.handshakeMs).to.be.above(0);
    expect(report.pingsMs).to.have.length(1);
  });

  it('sends the application nothing, and leaves with reason 1000 and the text "ping"', async () => {
    await using server = new Networking();
    const socket = listen(server);
    const seen: string[] = [];
    const ended = new Promise<string>((resolve) => {
      socket.on('connection', ({ connection }) => {
        seen.push('connection');
        connection.on('message', () => seen.push('message'));
        connection.on('ended', ({ endReason, endDebug }) => resolve(`${endReason} ${endDebug}`));
      });
    });
    await ping(String(socket.address), '--count', '2');
    expect(await ended).to.equal('1000 ping');
    expect(seen).to.deep.equal(['connection']);
  });

  it('counts answers that do not come', async () => {
    await using server = new Networking();
    const socket = listen(server);
    // After the last packet of the handshake, nothing goes out any more.
    socket.on('connection', () => setImmediate(() => server.config.set('fakePacketLossSend', 100)));
    const { status, stdout } = await ping(String(socket.address), '--count', '1');
    expect(status).to.equal(0);
    expect(stdout).to.include('1: no answer\nprotocol version unknown; 1 sent, 0 answered');
  });

  it('says why it was refused, and ends with status 1', async () => {
    await using server = new Networking();
    const socket = server.listen({ host: '127.0.0.1', port: 0 });
    socket.on('connection', (incoming) => incoming.reject({ reason: 1234, debug: 'the server is full' }));
    const [text, json] = await Promise.all([ping(String(socket.address)), ping(String(socket.address), '--json')]);
    expect(text).to.include({ status: 1, stderr: `gns: ${socket.address}: the server is full (1234 App)\n` });
    expect(json.status).to.equal(1);
    expect(JSON.parse(json.stdout)).to.deep.equal({
      address: String(socket.address),
      connected: false,
      reason: 1234,
      reasonName: 'App',
      text: 'the server is full',
    });
  });

  it('does not understand a command line without address, or with a count that is none', async () => {
    expect(await ping()).to.include({ status: 2 });
    expect(await ping('127.0.0.1')).to.include({ status: 2 });
    expect((await ping('127.0.0.1:1', '--count', 'x')).stderr).to.include('--count x is not a number');
  });
});

// A process that computes for seconds without a pause, on real sockets: what came meanwhile is read before anybody is
// given up. Spec: 04 §4.4.

import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { Networking } from '../../src/index.ts';

const STALL_MS = 2_000;

/** A server in a thread of its own, so that it goes on while we stand still; it talks all the time. */
const SERVER = `
const { parentPort, workerData } = require('node:worker_threads');
import(workerData.library).then(({ Networking }) => {
  const server = new Networking({ config: { timeoutConnected: workerData.timeoutMs } });
  const socket = server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
  socket.on('connection', ({ connection }) => {
    const timer = setInterval(() => connection.state === 'Connected' && connection.send('tick'), 100);
    connection.on('ended', (info) => {
      parentPort.postMessage({ endReason: info.endReason });
      clearInterval(timer);
    });
  });
  parentPort.postMessage({ port: socket.address.port });
  parentPort.on('message', () => server.close().then(() => process.exit()));
});
`;

interface Server {
  readonly worker: Worker;
  readonly port: number;
  readonly endReasons: number[];
}

async function startServer(timeoutMs: number): Promise<Server> {
  const library = new URL('../../src/index.js', import.meta.url).href;
  const worker = new Worker(SERVER, { eval: true, workerData: { library, timeoutMs } });
  const endReasons: number[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', (message: { port?: number; endReason?: number }) => {
      if (message.port !== undefined) resolve(message.port);
      if (message.endReason !== undefined) endReasons.push(message.endReason);
    });
  });
  return { worker, port, endReasons };
}

function computeForAWhile(): void {
  const endMs = performance.now() + STALL_MS;
  while (performance.now() < endMs);
}

describe('two seconds of computing', function () {
  this.timeout(20_000);
  this.slow(15_000);

  for (const where of ['a timer', 'a message listener']) {
    it(`in ${where} do not make us give up a peer, though our time-out is half a second`, async () => {
      const server = await startServer(60_000);
      await using client = new Networking({ config: { timeoutConnected: 500 } });
      const connection = await client.connect(`127.0.0.1:${server.port}`);
      let messages = 0;
      connection.on('message', () => {
        messages++;
        if (messages === 3 && where === 'a message listener') computeForAWhile();
      });
      await sleep(500);
      connection.send('what do you say?');
      if (where === 'a timer') computeForAWhile();
      await sleep(700);
      expect(connection.state).to.equal('Connected');
      expect(messages).to.be.at.least(15);
      expect(connection.explain().facts.longestStallUs).to.be.within(1_500_000, 1_000 * (STALL_MS + 500));
      server.worker.postMessage('end');
    });
  }

  it('make a peer with a shorter time-out give us up, and we can tell why', async () => {
    const server = await startServer(500);
    await using client = new Networking({ config: { timeoutConnected: 60_000 } });
    const connection = await client.connect(`127.0.0.1:${server.port}`);
    await sleep(500);
    connection.send('a moment');
    computeForAWhile();
    await sleep(300);
    expect(connection.state).to.equal('ClosedByPeer');
    expect(connection.explain().kind).to.equal('ourLoopStalled');
    expect(server.endReasons).to.deep.equal([5003]);
    server.worker.postMessage('end');
  });
});

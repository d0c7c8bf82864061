// One port, several cores: each worker thread has an instance of its own, and the system divides the clients among them.
// Where a port cannot be shared, one worker serves all. Usage: node dist/examples/workers.js [workers] [clients]

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Networking, NetworkingError } from 'game-networking-sockets';

const WORKERS = Number(process.argv[2] ?? 2);
const CLIENTS = Number(process.argv[3] ?? 32);

/** What a worker tells first: where it listens, or why it does not. */
type Started = { readonly port: number } | { readonly problem: string };
interface Task {
  readonly port: number;
  readonly reusePort: boolean;
}

function serve(task: Task): void {
  const net = new Networking({ identity: 'str:server' });
  let served = 0;
  try {
    const socket = net.listen({ host: '127.0.0.1', ...task, autoAccept: true });
    socket.on('connection', ({ connection }) => {
      served++;
      connection.on('message', ({ data }) => connection.send(data));
      connection.on('ended', () => void connection.close());
    });
    parentPort!.postMessage({ port: socket.address.port } satisfies Started);
  } catch (error) {
    if (!(error instanceof NetworkingError) || error.code !== 'NotSupported') throw error;
    parentPort!.postMessage({ problem: error.message } satisfies Started);
  }
  // Any message is the request to stop.
  parentPort!.once('message', async () => {
    await net.close();
    parentPort!.postMessage(served);
    parentPort!.close();
  });
}

async function startWorker(task: Task): Promise<{ readonly worker: Worker; readonly started: Started }> {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: task });
  const [started] = await once(worker, 'message');
  return { worker, started };
}

async function startWorkers(): Promise<{ readonly workers: readonly Worker[]; readonly port: number }> {
  // The first takes any free port, the others the same one.
  const first = await startWorker({ port: 0, reusePort: true });
  if ('problem' in first.started) {
    console.log(first.started.problem);
    first.worker.postMessage('stop');
    const alone = await startWorker({ port: 0, reusePort: false });
    if ('problem' in alone.started) throw new Error(alone.started.problem);
    return { workers: [alone.worker], port: alone.started.port };
  }
  const { port } = first.started;
  const others = Array.from({ length: WORKERS - 1 }, () => startWorker({ port, reusePort: true }));
  return { workers: [first.worker, ...(await Promise.all(others)).map(({ worker }) => worker)], port };
}

async function main(): Promise<void> {
  const { workers, port } = await startWorkers();
  const net = new Networking();
  const echoes = Array.from({ length: CLIENTS }, async () => {
    const connection = await net.connect(`127.0.0.1:${port}`);
    connection.send('hello');
    await once(connection, 'message');
    await connection.close();
  });
  await Promise.all(echoes);
  console.log(`${workers.length} workers on one port, ${CLIENTS} clients have their echo`);
  await net.close();
  for (const [i, worker] of workers.entries()) {
    worker.postMessage('stop');
    const [served] = await once(worker, 'message');
    console.log(`worker ${i + 1} served ${served}`);
  }
}

if (isMainThread) await main();
else serve(workerData as Task);

// What many connections cost one process: memory and processor while nothing happens, a tick that sends to one of them
// or to all, and how many handshakes per second one core accepts. Clients are processes of their own.

import { fileURLToPath } from 'node:url';
import { type Connection, Networking } from '../src/index.ts';
import { median, medianOf, printTable, rounded, sleep } from './figures.ts';
import { cpuUs, monotonicUs, serve } from './peer.ts';
import { Worker } from './processes.ts';

export interface ScaleRow {
  readonly connections: number;
  /** After a collection: JavaScript heap and what belongs to it, and what the process has of the system. */
  readonly heapBytesEach: number;
  readonly residentBytesEach: number;
  /** Percent of one core, all connections together. */
  readonly idleCpuPercent: number;
  /** Microseconds of processor for a tick that sends 64 B to one connection, and to each; the latter per connection. */
  readonly tickOneUs: number;
  readonly tickAllUsEach: number;
}

export interface HandshakeRow {
  /** Accepted per second of the server's processor time: what one core can do. */
  readonly perServerCpuSecond: number;
  /** By the clock, with clients on the same machine. */
  readonly perSecond: number;
  readonly serverUs: number;
  readonly clientUs: number;
  /** What each side must compute even if all else cost nothing; measured between the rounds. */
  readonly cryptoAloneUs: number;
  readonly rounds: number;
}

export interface ConnectionsOptions {
  readonly counts: readonly number[];
  readonly idleMs: number;
  readonly handshakes: number;
  readonly rounds: number;
}

interface Memory {
  readonly heapBytes: number;
  readonly residentBytes: number;
}

interface SideCalls {
  listen(): number;
  /** Connects `count` more, `WINDOW` at a time. */
  connect(port: number, count: number): Promise<void>;
  /** The same, but closes each at once; microseconds of processor and of the clock. */
  shakeHands(port: number, count: number): Promise<{ cpuUs: number; elapsedUs: number }>;
  connected(): number;
  cpu(): number;
  memory(): Promise<Memory>;
  /** Sends to the first `count` connections, again and again; microseconds of processor per tick. */
  tick(count: number, ticks: number, everyMs: number): Promise<number>;
  cryptoAlone(): number;
}

const WINDOW = 32;
/** One process has so many sockets at most: each outgoing connection has its own. */
const SOCKETS_PER_CLIENT = 5000;

class Side implements SideCalls {
  readonly #net = new Networking();
  readonly #connections = new Set<Connection>();

  listen(): number {
    const socket = this.#net.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
    socket.on('connection', ({ connection }) => {
      this.#connections.add(connection);
      connection.on('ended', () => {
        this.#connections.delete(connection);
        void connection.close();
      });
    });
    return socket.address.port;
  }

  async connect(port: number, count: number): Promise<void> {
    await this.#manyTimes(count, async () => {
      this.#connections.add(await this.#net.connect(`127.0.0.1:${port}`));
    });
  }

  async shakeHands(port: number, count: number): Promise<{ cpuUs: number; elapsedUs: number }> {
    const [startUs, startCpuUs] = [monotonicUs(), cpuUs()];
    await this.#manyTimes(count, async () => {
      void (await this.#net.connect(`127.0.0.1:${port}`)).close();
    });
    return { cpuUs: cpuUs() - startCpuUs, elapsedUs: monotonicUs() - startUs };
  }

  async #manyTimes(count: number, once: () => Promise<void>): Promise<void> {
    let begun = 0;
    const inTurn = async () => {
      while (begun++ < count) await once();
    };
    await Promise.all(Array.from({ length: WINDOW }, inTurn));
  }

  connected(): number {
    return this.#connections.size;
  }

  cpu(): number {
    return cpuUs();
  }

  async memory(): Promise<Memory> {
    for (let i = 0; i < 3; i++) {
      globalThis.gc!();
      await sleep(50);
    }
    const { heapUsed, external, rss } = process.memoryUsage();
    return { heapBytes: heapUsed + external, residentBytes: rss };
  }

  async tick(count: number, ticks: number, everyMs: number): Promise<number> {
    const targets = [...this.#connections].slice(0, count);
    const message = new Uint8Array(64);
    const costs: number[] = [];
    for (let i = 0; i < ticks; i++) {
      const startUs = cpuUs();
      this.#net.broadcast(targets, message, { reliable: false, noNagle: true });
      // All are sent in the next turns of the event loop.
      await sleep(everyMs);
      costs.push(cpuUs() - startUs);
    }
    return median(costs);
  }

  cryptoAlone(): number {
    const { crypto } = this.#net.platform;
    const message = new Uint8Array(64);
    const peerSigning = crypto.signingKey();
    const peerExchange = crypto.exchangeKey();
    const signature = peerSigning.sign(message);
    const rounds = 200;
    const startUs = cpuUs();
    for (let i = 0; i < rounds; i++) {
      crypto.signingKey().sign(message);
      crypto.verify(peerSigning.publicKey, message, signature);
      crypto.exchangeKey().agree(peerExchange.publicKey);
    }
    return (cpuUs() - startUs) / rounds;
  }
}

function startSide(): Worker<SideCalls> {
  return new Worker<SideCalls>('connections', { nodeOptions: ['--expose-gc'] });
}

export async function scale({ counts, idleMs }: ConnectionsOptions): Promise<ScaleRow[]> {
  const server = startSide();
  const clients: Worker<SideCalls>[] = [];
  const rows: ScaleRow[] = [];
  try {
    const port = await server.call('listen');
    await warmUp(server, port);
    const base = await server.call('memory');
    for (const count of counts) {
      while (clients.length * SOCKETS_PER_CLIENT < count) clients.push(startSide());
      for (const [i, client] of clients.entries()) {
        const share = Math.min(count - i * SOCKETS_PER_CLIENT, SOCKETS_PER_CLIENT);
        const missing = share - (await client.call('connected'));
        if (missing > 0) await client.call('connect', port, missing);
      }
      // A keepalive is due every 10 s at most; a few connections cost too little to wait for it.
      rows.push(await measureScale(server, count, base, count < 1000 ? idleMs / 3 : idleMs));
    }
  } finally {
    await Promise.all([server, ...clients].map((side) => side.stop()));
  }
  printTable(
    ['connections', 'heap B each', 'resident B each', 'idle CPU %', 'tick to one us', 'tick to all us each'],
    rows.map((row) => Object.values(row)),
  );
  return rows;
}

/** Code that runs for the first time allocates what does not belong to a connection. */
async function warmUp(server: Worker<SideCalls>, port: number): Promise<void> {
  const client = startSide();
  await client.call('shakeHands', port, 300);
  await client.call('connect', port, 20);
  await server.call('tick', 20, 20, 10);
  await client.stop();
  // The server hears nothing of that end: these stay until they time out, and are gone before it matters.
  for (let waitedMs = 0; (await server.call('connected')) > 0 && waitedMs < 20_000; waitedMs += 200) await sleep(200);
}

async function measureScale(server: Worker<SideCalls>, count: number, base: Memory, idleMs: number): Promise<ScaleRow> {
  await sleep(1000);
  const memory = await server.call('memory');
  const [startUs, startCpuUs] = [monotonicUs(), await server.call('cpu')];
  await sleep(idleMs);
  const idleRatio = ((await server.call('cpu')) - startCpuUs) / (monotonicUs() - startUs);
  // As long as all of them need to go out, and the client to take them in.
  const everyMs = 20 + count / 10;
  const tickAllUs = await server.call('tick', count, 5, everyMs);
  const tickOneUs = await server.call('tick', 1, 50, 10);
  return {
    connections: count,
    heapBytesEach: Math.round((memory.heapBytes - base.heapBytes) / count),
    residentBytesEach: Math.round((memory.residentBytes - base.residentBytes) / count),
    idleCpuPercent: rounded(idleRatio * 100, 2),
    tickOneUs: Math.max(0, Math.round(tickOneUs - idleRatio * 10_000)),
    tickAllUsEach: rounded(Math.max(0, tickAllUs - idleRatio * everyMs * 1000) / count, 2),
  };
}

export async function handshakes({ rounds, handshakes: count }: ConnectionsOptions): Promise<HandshakeRow> {
  const server = startSide();
  const client = startSide();
  const samples: { serverUs: number; clientUs: number; elapsedUs: number; aloneUs: number }[] = [];
  try {
    const port = await server.call('listen');
    await client.call('shakeHands', port, count);
    for (let round = 0; round < rounds; round++) {
      const startUs = await server.call('cpu');
      const { cpuUs: clientUs, elapsedUs } = await client.call('shakeHands', port, count);
      const serverUs = (await server.call('cpu')) - startUs;
      samples.push({ serverUs, clientUs, elapsedUs, aloneUs: await server.call('cryptoAlone') });
    }
  } finally {
    await Promise.all([server.stop(), client.stop()]);
  }
  const serverUs = medianOf(samples, (sample) => sample.serverUs) / count;
  const row = {
    perServerCpuSecond: Math.round(1e6 / serverUs),
    perSecond: Math.round((count / medianOf(samples, ({ elapsedUs }) => elapsedUs)) * 1e6),
    serverUs: Math.round(serverUs),
    clientUs: Math.round(medianOf(samples, ({ clientUs }) => clientUs) / count),
    cryptoAloneUs: Math.round(medianOf(samples, ({ aloneUs }) => aloneUs)),
    rounds,
  };
  console.log('\n  handshakes; one server process, one client process');
  printTable(Object.keys(row), [Object.values(row)]);
  return row;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(new Side());

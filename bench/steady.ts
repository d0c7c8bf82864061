// A server under a steady load for a while: how long its event loop ever stands still, and whether its heap grows. A
// client process sends messages at a fixed pace on many connections, and the server answers each; packets count both
// ways.

import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { type Connection, Networking } from '../src/index.ts';
import { printTable, rounded, sleep } from './figures.ts';
import { cpuUs, monotonicUs, serve } from './peer.ts';
import { Worker } from './processes.ts';

export interface SteadyResult {
  readonly seconds: number;
  readonly connections: number;
  readonly askedPacketsPerSec: number;
  /** Received and sent by the server. */
  readonly packetsPerSec: number;
  readonly cpuPercent: number;
  /** How late a timer of 1 ms fires, the millisecond included. */
  readonly pauseMs: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };
  readonly longestCollectionMs: number;
  readonly collections: number;
  /** The least heap in use within each tenth of the time, MiB: what remains after collections. */
  readonly heapFloorMiB: readonly number[];
  /** Of a line through those, over the whole time. */
  readonly heapGrowthMiB: number;
}

export interface SteadyOptions {
  readonly seconds: number;
  readonly packetsPerSec: number;
  readonly connections: number;
}

interface SteadyCalls {
  listen(): number;
  connect(port: number, count: number): Promise<void>;
  /** Sends so many messages per second, evenly over all connections, until the process ends. */
  load(messagesPerSec: number): void;
  watch(seconds: number): Promise<Omit<SteadyResult, 'seconds' | 'connections' | 'askedPacketsPerSec'>>;
}

const MESSAGE_BYTES = 100;
const SAMPLE_MS = 50;
const TENTHS = 10;
const MIB = 1 << 20;
const CONFIG = { sendRateMin: 20_000_000, sendRateMax: 20_000_000, recvBufferMessages: 100_000 };

class SteadySide implements SteadyCalls {
  readonly #net = new Networking({ config: CONFIG });
  readonly #connections: Connection[] = [];

  listen(): number {
    const socket = this.#net.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
    socket.on('connection', ({ connection }) => {
      this.#connections.push(connection);
      connection.on('message', ({ data }) => connection.send(data, SEND));
    });
    return socket.address.port;
  }

  async connect(port: number, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const connection = await this.#net.connect(`127.0.0.1:${port}`);
      connection.on('message', () => {});
      this.#connections.push(connection);
    }
  }

  load(messagesPerSec: number): void {
    const message = new Uint8Array(MESSAGE_BYTES);
    const startUs = monotonicUs();
    let sent = 0;
    setInterval(() => {
      // What was not sent in time is not made up for: that would be a burst, and this is a steady load.
      const due = Math.floor(((monotonicUs() - startUs) / 1e6) * messagesPerSec);
      sent = Math.max(sent, due - MAX_CATCH_UP_MESSAGES);
      for (; sent < due; sent++) this.#connections[sent % this.#connections.length]!.send(message, SEND);
    }, 1);
  }

  async watch(seconds: number): Promise<Omit<SteadyResult, 'seconds' | 'connections' | 'askedPacketsPerSec'>> {
    const delays = monitorEventLoopDelay({ resolution: 1 });
    let collections = 0;
    let longestCollectionMs = 0;
    const observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        collections++;
        longestCollectionMs = Math.max(longestCollectionMs, duration);
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    const [startUs, startCpuUs, startPackets] = [monotonicUs(), cpuUs(), this.#packets()];
    const floors: number[] = new Array<number>(TENTHS).fill(Number.POSITIVE_INFINITY);
    delays.enable();
    for (;;) {
      const tenth = Math.floor(((monotonicUs() - startUs) / (seconds * 1e6)) * TENTHS);
      if (tenth >= TENTHS) break;
      floors[tenth] = Math.min(floors[tenth]!, process.memoryUsage().heapUsed / MIB);
      await sleep(SAMPLE_MS);
    }
    delays.disable();
    observer.disconnect();
    const elapsedUs = monotonicUs() - startUs;
    const ms = (nanoseconds: number) => rounded(nanoseconds / 1e6, 2);
    return {
      packetsPerSec: Math.round(((this.#packets() - startPackets) / elapsedUs) * 1e6),
      cpuPercent: rounded(((cpuUs() - startCpuUs) / elapsedUs) * 100),
      pauseMs: {
        p50: ms(delays.percentile(50)),
        p99: ms(delays.percentile(99)),
        p999: ms(delays.percentile(99.9)),
        max: ms(delays.max),
      },
      longestCollectionMs: rounded(longestCollectionMs, 2),
      collections,
      heapFloorMiB: floors.map((floor) => rounded(floor, 2)),
      heapGrowthMiB: rounded(slope(floors) * TENTHS, 2),
    };
  }

  #packets(): number {
    return this.#connections.reduce((sum, connection) => {
      const { packetsSent, packetsReceived } = connection.status();
      return sum + packetsSent + packetsReceived;
    }, 0);
  }
}

const SEND = { reliable: false, noNagle: true } as const;
const MAX_CATCH_UP_MESSAGES = 200;

/** Of the line of least squares through values at 0, 1, 2 … */
function slope(values: readonly number[]): number {
  const meanX = (values.length - 1) / 2;
  const meanY = values.reduce((sum, value) => sum + value, 0) / values.length;
  const over = values.reduce((sum, value, x) => sum + (x - meanX) * (value - meanY), 0);
  return over / values.reduce((sum, _, x) => sum + (x - meanX) ** 2, 0);
}

export async function steady({ seconds, packetsPerSec, connections }: SteadyOptions): Promise<SteadyResult> {
  const server = new Worker<SteadyCalls>('steady');
  const client = new Worker<SteadyCalls>('steady');
  try {
    await client.call('connect', await server.call('listen'), connections);
    await client.call('load', packetsPerSec / 2);
    // Buffers, pools and compiled code find their size.
    await sleep(Math.min(10, seconds / 4) * 1000);
    const watched = await server.call('watch', seconds);
    const result = { seconds, connections, askedPacketsPerSec: packetsPerSec, ...watched };
    const { pauseMs, heapFloorMiB } = result;
    console.log(`\n  ${connections} connections, ${packetsPerSec} packets/s asked, ${seconds} s`);
    printTable(
      ['packets/s', 'CPU %', 'pause p50 ms', 'p99', 'p99.9', 'max', 'longest GC ms', 'heap MiB', 'grows by MiB'],
      [
        [
          result.packetsPerSec,
          result.cpuPercent,
          pauseMs.p50,
          pauseMs.p99,
          pauseMs.p999,
          pauseMs.max,
          result.longestCollectionMs,
          heapFloorMiB.at(-1)!,
          result.heapGrowthMiB,
        ],
      ],
    );
    return result;
  } finally {
    await Promise.all([client.stop(), server.stop()]);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(new SteadySide());

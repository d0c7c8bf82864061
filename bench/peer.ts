// One process of a bench: does what its parent asks through the channel that `fork` makes, and answers with figures.
// The parent's side is in `processes.ts`.

import { fileURLToPath } from 'node:url';
import { connectPipe, listenPipe, type Pipe, type Wire } from './pipes.ts';

/** What a side has done so far; the difference of two is a measurement. */
export interface Snapshot {
  readonly atUs: number;
  readonly cpuUs: number;
  /** Received. */
  readonly messages: number;
  readonly bytes: number;
  readonly packets: { readonly sent: number; readonly received: number } | undefined;
}

/** What is done with what comes in: counted; sent back; or counted with the time it took since it was stamped. */
export type Duty = 'count' | 'echo' | 'latency';

/** All that a parent may ask, with what it gets for an answer. */
export interface PeerCalls {
  listen(wire: Wire, host: string, duty: Duty): Promise<number>;
  connect(wire: Wire, host: string, port: number, count: number): Promise<void>;
  /** Sends messages of `size` as fast as it can, from here on. */
  stream(size: number): void;
  /** Round trip times in microseconds, one message at a time. */
  pingPong(size: number, count: number, warmUp: number): Promise<number[]>;
  /** `hz` stamped messages per second on each connection; returns how many were sent. */
  pace(hz: number, size: number, seconds: number): Promise<number>;
  /** One-way latencies so far, in microseconds. */
  latencies(): number[];
  snapshot(): Snapshot;
}

export interface PeerRequest {
  readonly id: number;
  readonly call: keyof PeerCalls;
  readonly args: readonly unknown[];
}
export interface PeerAnswer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** The machine's monotonic clock, which its processes share. */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

export function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Leave room for the event loop after so many. */
const BURST_MESSAGES = 1000;
const STAMP_BYTES = 8;

class Peer implements PeerCalls {
  readonly #pipes: Pipe[] = [];
  readonly #latenciesUs: number[] = [];
  #messages = 0;
  #bytes = 0;

  async listen(wire: Wire, host: string, duty: Duty): Promise<number> {
    const onPipe = (pipe: Pipe) => {
      this.#pipes.push(pipe);
      pipe.onMessage = (bytes) => {
        this.#messages++;
        this.#bytes += bytes.length;
        if (duty === 'echo') pipe.send(bytes);
        else if (duty === 'latency') this.#latenciesUs.push(monotonicUs() - readStamp(bytes));
      };
    };
    return (await listenPipe(wire, host, onPipe)).port;
  }

  async connect(wire: Wire, host: string, port: number, count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.#pipes.push(await connectPipe(wire, host, port));
  }

  stream(size: number): void {
    const pipe = this.#pipes[0]!;
    const message = new Uint8Array(size).fill(0x5a);
    const pump = () => {
      for (let sent = 0; sent < BURST_MESSAGES; sent++) if (!pipe.send(message)) return;
      setImmediate(pump);
    };
    pipe.onWritable = () => setImmediate(pump);
    pump();
  }

  pingPong(size: number, count: number, warmUp: number): Promise<number[]> {
    const pipe = this.#pipes[0]!;
    const message = new Uint8Array(size);
    const times: number[] = [];
    return new Promise((resolve) => {
      let left = warmUp + count;
      let sentAtUs = monotonicUs();
      pipe.onMessage = () => {
        if (left <= count) times.push(monotonicUs() - sentAtUs);
        if (--left === 0) {
          resolve(times);
          return;
        }
        sentAtUs = monotonicUs();
        pipe.send(message);
      };
      pipe.send(message);
    });
  }

  async pace(hz: number, size: number, seconds: number): Promise<number> {
    const message = new Uint8Array(size);
    const intervalUs = 1e6 / hz;
    const startUs = monotonicUs();
    const due = this.#pipes.map((_, i) => startUs + (i * intervalUs) / this.#pipes.length);
    let sent = 0;
    for (;;) {
      const nowUs = monotonicUs();
      if (nowUs - startUs >= seconds * 1e6) return sent;
      for (const [i, pipe] of this.#pipes.entries()) {
        if (due[i]! > nowUs) continue;
        due[i]! += intervalUs;
        writeStamp(message);
        pipe.send(message);
        sent++;
      }
      const waitMs = (Math.min(...due) - monotonicUs()) / 1e3;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, waitMs)));
    }
  }

  latencies(): number[] {
    return this.#latenciesUs;
  }

  snapshot(): Snapshot {
    const counts = this.#pipes.map((pipe) => pipe.packets?.());
    const packets = counts.some((count) => count === undefined)
      ? undefined
      : {
          sent: counts.reduce((sum, count) => sum + count!.sent, 0),
          received: counts.reduce((sum, count) => sum + count!.received, 0),
        };
    return { atUs: monotonicUs(), cpuUs: cpuUs(), messages: this.#messages, bytes: this.#bytes, packets };
  }
}

function writeStamp(message: Uint8Array): void {
  new DataView(message.buffer, message.byteOffset).setFloat64(0, monotonicUs());
}

function readStamp(message: Uint8Array): number {
  return message.length < STAMP_BYTES ? Number.NaN : new DataView(message.buffer, message.byteOffset).getFloat64(0);
}

/** Answers requests of the parent until the channel closes. */
export function serve(target: object): void {
  process.on('message', async ({ id, call, args }: PeerRequest) => {
    let answer: PeerAnswer;
    try {
      const method = (target as Record<string, (...args: readonly unknown[]) => unknown>)[call]!;
      answer = { id, result: await method.apply(target, [...args]) };
    } catch (error) {
      answer = { id, error: String(error) };
    }
    process.send!(answer);
  });
  // An orderly exit, so that a profile gets written.
  process.on('disconnect', () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(new Peer());

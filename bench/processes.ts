// The processes that a bench measures, seen from the one that runs it: `startPeer` makes one that speaks any wire, which
// is either a Node process (`peer.ts`) or the C++ library behind the program that GNS_PEER names.

import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Distribution, distributionOf } from './figures.ts';
import type { Duty, PeerAnswer, PeerCalls, Snapshot } from './peer.ts';
import type { Wire } from './pipes.ts';

/** Program that speaks the line protocol of `gns peer`, linked with the C++ library. */
export const GNS_PEER: string | undefined = process.env['GNS_PEER'] || undefined;

export interface PeerProcess {
  listen(wire: Wire, host: string, duty: Duty): Promise<number>;
  connect(wire: Wire, host: string, port: number, count: number): Promise<void>;
  stream(size: number): Promise<void>;
  pingPong(size: number, count: number, warmUp: number): Promise<Distribution>;
  pace(hz: number, size: number, seconds: number): Promise<number>;
  latencies(): Promise<number[]>;
  snapshot(): Promise<Snapshot>;
  /** Ends it; a profile, if one was asked for, is written then. */
  stop(): Promise<void>;
}

export interface ProcessOptions {
  /** Program and arguments to put in front, to run in another network namespace. */
  readonly prefix?: readonly string[];
  readonly nodeOptions?: readonly string[];
  /** Another Node than this one. */
  readonly node?: string;
}

export function startPeer(kind: string, options: ProcessOptions = {}): PeerProcess {
  return kind === 'gns' ? new GnsPeer(options) : new NodePeer(options);
}

/** A Node process that answers calls. `Calls` are the methods of the object that it gave to `serve`. */
export class Worker<Calls extends object> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  readonly #exited: Promise<void>;
  #lastId = 0;
  #hasExited = false;
  #errors = '';

  constructor(script: string, options: ProcessOptions = {}) {
    const path = fileURLToPath(new URL(`./${script}.js`, import.meta.url));
    const [program, ...args] = [
      ...(options.prefix ?? []),
      options.node ?? process.execPath,
      ...(options.nodeOptions ?? []),
      path,
    ];
    this.#child = spawn(program!, args, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#child.on('message', ({ id, result, error }: PeerAnswer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.#exited = new Promise((resolve) => {
      const onEnd = () => {
        this.#hasExited = true;
        for (const { reject } of this.#waiting.values()) reject(this.#goneError());
        resolve();
      };
      this.#child.once('exit', onEnd);
      this.#child.once('error', onEnd);
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  call<Name extends keyof Calls & string>(
    name: Name,
    ...args: Calls[Name] extends (...args: infer Args) => unknown ? Args : never
  ): Promise<Calls[Name] extends (...args: never) => infer Result ? Awaited<Result> : never> {
    return new Promise((resolve, reject) => {
      if (this.#hasExited) {
        reject(this.#goneError());
        return;
      }
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#child.send({ id, call: name, args });
    });
  }

  #goneError(): Error {
    return new Error(`a process of the bench has ended: ${this.#errors.trim().slice(-600) || 'without a word'}`);
  }

  async stop(): Promise<void> {
    if (!this.#hasExited && this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await this.#exited;
    clearTimeout(timer);
  }
}

class NodePeer extends Worker<PeerCalls> implements PeerProcess {
  constructor(options: ProcessOptions) {
    super('peer', options);
  }

  listen(wire: Wire, host: string, duty: Duty): Promise<number> {
    return this.call('listen', wire, host, duty);
  }
  connect(wire: Wire, host: string, port: number, count: number): Promise<void> {
    return this.call('connect', wire, host, port, count);
  }
  stream(size: number): Promise<void> {
    return this.call('stream', size);
  }
  async pingPong(size: number, count: number, warmUp: number): Promise<Distribution> {
    return distributionOf(await this.call('pingPong', size, count, warmUp));
  }
  pace(hz: number, size: number, seconds: number): Promise<number> {
    return this.call('pace', hz, size, seconds);
  }
  latencies(): Promise<number[]> {
    return this.call('latencies');
  }
  snapshot(): Promise<Snapshot> {
    return this.call('snapshot');
  }
}

// ---- the C++ library

type Line = Readonly<Record<string, unknown>>;

// What `listen` takes: the line protocol wants a number, and does not tell which one 0 would have become.
let nextGnsPort = 29_000 + (process.pid % 1000) * 2;
const GNS_MESSAGE_LATENCY_AT = 8;

class GnsPeer implements PeerProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: ((line: Line) => void)[] = [];
  readonly #events: { readonly name: string; readonly resolve: (line: Line) => void }[] = [];
  readonly #latenciesUs: number[] = [];
  readonly #exited: Promise<void>;
  #trouble = '';
  #hasExited = false;
  #rateBytesPerSec = 0;
  #isClient = false;
  #connections = 1;

  constructor({ prefix = [] }: ProcessOptions) {
    const [program, ...args] = [...prefix, GNS_PEER ?? 'gns-peer'];
    this.#child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    // Writing to one that has died.
    this.#child.stdin.on('error', () => {});
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#handle(JSON.parse(line) as Line));
    this.#exited = new Promise((resolve) => {
      const onEnd = () => {
        this.#hasExited = true;
        this.#trouble ||= 'the process has ended';
        const gone = { ev: 'error', message: this.#trouble };
        for (const resolveAnswer of this.#answers.splice(0)) resolveAnswer(gone);
        for (const { resolve: resolveEvent } of this.#events.splice(0)) resolveEvent(gone);
        resolve();
      };
      this.#child.once('exit', onEnd);
      this.#child.once('error', onEnd);
    });
  }

  #handle(line: Line): void {
    const name = line['ev'];
    if (name === 'msg') {
      const stamp = Buffer.from(String(line['hex']), 'hex').readBigUInt64LE(GNS_MESSAGE_LATENCY_AT);
      this.#latenciesUs.push(Number(line['t']) - Number(stamp) / 1e3);
      return;
    }
    if (line['cmd'] !== undefined) this.#answers.shift()?.(line);
    else if (name === 'state' && (line['new'] === 'ClosedByPeer' || line['new'] === 'ProblemDetectedLocally')) {
      this.#trouble ||= `the connection ended: ${line['debug']} (${line['reason']})`;
    }
    const waiting = this.#events.findIndex((event) => event.name === name);
    if (waiting >= 0) this.#events.splice(waiting, 1)[0]!.resolve(line);
  }

  /** Throws for a refusal, and for a connection that has ended in the meantime. */
  async #ask(command: string): Promise<Line> {
    const answer = await new Promise<Line>((resolve) => {
      if (this.#hasExited) resolve({ ev: 'error', message: this.#trouble });
      else {
        this.#answers.push(resolve);
        this.#child.stdin.write(`${command}\n`);
      }
    });
    if (answer['ev'] !== 'ok') throw new Error(`GNS peer: ${command}: ${answer['message']}`);
    if (this.#trouble !== '') throw new Error(`GNS peer: ${this.#trouble}`);
    return answer;
  }

  #event(name: string): Promise<Line> {
    return new Promise((resolve) => this.#events.push({ name, resolve }));
  }

  async #init(wire: Wire): Promise<void> {
    this.#rateBytesPerSec = wire.config?.sendRateMax ?? 10_000_000;
    const rate = this.#rateBytesPerSec;
    await this.#ask('identity str=bench');
    const buffers = 'SendBufferSize=16777216 RecvBufferSize=67108864 RecvBufferMessages=1000000';
    await this.#ask(`init SendRateMin=${rate} SendRateMax=${rate} ${buffers}`);
    // Service rounds sleep this long at most; shorter than the default, for the sake of its latencies.
    await this.#ask(wire.noNagle ? 'tick 0.05' : 'tick 1');
  }

  async listen(wire: Wire, host: string, duty: Duty): Promise<number> {
    await this.#init(wire);
    const port = nextGnsPort++;
    await this.#ask('autoaccept on');
    if (duty !== 'latency') await this.#ask('sink on');
    if (duty === 'echo') await this.#ask('echo on flags=nonagle');
    await this.#ask(`listen id=L addr=${host}:${port}`);
    return port;
  }

  async connect(wire: Wire, host: string, port: number, count: number): Promise<void> {
    await this.#init(wire);
    this.#isClient = true;
    this.#connections = count;
    const done = this.#event('connectbatch');
    await this.#ask(`connect id=P addr=${host}:${port} count=${count}`);
    const { connected } = await done;
    if (connected !== count) throw new Error(`GNS peer: ${connected} of ${count} connections came about`);
  }

  async stream(size: number): Promise<void> {
    const inflight = Math.max(1 << 20, Math.round(this.#rateBytesPerSec * 0.15));
    await this.#ask(`stream id=P.0 size=${size} bytes=1000000000000 inflight=${inflight}`);
  }

  async pingPong(size: number, count: number, warmUp: number): Promise<Distribution> {
    const done = this.#event('pingpong');
    await this.#ask(`pingpong id=P.0 size=${size} count=${count} warmup=${warmUp} flags=reliable,nonagle`);
    const { n, p50, p95, p99, max } = await done;
    return { n: Number(n), p50: Number(p50), p95: Number(p95), p99: Number(p99), max: Number(max) };
  }

  async pace(hz: number, size: number, seconds: number): Promise<number> {
    const reports: Promise<Line>[] = [];
    for (let i = 0; i < this.#connections; i++) {
      reports.push(this.#event('rate'));
      await this.#ask(`rate id=P.${i} hz=${hz} size=${size} seconds=${seconds} flags=reliable,nonagle`);
      await new Promise((resolve) => setTimeout(resolve, 1000 / hz / this.#connections));
    }
    return (await Promise.all(reports)).reduce((sum, report) => sum + Number(report['sent']), 0);
  }

  async latencies(): Promise<number[]> {
    return this.#latenciesUs;
  }

  async snapshot(): Promise<Snapshot> {
    const counters = await this.#ask(this.#isClient ? 'counters id=P.0' : 'counters id=L.1');
    const cpu = await this.#ask('cpu');
    let sent = 0;
    let received = 0;
    for (let i = 0; i < this.#connections; i++) {
      const status = await this.#ask(`status id=${this.#isClient ? `P.${i}` : `L.${i + 1}`}`);
      const packets = status['packets'] as Readonly<Record<string, number>>;
      sent += packets['sent_pkts']!;
      received += packets['recv_pkts']!;
    }
    return {
      atUs: Number(cpu['mono_us']),
      cpuUs: Number(cpu['total_us']),
      messages: Number(counters['rx_msgs']),
      bytes: Number(counters['rx_bytes']),
      packets: { sent, received },
    };
  }

  async stop(): Promise<void> {
    this.#child.stdin.end('quit\n');
    // One that has much unsent takes its time to say goodbye.
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 500);
    await this.#exited;
    clearTimeout(timer);
  }
}

// ---- profiles

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Where a process spent its own time: shares of all samples, largest first, of a file that `--cpu-prof` wrote. */
export function summarizeProfile(path: string, rows = 15): string[] {
  const profile = JSON.parse(readFileSync(path, 'utf8')) as Profile;
  const nameById = new Map(
    profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.split('/').slice(-2).join('/');
      return [id, `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`];
    }),
  );
  const selfUs = new Map<string, number>();
  let totalUs = 0;
  for (const [i, id] of profile.samples.entries()) {
    const name = nameById.get(id)!;
    const deltaUs = profile.timeDeltas[i]!;
    selfUs.set(name, (selfUs.get(name) ?? 0) + deltaUs);
    totalUs += deltaUs;
  }
  const top = [...selfUs].sort(([, a], [, b]) => b - a).slice(0, rows);
  return top.map(([name, us]) => `${((us / totalUs) * 100).toFixed(1).padStart(5)} %  ${name}`);
}

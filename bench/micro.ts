// What the parts cost by themselves: nanoseconds and allocated bytes per operation. Each has a yardstick measured in the
// same rounds. Allocations do not depend on the machine, so `budget.json` limits them and `npm test` checks that.
//
// Measured in a process of its own with a young generation so large that nothing is collected meanwhile: then the heap
// grows by exactly what was allocated. Run alone: npm run bench -- micro

import { createCipheriv, createSecretKey } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { ByteReader } from '../src/core/base/bytes.ts';
import { gcmCipher } from '../src/core/crypto/packet-cipher.ts';
import { portableCrypto } from '../src/core/crypto/portable-curves.ts';
import { sipHash24 } from '../src/core/crypto/siphash.ts';
import { AckTracker } from '../src/core/delivery/ack-tracker.ts';
import { Delivery } from '../src/core/delivery/delivery.ts';
import type { CryptoProvider } from '../src/core/platform.ts';
import { DataHeader, writeDataHeader } from '../src/core/wire/data-packet.ts';
import { FrameWriter } from '../src/core/wire/frame-writer.ts';
import { FrameDecoder, type FrameSink, Outcome } from '../src/core/wire/frames.ts';
import { NodeRandom, nodeCrypto } from '../src/node/crypto.ts';
import { median, printTable, rounded, sleep } from './figures.ts';
import { serve } from './peer.ts';
import { Worker } from './processes.ts';

interface Allocations {
  /** JavaScript heap, and memory outside of it that belongs to it (the contents of buffers). */
  readonly heapBytes: number;
  readonly externalBytes: number;
}

export interface MicroRow extends Partial<Allocations> {
  readonly name: string;
  readonly ns?: number;
  /** Not ours: there to be compared with. */
  readonly isYardstick?: boolean;
  readonly yardstick?: string;
  /** Time over that of the yardstick. */
  readonly ratio?: number;
}

export interface MicroCalls {
  /** With all rounds, or (for a check) allocations alone. */
  measure(mode: 'full' | 'allocations'): Promise<MicroRow[]>;
}

/** Node's flags for the process that measures. */
export const MICRO_FLAGS = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'] as const;

interface Operation {
  readonly name: string;
  readonly run: () => unknown;
  readonly yardstick?: string;
  readonly isYardstick?: boolean;
  /** Too slow, and of no interest, for a check of allocations. */
  readonly isTimedOnly?: boolean;
}

// ---- what is measured

const PLAIN_BYTES = 1200;
const copy1200 = 'copy 1200 B';

function yardsticks(): Operation[] {
  const [from, to] = [new Uint8Array(PLAIN_BYTES).fill(1), new Uint8Array(PLAIN_BYTES)];
  const key = createSecretKey(new Uint8Array(32));
  const nonce = new Uint8Array(12);
  const bare = (bytes: number) => {
    const plain = new Uint8Array(bytes);
    const out = new Uint8Array(bytes + 16);
    return () => {
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
      out.set(cipher.update(plain), 0);
      cipher.final();
      out.set(cipher.getAuthTag(), bytes);
    };
  };
  return [
    { name: copy1200, run: () => to.set(from), isYardstick: true },
    { name: 'createCipheriv 64 B', run: bare(64), isYardstick: true },
    { name: 'createCipheriv 1200 B', run: bare(PLAIN_BYTES), isYardstick: true },
  ];
}

const NOBODY: FrameSink = {
  nextPacketNumber: 1000,
  maxSegmentsPerPacket: 1300,
  onSelectLane: () => {},
  highestMessageNumber: () => 0,
  streamEnd: () => 0,
  onUnreliableSegment: () => Outcome.Ok,
  onReliableSegment: () => Outcome.Ok,
  onStopWaiting: () => Outcome.Ok,
  onAck: () => Outcome.Ok,
};

function codec(): Operation[] {
  const data = new Uint8Array(1100).fill(5);
  const writer = new FrameWriter(new Uint8Array(1500));
  const write = () => {
    writer.begin();
    writer.stopWaiting(20);
    writer.ackHeader(990, 10, 3);
    for (let i = 0; i < 3; i++) writer.ackBlock(5, 1);
    writer.reliableSegment(100_000, data.length, true);
    writer.append(data, 0, data.length);
  };
  write();
  const payload = writer.bytes.slice(0, writer.pos);
  const reader = new ByteReader();
  const decoder = new FrameDecoder();
  const header = new DataHeader();
  const datagram = new Uint8Array(1300);
  const noBlob = new Uint8Array(0);
  let number = 0;
  return [
    { name: 'codec: write the frames of a packet', run: write, yardstick: copy1200 },
    {
      name: 'codec: read the frames of a packet',
      run: () => {
        reader.reset(payload, 0, payload.length);
        return decoder.decode(reader, 995, NOBODY);
      },
      yardstick: copy1200,
    },
    {
      name: 'codec: header there and back',
      run: () => {
        writeDataHeader(datagram, 0x1234_5678, number++, noBlob, 0, -1);
        reader.reset(datagram, 0, datagram.length);
        return header.read(reader);
      },
      yardstick: copy1200,
    },
  ];
}

function ackVectors(): Operation[] {
  const writer = new FrameWriter(new Uint8Array(1500));
  /** Every `lossEvery`th packet is missing; an ack after each 32. */
  const tracked = (lossEvery: number) => {
    const tracker = new AckTracker();
    let number = 2;
    let nowUs = 1_000_000;
    return () => {
      if (number % lossEvery === 0) number++;
      tracker.onPacket(number, nowUs);
      nowUs += 20;
      if (number++ % 32 !== 0) return;
      tracker.onStopWaiting(number - 100, number);
      tracker.requestBy(nowUs);
      writer.begin();
      tracker.plan(nowUs, 1000, true);
      tracker.write(writer, nowUs);
    };
  };
  return [
    { name: 'ack vector: a packet, none lost', run: tracked(Number.POSITIVE_INFINITY), yardstick: copy1200 },
    { name: 'ack vector: a packet, one of ten lost', run: tracked(10), yardstick: copy1200 },
  ];
}

/** Both halves of a connection without network and cipher. */
class Couple {
  readonly #near = newDelivery();
  readonly #far = newDelivery();
  readonly #writer = new FrameWriter(new Uint8Array(1500));
  readonly #reader = new ByteReader();
  #nowUs = 1_000_000;
  #message = 0;

  constructor(lanes: number) {
    this.#near.configureLanes(Array.from({ length: lanes }, (_, i) => ({ priority: i % 2, weight: 1 + i })));
  }

  /** A message of `size` on the next lane; all its packets, and their acks. */
  exchange(size: number, isReliable: boolean, lanes: number): void {
    this.#near.enqueue(new Uint8Array(size), isReliable, true, this.#message++ % lanes, this.#nowUs);
    while (this.#near.pendingBytes > 0) this.#packet(this.#near, this.#far);
    if (this.#message % 16 === 0) this.#packet(this.#far, this.#near);
    while (this.#far.receiver.take() !== undefined);
    this.#nowUs += 50;
  }

  #packet(from: Delivery, to: Delivery): void {
    from.packetDueUs(this.#nowUs);
    const { number } = from.fillPacket(this.#writer, 1232, this.#nowUs);
    from.bucket.spend(0);
    // The receiver may keep views: what it is given is its own, as if decrypted.
    const bytes = this.#writer.bytes.slice(0, this.#writer.pos);
    this.#reader.reset(bytes, 0, bytes.length);
    to.receive(this.#reader, number, this.#nowUs);
  }
}

function newDelivery(): Delivery {
  const delivery = new Delivery(
    { sendBufferBytes: 524_288, nagleUs: 5000, redundantSends: 0 },
    {
      recvBufferBytes: 1_048_576,
      recvBufferMessages: 1000,
      recvMaxMessageBytes: 524_288,
      recvMaxSegmentsPerPacket: 1300,
    },
  );
  delivery.fullPacketBytes = 1232;
  delivery.start(2, 1_000_000);
  return delivery;
}

function deliveries(): Operation[] {
  const of = (name: string, size: number, isReliable: boolean, lanes: number): Operation => {
    const couple = new Couple(lanes);
    return { name, run: () => couple.exchange(size, isReliable, lanes), yardstick: copy1200 };
  };
  return [
    of('delivery: 64 B, unreliable', 64, false, 1),
    of('delivery: 64 B, reliable', 64, true, 1),
    of('delivery: 1200 B, reliable', 1200, true, 1),
    { ...of('delivery: 64 KiB, reliable', 65_536, true, 1), isTimedOnly: true },
    of('scheduler: 64 B, reliable, on 8 lanes', 64, true, 8),
  ];
}

function cipher(bytes: number): Operation[] {
  const packetCipher = gcmCipher(nodeCrypto.aead(new Uint8Array(32)), new Uint8Array(12));
  const plain = new Uint8Array(1300);
  const datagram = new Uint8Array(1400);
  const sealed = new Uint8Array(1400);
  const end = 7 + packetCipher.seal(1, plain, bytes, sealed, 7);
  const yardstick = `createCipheriv ${bytes} B`;
  let number = 2;
  return [
    { name: `cipher: seal ${bytes} B`, run: () => packetCipher.seal(number++, plain, bytes, datagram, 7), yardstick },
    { name: `cipher: open ${bytes} B`, run: () => packetCipher.open(1, sealed, 7, end), yardstick },
  ];
}

function curves(crypto: CryptoProvider): Operation[] {
  const message = new Uint8Array(100).fill(1);
  const signing = crypto.signingKey();
  const signature = signing.sign(message);
  const exchange = crypto.exchangeKey();
  const peer = crypto.exchangeKey().publicKey;
  const runs: Record<string, () => unknown> = {
    'new signing key': () => crypto.signingKey(),
    'new exchange key': () => crypto.exchangeKey(),
    sign: () => signing.sign(message),
    verify: () => crypto.verify(signing.publicKey, message, signature),
    agree: () => exchange.agree(peer),
  };
  const isYardstick = crypto === nodeCrypto;
  return Object.entries(runs).map(([name, run]) => ({
    name: `${crypto.name}: ${name}`,
    run,
    isTimedOnly: true,
    ...(isYardstick ? {} : { yardstick: `${nodeCrypto.name}: ${name}` }),
  }));
}

function sipHash(): Operation {
  const [key, input] = [new Uint8Array(16), new Uint8Array(20)];
  return { name: 'SipHash-2-4 of 20 B', run: () => sipHash24(key, input), yardstick: copy1200 };
}

function operations(): Operation[] {
  return [
    ...yardsticks(),
    ...codec(),
    ...ackVectors(),
    ...deliveries(),
    ...cipher(64),
    ...cipher(PLAIN_BYTES),
    sipHash(),
    ...curves(nodeCrypto),
    ...curves(portableCrypto(nodeCrypto, new NodeRandom())),
  ];
}

// ---- how

const ROUNDS = 7;
const ROUND_MS = 15;
const WARM_UP_RUNS = 10_000;
/** So few that what they allocate outside of the heap starts no collection either. */
const COUNTED_RUNS = 400;
const COUNTS = 7;
/** Contents of collected buffers are freed a little later, by another thread. */
const SWEEP_MS = 15;

function timeNs(run: () => unknown): number {
  const startMs = performance.now();
  let times = 0;
  let elapsedMs = 0;
  while (elapsedMs < ROUND_MS) {
    for (let i = 0; i < 10; i++) run();
    times += 10;
    elapsedMs = performance.now() - startMs;
  }
  return (elapsedMs * 1e6) / times;
}

/** The median of several counts: what the compiler allocates meanwhile is not the operation's. */
async function countAllocations(run: () => unknown): Promise<Allocations> {
  for (let i = 0; i < WARM_UP_RUNS; i++) run();
  const heap: number[] = [];
  const external: number[] = [];
  for (let count = 0; count < COUNTS; count++) {
    globalThis.gc!();
    await sleep(SWEEP_MS);
    const before = process.memoryUsage();
    for (let i = 0; i < COUNTED_RUNS; i++) run();
    const after = process.memoryUsage();
    heap.push((after.heapUsed - before.heapUsed) / COUNTED_RUNS);
    external.push((after.external - before.external) / COUNTED_RUNS);
  }
  return { heapBytes: Math.round(median(heap)), externalBytes: Math.round(median(external)) };
}

class Micro implements MicroCalls {
  async measure(mode: 'full' | 'allocations'): Promise<MicroRow[]> {
    const all = operations().filter(({ isTimedOnly }) => mode === 'full' || !isTimedOnly);
    const allocated = new Map<string, Allocations>();
    for (const operation of all) {
      if (!operation.isTimedOnly) allocated.set(operation.name, await countAllocations(operation.run));
    }
    const times = new Map<string, number[]>(all.map(({ name }) => [name, []]));
    for (let round = 0; round < (mode === 'full' ? ROUNDS : 0); round++) {
      for (const { name, run } of all) times.get(name)!.push(timeNs(run));
    }
    const nsOf = (name: string) => median(times.get(name)!);
    return all.map(({ name, yardstick, isYardstick }) => ({
      name,
      ...(isYardstick ? { isYardstick } : {}),
      ...allocated.get(name),
      ...(mode === 'full' ? { ns: Math.round(nsOf(name)) } : {}),
      ...(mode === 'full' && yardstick !== undefined
        ? { yardstick, ratio: rounded(nsOf(name) / nsOf(yardstick), 2) }
        : {}),
    }));
  }
}

export async function micro(): Promise<MicroRow[]> {
  const worker = new Worker<MicroCalls>('micro', { nodeOptions: MICRO_FLAGS });
  try {
    const rows = await worker.call('measure', 'full');
    printTable(
      ['', 'ns', 'heap B', 'external B', 'times', 'of'],
      rows.map((row) => [
        row.name,
        row.ns ?? '',
        row.heapBytes ?? '',
        row.externalBytes ?? '',
        row.ratio ?? '',
        row.yardstick ?? '',
      ]),
    );
    return rows;
  } finally {
    await worker.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(new Micro());

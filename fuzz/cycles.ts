// Connections come and go by the thousand; what they leave behind is weighed after forced collections.

import { setTimeout } from 'node:timers/promises';
import { Networking } from '../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../src/testing.ts';

export interface CyclesReport {
  readonly cycles: number;
  /** After a collection: when a tenth of the cycles was over, and in the end. */
  readonly heapBytesBefore: number;
  readonly heapBytesAfter: number;
  /** What would keep the process alive. */
  readonly leftovers: readonly string[];
}

const PORT = 27_015;
const SECOND = 1_000_000;
/** Longer than the time-out of a connection, and than FinWait. */
const FORGET_US = 30 * SECOND;
/** Ended connections answer late packets for so long. */
const FIN_WAIT_MS = 6_000;
const AT_ONCE = 10;
const MESSAGE = new Uint8Array(300);
/** What a process holds that never did anything. */
const ORDINARY_RESOURCES: ReadonlySet<string> = new Set(['TTYWrap', 'PipeWrap', 'FSReqCallback', 'Immediate']);

/** Real sockets on this machine: connect, talk, close, all by the book. */
export async function connectPlayClose(cycles: number): Promise<CyclesReport> {
  const server = new Networking();
  const socket = server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
  socket.on('connection', ({ connection }) => {
    connection.on('message', ({ data }) => connection.send(data));
    connection.on('ended', () => connection.close());
  });
  const client = new Networking();
  const address = `127.0.0.1:${socket.address.port}`;
  const cycle = async () => {
    const connection = await client.connect(address);
    const answered = new Promise((resolve) => connection.once('message', resolve));
    connection.send(MESSAGE);
    await answered;
    const { delivered } = await connection.close({ linger: true });
    if (!delivered) throw new Error('a message was not delivered');
  };
  const round = async () => {
    await Promise.all(Array.from({ length: AT_ONCE }, cycle));
  };
  const report = await measured(cycles, AT_ONCE, round, () => setTimeout(FIN_WAIT_MS));
  await Promise.all([client.close(), server.close()]);
  await setTimeout(FIN_WAIT_MS);
  return { ...report, leftovers: resources() };
}

/** Simulated machines: the client's process is killed in the midst of it, and the server has to find out. */
export async function connectKill(cycles: number): Promise<CyclesReport> {
  const network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
  const serverHost = network.host('server');
  const clientHost = network.host('client');
  const server = new Networking({ platform: serverHost.platform });
  const socket = server.listen({ port: PORT, autoAccept: true });
  socket.on('connection', ({ connection }) => {
    connection.on('message', ({ data }) => connection.send(data));
    connection.on('ended', () => connection.close());
  });
  const round = async () => {
    const client = new Networking({ platform: clientHost.platform });
    const connection = await network.settle(client.connect(`${serverHost.address}:${PORT}`), FORGET_US);
    connection.send(MESSAGE);
    await network.advance(SECOND / 10);
    clientHost.kill();
    await network.advance(FORGET_US);
  };
  const report = await measured(cycles, 1, round, () => network.advance(FORGET_US));
  await network.settle(server.close(), FORGET_US);
  const { openPorts, pendingAlarms } = network;
  return { ...report, leftovers: [...resources(), ...list('port', openPorts), ...list('alarm', pendingAlarms)] };
}

/** Some `cycles`, so many to a round; `rest` lets what has ended be forgotten. */
async function measured(
  cycles: number,
  perRound: number,
  round: () => Promise<void>,
  rest: () => Promise<void>,
): Promise<Omit<CyclesReport, 'leftovers'>> {
  const rounds = Math.ceil(cycles / perRound);
  // What is made once, and what the compiler learns, is there after a while.
  const warmUp = Math.ceil(rounds / 10);
  let heapBytesBefore = 0;
  for (let number = 0; number < rounds; number++) {
    if (number === warmUp) {
      await rest();
      heapBytesBefore = await heapBytes();
    }
    await round();
  }
  await rest();
  return { cycles: rounds * perRound, heapBytesBefore, heapBytesAfter: await heapBytes() };
}

async function heapBytes(): Promise<number> {
  // What a turn of the event loop lets go is collected in the next.
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc?.();
  }
  return process.memoryUsage().heapUsed;
}

function resources(): string[] {
  return process.getActiveResourcesInfo().filter((name) => !ORDINARY_RESOURCES.has(name));
}

function list(what: string, count: number): string[] {
  return Array.from({ length: count }, () => what);
}

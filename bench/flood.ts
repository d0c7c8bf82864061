// What a flood of handshake packets from made-up addresses does to those who play: 100 clients send and get a reliable
// message 60 times a second, first undisturbed, then while another process sends 50,000 datagrams a second from many
// addresses of 127.0.0.0/8 without ever reading an answer. Prints the round trip of the messages (median, 99 %), what the
// server answered strangers, what it cost, and its memory. Flood and server compete for the same cores.

import { fork } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { encodeControlPacket, MAX_CONTROL_PACKET_BYTES } from '../src/core/wire/control-packets.ts';
import { NO_IDENTITY_FIELDS } from '../src/core/wire/identity-fields.ts';
import { type Connection, type IncomingMessage, type ListenSocket, Networking } from '../src/index.ts';

const PLAYERS = 100;
const HZ = 60;
const SECONDS = Number(process.env['FLOOD_SECONDS'] ?? 5);
const FLOOD_PER_SEC = Number(process.env['FLOOD_PER_SEC'] ?? 50_000);
const SOURCES = 200;

type Role = 'players' | 'flood';

interface Report {
  readonly what: 'ready' | 'roundTrips' | 'sent';
  readonly roundTripsMs?: readonly number[];
  readonly sent?: number;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// ---- the players

async function play(port: number): Promise<void> {
  const net = new Networking();
  const roundTripsMs: number[] = [];
  const connections = await Promise.all(Array.from({ length: PLAYERS }, () => net.connect(`127.0.0.1:${port}`)));
  const onMessage = ({ data }: IncomingMessage) => {
    const sentAtUs = new DataView(data.buffer, data.byteOffset).getFloat64(0);
    roundTripsMs.push((net.nowUs() - sentAtUs) / 1000);
  };
  for (const connection of connections) connection.on('message', onMessage);
  process.on('message', (order: 'report') => {
    if (order !== 'report') return;
    process.send?.({ what: 'roundTrips', roundTripsMs: roundTripsMs.splice(0) } satisfies Report);
  });
  process.send?.({ what: 'ready' } satisfies Report);
  const payload = new Uint8Array(64);
  for (let dueUs = net.nowUs(); ; dueUs += 1e6 / HZ) {
    await pause(Math.max(0, (dueUs - net.nowUs()) / 1000));
    for (const connection of connections) send(connection, payload, net.nowUs());
  }
}

function send(connection: Connection, payload: Uint8Array, nowUs: number): void {
  if (connection.state !== 'Connected') throw new Error(`a player lost its connection: ${connection.info.endDebug}`);
  new DataView(payload.buffer).setFloat64(0, nowUs);
  connection.send(payload, { noNagle: true });
}

// ---- the flood

/** Half of them ask for a challenge, half claim to have been given one. */
function datagrams(): readonly Uint8Array[] {
  const out = new Uint8Array(MAX_CONTROL_PACKET_BYTES);
  const question = { kind: 'challengeRequest', connectionId: 7, timestamp: 7n, protocolVersion: 13 } as const;
  const cert = { cert: new Uint8Array(60), caKeyId: undefined, caSignature: undefined };
  const crypt = { info: new Uint8Array(60), signature: new Uint8Array(64) };
  const own = { clientConnectionId: 7, challenge: 0x1234_5678_9abcn, timestamp: 7n, pingEstimateMs: undefined };
  const request = { kind: 'connectRequest', ...own, cert, crypt, identity: NO_IDENTITY_FIELDS } as const;
  return [question, request].map((packet) => out.slice(0, encodeControlPacket(packet, out)));
}

async function flood(port: number): Promise<void> {
  const sources: Socket[] = [];
  for (let i = 0; i < SOURCES; i++) {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4096 });
    socket.bind(0, `127.${1 + (i % 100)}.${i % 250}.${1 + (i % 200)}`);
    await once(socket, 'listening');
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    sources.push(socket);
  }
  const packets = datagrams();
  const startMs = performance.now();
  let sent = 0;
  for (; performance.now() - startMs < SECONDS * 1000; ) {
    const due = Math.min(((performance.now() - startMs) * FLOOD_PER_SEC) / 1000, sent + 1000);
    for (; sent < due; sent++) sources[sent % SOURCES]!.send(packets[(sent >> 3) % packets.length]!);
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.send?.({ what: 'sent', sent } satisfies Report);
  process.exit(0);
}

// ---- the server

class Child {
  readonly #process;

  constructor(role: Role, port: number) {
    this.#process = fork(fileURLToPath(import.meta.url), [role, String(port)]);
  }

  async report(what: Report['what']): Promise<Report> {
    for (;;) {
      const [report] = (await once(this.#process, 'message')) as [Report];
      if (report.what === what) return report;
    }
  }

  order(order: 'report'): void {
    this.#process.send(order);
  }

  kill(): void {
    this.#process.kill();
  }
}

function share(sorted: readonly number[], ratio: number): number {
  return sorted[Math.floor(sorted.length * ratio)] ?? Number.NaN;
}

interface Measured {
  /** Round trip that 99 % of the messages stay below. */
  readonly highMs: number;
  /** Of the server, of one core. */
  readonly cpuShare: number;
}

/** Lets the players play for a while, and prints how it went. */
async function measure(title: string, players: Child, busy: Promise<unknown>): Promise<Measured> {
  players.order('report');
  await players.report('roundTrips');
  const before = process.cpuUsage();
  const startMs = performance.now();
  await busy;
  const { user, system } = process.cpuUsage(before);
  const cpuShare = (user + system) / 1000 / (performance.now() - startMs);
  players.order('report');
  const sorted = [...(await players.report('roundTrips')).roundTripsMs!].sort((a, b) => a - b);
  const [median, high] = [share(sorted, 0.5), share(sorted, 0.99)];
  const memoryMb = process.memoryUsage().rss / 2 ** 20;
  console.log(
    `${title.padEnd(8)} ${sorted.length} messages, round trip ${median.toFixed(1)} ms, 99 %: ${high.toFixed(1)} ms;` +
      ` server: ${(100 * cpuShare).toFixed(0)} % of a core, ${memoryMb.toFixed(0)} MiB`,
  );
  return { highMs: high, cpuShare };
}

function echo(socket: ListenSocket): void {
  socket.on('connection', ({ connection }) => {
    connection.on('message', ({ data }) => connection.send(data, { noNagle: true }));
  });
}

export async function main(): Promise<void> {
  await using net = new Networking();
  const socket = net.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
  echo(socket);
  const { port } = socket.address;
  const players = new Child('players', port);
  try {
    await players.report('ready');
    await pause(1000);
    const quiet = await measure('quiet', players, pause(SECONDS * 1000));
    const before = socket.strangers;
    const attacker = new Child('flood', port);
    const report = attacker.report('sent');
    const flooded = await measure('flooded', players, report);
    const { sent = 0 } = await report;
    const { receivedDatagrams, sentDatagrams, amplification, dropped } = socket.strangers;
    const received = receivedDatagrams - before.receivedDatagrams;
    console.log(
      `flood    ${Math.round(sent / SECONDS)} datagrams a second sent, ${Math.round(received / SECONDS)} received`,
    );
    console.log(
      `         ${sentDatagrams} answered, amplification ${amplification.toFixed(3)}; dropped:`,
      nonZero(dropped),
    );
    const costUs = ((flooded.cpuShare - quiet.cpuShare) * SECONDS * 1e6) / Math.max(1, received);
    console.log(`         the flood adds ${(flooded.highMs - quiet.highMs).toFixed(1)} ms to the 99 % of round trips`);
    console.log(`         each datagram that came costs the server ${costUs.toFixed(1)} us, reading it included`);
  } finally {
    players.kill();
  }
}

function nonZero(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

const [role, port] = process.argv.slice(2);
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (role === 'players') await play(Number(port));
  else if (role === 'flood') await flood(Number(port));
  else await main();
}

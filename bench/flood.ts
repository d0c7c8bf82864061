// What a flood of handshake packets from made-up addresses does to those who play: 100 clients send and get a reliable
// message 60 times a second, first undisturbed, then while another process sends 50,000 datagrams a second from many
// addresses of 127.0.0.0/8 without ever reading an answer. Prints the round trip of the messages (median, 99 %), what the
// server answered strangers, what it cost, what the system dropped before the server read it, and the server's memory.
//
// Server, players and flood are a process each. Players and flood stand for other machines, so the server has a core to
// itself, where there are two and `taskset` (FLOOD_PIN=0: wherever the system puts them). With three cores players and
// flood have one each; with two they share the other, and there the players go first. What the system does to deliver
// a datagram on this machine, it does on the sender's core: an Internet flood would cost the server's machine that, too.
// The flood comes evenly, as from far away, not in the bursts of a sender that waited for its core.

import { execFileSync, fork } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism, constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { encodeControlPacket, MAX_CONTROL_PACKET_BYTES } from '../src/core/wire/control-packets.ts';
import { NO_IDENTITY_FIELDS } from '../src/core/wire/identity-fields.ts';
import { type Connection, type IncomingMessage, type ListenSocket, Networking } from '../src/index.ts';

const PLAYERS = 100;
const HZ = 60;
const SECONDS = Number(process.env['FLOOD_SECONDS'] ?? 5);
const FLOOD_PER_SEC = Number(process.env['FLOOD_PER_SEC'] ?? 50_000);
/** The beginning of a flood is shown apart: V8 has yet to compile what it sets in motion. */
const BEGINNING_SECONDS = 2;
const SOURCES = 200;
/** As even as a sleep can be; what waited for the core is made up for in bursts of 2.5 ms. */
const FLOOD_PAUSE_MS = 0.2;
const MOST_AT_ONCE = Math.ceil(FLOOD_PER_SEC / 400);

type Role = 'players' | 'flood';

interface Report {
  readonly what: 'ready' | 'roundTrips' | 'sent';
  readonly roundTripsMs?: readonly number[];
  readonly sent?: number;
  /** Of the flood, of one core. */
  readonly cpuShare?: number;
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

/** Never comes back to the event loop while it sends: so answers stay unread, and cost nothing. */
async function flood(port: number): Promise<void> {
  const sources: Socket[] = [];
  for (let i = 0; i < SOURCES; i++) {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4096 });
    socket.bind(0, `127.${1 + (i % 100)}.${i % 250}.${1 + (i % 200)}`);
    await once(socket, 'listening');
    // The system knows the way of a connected socket's datagrams already.
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    sources.push(socket);
  }
  process.send?.({ what: 'ready' } satisfies Report);
  const packets = datagrams();
  const bed = new Int32Array(new SharedArrayBuffer(4));
  const before = process.cpuUsage();
  const startMs = performance.now();
  const passedMs = () => performance.now() - startMs;
  let sent = 0;
  while (passedMs() < (BEGINNING_SECONDS + SECONDS) * 1000) {
    const due = Math.min((passedMs() * FLOOD_PER_SEC) / 1000, sent + MOST_AT_ONCE);
    for (; sent < due; sent++) sources[sent % SOURCES]!.send(packets[(sent >> 3) % packets.length]!);
    Atomics.wait(bed, 0, 0, FLOOD_PAUSE_MS);
  }
  const { user, system } = process.cpuUsage(before);
  process.send?.({ what: 'sent', sent, cpuShare: (user + system) / 1000 / passedMs() } satisfies Report, () =>
    process.exit(0),
  );
}

// ---- the server

const CORES = availableParallelism();

/** Whether the process, and all of its threads, runs on this core only from now on. */
function pin(pid: number, core: number): boolean {
  if (process.env['FLOOD_PIN'] === '0' || CORES < 2) return false;
  try {
    execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Datagrams to this port that the system dropped because nobody read them in time; NaN where it does not tell. */
function unreadDatagrams(port: number): number {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  try {
    const rows = readFileSync('/proc/net/udp', 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
    return Number(rows.find((row) => row[1] === local)?.at(-1));
  } catch {
    return Number.NaN;
  }
}

class Child {
  readonly #process;

  constructor(role: Role, port: number, core: number) {
    this.#process = fork(fileURLToPath(import.meta.url), [role, String(port)]);
    const { pid } = this.#process;
    if (pid === undefined) return;
    pin(pid, core);
    if (role === 'flood') setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
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
  const isPinned = pin(process.pid, 0);
  console.log(isPinned ? 'the server has a core to itself' : 'the server shares its cores with players and flood');
  const players = new Child('players', port, 1);
  try {
    await players.report('ready');
    await pause(1000);
    const quiet = await measure('quiet', players, pause(SECONDS * 1000));
    const attacker = new Child('flood', port, Math.min(2, CORES - 1));
    await attacker.report('ready');
    const before = socket.strangers;
    const unreadBefore = unreadDatagrams(port);
    const report = attacker.report('sent');
    await measure('at first', players, pause(BEGINNING_SECONDS * 1000));
    const flooded = await measure('flooded', players, report);
    const { sent = 0, cpuShare = 0 } = await report;
    const { receivedDatagrams, sentDatagrams, amplification, dropped } = socket.strangers;
    const received = receivedDatagrams - before.receivedDatagrams;
    const floodSeconds = BEGINNING_SECONDS + SECONDS;
    console.log(
      `flood    ${Math.round(sent / floodSeconds)} datagrams a second sent (${(100 * cpuShare).toFixed(0)} % of a core),` +
        ` ${Math.round(received / floodSeconds)} received; ${unreadDatagrams(port) - unreadBefore} of all never read`,
    );
    console.log(
      `         ${sentDatagrams} answered, amplification ${amplification.toFixed(3)}; dropped:`,
      nonZero(dropped),
    );
    const costUs = ((flooded.cpuShare - quiet.cpuShare) * floodSeconds * 1e6) / Math.max(1, received);
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

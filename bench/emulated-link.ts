// Two network namespaces with a bad link between them, for everything that speaks IP: kernel TCP and this library meet
// the very same losses and delays. Each namespace has one TUN device. Its packets come to us through `socat` as UDP
// datagrams, and a process of ours decides what becomes of each: dropped, delayed, held back, or queued behind others.
// Needs Linux, root, `ip` and `socat`; `whyNoEmulatedLink` says what is missing.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '../src/core/base/random.ts';
import { type LinkConditions, LinkSimulator } from '../src/netsim/conditions.ts';
import { sleep } from './figures.ts';
import { monotonicUs, serve } from './peer.ts';
import { Worker } from './processes.ts';

/** Addresses of the two ends. */
export const NEAR_HOST = '10.231.7.1';
export const FAR_HOST = '10.231.7.2';

/** For each end: the relay's UDP port, and the one that `socat` is to use. */
export interface RelayPorts {
  readonly near: readonly [relay: number, socat: number];
  readonly far: readonly [relay: number, socat: number];
}

export interface RelayCalls {
  start(seed: number, conditions: LinkConditions): Promise<RelayPorts>;
  /** IP bytes that were sent to this port of the far end, and that it sent back, whatever became of them. */
  bytesOfPort(port: number): readonly [sent: number, returned: number];
}

export function whyNoEmulatedLink(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces need Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  for (const program of ['ip', 'socat']) {
    try {
      execFileSync(program, ['-V'], { stdio: 'ignore' });
    } catch {
      return `there is no program "${program}"`;
    }
  }
  return undefined;
}

export class EmulatedLink implements AsyncDisposable {
  readonly #name: string;
  readonly #relay = new Worker<RelayCalls>('emulated-link');
  readonly #socats: ChildProcess[] = [];

  private constructor(name: string) {
    this.#name = name;
  }

  /** Both directions get the same conditions, with different dice. */
  static async open(conditions: LinkConditions, seed: number): Promise<EmulatedLink> {
    const link = new EmulatedLink(`bench-${process.pid}`);
    try {
      const { near, far } = await link.#relay.call('start', seed, conditions);
      await link.#addEnd('near', NEAR_HOST, near);
      await link.#addEnd('far', FAR_HOST, far);
      return link;
    } catch (error) {
      await link[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What to put in front of a command so that it runs at one end. */
  prefix(end: 'near' | 'far'): readonly string[] {
    return ['ip', 'netns', 'exec', `${this.#name}-${end}`];
  }

  bytesOfPort(port: number): Promise<readonly [sent: number, returned: number]> {
    return this.#relay.call('bytesOfPort', port);
  }

  async #addEnd(end: 'near' | 'far', host: string, [relayPort, socatPort]: readonly [number, number]): Promise<void> {
    const namespace = `${this.#name}-${end}`;
    const device = `bt${process.pid % 1e6}${end[0]}`;
    ip('netns', 'add', namespace);
    // The device is made here and moved: its packets stay where they were, in the hands of this socat.
    const udp = `UDP4:${LOCAL}:${relayPort},bind=${LOCAL}:${socatPort},rcvbuf=4194304`;
    const tun = `TUN,tun-name=${device},tun-type=tun,iff-no-pi`;
    const socat = spawn('socat', [tun, udp], { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#socats.push(socat);
    for (let tries = 0; !existsSync(`/sys/class/net/${device}`); tries++) {
      if (tries > 100) throw new Error('socat made no TUN device');
      await sleep(20);
    }
    ip('link', 'set', device, 'netns', namespace);
    ip('-n', namespace, 'addr', 'add', `${host}/24`, 'dev', device);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'link', 'set', device, 'mtu', '1500', 'up');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socat of this.#socats) socat.kill();
    for (const end of ['near', 'far']) {
      try {
        execFileSync('ip', ['netns', 'del', `${this.#name}-${end}`], { stdio: 'ignore' });
      } catch {
        // It was never made.
      }
    }
    await this.#relay.stop();
  }
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

// ---- the process between the two ends

/** One direction: what waits, in the order of arrival. */
class Direction {
  readonly #simulator: LinkSimulator;
  readonly #deliver: (packet: Buffer) => void;
  readonly #waiting: { readonly atUs: number; readonly packet: Buffer }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(seed: number, conditions: LinkConditions, deliver: (packet: Buffer) => void) {
    this.#simulator = new LinkSimulator(new SeededRandom(seed), conditions);
    this.#deliver = deliver;
  }

  handle(packet: Buffer): void {
    const passage = this.#simulator.transmit(packet.length, monotonicUs());
    if ('drop' in passage) return;
    for (const atUs of passage.arrivalsUs) {
      let place = this.#waiting.length;
      while (place > 0 && this.#waiting[place - 1]!.atUs > atUs) place--;
      this.#waiting.splice(place, 0, { atUs, packet });
    }
    this.#deliverDue();
  }

  #deliverDue(): void {
    const nowUs = monotonicUs();
    while (this.#waiting.length > 0 && this.#waiting[0]!.atUs <= nowUs) this.#deliver(this.#waiting.shift()!.packet);
    clearTimeout(this.#timer);
    const next = this.#waiting[0];
    if (next !== undefined) this.#timer = setTimeout(() => this.#deliverDue(), Math.ceil((next.atUs - nowUs) / 1e3));
  }
}

class Relay implements RelayCalls {
  /** By the far end's port, both directions. */
  readonly #bytesByPort = new Map<number, [number, number]>();

  async start(seed: number, conditions: LinkConditions): Promise<RelayPorts> {
    const near = await openRelaySocket();
    const far = await openRelaySocket();
    const nearSocat = await findFreePort();
    const farSocat = await findFreePort();
    const toNear = new Direction(seed, conditions, (packet) => near.send(packet, nearSocat, LOCAL));
    const toFar = new Direction(seed + 1, conditions, (packet) => far.send(packet, farSocat, LOCAL));
    near.on('message', (packet) => {
      this.#count(packet, 0);
      toFar.handle(packet);
    });
    far.on('message', (packet) => {
      this.#count(packet, 1);
      toNear.handle(packet);
    });
    return { near: [near.address().port, nearSocat], far: [far.address().port, farSocat] };
  }

  bytesOfPort(port: number): readonly [sent: number, returned: number] {
    return [this.#bytesByPort.get(port)?.[0] ?? 0, this.#bytesByPort.get(port)?.[1] ?? 0];
  }

  #count(packet: Buffer, direction: 0 | 1): void {
    const port = farPortOf(packet, direction);
    const counts = this.#bytesByPort.get(port) ?? [0, 0];
    counts[direction] += packet.length;
    this.#bytesByPort.set(port, counts);
  }
}

/** The port of the far end in an IPv4 packet of TCP or UDP, which have it in the same place; 0 for other packets. */
function farPortOf(packet: Buffer, direction: 0 | 1): number {
  const headerBytes = (packet[0]! & 15) * 4;
  const isV4 = packet[0]! >> 4 === 4;
  if (!isV4 || packet.length < headerBytes + 4 || (packet[9] !== 6 && packet[9] !== 17)) return 0;
  return packet.readUInt16BE(headerBytes + (direction === 0 ? 2 : 0));
}

const LOCAL = '127.0.0.1';

async function openRelaySocket(): Promise<dgram.Socket> {
  const socket = dgram.createSocket({ type: 'udp4', lookup: (host, _options, callback) => callback(null, host, 4) });
  await new Promise<void>((resolve) => socket.bind(0, LOCAL, resolve));
  socket.setRecvBufferSize(4 << 20);
  socket.on('error', () => {});
  return socket;
}

async function findFreePort(): Promise<number> {
  const socket = await openRelaySocket();
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(new Relay());

// Routers of every kind on real sockets: network namespaces of Linux, joined by a bridge that plays the Internet, with
// nftables for the NATs and coturn as STUN and TURN server. Needs root, `ip`, `nft` and `turnserver`.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatKind } from '../../src/testing.ts';

/** Of all names that are visible outside; what is left of an earlier run is removed. */
const PREFIX = 'natmatrix';
const INTERNET = `${PREFIX}-inet`;
const TURN_PROGRAM = process.env['TURN_SERVER'] ?? '/usr/bin/turnserver';
const CREDENTIALS = 'user:secret';
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const EXIT_INTERRUPTED = 130;
/** A second address shows whether a NAT is symmetric. */
export const SERVERS = ['203.0.113.1', '203.0.113.2'] as const;

/** Why there can be no such laboratory here; undefined if there can. */
export function obstacle(): string | undefined {
  if (process.env['NAT_LAB'] !== '1') return 'set NAT_LAB=1';
  if (process.getuid?.() !== 0) return 'be root';
  for (const program of ['ip', 'nft']) {
    try {
      execFileSync(program, ['-V'], { stdio: 'ignore' });
    } catch {
      return `install ${program}`;
    }
  }
  return existsSync(TURN_PROGRAM) ? undefined : 'install coturn';
}

export class NamespaceLab implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), `${PREFIX}-`));
  #turn: ChildProcess | undefined;

  private constructor() {}

  static async start(): Promise<NamespaceLab> {
    removeAll();
    const lab = new NamespaceLab();
    process.once('exit', lab.#cleanUp);
    for (const signal of SIGNALS) process.once(signal, lab.#onSignal);
    ip(['netns', 'add', INTERNET]);
    inside(INTERNET, ['link', 'set', 'lo', 'up']);
    inside(INTERNET, ['link', 'add', 'hub', 'type', 'bridge']);
    inside(INTERNET, ['link', 'set', 'hub', 'up']);
    for (const address of SERVERS) inside(INTERNET, ['addr', 'add', `${address}/24`, 'dev', 'hub']);
    await lab.#startTurn();
    return lab;
  }

  async #startTurn(): Promise<void> {
    const args = [
      ...['-n', ...SERVERS.flatMap((address) => ['-L', address]), '-E', SERVERS[0], '-p', '3478', '--no-cli'],
      ...['--no-tls', '--no-dtls', '--lt-cred-mech', '-r', 'example.org', '-u', CREDENTIALS, '--log-file', 'stdout'],
      ...['--pidfile', join(this.#folder, 'pid'), '-b', join(this.#folder, 'db')],
    ];
    this.#turn = spawn('ip', ['netns', 'exec', INTERNET, TURN_PROGRAM, ...args], { stdio: 'ignore' });
    const listens = () => String(ipIn(INTERNET, ['ss', '-Hlun'])).includes(`${SERVERS[1]}:3478`);
    for (let waited = 0; !listens(); waited += 50) {
      if (waited > 5_000) throw new Error('coturn did not start in 5 s');
      await sleep(50);
    }
  }

  /** A namespace for a peer, behind a router of this kind. `number`: 1 or 2. Returns its name. */
  addPeer(number: number, kind: 'none' | NatKind): string {
    const peer = `${PREFIX}-${number}`;
    const outside = `203.0.113.${10 + number}/24`;
    this.#addNamespace(peer);
    if (kind === 'none') {
      plug(INTERNET, `to${number}`, peer, 'out', outside);
      return peer;
    }
    const router = `${PREFIX}-${number}-router`;
    this.#addNamespace(router);
    plug(INTERNET, `to${number}`, router, 'out', outside);
    // All homes look alike.
    plug(router, 'in', peer, 'eth0', '192.168.0.2/24');
    inside(router, ['addr', 'add', '192.168.0.1/24', 'dev', 'in']);
    inside(peer, ['route', 'add', 'default', 'via', '192.168.0.1']);
    ipIn(router, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
    ipIn(router, ['nft', '-f', '-'], rulesOf(kind));
    return peer;
  }

  #addNamespace(name: string): void {
    ip(['netns', 'add', name]);
    inside(name, ['link', 'set', 'lo', 'up']);
  }

  /** Takes the peers and their routers away; the Internet stays. */
  removePeers(): void {
    // With a namespace its cables go, too, but some time later.
    const links = String(ip(['-n', INTERNET, '-br', 'link', 'show', 'type', 'veth'])).split('\n');
    for (const line of links) if (line !== '') inside(INTERNET, ['link', 'delete', line.split(/[@ ]/)[0]!]);
    for (const name of namespaces()) if (name !== INTERNET) ip(['netns', 'delete', name]);
  }

  /** Whatever happens to the tests. */
  readonly #cleanUp = () => {
    this.#turn?.kill('SIGKILL');
    removeAll();
    rmSync(this.#folder, { recursive: true, force: true });
  };
  readonly #onSignal = () => process.exit(EXIT_INTERRUPTED);

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#cleanUp);
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    const turn = this.#turn;
    if (turn !== undefined && turn.exitCode === null && turn.signalCode === null) {
      const gone = new Promise((resolve) => turn.once('exit', resolve));
      turn.kill('SIGKILL');
      await gone;
    }
    this.#cleanUp();
  }
}

/** How to run a program of ours there. */
export function commandIn(namespace: string, ...command: readonly string[]) {
  return { command: 'ip', args: ['netns', 'exec', namespace, ...command] };
}

/**
 * Datagrams that nobody asked for must not reach the router itself: it would remember them, and give what goes out to
 * the same place another port than the one everybody knows.
 */
function rulesOf(kind: NatKind): string {
  const masquerade = kind === 'symmetric' ? 'masquerade random,fully-random' : 'masquerade';
  const whom = { fullCone: '', restrictedCone: 'ip saddr @known ' } as const;
  const letIn =
    kind === 'fullCone' || kind === 'restrictedCone'
      ? `iifname "out" ${whom[kind]}udp dport 1024-65535 dnat to 192.168.0.2`
      : '';
  return `table ip router {
    set known {
      type ipv4_addr
      flags timeout
    }
    chain arriving {
      type nat hook prerouting priority dstnat
      ${letIn}
    }
    chain passing {
      type filter hook forward priority filter
      ${kind === 'udpBlocked' ? 'meta l4proto udp drop' : 'oifname "out" update @known { ip daddr timeout 60s }'}
    }
    chain forus {
      type filter hook input priority filter
      iifname "out" meta l4proto udp drop
    }
    chain leaving {
      type nat hook postrouting priority srcnat
      oifname "out" ${masquerade}
    }
  }
`;
}

/** A cable; the end in `namespace` gets the address, the other joins the bridge if there is one. */
function plug(far: string, farName: string, namespace: string, name: string, address: string): void {
  inside(far, ['link', 'add', farName, 'type', 'veth', 'peer', 'name', name, 'netns', namespace]);
  if (far === INTERNET) inside(far, ['link', 'set', farName, 'master', 'hub']);
  inside(far, ['link', 'set', farName, 'up']);
  inside(namespace, ['addr', 'add', address, 'dev', name]);
  inside(namespace, ['link', 'set', name, 'up']);
}

function namespaces(): string[] {
  const lines = String(ip(['netns', 'list'])).split('\n');
  return lines.map((line) => line.split(' ')[0]!).filter((name) => name.startsWith(`${PREFIX}-`));
}

function removeAll(): void {
  for (const name of namespaces()) ip(['netns', 'delete', name]);
}

function ip(args: readonly string[]): Buffer {
  return execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

function inside(namespace: string, args: readonly string[]): void {
  ip(['-n', namespace, ...args]);
}

function ipIn(namespace: string, command: readonly string[], input?: string): Buffer {
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], { ...(input === undefined ? {} : { input }) });
}

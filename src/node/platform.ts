// The machine we run on: its clock, timers, sockets, name service, randomness and cryptography.
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { NetworkingError } from '../core/base/errors.ts';
import { NEVER, US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import { portableCrypto } from '../core/crypto/portable-curves.ts';
import type { Alarm, InterfaceAddress, Platform } from '../core/platform.ts';
import { NodeRandom, nodeCrypto } from './crypto.ts';
import { openUdpPort } from './udp-port.ts';

export interface NodePlatformOptions {
  /** Whose Ed25519 and X25519: Node's own (the default), or plain JavaScript, 15 to 90 times slower. */
  readonly crypto?: 'node' | 'tweetnacl';
}

export function nodePlatform(options: NodePlatformOptions = {}): Platform {
  const random = new NodeRandom();
  return {
    nowUs,
    unixTimeS: () => Math.floor(Date.now() / 1_000),
    openUdp: (udpOptions, sink) => openUdpPort(udpOptions, sink, nowUs),
    newAlarm: (onFire) => new TimeoutAlarm(onFire),
    defer: (task) => {
      setImmediate(task);
    },
    localAddresses,
    resolve,
    random,
    crypto: options.crypto === 'tweetnacl' ? portableCrypto(nodeCrypto, random) : nodeCrypto,
  };
}

/** The system's monotonic clock (CLOCK_MONOTONIC), which all processes of the machine share. */
function nowUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * US_PER_SECOND + Math.trunc(nanoseconds / 1_000);
}

function localAddresses(): InterfaceAddress[] {
  const found = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return found.map(({ address, cidr }) => (cidr === null ? { address } : { address, prefixLength: prefixOf(cidr) }));
}

/** Of `10.1.2.3/8`. */
function prefixOf(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

async function resolve(host: string): Promise<readonly string[]> {
  try {
    const found = await lookup(host, { all: true, verbatim: true });
    return found.map(({ address }) => address);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new NetworkingError('ResolveFailed', `cannot resolve "${host}": ${reason}`, { cause: error });
  }
}

// What setTimeout takes; a later deadline is looked at again then.
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/**
 * Deadlines move at every packet, mostly to later, while moving a timer costs. So the timer stays where it is as long
 * as it is early enough, and is set again if it fires too early.
 */
class TimeoutAlarm implements Alarm {
  readonly #onFire: (nowUs: number) => void;
  #deadlineUs = NEVER;
  #timer: NodeJS.Timeout | undefined;
  /**
   * In place of the timer, for a deadline that has passed: the shortest timer takes a millisecond. Never unref'd: the event loop
   * would then sleep before it.
   */
  #immediate: NodeJS.Immediate | undefined;
  #timerAtUs = NEVER;
  #keepAlive = true;

  constructor(onFire: (nowUs: number) => void) {
    this.#onFire = onFire;
  }

  set(atUs: number): void {
    this.#deadlineUs = atUs;
    // A timer that waits for nothing would keep the process alive.
    if (atUs === NEVER) this.#stop();
    else if (atUs < this.#timerAtUs) this.#start(nowUs());
  }

  setRef(keepAlive: boolean): void {
    this.#keepAlive = keepAlive;
    if (keepAlive) this.#timer?.ref();
    else this.#timer?.unref();
  }

  #start(now: number): void {
    this.#stop();
    const delayMs = Math.ceil((this.#deadlineUs - now) / US_PER_MS);
    this.#timerAtUs = this.#deadlineUs;
    if (delayMs <= 0) this.#immediate = setImmediate(this.#onTimeout);
    else this.#timer = setTimeout(this.#onTimeout, Math.min(delayMs, MAX_TIMEOUT_MS));
    if (!this.#keepAlive) this.#timer?.unref();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = this.#immediate = undefined;
    this.#timerAtUs = NEVER;
  }

  readonly #onTimeout = (): void => {
    const now = nowUs();
    this.#stop();
    if (this.#deadlineUs > now) {
      this.#start(now);
      return;
    }
    this.#deadlineUs = NEVER;
    this.#onFire(now);
  };
}

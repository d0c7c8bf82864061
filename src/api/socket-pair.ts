// Two connections of one process with each other: over UDP on this machine, or in memory without any network. Spec:
// 04 §4.12, 05 "CreateSocketPair", 06 §6.1 "Pipe connections".

import { Fifo } from '../core/base/fifo.ts';
import type { Identity } from '../core/base/identity.ts';
import { NEVER, US_PER_SECOND } from '../core/base/time.ts';
import { ConfigScope } from '../core/config/scope.ts';
import type { ConnectionConfigOptions } from '../core/config/values.ts';
import type { Endpoint } from '../core/endpoint/endpoint.ts';
import type { Member } from '../core/endpoint/member.ts';
import type { Alarm, DatagramSink, NetAddress, Platform, UdpPort } from '../core/platform.ts';
import type { Driver, PortOpener } from './driver.ts';

export interface SocketPairOptions {
  /** `udp`: encrypted, through two ports on 127.0.0.1. `memory`: nothing leaves the process. Default: `memory`. */
  readonly loopback?: 'memory' | 'udp';
  /** Who the first connection sees at its other end, and who the second one does. Default: nobody in particular. */
  readonly identities?: readonly [string | Identity, string | Identity];
  /** Values for both connections. */
  readonly config?: ConnectionConfigOptions;
}

/** As much as there is: between two ends in one process nothing is gained by holding back. */
const MEMORY_CONFIG: ConnectionConfigOptions = {
  unencrypted: 3,
  nagleTime: 0,
  sendRateMin: 0x1000_0000,
  sendRateMax: 0x1000_0000,
  sendBufferSize: 0x1000_0000,
  recvBufferSize: 0x1000_0000,
  recvBufferMessages: 0x1000_0000,
};

/** Opens both ports, and the pair on them. Throws `BindFailed`, `LimitExceeded`, and as `config.set` does. */
export function openSocketPair(
  driver: Driver,
  endpoint: Endpoint,
  loopback: 'memory' | 'udp',
  identities: readonly [Identity, Identity],
  config: ConnectionConfigOptions,
): readonly [Member, Member] {
  const { platform } = driver;
  const isInMemory = loopback === 'memory';
  const scopes = [0, 1].map(() => {
    const scope = new ConfigScope('connection', endpoint.config);
    if (isInMemory) scope.setAll(MEMORY_CONFIG);
    scope.setAll(config);
    return scope;
  });
  const kind = isInMemory ? ({ kind: 'memory' } as const) : {};
  const link = new MemoryLink(platform);
  const open: PortOpener = (sink) =>
    isInMemory ? link.open(sink) : driver.fakePorts.open({ address: '127.0.0.1', port: 0 }, sink);
  let members: readonly [Member, Member] | undefined;
  // One within the other, so that a failure closes both.
  driver.attachPort(open, (first) => {
    driver.attachPort(open, (second) => {
      members = endpoint.pair(
        [
          { path: { port: first, remote: second.local, ...kind }, config: scopes[0]!, remoteIdentity: identities[0] },
          { path: { port: second, remote: first.local, ...kind }, config: scopes[1]!, remoteIdentity: identities[1] },
        ],
        platform.nowUs(),
      );
      return endpoint.clientTarget(members[1]);
    });
    return endpoint.clientTarget(members![0]);
  });
  return members!;
}

/** Carries datagrams between two ports, each to the other. They arrive in the next turn of the event loop. */
class MemoryLink {
  readonly platform: Platform;
  readonly #ports: MemoryPort[] = [];
  readonly #onTheWay = new Fifo<{ readonly to: MemoryPort; readonly bytes: Uint8Array }>();

  constructor(platform: Platform) {
    this.platform = platform;
  }

  open(sink: DatagramSink): UdpPort {
    const port = new MemoryPort(this, sink);
    this.#ports.push(port);
    return port;
  }

  carry(from: MemoryPort, bytes: Uint8Array): void {
    const to = this.#ports.find((port) => port !== from);
    if (to === undefined) return;
    if (this.#onTheWay.length === 0) this.platform.defer(() => this.#deliver());
    this.#onTheWay.push({ to, bytes });
  }

  #deliver(): void {
    const nowUs = this.platform.nowUs();
    for (let left = this.#onTheWay.length; left > 0; left--) {
      const { to, bytes } = this.#onTheWay.shift()!;
      to.receive(bytes, nowUs);
    }
  }
}

/** A timer that does nothing but keep the process alive, as an open socket would. */
const KEEP_ALIVE_US = 3_600 * US_PER_SECOND;

class MemoryPort implements UdpPort {
  /** No address: nobody but the other port knows this one. */
  readonly local: NetAddress = { address: '::', port: 0 };
  readonly #link: MemoryLink;
  readonly #sink: DatagramSink;
  readonly #alarm: Alarm;
  #isOpen = true;

  constructor(link: MemoryLink, sink: DatagramSink) {
    this.#link = link;
    this.#sink = sink;
    this.#alarm = link.platform.newAlarm(() => this.#keepAlive());
    this.#keepAlive();
  }

  #keepAlive(): void {
    this.#alarm.set(this.#link.platform.nowUs() + KEEP_ALIVE_US);
  }

  send(bytes: Uint8Array, length: number): boolean {
    if (this.#isOpen) this.#link.carry(this, bytes.slice(0, length));
    return this.#isOpen;
  }

  receive(bytes: Uint8Array, nowUs: number): void {
    if (this.#isOpen) this.#sink.onDatagram(bytes, this.local, nowUs);
  }

  setRef(keepAlive: boolean): void {
    this.#alarm.setRef(keepAlive);
  }

  close(): void {
    this.#isOpen = false;
    this.#alarm.set(NEVER);
  }
}

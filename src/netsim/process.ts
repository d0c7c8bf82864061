// A process on a simulated host: `Platform` in virtual time, with ports, alarms and deferred tasks that can be frozen,
// thawed and killed like those of a real process. Made by network.ts, which also carries the datagrams.

import { NetworkingError } from '../core/base/errors.ts';
import { Fifo } from '../core/base/fifo.ts';
import { SeededRandom } from '../core/base/random.ts';
import { NEVER } from '../core/base/time.ts';
import type {
  Alarm,
  CryptoProvider,
  DatagramSink,
  InterfaceAddress,
  NetAddress,
  Platform,
  Random,
  UdpPort,
  UdpPortOptions,
} from '../core/platform.ts';
import type { ScheduledEvent, Task, VirtualClock } from './clock.ts';
import { type PortOwner, PortTable, parseHost, type SimulatedPort } from './ports.ts';

/** A datagram on its way. IPv4 addresses are plain here, whatever the ports at the ends call them. */
export interface Datagram {
  readonly from: NetAddress;
  readonly to: NetAddress;
  readonly bytes: Uint8Array;
  /** Network time. */
  readonly sentAtUs: number;
}

export type ReceiveFate = 'delivered' | 'noPort' | 'receiveBufferFull';

/** What a process stands on, and what can go wrong with it. Its host changes it while the process runs. */
export interface Machine {
  /** As `IpAddress.host` prints them. */
  addresses: readonly string[];
  /** What its clock shows more than the network's. */
  clockOffsetUs: number;
  /** What its wall clock shows more than it should. */
  wallClockOffsetS: number;
  /** Share of sends that the system refuses. */
  refusedSendRatio: number;
}

export const INTACT = { clockOffsetUs: 0, wallClockOffsetS: 0, refusedSendRatio: 0 } as const;

/** What a process has around it. */
export interface Surroundings {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly crypto: CryptoProvider;
  readonly machine: Machine;
  transmit(datagram: Datagram): void;
  /** Told once for each datagram given to `SimulatedProcess.receive`. */
  finish(datagram: Datagram, fate: ReceiveFate): void;
  /** Told of a send that an operating system would have refused at once. */
  refuse(): void;
  addressesOf(hostName: string): readonly string[] | undefined;
}

// Largest payload of UDP over IPv4.
const MAX_DATAGRAM_BYTES = 65_507;
// Linux's default (net.core.rmem_default): what waits in a socket whose process does not run.
const RECEIVE_BUFFER_BYTES = 212_992;

export class SimulatedProcess implements Platform, PortOwner {
  readonly random: Random;
  readonly crypto: CryptoProvider;
  readonly #around: Surroundings;
  readonly #ports: PortTable;
  readonly #armedAlarms = new Set<SimulatedAlarm>();
  /** Received but not read: filled while the process is frozen. */
  readonly #unread = new Fifo<{ readonly port: SimulatedPort; readonly datagram: Datagram }>();
  readonly #heldTasks = new Fifo<Task>();
  readonly #faults = new SeededRandom(1);
  #isFrozen = false;
  #isDead = false;

  constructor(around: Surroundings) {
    this.#around = around;
    this.random = around.random;
    this.crypto = around.crypto;
    this.#ports = new PortTable(around.machine);
  }

  /** Virtual time since an arbitrary moment, so that certificates can be made to expire. */
  unixTimeS(): number {
    return UNIX_START_S + Math.floor(this.nowUs() / 1e6) + this.#around.machine.wallClockOffsetS;
  }

  nowUs(): number {
    return this.#around.clock.nowUs + this.#around.machine.clockOffsetUs;
  }

  openUdp(options: UdpPortOptions, sink: DatagramSink): UdpPort {
    if (this.#isDead) throw new NetworkingError('BindFailed', 'the simulated process was killed');
    if (options.reusePort === true)
      throw new NetworkingError('NotSupported', 'simulated hosts cannot share a UDP port');
    return this.#ports.bind(options, sink, this);
  }

  newAlarm(onFire: (nowUs: number) => void): Alarm {
    return new SimulatedAlarm(this, this.#around, this.#armedAlarms, onFire);
  }

  defer(task: Task): void {
    if (!this.#isDead) this.#around.clock.defer(() => this.#runOrHold(task));
  }

  localAddresses(): readonly InterfaceAddress[] {
    return this.#around.machine.addresses.map((address) => ({ address }));
  }

  async resolve(host: string): Promise<readonly string[]> {
    const numeric = parseHost(host);
    if (numeric) return [numeric.host];
    const addresses = host === 'localhost' ? ['127.0.0.1', '::1'] : this.#around.addressesOf(host);
    if (!addresses) throw new NetworkingError('ResolveFailed', `no host of this network is called "${host}"`);
    return addresses;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get openPorts(): number {
    return this.#ports.open.length;
  }

  get pendingAlarms(): number {
    return this.#armedAlarms.size;
  }

  /** Whether an open port or an armed alarm would keep a real process from exiting. */
  get isKeptAlive(): boolean {
    return this.#ports.open.some((port) => port.isRef) || [...this.#armedAlarms].some((alarm) => alarm.isRef);
  }

  /** Stops the process between two tasks. Datagrams wait in the receive buffers; alarms and deferred tasks wait too. */
  freeze(): void {
    this.#isFrozen = true;
    for (const alarm of this.#armedAlarms) alarm.suspend();
  }

  /** Lets it go on: with the datagrams that waited, then with what was deferred, then with the alarms now overdue. */
  thaw(): void {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    this.#around.clock.schedule(this.#around.clock.nowUs, () => this.#catchUp());
    const earliestFirst = [...this.#armedAlarms].sort((a, b) => a.dueAtUs - b.dueAtUs);
    for (const alarm of earliestFirst) alarm.resume();
  }

  /** Nothing of it runs any more, and its ports vanish without a word. */
  die(): void {
    this.#isDead = true;
    for (const alarm of [...this.#armedAlarms]) alarm.set(NEVER);
    for (const port of this.#ports.open) this.#ports.remove(port);
    this.#readAll();
    this.#heldTasks.clear();
  }

  breakPorts(): void {
    for (const port of this.#ports.open) port.isBroken = true;
  }

  /** Time jumps forth: what was due in between is due now. */
  skipTime(durationUs: number): void {
    this.#around.machine.clockOffsetUs += durationUs;
    for (const alarm of [...this.#armedAlarms])
      alarm.set(alarm.dueAtUs + this.#around.machine.clockOffsetUs - durationUs);
  }

  /** A datagram has arrived at the host. */
  receive(datagram: Datagram): void {
    const port = this.#ports.find(datagram.to);
    // What waits is read first, even if the process goes on at this very instant.
    const mustWait = this.#isFrozen || this.#unread.length > 0;
    if (!port || port.isBroken) this.#around.finish(datagram, 'noPort');
    else if (!mustWait) this.#read(port, datagram);
    else if (port.unreadBytes + datagram.bytes.length > RECEIVE_BUFFER_BYTES) {
      this.#around.finish(datagram, 'receiveBufferFull');
    } else {
      port.unreadBytes += datagram.bytes.length;
      this.#unread.push({ port, datagram });
    }
  }

  /** For `SimulatedPort`. */
  sendFrom(port: SimulatedPort, bytes: Uint8Array, length: number, to: NetAddress): boolean {
    const route = length <= MAX_DATAGRAM_BYTES ? this.#ports.route(port, to) : undefined;
    const { refusedSendRatio } = this.#around.machine;
    const isRefused = refusedSendRatio > 0 && this.#faults.float() < refusedSendRatio;
    if (!route || port.isBroken || isRefused) {
      this.#around.refuse();
      return false;
    }
    // Not `slice`: that of a Node `Buffer` shares the memory.
    const copy = new Uint8Array(length);
    copy.set(bytes.subarray(0, length));
    this.#around.transmit({ ...route, bytes: copy, sentAtUs: this.#around.clock.nowUs });
    return true;
  }

  /** For `SimulatedPort`. */
  closePort(port: SimulatedPort): void {
    this.#ports.remove(port);
  }

  #catchUp(): void {
    this.#readAll();
    if (this.#isFrozen) return;
    for (let task = this.#heldTasks.shift(); task; task = this.#heldTasks.shift()) this.defer(task);
  }

  #readAll(): void {
    while (!this.#isFrozen || this.#isDead) {
      const next = this.#unread.shift();
      if (!next) return;
      next.port.unreadBytes -= next.datagram.bytes.length;
      this.#read(next.port, next.datagram);
    }
  }

  #read(port: SimulatedPort, datagram: Datagram): void {
    this.#around.finish(datagram, port.isOpen ? 'delivered' : 'noPort');
    if (port.isOpen) port.sink.onDatagram(datagram.bytes, port.nameOf(datagram.from), this.nowUs());
  }

  #runOrHold(task: Task): void {
    if (this.#isDead) return;
    if (this.#isFrozen) this.#heldTasks.push(task);
    else task();
  }
}

class SimulatedAlarm implements Alarm {
  readonly #process: SimulatedProcess;
  readonly #around: Surroundings;
  /** Those of its process that wait; an alarm is in there exactly while it is armed. */
  readonly #armed: Set<SimulatedAlarm>;
  readonly #onFire: (nowUs: number) => void;
  #event: ScheduledEvent | undefined;
  /** Network time. */
  dueAtUs = NEVER;
  isRef = true;

  constructor(
    process: SimulatedProcess,
    around: Surroundings,
    armed: Set<SimulatedAlarm>,
    onFire: (nowUs: number) => void,
  ) {
    this.#process = process;
    this.#around = around;
    this.#armed = armed;
    this.#onFire = onFire;
  }

  set(atUs: number): void {
    this.suspend();
    this.dueAtUs = this.#process.isDead ? NEVER : Math.ceil(atUs - this.#around.machine.clockOffsetUs);
    if (this.dueAtUs === NEVER) {
      this.#armed.delete(this);
      return;
    }
    this.#armed.add(this);
    if (!this.#process.isFrozen) this.resume();
  }

  setRef(keepAlive: boolean): void {
    this.isRef = keepAlive;
  }

  /** Keeps the deadline but lets it pass. */
  suspend(): void {
    this.#event?.cancel();
  }

  resume(): void {
    const { clock } = this.#around;
    this.#event = clock.schedule(Math.max(this.dueAtUs, clock.nowUs), () => this.#fire());
  }

  #fire(): void {
    this.dueAtUs = NEVER;
    this.#armed.delete(this);
    this.#onFire(this.#process.nowUs());
  }
}

/** 2026-01-01, when virtual time is 0. */
const UNIX_START_S = 1_767_225_600;

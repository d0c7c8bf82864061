// A machine of the simulated network: its addresses, its clock, its cable, and the process that runs on it. Whatever a
// test does to one machine (pull the cable, suspend or kill the process) is done here.

import type { Platform } from '../core/platform.ts';
import type { Realm, SimulatedNat } from './nat.ts';
import { type Datagram, type Machine, SimulatedProcess, type Surroundings } from './process.ts';

export interface HostOptions {
  /** Numeric. One IPv4 and one IPv6 address that nobody else has, if absent. */
  readonly addresses?: readonly string[];
  /** What this host's clock shows more than the network's: clocks of different machines never agree. 0 if absent. */
  readonly clockOffsetUs?: number;
  /** The NAT that it is behind, in whose address space it lives; on the Internet if absent. */
  readonly behind?: SimulatedNat;
}

export class SimulatedHost {
  readonly name: string;
  /** For `SimulatedNetwork`. */
  readonly machine: Machine;
  /** Who has which address around it. For `SimulatedNetwork`. */
  readonly realm: Realm;
  readonly #startProcess: () => SimulatedProcess;
  #process: SimulatedProcess;
  #isPlugged = true;

  /** Made by `SimulatedNetwork.host`. `surroundings` is asked once per process. */
  constructor(name: string, machine: Machine, realm: Realm, surroundings: () => Surroundings) {
    this.name = name;
    this.machine = machine;
    this.realm = realm;
    this.#startProcess = () => new SimulatedProcess(surroundings());
    this.#process = this.#startProcess();
  }

  /** The platform of the process that runs now: another one after `kill`. */
  get platform(): Platform {
    return this.#process;
  }

  /** As `IpAddress.host` prints them. */
  get addresses(): readonly string[] {
    return this.machine.addresses;
  }

  /** First IPv4 address, or the first one if there is none. */
  get address(): string {
    return this.addresses.find((address) => !address.includes(':')) ?? this.addresses[0]!;
  }

  get isPlugged(): boolean {
    return this.#isPlugged;
  }

  get isFrozen(): boolean {
    return this.#process.isFrozen;
  }

  get openPorts(): number {
    return this.#process.openPorts;
  }

  get pendingAlarms(): number {
    return this.#process.pendingAlarms;
  }

  /** Whether an open port or an armed alarm would keep a real process from exiting. */
  get isKeptAlive(): boolean {
    return this.#process.isKeptAlive;
  }

  /** Pulls the cable: nothing leaves or arrives, and nobody is told. Loopback goes on. */
  unplug(): void {
    this.#isPlugged = false;
  }

  plug(): void {
    this.#isPlugged = true;
  }

  /** Suspends the process: datagrams wait in its receive buffers, alarms and deferred tasks do not run. */
  freeze(): void {
    this.#process.freeze();
  }

  /** Continues it: datagrams that waited are handled now, then deferred tasks, then overdue alarms. */
  thaw(): void {
    this.#process.thaw();
  }

  /** Ends the process at once: ports and alarms are gone and nobody is told. `platform` is that of a new process. */
  kill(): void {
    this.#process.die();
    this.#process = this.#startProcess();
  }

  /**
   * From now on the system refuses this share of sends, and says so at once: no buffers, no route, a firewall. 0 ends it.
   */
  refuseSends(ratio: number): void {
    this.machine.refusedSendRatio = ratio;
  }

  /** All sockets that are open now go dead: nothing comes, and every send fails. Closing them is all that still works. */
  breakPorts(): void {
    this.#process.breakPorts();
  }

  /** The monotonic clock skips so much, as after a machine was suspended; alarms in between are overdue. */
  skipTime(durationUs: number): void {
    this.#process.skipTime(durationUs);
  }

  /** Somebody sets the wall clock, forth or back. */
  setWallClock(offsetS: number): void {
    this.machine.wallClockOffsetS = offsetS;
  }

  /** For `SimulatedNetwork`: a datagram has come out of the cable. */
  receive(datagram: Datagram): void {
    this.#process.receive(datagram);
  }
}

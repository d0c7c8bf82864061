// Turns the crank: hands what the platform brings to the endpoint, and what the endpoint wants to the platform and the
// application. Every input ends in a settle, so that no output can be forgotten.

import { LONG_AGO, NEVER, US_PER_MS } from '../core/base/time.ts';
import { TransmitSlot } from '../core/connection/environment.ts';
import type { Endpoint } from '../core/endpoint/endpoint.ts';
import type { DatagramTarget, EndpointEvent, Member } from '../core/endpoint/member.ts';
import type { Alarm, DatagramSink, NetAddress, Platform, UdpPort, UdpPortOptions } from '../core/platform.ts';
import { FakePorts, type TracedPacket } from './fake-network.ts';

/** What comes later than this was not delayed by a slow timer or much traffic. */
const STALL_US = 200 * US_PER_MS;

/** Datagrams that come closer together than this are settled all at once, after the last that lies ready. */
const FLOW_US = 50;

/** Makes a port that hands what it receives to `sink`. */
export type PortOpener = (sink: DatagramSink) => UdpPort;

export class Driver {
  readonly platform: Platform;
  /** Between our ports and the platform's. */
  readonly fakePorts: FakePorts;
  readonly #endpoint: Endpoint;
  readonly #dispatch: (event: EndpointEvent) => void;
  readonly #alarm: Alarm;
  readonly #slot = new TransmitSlot();
  readonly #ports = new Set<UdpPort>();
  #alarmAtUs = NEVER;
  /** When a settle was asked for that is to come in the same turn of the event loop; NEVER if none was. */
  #plannedAtUs = NEVER;
  /** When the event loop certainly ran. */
  #awakeAtUs = 0;
  #hasStalled = false;
  /** When the last datagram came. */
  #receivedAtUs = LONG_AGO;
  #keepsAlive = true;
  #isSettlePlanned = false;
  #isSettling = false;

  constructor(
    platform: Platform,
    endpoint: Endpoint,
    dispatch: (event: EndpointEvent) => void,
    trace?: (packet: TracedPacket) => void,
  ) {
    this.platform = platform;
    this.fakePorts = new FakePorts(platform, endpoint.config, trace);
    this.#endpoint = endpoint;
    this.#dispatch = dispatch;
    this.#alarm = platform.newAlarm((nowUs) => this.#onAlarm(nowUs));
    // Open ports keep the process alive, not the clock.
    this.#alarm.setRef(false);
  }

  /** Whether open ports keep the process alive. */
  setRef(keepAlive: boolean): void {
    this.#keepsAlive = keepAlive;
    for (const port of this.#ports) port.setRef(keepAlive);
  }

  /** Opens a port; what it receives goes to the target that `connect` makes for it. Throws `BindFailed`. */
  openPort<T extends DatagramTarget>(options: UdpPortOptions, connect: (port: UdpPort) => T): T {
    return this.attachPort((sink) => this.fakePorts.open(options, sink), connect);
  }

  /** As `openPort`, for a port of any making. */
  attachPort<T extends DatagramTarget>(open: PortOpener, connect: (port: UdpPort) => T): T {
    let target: T | undefined;
    const port = open({
      onDatagram: (bytes: Uint8Array, from: NetAddress, nowUs: number) => {
        target?.handleDatagram(bytes, bytes.length, from, nowUs);
        this.#onReceived(nowUs);
      },
    });
    this.#ports.add(port);
    if (!this.#keepsAlive) port.setRef(false);
    try {
      target = connect(port);
    } catch (error) {
      this.#closePort(port);
      throw error;
    }
    this.poke();
    return target;
  }

  /** One datagram alone is answered at once; in a flow the cost of a settle is shared. */
  #onReceived(nowUs: number): void {
    const isAlone = nowUs >= this.#receivedAtUs + FLOW_US;
    this.#receivedAtUs = nowUs;
    // In a flood most are dropped.
    if (this.#endpoint.isIdle) return;
    if (isAlone && !this.#isSettlePlanned) this.settle(nowUs);
    else this.poke();
  }

  #onAlarm(nowUs: number): void {
    this.#noticeStall(nowUs);
    if (!this.#hasStalled) {
      this.#onTime(nowUs);
      return;
    }
    // What peers sent meanwhile lies unread in the sockets: that goes first.
    this.#hasStalled = false;
    this.platform.defer(() => this.#onTime(this.platform.nowUs()));
  }

  /**
   * If our own event loop stood still, the time that we did not listen is not held against the peers. It is known for how
   * long at least, and since when at most; the latter counts in their favour.
   */
  #noticeStall(nowUs: number): void {
    const awakeAtUs = this.#awakeAtUs;
    const stallUs = nowUs - Math.max(awakeAtUs, Math.min(this.#alarmAtUs, this.#plannedAtUs));
    this.#awakeAtUs = nowUs;
    if (stallUs < STALL_US) return;
    this.#hasStalled = true;
    this.#endpoint.onStall(stallUs, nowUs - awakeAtUs, nowUs);
  }

  #onTime(nowUs: number): void {
    this.#endpoint.handleTimeout(nowUs);
    this.settle();
  }

  /** This port is needed again. */
  refPort(port: UdpPort): void {
    port.setRef(this.#keepsAlive);
  }

  #closePort(port: UdpPort): void {
    this.#ports.delete(port);
    port.close();
  }

  /** Something was done to this connection. */
  touch(member: Member): void {
    this.#endpoint.touch(member);
    this.poke();
  }

  /** Something was done: settle soon, together with whatever else happens in this turn. */
  poke(): void {
    if (this.#isSettlePlanned || this.#isSettling) return;
    this.#isSettlePlanned = true;
    this.#plannedAtUs = this.platform.nowUs();
    this.platform.defer(this.#settlePlanned);
  }

  readonly #settlePlanned = (): void => {
    this.#isSettlePlanned = false;
    this.settle();
  };

  /** Sends all that may be sent, tells all that is to be told, and sets the alarm. */
  settle(startedAtUs = this.platform.nowUs()): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    const { platform } = this;
    let nowUs = startedAtUs;
    // Before the alarm that would have told is moved.
    this.#noticeStall(nowUs);
    this.#plannedAtUs = NEVER;
    this.#transmit(nowUs);
    // What the application does when it is told may lead to more.
    for (let event = this.#endpoint.pollEvent(); event !== undefined; event = this.#endpoint.pollEvent()) {
      this.#plannedAtUs = nowUs;
      this.#tell(event);
      nowUs = platform.nowUs();
      this.#noticeStall(nowUs);
      this.#plannedAtUs = NEVER;
      this.#transmit(nowUs);
    }
    for (let port = this.#endpoint.pollReleasedPort(); port !== undefined; port = this.#endpoint.pollReleasedPort()) {
      this.#closePort(port);
    }
    this.#alarmAtUs = this.#endpoint.nextTimeoutUs();
    this.#alarm.set(this.#alarmAtUs);
    this.#isSettling = false;
  }

  #transmit(nowUs: number): void {
    const slot = this.#slot;
    let lastPort: UdpPort | undefined;
    while (this.#endpoint.pollTransmit(slot, nowUs)) {
      const { port, remote } = slot.path!;
      if (lastPort !== port) lastPort?.flush?.();
      lastPort = port;
      if (!port.send(slot.bytes, slot.length, remote)) this.#endpoint.onSendFailed();
    }
    lastPort?.flush?.();
  }

  /** An application's error is the application's: it surfaces as uncaught, and does not stop us. */
  #tell(event: EndpointEvent): void {
    try {
      this.#dispatch(event);
    } catch (error) {
      this.platform.defer(() => {
        throw error;
      });
    }
  }
}

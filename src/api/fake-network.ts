// Makes a good network bad, to try a program out: loses, delays, reorders, duplicates and limits the datagrams of an
// instance, on whatever platform it lives; and shows those that remain. Spec: "Fake network simulation" (06 §6.4), values
// 2 – 8, 26 – 28, 41 – 45, 53 – 58 (06 §6.2).

import { IpAddress } from '../core/base/address.ts';
import { Fifo } from '../core/base/fifo.ts';
import { LONG_AGO, NEVER, US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import type { ConfigScope } from '../core/config/scope.ts';
import type { Alarm, DatagramSink, NetAddress, Platform, Random, UdpPort, UdpPortOptions } from '../core/platform.ts';

/** As in the names of the values: `fakePacketLossSend`, `fakePacketLossRecv`. */
export type FakeDirection = 'Send' | 'Recv';

/** What the fake network did in one direction since the beginning, in datagrams. */
export interface FakeNetworkCounts {
  readonly dropped: number;
  readonly delayed: number;
  readonly duplicated: number;
}

/** One direction: decides the fate of each datagram, and keeps what is delayed. Changed values count at once. */
export class FakeNetwork<T> {
  readonly counts = { dropped: 0, delayed: 0, duplicated: 0 };
  readonly #direction: FakeDirection;
  readonly #config: ConfigScope;
  readonly #random: Random;
  #conditions: Conditions;
  #configRevision: number;
  #isActive: boolean;
  #tokens = 0;
  /** Long ago before the first datagram under a rate limit: the bucket is full then. */
  #refilledAtUs = LONG_AGO;
  /** Jitter does not let a datagram overtake the one that it delayed before. */
  #minNextJitteredUs = LONG_AGO;
  /** Earliest first, and first come first among equal times. */
  readonly #delayed = new Fifo<{ readonly item: T; readonly atUs: number }>();

  /** Only the global values of `config` matter; any scope below shows them too. */
  constructor(direction: FakeDirection, config: ConfigScope, random: Random) {
    this.#direction = direction;
    this.#config = config;
    this.#random = random;
    this.#configRevision = config.revision;
    this.#conditions = readConditions(config, direction);
    this.#isActive = isBad(this.#conditions);
  }

  /** False as long as every datagram passes as it is; cheap to ask. */
  get isActive(): boolean {
    if (this.#config.revision !== this.#configRevision) this.#refresh();
    return this.#isActive;
  }

  #refresh(): void {
    this.#configRevision = this.#config.revision;
    this.#conditions = readConditions(this.#config, this.#direction);
    this.#isActive = isBad(this.#conditions);
    if (this.#conditions.rateBytesPerSec === 0) this.#refilledAtUs = LONG_AGO;
  }

  /** When the datagram goes on and, behind that, when its duplicate does: no times at all if it is lost. */
  fate(lengthBytes: number, nowUs: number): readonly number[] {
    if (!this.isActive) return [nowUs];
    const { lossPercent, lagUs, reorderPercent, reorderUs, duplicatePercent, duplicateMaxUs } = this.#conditions;
    // The limit comes first: what is lost behind it has used it up all the same.
    if (!this.#isWithinRate(lengthBytes, nowUs) || this.#happens(lossPercent)) {
      this.counts.dropped++;
      return [];
    }
    const extraUs = this.#happens(reorderPercent) ? reorderUs : 0;
    // A reordered datagram falls behind later ones, so it must not hold those up.
    const atUs = this.#jittered(nowUs + lagUs) + extraUs;
    if (atUs > nowUs) this.counts.delayed++;
    if (!this.#happens(duplicatePercent)) return [atUs];
    this.counts.duplicated++;
    return [atUs, atUs + 1 + Math.floor(this.#uniform() * duplicateMaxUs)];
  }

  /** A token bucket that is full in the beginning; a datagram may take it below zero once. */
  #isWithinRate(lengthBytes: number, nowUs: number): boolean {
    const { rateBytesPerSec, burstBytes } = this.#conditions;
    if (rateBytesPerSec === 0) return true;
    const earned = ((nowUs - this.#refilledAtUs) / US_PER_SECOND) * rateBytesPerSec;
    this.#tokens = Math.min(this.#tokens + earned, burstBytes);
    this.#refilledAtUs = nowUs;
    if (this.#tokens <= 0) return false;
    this.#tokens -= lengthBytes;
    return true;
  }

  /** `atUs` with an exponentially distributed delay, or as much more as keeps the order. */
  #jittered(atUs: number): number {
    const { jitterMeanUs, jitterMaxUs, jitterPercent } = this.#conditions;
    if (jitterMeanUs === 0 || jitterMaxUs === 0) return atUs;
    const drawnUs = this.#happens(jitterPercent) ? Math.min(-Math.log(this.#nonzero()) * jitterMeanUs, jitterMaxUs) : 0;
    const delayUs = Math.max(Math.round(drawnUs), this.#minNextJitteredUs - atUs);
    if (delayUs <= 0) {
      this.#minNextJitteredUs = LONG_AGO;
      return atUs;
    }
    this.#minNextJitteredUs = atUs + delayUs + 1;
    return atUs + delayUs;
  }

  #happens(percent: number): boolean {
    return percent > 0 && this.#uniform() * 100 < percent;
  }

  /** 0 (included) … 1 (excluded). */
  #uniform(): number {
    return this.#random.u32() / 0x1_0000_0000;
  }

  #nonzero(): number {
    return SMALLEST_DRAW + this.#uniform() * (1 - SMALLEST_DRAW);
  }

  // ---- what is delayed

  hold(item: T, atUs: number): void {
    const delayed = this.#delayed;
    let place = delayed.tail;
    while (place > delayed.head && delayed.at(place - 1)!.atUs > atUs) place--;
    delayed.insertAt(place, { item, atUs });
  }

  /** The earliest that is due. */
  takeDue(nowUs: number): T | undefined {
    return this.nextUs <= nowUs ? this.#delayed.shift()!.item : undefined;
  }

  /** When `takeDue` has something to give. */
  get nextUs(): number {
    return this.#delayed.peek()?.atUs ?? NEVER;
  }

  /** Forgets what is delayed, where that is so. */
  drop(isDropped: (item: T) => boolean): void {
    const delayed = this.#delayed;
    for (let left = delayed.length; left > 0; left--) {
      const each = delayed.shift()!;
      if (!isDropped(each.item)) delayed.push(each);
    }
  }
}

/** Keeps the logarithm finite. */
const SMALLEST_DRAW = 1e-6;

/** The values of one direction. 0 is "not at all", except that a rate of 0 is no limit. */
interface Conditions {
  readonly rateBytesPerSec: number;
  readonly burstBytes: number;
  readonly lossPercent: number;
  readonly lagUs: number;
  readonly reorderPercent: number;
  readonly reorderUs: number;
  readonly jitterPercent: number;
  readonly jitterMeanUs: number;
  readonly jitterMaxUs: number;
  readonly duplicatePercent: number;
  readonly duplicateMaxUs: number;
}

function readConditions(config: ConfigScope, direction: FakeDirection): Conditions {
  return {
    rateBytesPerSec: config.get(`fakeRateLimit${direction}Rate`),
    burstBytes: config.get(`fakeRateLimit${direction}Burst`),
    lossPercent: config.get(`fakePacketLoss${direction}`),
    lagUs: config.get(`fakePacketLag${direction}`) * US_PER_MS,
    reorderPercent: config.get(`fakePacketReorder${direction}`),
    reorderUs: config.get('fakePacketReorderTime') * US_PER_MS,
    jitterPercent: config.get(`fakePacketJitter${direction}Pct`),
    jitterMeanUs: config.get(`fakePacketJitter${direction}Avg`) * US_PER_MS,
    jitterMaxUs: config.get(`fakePacketJitter${direction}Max`) * US_PER_MS,
    duplicatePercent: config.get(`fakePacketDup${direction}`),
    duplicateMaxUs: config.get('fakePacketDupTimeMax') * US_PER_MS,
  };
}

/** Whether anything can happen to a datagram. */
function isBad(conditions: Conditions): boolean {
  const { rateBytesPerSec, lossPercent, lagUs, reorderPercent, jitterMeanUs, duplicatePercent } = conditions;
  return [rateBytesPerSec, lossPercent, lagUs, reorderPercent, jitterMeanUs, duplicatePercent].some((each) => each > 0);
}

/** A datagram that really was sent or received, unlike those that the fake network dropped. */
export interface TracedPacket {
  readonly direction: 'sent' | 'received';
  /** On the clock of the instance. */
  readonly atUs: number;
  readonly local: IpAddress;
  readonly remote: IpAddress;
  /** Of the whole datagram. */
  readonly lengthBytes: number;
  /** A copy of its beginning, at most `packetTraceMaxBytes`. */
  readonly bytes: Uint8Array;
}

interface DelayedDatagram {
  readonly port: FakePort;
  readonly bytes: Uint8Array;
  /** Where it goes, or came from. */
  readonly remote: NetAddress;
}

/** Opens the ports of an instance, each behind its fake network. */
export class FakePorts {
  readonly sent: FakeNetwork<DelayedDatagram>;
  readonly received: FakeNetwork<DelayedDatagram>;
  readonly #platform: Platform;
  readonly #config: ConfigScope;
  readonly #trace: ((packet: TracedPacket) => void) | undefined;
  /** Armed while something is delayed; it does not keep the process alive. */
  readonly #alarm: Alarm;

  /** `trace` is told of every packet, soon after, as long as `packetTraceMaxBytes` is not negative. */
  constructor(platform: Platform, config: ConfigScope, trace?: (packet: TracedPacket) => void) {
    this.#platform = platform;
    this.#config = config;
    this.#trace = trace;
    this.sent = new FakeNetwork('Send', config, platform.random);
    this.received = new FakeNetwork('Recv', config, platform.random);
    this.#alarm = platform.newAlarm((nowUs) => {
      this.#send(nowUs);
      this.#receive(nowUs);
      this.#arm();
    });
    this.#alarm.setRef(false);
  }

  /** As `Platform.openUdp`. Closing the port drops what is delayed there, in both directions. */
  open(options: UdpPortOptions, sink: DatagramSink): UdpPort {
    return new FakePort(this, this.#platform, options, sink);
  }

  /** Sends a datagram later, twice or never; the caller may overwrite `bytes`. False if the system refused it. */
  send(port: FakePort, bytes: Uint8Array, length: number, to: NetAddress): boolean {
    const nowUs = this.#platform.nowUs();
    this.#send(nowUs);
    const timesUs = this.sent.fate(length, nowUs);
    for (const atUs of timesUs) {
      if (atUs > nowUs) this.sent.hold({ port, bytes: new Uint8Array(bytes.subarray(0, length)), remote: to }, atUs);
    }
    this.#arm();
    return timesUs[0] === nowUs ? port.sendNow(bytes, length, to) : true;
  }

  /** Hands a datagram out later, twice or never. */
  receive(port: FakePort, bytes: Uint8Array, from: NetAddress, nowUs: number): void {
    this.#receive(nowUs);
    const timesUs = this.received.fate(bytes.length, nowUs);
    for (const atUs of timesUs) {
      // Each receiver may keep its bytes.
      if (atUs > nowUs) this.received.hold({ port, bytes: new Uint8Array(bytes), remote: from }, atUs);
    }
    this.#arm();
    if (timesUs[0] === nowUs) port.receiveNow(bytes, from, nowUs);
  }

  forget(port: FakePort): void {
    this.sent.drop((datagram) => datagram.port === port);
    this.received.drop((datagram) => datagram.port === port);
    this.#arm();
  }

  /** Whether somebody might want to see packets. */
  get canShow(): boolean {
    return this.#trace !== undefined;
  }

  /** `local` and `remote` as the platform writes them. */
  show(direction: 'sent' | 'received', bytes: Uint8Array, length: number, local: NetAddress, remote: NetAddress): void {
    const trace = this.#trace;
    const maxBytes = this.#config.get('packetTraceMaxBytes');
    if (trace === undefined || maxBytes < 0) return;
    const packet: TracedPacket = {
      direction,
      atUs: this.#platform.nowUs(),
      local: IpAddress.fromNet(local),
      remote: IpAddress.fromNet(remote),
      lengthBytes: length,
      bytes: new Uint8Array(bytes.subarray(0, Math.min(length, maxBytes))),
    };
    // Not now: whatever the application does then must not come between two steps of ours.
    this.#platform.defer(() => trace(packet));
  }

  // What is due goes before what comes now: the alarm may be late.

  #send(nowUs: number): void {
    for (let due = this.sent.takeDue(nowUs); due !== undefined; due = this.sent.takeDue(nowUs)) {
      due.port.sendNow(due.bytes, due.bytes.length, due.remote);
    }
  }

  #receive(nowUs: number): void {
    for (let due = this.received.takeDue(nowUs); due !== undefined; due = this.received.takeDue(nowUs)) {
      due.port.receiveNow(due.bytes, due.remote, nowUs);
    }
  }

  #arm(): void {
    this.#alarm.set(Math.min(this.sent.nextUs, this.received.nextUs));
  }
}

/** A port of the platform. As long as no fake condition is set, this costs two comparisons per datagram. */
class FakePort implements UdpPort {
  readonly #ports: FakePorts;
  readonly #sink: DatagramSink;
  readonly #port: UdpPort;

  constructor(ports: FakePorts, platform: Platform, options: UdpPortOptions, sink: DatagramSink) {
    this.#ports = ports;
    this.#sink = sink;
    this.#port = platform.openUdp(options, {
      onDatagram: (bytes, from, nowUs) => {
        if (ports.received.isActive) ports.receive(this, bytes, from, nowUs);
        else this.receiveNow(bytes, from, nowUs);
      },
    });
  }

  get local(): NetAddress {
    return this.#port.local;
  }

  send(bytes: Uint8Array, length: number, to: NetAddress): boolean {
    if (this.#ports.sent.isActive) return this.#ports.send(this, bytes, length, to);
    return this.sendNow(bytes, length, to);
  }

  sendNow(bytes: Uint8Array, length: number, to: NetAddress): boolean {
    const isSent = this.#port.send(bytes, length, to);
    if (isSent && this.#ports.canShow) this.#ports.show('sent', bytes, length, this.local, to);
    return isSent;
  }

  flush(): void {
    this.#port.flush?.();
  }

  receiveNow(bytes: Uint8Array, from: NetAddress, nowUs: number): void {
    if (this.#ports.canShow) this.#ports.show('received', bytes, bytes.length, this.local, from);
    this.#sink.onDatagram(bytes, from, nowUs);
  }

  setRef(keepAlive: boolean): void {
    this.#port.setRef(keepAlive);
  }

  close(): void {
    this.#ports.forget(this);
    this.#port.close();
  }
}

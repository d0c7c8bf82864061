// A UDP port with ICE on it, and somebody who turns the crank: what P2P connections have, without any. For `gns doctor`.

import { NEVER, US_PER_SECOND } from '../../core/base/time.ts';
import { addressClass, isLinkLocal } from '../../core/ice/candidate.ts';
import { IcePort, type IceServers } from '../../core/ice/ice-port.ts';
import { StunClass, StunMethod, StunWriter } from '../../core/ice/stun.ts';
import type { NetAddress, Platform, UdpPort } from '../../core/platform.ts';

/** Longer than all attempts of a request. */
const PATIENCE_US = 7 * US_PER_SECOND;
const ALL = { relay: true, privateHost: true, publicHost: true };
const TRANSACTION_ID_BYTES = 12;

export class Probe {
  readonly ice: IcePort;
  /** Of this machine, without those that nobody else can reach. */
  readonly addresses: readonly string[];
  /** Transaction ids of what came and was not for ICE. */
  readonly heard = new Set<string>();
  readonly #platform: Platform;
  readonly #udp: UdpPort;
  readonly #alarm;
  readonly #slot = { bytes: new Uint8Array(1_600), length: 0, to: undefined as NetAddress | undefined };
  readonly #waiting: { isDone(): boolean; resolve(): void; untilUs: number }[] = [];

  constructor(platform: Platform, servers: IceServers, allowsLoopback: boolean) {
    this.#platform = platform;
    const isReachable = ({ address }: { address: string }) => {
      const kind = addressClass(address);
      return kind !== 'unusable' && !isLinkLocal(address) && (kind !== 'localhost' || allowsLoopback);
    };
    const local = platform.localAddresses().filter(isReachable);
    this.addresses = local.map(({ address }) => address);
    const onDatagram = (bytes: Uint8Array, from: NetAddress, nowUs: number) => {
      this.heard.add(idOf(bytes));
      this.ice.handleDatagram(bytes, bytes.length, from, nowUs);
      this.#settle();
    };
    this.#udp = platform.openUdp({ address: '::', port: 0 }, { onDatagram });
    this.#alarm = platform.newAlarm((nowUs) => {
      this.ice.handleTimeout(nowUs);
      this.#settle();
    });
    const { port, address } = this.#udp.local;
    this.ice = new IcePort(platform, { port, ...servers, allowsLoopback, mapsIPv4: address.includes(':') });
    this.ice.setLocalAddresses(local, platform.nowUs());
  }

  /** Asks all servers; resolves when all have answered, or have had their time. */
  async gather(): Promise<void> {
    const options = { localUfrag: 'doctor', localPwd: 'of this machine only', isControlling: true, allowed: ALL };
    const agent = this.ice.newAgent(options, this.#platform.nowUs());
    await this.#until(() => !agent.isGathering, PATIENCE_US);
  }

  /** Writes something to `to`; the other side will have heard `id`. */
  write(to: NetAddress, id: Uint8Array): void {
    const bytes = new StunWriter(StunMethod.Binding, StunClass.Indication, id).addFingerprint().finish();
    this.#udp.send(bytes, bytes.length, this.ice.written(to));
  }

  /** Whether it hears `id` within so long. */
  async hears(id: Uint8Array, withinUs: number): Promise<boolean> {
    const text = String(id);
    await this.#until(() => this.heard.has(text), withinUs);
    return this.heard.has(text);
  }

  close(): void {
    this.ice.close(this.#platform.nowUs());
    this.#settle();
    this.#alarm.set(NEVER);
    this.#udp.close();
  }

  #until(isDone: () => boolean, limitUs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isDone, resolve, untilUs: this.#platform.nowUs() + limitUs });
      this.#settle();
    });
  }

  #settle(): void {
    while (this.ice.pollTransmit(this.#slot)) this.#udp.send(this.#slot.bytes, this.#slot.length, this.#slot.to!);
    const nowUs = this.#platform.nowUs();
    const left = this.#waiting.splice(0).filter((each) => {
      const isOver = each.isDone() || nowUs >= each.untilUs;
      if (isOver) each.resolve();
      return !isOver;
    });
    this.#waiting.push(...left);
    this.#alarm.set(Math.min(this.ice.nextTimeoutUs(), ...left.map(({ untilUs }) => untilUs)));
  }
}

function idOf(bytes: Uint8Array): string {
  const start = 8;
  return String(bytes.subarray(start, start + TRANSACTION_ID_BYTES));
}

/** For `write` and `hears`. */
export function newId(platform: Platform): Uint8Array {
  const id = new Uint8Array(TRANSACTION_ID_BYTES);
  platform.random.fill(id);
  return id;
}

// The UDP ports of one simulated process, by the rules of a real operating system: who may bind what, which address a
// datagram leaves from, which port gets one that arrives. A port on `::` takes IPv4 too and calls it `::ffff:a.b.c.d`.

import { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import type { DatagramSink, NetAddress, UdpPort, UdpPortOptions } from '../core/platform.ts';

const FIRST_EPHEMERAL_PORT = 49_152;
const MAX_PORT = 65_535;

/** What a port does through its process. */
export interface PortOwner {
  sendFrom(port: SimulatedPort, bytes: Uint8Array, length: number, to: NetAddress): boolean;
  closePort(port: SimulatedPort): void;
}

export class SimulatedPort implements UdpPort {
  readonly local: NetAddress;
  readonly sink: DatagramSink;
  readonly binding: Binding;
  readonly #owner: PortOwner;
  isOpen = true;
  /** It died: nothing goes out or comes in any more. */
  isBroken = false;
  isRef = true;
  /** What waits in its receive buffer because the process is frozen. */
  unreadBytes = 0;

  constructor(owner: PortOwner, binding: Binding, port: number, sink: DatagramSink) {
    this.local = { address: binding.text, port };
    this.sink = sink;
    this.binding = binding;
    this.#owner = owner;
  }

  send(bytes: Uint8Array, length: number, to: NetAddress): boolean {
    return this.isOpen && this.#owner.sendFrom(this, bytes, length, to);
  }

  setRef(keepAlive: boolean): void {
    this.isRef = keepAlive;
  }

  close(): void {
    if (this.isOpen) this.#owner.closePort(this);
  }

  /** How this port writes a peer's address. */
  nameOf(peer: NetAddress): NetAddress {
    if (!this.binding.isIPv6Socket || !isIPv4Host(peer.address)) return peer;
    return { address: `::ffff:${peer.address}`, port: peer.port };
  }
}

/** What a port is bound to. */
export interface Binding {
  /** As `local.address` shows it. */
  readonly text: string;
  /** As `IpAddress.host` prints it: never in the `::ffff:` form. */
  readonly host: string;
  readonly isAny: boolean;
  /** Whether it writes IPv4 addresses as `::ffff:a.b.c.d`. */
  readonly isIPv6Socket: boolean;
}

export class PortTable {
  readonly #host: { readonly addresses: readonly string[] };
  readonly #ports = new Map<number, SimulatedPort[]>();
  readonly #parsed = new Map<string, NumericHost | undefined>();
  #nextEphemeralPort = FIRST_EPHEMERAL_PORT;

  /** Addresses as `IpAddress.host` prints them; they may change. */
  constructor(host: { readonly addresses: readonly string[] }) {
    this.#host = host;
  }

  get open(): readonly SimulatedPort[] {
    return [...this.#ports.values()].flat();
  }

  /** Throws `BindFailed` where `bind` would fail. */
  bind(options: UdpPortOptions, sink: DatagramSink, owner: PortOwner): SimulatedPort {
    const binding = this.#bindingFor(options.address);
    const number = options.port === 0 ? this.#freePort(binding) : options.port;
    if (!isPortNumber(number)) throw bindFailed(options, 'there is no such port');
    if (this.#isTaken(number, binding)) throw bindFailed(options, 'the address is in use');
    const port = new SimulatedPort(owner, binding, number, sink);
    this.#ports.set(number, [...(this.#ports.get(number) ?? []), port]);
    return port;
  }

  remove(port: SimulatedPort): void {
    port.isOpen = false;
    const others = (this.#ports.get(port.local.port) ?? []).filter((other) => other !== port);
    if (others.length > 0) this.#ports.set(port.local.port, others);
    else this.#ports.delete(port.local.port);
  }

  /** The port that gets a datagram sent to `to`. */
  find(to: NetAddress): SimulatedPort | undefined {
    return this.#ports.get(to.port)?.find((port) => covers(port.binding, to.address));
  }

  /**
   * Where a datagram from `port` to `to` really leaves from and goes to, both in plain form. Undefined if a system would
   * refuse to send it: no such address or port, no address of that family, IPv4 not written the way this port writes it.
   */
  route(port: SimulatedPort, to: NetAddress): { readonly from: NetAddress; readonly to: NetAddress } | undefined {
    const target = this.#parse(to.address);
    if (!target || target.isAny || !isPortNumber(to.port)) return undefined;
    const { binding } = port;
    if (binding.isIPv6Socket !== to.address.includes(':')) return undefined;
    const source = this.#sourceAddress(binding, target);
    if (source === undefined) return undefined;
    return { from: { address: source, port: port.local.port }, to: { address: target.host, port: to.port } };
  }

  #sourceAddress(binding: Binding, target: NumericHost): string | undefined {
    const isHere = target.isLoopback || this.#host.addresses.includes(target.host);
    if (!binding.isAny) {
      const isReachable = isHere || !isLoopbackHost(binding.host);
      return isReachable && isIPv4Host(binding.host) === target.isIPv4 ? binding.host : undefined;
    }
    if (!covers(binding, target.host)) return undefined;
    // What stays on the host leaves from the address it goes to, as on Linux.
    if (isHere) return target.host;
    return this.#host.addresses.find((address) => isIPv4Host(address) === target.isIPv4);
  }

  #bindingFor(text: string): Binding {
    const parsed = this.#parse(text);
    const options = { address: text, port: 0 };
    if (!parsed) throw bindFailed(options, 'it is not a numeric address');
    const hasIPv6 = this.#host.addresses.some((address) => !isIPv4Host(address));
    if (parsed.isAny && !parsed.isIPv4 && !hasIPv6) return this.#bindingFor('0.0.0.0');
    const isOurs = parsed.isAny || parsed.isLoopback || this.#host.addresses.includes(parsed.host);
    const isIPv6Socket = text.includes(':');
    if (!isOurs || (isIPv6Socket && !hasIPv6)) throw bindFailed(options, 'this host does not have that address');
    const shown = isIPv6Socket && parsed.isIPv4 ? `::ffff:${parsed.host}` : parsed.host;
    return { text: shown, host: parsed.host, isAny: parsed.isAny, isIPv6Socket };
  }

  #isTaken(number: number, binding: Binding): boolean {
    return (this.#ports.get(number) ?? []).some((port) => overlaps(port.binding, binding));
  }

  #freePort(binding: Binding): number {
    for (let tries = FIRST_EPHEMERAL_PORT; tries <= MAX_PORT; tries++) {
      const number = this.#nextEphemeralPort;
      this.#nextEphemeralPort = number === MAX_PORT ? FIRST_EPHEMERAL_PORT : number + 1;
      if (!this.#isTaken(number, binding)) return number;
    }
    throw bindFailed({ address: binding.text, port: 0 }, 'no port is free');
  }

  /** Remembered: the same few peers are written to again and again. */
  #parse(text: string): NumericHost | undefined {
    if (!this.#parsed.has(text)) this.#parsed.set(text, parseHost(text));
    return this.#parsed.get(text);
  }
}

/** What there is to know of a numeric address, worked out once: `IpAddress` does so each time it is asked. */
export interface NumericHost {
  /** As `IpAddress.host` prints it. */
  readonly host: string;
  readonly isIPv4: boolean;
  readonly isAny: boolean;
  readonly isLoopback: boolean;
}

/** Undefined for a name, and for an address with a port. */
export function parseHost(text: string): NumericHost | undefined {
  const parsed = text.includes('[') ? undefined : IpAddress.parse(text);
  if (parsed?.port !== 0) return undefined;
  const { host, isIPv4, isAny, isLoopback } = parsed;
  return { host, isIPv4, isAny, isLoopback };
}

/** Of an address as `IpAddress.host` prints it. */
export function isLoopbackHost(host: string): boolean {
  return host === '::1' || (isIPv4Host(host) && host.startsWith('127.'));
}

/** Of an address as `IpAddress.host` prints it. */
function isIPv4Host(host: string): boolean {
  return !host.includes(':');
}

function covers(binding: Binding, host: string): boolean {
  if (!binding.isAny) return binding.host === host;
  return isIPv4Host(host) || binding.host === '::';
}

function overlaps(a: Binding, b: Binding): boolean {
  if (a.isAny && b.isAny) return true;
  return a.isAny ? covers(a, b.host) : covers(b, a.host);
}

function isPortNumber(number: number): boolean {
  return Number.isInteger(number) && number > 0 && number <= MAX_PORT;
}

function bindFailed(options: UdpPortOptions, why: string): NetworkingError {
  return new NetworkingError('BindFailed', `cannot bind ${options.address} port ${options.port}: ${why}`);
}

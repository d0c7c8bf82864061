// The sockets of one announcer or browser: a port that all programs of the machine share, where multicast and broadcast
// arrive, and a socket of our own on each interface, which sends and gets the answers. Nothing leaves the link.

import dgram from 'node:dgram';
import { BlockList, isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { NetworkingError } from '../core/base/errors.ts';
import type { NetAddress } from '../core/platform.ts';

/** Where programs meet unless told otherwise. */
export const LAN_PORT = 27_085;
/** Administratively scoped (RFC 2365), and link-local without an assignment (RFC 4291, 2.7). */
export const LAN_GROUP_IPV4 = '239.255.71.78';
export const LAN_GROUP_IPV6 = 'ff12::474e:53';

export interface LanOptions {
  /** UDP port where all meet. Default: `LAN_PORT`. */
  readonly port?: number;
  /** Names of the interfaces to use. Default: all, loopback included. */
  readonly interfaces?: readonly string[];
}

type OnDatagram = (bytes: Uint8Array, from: NetAddress) => void;

interface Outlet {
  readonly socket: dgram.Socket;
  readonly isIPv6: boolean;
  /** The name of the interface, for addresses with a scope. */
  readonly scope: string;
  readonly network: BlockList;
  readonly destinations: readonly string[];
}

/** One socket on one interface would reach us this often: beyond this many interfaces something is wrong. */
const MAX_OUTLETS = 64;

export class LanLink {
  readonly #port: number;
  readonly #names: readonly string[] | undefined;
  readonly #onDatagram: OnDatagram;
  readonly #shared: dgram.Socket[] = [];
  readonly #outlets = new Map<string, Outlet>();
  #keepAlive = true;
  #isOpen = true;

  /** Throws `BindFailed` if the shared port cannot be had. */
  constructor({ port = LAN_PORT, interfaces }: LanOptions, onDatagram: OnDatagram) {
    if (!Number.isInteger(port) || port < 1 || port > 0xffff) {
      throw new NetworkingError('InvalidParam', `port ${port} is not a whole number from 1 to 65535`);
    }
    this.#port = port;
    this.#names = interfaces;
    this.#onDatagram = onDatagram;
    const ipv4 = bind('udp4', '0.0.0.0', port, true);
    const ipv6 = bind('udp6', '::', port, true);
    if (ipv4 instanceof Error && ipv6 instanceof Error) {
      const reason = (ipv4 as NodeJS.ErrnoException).code ?? ipv4.message;
      throw new NetworkingError('BindFailed', `cannot share UDP port ${port}: ${reason}`, { cause: ipv4 });
    }
    for (const socket of [ipv4, ipv6]) {
      if (socket instanceof Error) continue;
      this.#listen(socket);
      this.#shared.push(socket);
    }
    this.refresh();
  }

  /** Looks which interfaces there are now. */
  refresh(): void {
    const found = interfaceAddresses(this.#names);
    for (const [key, { socket }] of this.#outlets) {
      if (found.has(key)) continue;
      socket.close();
      this.#outlets.delete(key);
    }
    for (const [key, { name, info }] of found) {
      if (this.#outlets.has(key) || this.#outlets.size >= MAX_OUTLETS) continue;
      const outlet = openOutlet(name, info);
      if (outlet === undefined) continue;
      this.#listen(outlet.socket);
      this.#outlets.set(key, outlet);
      this.#join(name, info);
    }
  }

  /** To everybody on all interfaces. */
  sendToAll(bytes: Uint8Array): void {
    if (!this.#isOpen) return;
    for (const { socket, destinations } of this.#outlets.values()) {
      for (const address of destinations) socket.send(bytes, this.#port, address, ignore);
    }
  }

  /** False if no interface leads there. */
  sendTo(bytes: Uint8Array, to: NetAddress): boolean {
    if (!this.#isOpen || to.port === 0) return false;
    const outlet = this.#outletTo(to.address);
    outlet?.socket.send(bytes, to.port, to.address, ignore);
    return outlet !== undefined;
  }

  setRef(keepAlive: boolean): void {
    this.#keepAlive = keepAlive;
    for (const socket of this.#sockets()) {
      if (keepAlive) socket.ref();
      else socket.unref();
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const socket of this.#sockets()) socket.close();
  }

  #sockets(): dgram.Socket[] {
    return [...this.#shared, ...Array.from(this.#outlets.values(), ({ socket }) => socket)];
  }

  #listen(socket: dgram.Socket): void {
    // What the system tells of single datagrams: they are lost, no more.
    socket.on('error', ignore);
    socket.on('message', (bytes, from) => {
      if (this.#isOpen) this.#onDatagram(bytes, { address: from.address, port: from.port });
    });
    if (!this.#keepAlive) socket.unref();
  }

  #join(name: string, { family, address }: NetworkInterfaceInfo): void {
    for (const socket of this.#shared) {
      try {
        if (socket.address().family !== family) continue;
        if (family === 'IPv4') socket.addMembership(LAN_GROUP_IPV4, address);
        else socket.addMembership(LAN_GROUP_IPV6, `::%${name}`);
      } catch {
        // A member already, or an interface without multicast: there is broadcast, too.
      }
    }
  }

  /** In whose network the address is; without such, any of its family. */
  #outletTo(address: string): Outlet | undefined {
    const [host = '', scope] = address.split('%');
    const family = isIPv6(host) ? 'ipv6' : 'ipv4';
    let other: Outlet | undefined;
    for (const outlet of this.#outlets.values()) {
      if (outlet.isIPv6 !== (family === 'ipv6')) continue;
      if (scope === undefined ? outlet.network.check(host, family) : outlet.scope === scope) return outlet;
      other ??= outlet;
    }
    return other;
  }
}

function ignore(): void {}

/** One address per interface and family; of IPv6 one that others can use, if there is one. */
function interfaceAddresses(names: readonly string[] | undefined) {
  const found = new Map<string, { readonly name: string; readonly info: NetworkInterfaceInfo }>();
  for (const [name, infos = []] of Object.entries(networkInterfaces())) {
    if (names !== undefined && !names.includes(name)) continue;
    for (const info of infos.filter(({ family }) => family === 'IPv4')) found.set(info.address, { name, info });
    const ipv6 = infos.filter(({ family }) => family === 'IPv6');
    const info = ipv6.find((each) => each.scopeid === 0) ?? ipv6[0];
    if (info !== undefined) found.set(`${info.address}%${name}`, { name, info });
  }
  return found;
}

function openOutlet(scope: string, info: NetworkInterfaceInfo): Outlet | undefined {
  const { address, family, cidr } = info;
  const isLinkLocal = info.family === 'IPv6' && info.scopeid !== 0;
  const socket = bind(family === 'IPv4' ? 'udp4' : 'udp6', isLinkLocal ? `${address}%${scope}` : address, 0, false);
  if (socket instanceof Error) return undefined;
  const prefixLength = Number(cidr?.split('/')[1] ?? (family === 'IPv4' ? 32 : 128));
  const network = new BlockList();
  network.addSubnet(address, prefixLength, family === 'IPv4' ? 'ipv4' : 'ipv6');
  try {
    // Answers to a forged question die at the first router.
    socket.setTTL(1);
    socket.setMulticastTTL(1);
    socket.setMulticastLoopback(true);
    socket.setMulticastInterface(family === 'IPv4' ? address : `::%${scope}`);
    if (family === 'IPv4') socket.setBroadcast(true);
  } catch {
    socket.close();
    return undefined;
  }
  const destinations = family === 'IPv4' ? [LAN_GROUP_IPV4, ...broadcastOf(info)] : [`${LAN_GROUP_IPV6}%${scope}`];
  return { socket, isIPv6: family === 'IPv6', scope, network, destinations };
}

/** The address of all hosts of an IPv4 network that has more than two. */
function broadcastOf({ address, netmask }: NetworkInterfaceInfo): string[] {
  const mask = netmask.split('.').map(Number);
  if (mask[3]! >= 0xfe) return [];
  const bytes = address.split('.').map((byte, i) => Number(byte) | (~mask[i]! & 0xff));
  return [bytes.join('.')];
}

/** All addresses are numeric: Node binds and sends at once if the lookup answers at once. */
const NO_LOOKUP: dgram.SocketOptions['lookup'] = (host, _options, callback) => callback(null, host, 0);

function bind(type: 'udp4' | 'udp6', address: string, port: number, isShared: boolean): dgram.Socket | Error {
  const socket = dgram.createSocket({ type, reuseAddr: isShared, ipv6Only: type === 'udp6', lookup: NO_LOOKUP });
  let failure: Error | undefined;
  const onError = (error: Error) => {
    failure = error;
  };
  socket.on('error', onError);
  try {
    // Exclusive: workers of a cluster would be given one socket otherwise.
    socket.bind({ address, port, exclusive: true });
  } catch (error) {
    failure = error as Error;
  }
  socket.off('error', onError);
  if (failure === undefined) return socket;
  try {
    socket.close();
  } catch {
    // Node has closed it.
  }
  return failure;
}

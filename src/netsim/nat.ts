// Address spaces, and the devices between them that rewrite addresses: home routers, those of carriers, firewalls. A
// laboratory for finding ways through them. Terms: RFC 4787.

import { NetworkingError } from '../core/base/errors.ts';
import { US_PER_SECOND } from '../core/base/time.ts';
import type { NetAddress } from '../core/platform.ts';
import type { SimulatedHost } from './host.ts';

/** Whose packets come in through a hole: anybody's, those from addresses written to, from addresses and ports. */
export type Filtering = 'anybody' | 'address' | 'addressAndPort';

export interface NatBehaviour {
  /** Each destination has a port of its own: nobody can tell others which one it will be. */
  readonly perDestination: boolean;
  readonly filtering: Filtering;
  /** Those inside reach each other by their outside addresses. */
  readonly hairpin?: boolean;
  /** Nothing gets through at all. */
  readonly blocksUdp?: boolean;
  /** A hole closes when nothing was sent through it for so long. One minute if absent. */
  readonly mappingTimeoutUs?: number;
}

/** By the names that people use. */
export const natKinds = {
  fullCone: { perDestination: false, filtering: 'anybody' },
  restrictedCone: { perDestination: false, filtering: 'address' },
  portRestrictedCone: { perDestination: false, filtering: 'addressAndPort' },
  symmetric: { perDestination: true, filtering: 'addressAndPort' },
  udpBlocked: { perDestination: false, filtering: 'addressAndPort', blocksUdp: true },
} as const satisfies Record<string, NatBehaviour>;
export type NatKind = keyof typeof natKinds;

const DEFAULT_TIMEOUT_US = 60 * US_PER_SECOND;
const FIRST_PORT = 20_000;
const LAST_PORT = 65_535;

/** What has an address. */
export type NetworkNode = SimulatedHost | SimulatedNat;

/** Addresses that mean something to each other. */
export class Realm {
  readonly nodes = new Map<string, NetworkNode>();
  /** Where packets for other addresses go. */
  readonly gateway: SimulatedNat | undefined;

  constructor(gateway?: SimulatedNat) {
    this.gateway = gateway;
  }
}

/** A hole: what goes out here comes from there. */
interface Mapping {
  readonly inside: NetAddress;
  readonly port: number;
  usedAtUs: number;
  /** Written to, as the filtering counts them. */
  readonly partners: Set<string>;
}

/** One device. Made by `SimulatedNetwork.nat`. */
export class SimulatedNat {
  readonly name: string;
  /** On the outside. */
  readonly address: string;
  readonly inside: Realm;
  readonly outside: Realm;
  behaviour: NatBehaviour;
  readonly #byPort = new Map<number, Mapping>();
  readonly #bySource = new Map<string, Mapping>();
  #nextPort = FIRST_PORT;

  constructor(name: string, address: string, behaviour: NatBehaviour, outside: Realm) {
    this.name = name;
    this.address = address;
    this.behaviour = behaviour;
    this.outside = outside;
    this.inside = new Realm(this);
  }

  /** So that it can be at the end of a link like a host. */
  get isPlugged(): boolean {
    return true;
  }

  /** As after a reboot: all holes are gone, and the next ones have other ports. */
  forget(): void {
    this.#byPort.clear();
    this.#bySource.clear();
  }

  /** What a datagram from `from` looks like outside; undefined if it is not let out. */
  goOut(from: NetAddress, to: NetAddress, nowUs: number): NetAddress | undefined {
    if (this.behaviour.blocksUdp === true) return undefined;
    const source = `${from.address} ${from.port}${this.behaviour.perDestination ? ` ${to.address} ${to.port}` : ''}`;
    let mapping = this.#bySource.get(source);
    if (mapping === undefined || this.#isClosed(mapping, nowUs)) {
      if (mapping !== undefined) this.#byPort.delete(mapping.port);
      mapping = { inside: from, port: this.#freePort(nowUs), usedAtUs: nowUs, partners: new Set() };
      this.#bySource.set(source, mapping);
      this.#byPort.set(mapping.port, mapping);
    }
    mapping.usedAtUs = nowUs;
    mapping.partners.add(to.address).add(`${to.address} ${to.port}`);
    return { address: this.address, port: mapping.port };
  }

  /** Whom a datagram to `port` is for; undefined if it is not let in. */
  comeIn(from: NetAddress, port: number, nowUs: number): NetAddress | undefined {
    const mapping = this.#byPort.get(port);
    const { blocksUdp, hairpin, filtering } = this.behaviour;
    if (mapping === undefined || blocksUdp === true || this.#isClosed(mapping, nowUs)) return undefined;
    if (from.address === this.address && hairpin !== true) return undefined;
    const isKnown =
      filtering === 'anybody' ||
      mapping.partners.has(filtering === 'address' ? from.address : `${from.address} ${from.port}`);
    return isKnown ? mapping.inside : undefined;
  }

  #isClosed(mapping: Mapping, nowUs: number): boolean {
    return nowUs - mapping.usedAtUs > (this.behaviour.mappingTimeoutUs ?? DEFAULT_TIMEOUT_US);
  }

  #freePort(nowUs: number): number {
    for (let tries = FIRST_PORT; tries <= LAST_PORT; tries++) {
      const port = this.#nextPort;
      this.#nextPort = port === LAST_PORT ? FIRST_PORT : port + 1;
      const mapping = this.#byPort.get(port);
      if (mapping === undefined || this.#isClosed(mapping, nowUs)) return port;
    }
    throw new NetworkingError('LimitExceeded', `NAT "${this.name}" has no port left`);
  }
}

/** What became of a datagram on its way: it is where it can go no further by itself, or it was stopped. */
export type Hop =
  | { readonly node: NetworkNode; readonly from: NetAddress; readonly to: NetAddress }
  | { readonly drop: 'noRoute' | 'filtered' };

/** Out of its realm and the ones around it, to whoever has the address. */
export function routeOut(realm: Realm, from: NetAddress, to: NetAddress, nowUs: number): Hop {
  const node = realm.nodes.get(to.address);
  if (node !== undefined) return { node, from, to };
  const { gateway } = realm;
  if (gateway === undefined) return { drop: 'noRoute' };
  const source = gateway.goOut(from, to, nowUs);
  return source === undefined ? { drop: 'filtered' } : routeOut(gateway.outside, source, to, nowUs);
}

/** Into the realm behind a device and those within, to a host. */
export function routeIn(hop: Hop, nowUs: number): Hop {
  if ('drop' in hop || !(hop.node instanceof SimulatedNat)) return hop;
  const target = hop.node.comeIn(hop.from, hop.to.port, nowUs);
  const node = target && hop.node.inside.nodes.get(target.address);
  return node === undefined ? { drop: 'filtered' } : routeIn({ node, from: hop.from, to: target! }, nowUs);
}

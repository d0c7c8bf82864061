// What all peers of an instance share: one UDP port, hence one hole in each NAT, the candidates that STUN servers see
// and TURN servers lend, and the demultiplexing of what arrives. Spec: 7.10-7.12; RFC 8489, 8656.
import { NEVER, US_PER_SECOND } from '../base/time.ts';
import type { NetAddress } from '../platform.ts';
import {
  addressClass,
  type CandidateType,
  candidatePriority,
  type Family,
  familyOf,
  foundationOf,
  isAddressOf,
  isLinkLocal,
  isSameAddress,
  isSameNetwork,
  plainAddress,
} from './candidate.ts';
import { type IceEnvironment, StunExchange, type Timed } from './exchange.ts';
import {
  type AgentSurroundings,
  type AllowedTypes,
  IceAgent,
  type IceAgentOptions,
  type LocalCandidate,
} from './ice-agent.ts';
import { MappingProbe } from './mapping-probe.ts';
import type { Relay } from './route.ts';
import { decodeStun, isStun, StunAttribute, StunClass, StunMethod } from './stun.ts';
import { TurnClient, type TurnServer } from './turn-client.ts';

/** An address of this machine that the port can be reached at, without its port. */
export interface LocalAddress {
  /** Numeric. Loopback and link-local ones are ignored. */
  readonly address: string;
  /** Of the network it is in; 24 (IPv4) or 64 (IPv6) if absent. */
  readonly prefixLength?: number;
}

export interface IceServers {
  readonly stun: readonly NetAddress[];
  readonly turn: readonly TurnServer[];
}

export interface IcePortOptions extends IceServers {
  /** Number of the local UDP port. */
  readonly port: number;
  /** The port is bound to `::` and writes IPv4 addresses as `::ffff:a.b.c.d`. */
  readonly mapsIPv4?: boolean;
  /** Lets loopback addresses be candidates, for tests on one machine. */
  readonly allowsLoopback?: boolean;
}

/** Caller-owned, filled by `pollTransmit`. `bytes` may be shared with other slots of the caller. */
export interface IceSlot {
  /** At least 1500 bytes. */
  readonly bytes: Uint8Array;
  length: number;
  to: NetAddress | undefined;
}

/** A datagram that was ICE's. Reused: valid until the next call of `handleDatagram`. */
export interface IceArrival {
  /** `start < end`: a datagram that a TURN server relayed is in `bytes[start..end)`. Else it is dealt with. */
  readonly start: number;
  readonly end: number;
  /** Who sent what was relayed; IPv4 in plain form. */
  readonly remote: NetAddress;
  /** The way it came. */
  readonly relay: Relay | undefined;
}

const MAX_SERVERS = 8;
const MAX_LOCAL_ADDRESSES = 32;
/** Allocations are kept for the next connection for so long. */
const LINGER_US = 30 * US_PER_SECOND;
const CHANNEL_HEADER_BYTES = 4;
const NOWHERE: NetAddress = { address: '', port: 0 };

export class IcePort implements AgentSurroundings, Timed {
  /** Its own deadline: when idle allocations are given back. */
  deadlineUs = NEVER;
  heapIndex = -1;
  readonly exchange: StunExchange;
  readonly allowsLoopback: boolean;
  localCandidates: readonly LocalCandidate[] = [];
  relays: readonly TurnClient[] = [];
  #probes: readonly MappingProbe[] = [];
  readonly #port: number;
  readonly #mapsIPv4: boolean;
  #addresses: readonly LocalAddress[] = [];
  readonly #agents = new Map<string, IceAgent>();
  readonly #ready = new Set<IceAgent>();
  #latestUs = 0;
  readonly #arrival = { start: 0, end: 0, remote: NOWHERE, relay: undefined as Relay | undefined };

  constructor(env: IceEnvironment, options: IcePortOptions) {
    this.exchange = new StunExchange(env);
    this.allowsLoopback = options.allowsLoopback ?? false;
    this.#port = options.port;
    this.#mapsIPv4 = options.mapsIPv4 ?? false;
    this.#replaceServers(options, undefined);
  }

  // ---- for the owner

  /** All addresses that there are now; may be called at any time, with what has changed or not. */
  setLocalAddresses(addresses: readonly LocalAddress[], nowUs: number): void {
    const usable = addresses
      .map((local) => ({ ...local, address: plainAddress({ address: local.address, port: 0 }).address }))
      .filter(({ address }) => this.#isUsable(address))
      .slice(0, MAX_LOCAL_ADDRESSES);
    if (JSON.stringify(usable) === JSON.stringify(this.#addresses)) return;
    const isFirst = this.#addresses.length === 0;
    this.#addresses = usable;
    this.#updateCandidates(nowUs);
    this.#gather(nowUs);
    if (isFirst || this.#agents.size === 0) return;
    for (const probe of this.#probes) if (probe.isRunning) probe.start(nowUs);
    for (const relay of this.relays) relay.verify(nowUs);
    for (const agent of this.#agents.values()) agent.handleNetworkChange(nowUs);
  }

  /** All servers that there are now (for when names are resolved late). Those known already go on. */
  setServers(servers: IceServers, nowUs: number): void {
    this.#replaceServers(servers, nowUs);
    this.#gather(nowUs);
    this.#updateCandidates(nowUs);
  }

  /** Its host candidates are ready as events at once. One that has the same `localUfrag` is closed. */
  newAgent(options: IceAgentOptions, nowUs: number): IceAgent {
    this.#latestUs = nowUs;
    this.#agents.get(options.localUfrag)?.close();
    const agent = new IceAgent(this, options, nowUs);
    this.#agents.set(options.localUfrag, agent);
    this.exchange.timers.set(this, NEVER);
    this.#gather(nowUs);
    return agent;
  }

  /** Undefined if the datagram is neither STUN nor from a TURN server: a plain one, left to the caller. */
  handleDatagram(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): IceArrival | undefined {
    const lead = length > 0 ? bytes[0]! : 0xff;
    // Data packets have the highest bit.
    if (lead >= 0x80) return undefined;
    this.#latestUs = nowUs;
    this.#arrival.start = this.#arrival.end = 0;
    this.#arrival.remote = NOWHERE;
    this.#arrival.relay = undefined;
    if (lead >= 0x40) return this.#handleChannelData(bytes, length, from, nowUs);
    if (!isStun(bytes, 0, length)) return undefined;
    this.#handleStun(bytes, 0, length, plainAddress(from), undefined, nowUs);
    return this.#arrival;
  }

  handleTimeout(nowUs: number): void {
    this.#latestUs = nowUs;
    for (let due = this.exchange.timers.popDue(nowUs); due !== undefined; due = this.exchange.timers.popDue(nowUs)) {
      if (due !== this) due.handleTimeout(nowUs);
      else for (const relay of this.relays) relay.stop(nowUs);
    }
  }

  /** When `handleTimeout` wants to be called, `NEVER` if not at all. Changes with every call of anything else. */
  nextTimeoutUs(): number {
    return this.exchange.timers.nextUs;
  }

  /** Fills the slot with a datagram to send; false if there is none. */
  pollTransmit(slot: IceSlot): boolean {
    const next = this.exchange.outgoing.shift();
    if (next === undefined) return false;
    slot.bytes.set(next.length === next.bytes.length ? next.bytes : next.bytes.subarray(0, next.length));
    slot.length = next.length;
    slot.to = this.written(next.to);
    return true;
  }

  /** An agent that has events, each once until it has new ones. */
  pollReady(): IceAgent | undefined {
    for (const agent of this.#ready) {
      this.#ready.delete(agent);
      return agent;
    }
    return undefined;
  }

  /** Gives allocations back (`pollTransmit` once more) and closes all agents. */
  close(nowUs: number): void {
    for (const agent of this.#agents.values()) agent.close();
    for (const relay of this.relays) relay.stop(nowUs);
    for (const probe of this.#probes) probe.stop();
    this.exchange.forgetAll();
    this.exchange.timers.set(this, NEVER);
  }

  /** How STUN servers see us, for explanations: different answers mean a symmetric NAT. */
  get mappings(): readonly { readonly server: NetAddress; readonly mapped: NetAddress | undefined }[] {
    return this.#probes.map(({ server, mapped }) => ({ server, mapped }));
  }

  // ---- for agents

  hasFamily(family: Family): boolean {
    return this.#addresses.some(({ address }) => familyOf(address) === family);
  }

  written(plain: NetAddress): NetAddress {
    if (!this.#mapsIPv4 || familyOf(plain.address) === 'IPv6') return plain;
    return { address: `::ffff:${plain.address}`, port: plain.port };
  }

  isLan(host: string): boolean {
    if (addressClass(host) === 'public') return false;
    return this.#addresses.some(({ address, prefixLength }) =>
      isSameNetwork(address, host, prefixLength ?? (familyOf(address) === 'IPv4' ? 24 : 64)),
    );
  }

  isGathering(allowed: AllowedTypes): boolean {
    const isAsking = allowed.publicHost && this.#probes.some(({ isRunning, hasOutcome }) => isRunning && !hasOutcome);
    return isAsking || (allowed.relay && this.relays.some(({ state }) => state === 'allocating'));
  }

  noteReady(agent: IceAgent): void {
    this.#ready.add(agent);
  }

  forget(agent: IceAgent): void {
    this.#ready.delete(agent);
    if (this.#agents.get(agent.localUfrag) !== agent) return;
    this.#agents.delete(agent.localUfrag);
    if (this.#agents.size > 0) return;
    for (const probe of this.#probes) probe.stop();
    // Nobody says what time it is; that of the latest input is near enough.
    if (this.relays.length > 0) this.exchange.timers.set(this, this.#latestUs + LINGER_US);
  }

  // ---- for the clients of servers

  /** Also when there is nothing new: whoever waits for the last answer need not wait any more. */
  onMapping(nowUs: number): void {
    this.#updateCandidates(nowUs);
    for (const agent of this.#agents.values()) this.noteReady(agent);
  }

  onRelay(relay: TurnClient, nowUs: number): void {
    this.#updateCandidates(nowUs);
    for (const agent of this.#agents.values()) agent.handleRelay(relay, nowUs);
  }

  // ---- what arrives

  #handleStun(
    bytes: Uint8Array,
    start: number,
    end: number,
    from: NetAddress,
    relay: TurnClient | undefined,
    nowUs: number,
  ): void {
    const message = decodeStun(bytes, start, end);
    if (message === undefined) return;
    if (message.class === StunClass.Success || message.class === StunClass.Error) {
      this.exchange.handleResponse(message, from, relay, nowUs);
    } else if (message.method === StunMethod.Binding) {
      const [localUfrag = ''] = (message.text(StunAttribute.Username) ?? '').split(':', 1);
      this.#agents.get(localUfrag)?.handleRequest(message, from, relay, nowUs);
    } else if (message.method === StunMethod.Data && relay === undefined) {
      const client = this.#relayAt(from);
      const peer = message.address(StunAttribute.XorPeerAddress);
      const data = message.value(StunAttribute.Data);
      if (client === undefined || peer === undefined || data === undefined) return;
      // The value lies in the datagram where it lies in the message.
      const dataStart = start + data.byteOffset - message.bytes.byteOffset;
      this.#handleRelayed(bytes, dataStart, dataStart + data.length, peer, client, nowUs);
    }
  }

  #handleChannelData(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): IceArrival | undefined {
    const client = this.#relayAt(from);
    if (client === undefined || length < CHANNEL_HEADER_BYTES) return undefined;
    const peer = client.peerByChannel((bytes[0]! << 8) | bytes[1]!);
    const end = CHANNEL_HEADER_BYTES + ((bytes[2]! << 8) | bytes[3]!);
    if (peer !== undefined && end <= length) {
      this.#handleRelayed(bytes, CHANNEL_HEADER_BYTES, end, peer.remote, client, nowUs);
    }
    return this.#arrival;
  }

  #handleRelayed(
    bytes: Uint8Array,
    start: number,
    end: number,
    peer: NetAddress,
    relay: TurnClient,
    nowUs: number,
  ): void {
    if (isStun(bytes, start, end)) {
      this.#handleStun(bytes, start, end, peer, relay, nowUs);
      return;
    }
    const arrival = this.#arrival;
    arrival.start = start;
    arrival.end = end;
    arrival.remote = peer;
    arrival.relay = relay;
  }

  #relayAt(from: NetAddress): TurnClient | undefined {
    for (const relay of this.relays) if (relay.state !== 'off' && isAddressOf(from, relay.server)) return relay;
    return undefined;
  }

  // ---- gathering

  #replaceServers(servers: IceServers, nowUs: number | undefined): void {
    const stun = distinct(servers.stun.map(plainAddress));
    const isWanted = (server: NetAddress) => stun.some((each) => isSameAddress(each, server));
    for (const probe of this.#probes) if (!isWanted(probe.server)) probe.stop();
    this.#probes = stun.map(
      (server) =>
        this.#probes.find((probe) => isSameAddress(probe.server, server)) ??
        new MappingProbe(this.exchange, server, this),
    );
    const turn = servers.turn.slice(0, MAX_SERVERS);
    const before = this.relays;
    this.relays = turn.map(
      (server) => before.find((relay) => relay.isFor(server)) ?? new TurnClient(this.exchange, server, this),
    );
    for (const relay of before) if (nowUs !== undefined && !this.relays.includes(relay)) relay.stop(nowUs);
  }

  /** What some agent may use. Servers of a family that we do not have would not hear us. */
  #gather(nowUs: number): void {
    const agents = [...this.#agents.values()];
    if (agents.some(({ allowed }) => allowed.publicHost)) {
      for (const probe of this.#probes) {
        if (!probe.isRunning && this.hasFamily(familyOf(probe.server.address))) probe.start(nowUs);
      }
    }
    if (!agents.some(({ allowed }) => allowed.relay)) return;
    for (const relay of this.relays) if (this.hasFamily(familyOf(relay.server.address))) relay.start(nowUs);
  }

  #isUsable(address: string): boolean {
    const kind = addressClass(address);
    if (kind === 'localhost') return this.allowsLoopback;
    return kind !== 'unusable' && !isLinkLocal(address);
  }

  #updateCandidates(nowUs: number): void {
    const found: LocalCandidate[] = [];
    this.#addresses.forEach(({ address }, order) => {
      const base = { address, port: this.#port };
      const isPrivate = familyOf(address) === 'IPv4' && addressClass(address) !== 'public';
      found.push(newCandidate('host', base, base, undefined, order, isPrivate ? 'privateHost' : 'publicHost'));
    });
    const addMapped = (mapped: NetAddress | undefined, server: NetAddress) => {
      if (mapped === undefined || found.some(({ candidate }) => isSameAddress(candidate.address, mapped))) return;
      found.push(newCandidate('srflx', mapped, this.#baseFor(mapped), server, 0, 'publicHost'));
    };
    for (const { mapped, server } of this.#probes) addMapped(mapped, server);
    for (const { mapped, server } of this.relays) addMapped(mapped, server);
    this.relays.forEach(({ relayed, server }, order) => {
      if (relayed !== undefined) {
        found.push(newCandidate('relay', relayed, this.#baseFor(server), server, order, 'relay'));
      }
    });
    this.localCandidates = found;
    for (const agent of this.#agents.values()) agent.handleLocalCandidates(nowUs);
  }

  /** The system chooses the address that we send from; the first of the family stands for it. */
  #baseFor(other: NetAddress): NetAddress {
    const family = familyOf(other.address);
    const local = this.#addresses.find(({ address }) => familyOf(address) === family);
    return { address: local?.address ?? '::', port: this.#port };
  }
}

function newCandidate(
  type: CandidateType,
  address: NetAddress,
  base: NetAddress,
  server: NetAddress | undefined,
  order: number,
  needs: keyof AllowedTypes,
): LocalCandidate {
  const foundation = foundationOf(type, base, server);
  return { candidate: { foundation, priority: candidatePriority(type, order), address, type }, needs };
}

function distinct(servers: readonly NetAddress[]): NetAddress[] {
  const isFirst = (server: NetAddress, at: number) => servers.findIndex((each) => isSameAddress(each, server)) === at;
  return servers.filter(isFirst).slice(0, MAX_SERVERS);
}

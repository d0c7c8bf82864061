// All P2P connections of an instance: makes them, finds the one that a signal is for, and runs the one UDP port and the
// ICE that they share. Spec: 07 §7.4, §7.7, §7.13.

import { IpAddress } from '../base/address.ts';
import { NetworkingError } from '../base/errors.ts';
import { Identity } from '../base/identity.ts';
import { NEVER, US_PER_SECOND } from '../base/time.ts';
import type { Expectation, VerifyFailure } from '../certs/verify.ts';
import { ConfigScope } from '../config/scope.ts';
import { Connection } from '../connection/connection.ts';
import { type End, EndReason } from '../connection/end-reason.ts';
import { NOWHERE, type TransmitSlot } from '../connection/environment.ts';
import { P2pHandshake, type SignalCaller, type VirtualPorts } from '../connection/p2p-handshake.ts';
import { allowedTypes, canUseIce, type P2pGround, P2pLink } from '../connection/p2p-link.ts';
import { FACTS } from '../connection/state-table.ts';
import type { Relay } from '../ice/route.ts';
import type { NetAddress } from '../platform.ts';
import { type ControlPacket, decodeControlPacket, MIN_DATAGRAM_BYTES } from '../wire/control-packets.ts';
import { isDataPacket, recipientOf } from '../wire/data-packet.ts';
import { decodeSignal, EMPTY_SIGNAL, encodeSignal, type Signal } from '../wire/signal.ts';
import { Refusals } from './admission.ts';
import type { Endpoint } from './endpoint.ts';
import type { DatagramTarget, Door, Member } from './member.ts';

/** GNS's ad-hoc messages live here. */
export const MESSAGES_VIRTUAL_PORT = 0x7fff_ffff;
/** A connection whose peer calls again and has not answered for so long gives way to the call. */
const REPLACE_AFTER_SILENCE_US = 2 * US_PER_SECOND;
/** Longer signals are dropped unread: an honest one has some hundred bytes. */
const MAX_SIGNAL_BYTES = 65_536;

/** A virtual port on which calls are taken. */
export class VirtualPort implements Door {
  readonly virtualPort: number;
  readonly config: ConfigScope;
  readonly members = new Set<Member>();
  /** Calls that were rejected because of their credentials. */
  readonly refusals = new Refusals();
  isClosing = false;

  constructor(virtualPort: number, config: ConfigScope) {
    this.virtualPort = virtualPort;
    this.config = config;
  }

  onAnswered(): void {}

  forget(member: Member): void {
    this.members.delete(member);
  }
}

export interface P2PTarget {
  /** Without an identity: whoever answers. */
  readonly expected: Expectation;
  readonly remoteVirtualPort: number;
  readonly config: ConfigScope;
}

/** What became of a signal. */
export type SignalOutcome =
  /** It was for a connection, or is to be ignored. */
  | { readonly kind: 'taken' }
  /** It is broken, or not what it should be. */
  | { readonly kind: 'refused' }
  /** Somebody calls; the application decides before anything else happens. */
  | { readonly kind: 'call'; readonly member: Member }
  /** A call that cannot be taken, and what to tell the caller. */
  | { readonly kind: 'rejected'; readonly to: Identity; readonly signal: Uint8Array };

const TAKEN: SignalOutcome = { kind: 'taken' };
const REFUSED: SignalOutcome = { kind: 'refused' };

export class Rendezvous implements DatagramTarget {
  readonly virtualPorts = new Map<number, VirtualPort>();
  readonly #endpoint: Endpoint;
  #ground: P2pGround | undefined;
  readonly #members = new Set<Member>();
  /** Shares its bytes with the slot of the endpoint. */
  #slot: { bytes: Uint8Array; length: number; to: NetAddress | undefined } | undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** The port and its ICE; undefined while nobody needs them. */
  get ground(): P2pGround | undefined {
    return this.#ground;
  }

  get members(): Iterable<Member> {
    return this.#members;
  }

  /** From now on there is a port. */
  start(ground: P2pGround): void {
    this.#ground = ground;
  }

  // ---- commands

  /** Throws `InvalidState` if somebody listens there already. */
  listen(virtualPort: number, config: ConfigScope): VirtualPort {
    if (this.virtualPorts.has(virtualPort)) {
      throw new NetworkingError('InvalidState', `cannot listen on virtual port ${virtualPort}: somebody does already`);
    }
    const door = new VirtualPort(virtualPort, config);
    this.virtualPorts.set(virtualPort, door);
    return door;
  }

  /** A live connection with the same peer and ports, in symmetric mode. */
  findMatch(identity: Identity, ports: VirtualPorts, mustBeSymmetric: boolean): Member | undefined {
    for (const member of this.#members) {
      const { link, state } = member.connection;
      const { talk } = link!;
      const isSame = talk.ports.local === ports.local && talk.ports.remote === ports.remote;
      if (!isSame || talk.identity?.equals(identity) !== true || !FACTS[state].isActive) continue;
      if (link!.isSymmetric || !mustBeSymmetric) return member;
    }
    return undefined;
  }

  /** Begins to connect. Throws `NotSupported` if there is no way to, and `LimitExceeded`. */
  connect({ expected, remoteVirtualPort, config }: P2PTarget, nowUs: number): Member {
    if (!canUseIce(allowedTypes(config))) {
      throw new NetworkingError('NotSupported', 'cannot connect: p2pTransportIceEnable permits no kind of address');
    }
    const { env } = this.#endpoint;
    const id = this.#endpoint.newId();
    const connection = new Connection(env, config, id, false, NOWHERE);
    const ports = portsOf(config, remoteVirtualPort);
    const talk = P2pHandshake.connect(env, config, id, ports, expected);
    return this.#begin(connection, talk, undefined, nowUs);
  }

  #begin(connection: Connection, talk: P2pHandshake, door: VirtualPort | undefined, nowUs: number): Member {
    const { env } = this.#endpoint;
    const member = this.#endpoint.add(connection, door);
    door?.members.add(member);
    this.#members.add(member);
    connection.begin(new P2pLink(env, connection.config, this.#ground!, connection.id, talk), nowUs);
    this.#endpoint.touch(member);
    return member;
  }

  /** The connection is dead. */
  forget(member: Member): void {
    this.#members.delete(member);
  }

  /** Nobody needs the port any more: takes it out of use, and gives it back. */
  releaseIfIdle(nowUs: number): P2pGround | undefined {
    const ground = this.#ground;
    if (ground === undefined || this.#members.size > 0 || this.virtualPorts.size > 0) return undefined;
    ground.ice.close(nowUs);
    this.#ground = undefined;
    return ground;
  }

  /** Only goodbyes are left to say: no reason to keep a process alive. */
  get isLeaving(): boolean {
    return this.virtualPorts.size === 0 && [...this.#members].every(({ isCloseReported }) => isCloseReported);
  }

  // ---- signals

  /** `bytes` are given away. */
  receiveSignal(bytes: Uint8Array, nowUs: number): SignalOutcome {
    const signal = bytes.length > MAX_SIGNAL_BYTES ? undefined : decodeSignal(bytes);
    if (signal === undefined) return REFUSED;
    const from = signal.fromIdentity === undefined ? undefined : Identity.parse(signal.fromIdentity);
    if (signal.toConnectionId !== undefined) return this.#receiveKnown(signal, signal.toConnectionId, from, nowUs);
    if (from === undefined || signal.fromConnectionId === undefined || signal.fromConnectionId === 0) return REFUSED;
    const connectionId = signal.fromConnectionId;
    for (const member of this.#members) {
      const { link } = member.connection;
      if (link!.remoteId !== connectionId || link!.identity?.equals(from) !== true) continue;
      return this.#hand(member, signal, nowUs);
    }
    const { request } = signal;
    // No answer: it would tell strangers that we are here.
    if (request === undefined) return TAKEN;
    if (request.cert === undefined || request.crypt === undefined) return REFUSED;
    return this.#receiveCall({ identity: from, connectionId, request }, signal, nowUs);
  }

  #hand(member: Member, signal: Signal, nowUs: number): SignalOutcome {
    member.connection.handleSignal(signal, nowUs);
    this.#endpoint.touch(member);
    return TAKEN;
  }

  #receiveKnown(signal: Signal, toConnectionId: number, from: Identity | undefined, nowUs: number): SignalOutcome {
    const member = this.#endpoint.findById(toConnectionId);
    if (member === undefined) return TAKEN;
    const { link, state } = member.connection;
    if (link === undefined) return REFUSED;
    const { talk } = link;
    if (from === undefined) {
      // The rejections of GNS do not say whom they are from.
      const isRejection = signal.fromIdentity === undefined && signal.closed !== undefined && state === 'Connecting';
      return isRejection && talk.isClient ? this.#hand(member, signal, nowUs) : REFUSED;
    }
    if (talk.identity === undefined && state === 'Connecting') talk.identity = from;
    if (talk.identity?.equals(from) !== true) return REFUSED;
    const { fromConnectionId = 0 } = signal;
    if (talk.remoteId === 0 && signal.closed === undefined) talk.remoteId = fromConnectionId;
    else if (talk.remoteId !== 0 && talk.remoteId !== fromConnectionId) return REFUSED;
    return this.#hand(member, signal, nowUs);
  }

  #receiveCall(caller: SignalCaller, signal: Signal, nowUs: number): SignalOutcome {
    const { toVirtualPort: local = -1, fromVirtualPort: remote = local } = caller.request;
    const ports = { local, remote };
    const door = this.virtualPorts.get(local);
    const match = this.findMatch(caller.identity, ports, door?.config.get('symmetricConnect') !== 1);
    if (match !== undefined) {
      if (this.#yields(match, caller)) {
        match.connection.act(match.connection.link!.yieldTo(caller, nowUs), nowUs);
        return this.#hand(match, signal, nowUs);
      }
      if (!this.#isForsaken(match, nowUs)) return TAKEN;
    }
    if (this.#endpoint.isFull) return this.#reject(caller, this.#endpoint.env.random.u32() | 1, FULL);
    const config = new ConfigScope('connection', door?.config ?? this.#endpoint.config);
    if (local >= 0) config.set('localVirtualPort', local);
    const id = this.#endpoint.newId();
    const talk = P2pHandshake.answer(this.#endpoint.env, config, id, ports, caller, nowUs);
    if ('kind' in talk) {
      if (door !== undefined) this.#onRefused(door, talk, caller.identity, nowUs);
      return this.#reject(caller, id, { reason: talk.reason, debug: talk.detail });
    }
    if ('reason' in talk) return this.#reject(caller, id, talk);
    match?.connection.supersede(nowUs);
    const connection = new Connection(this.#endpoint.env, config, id, true, NOWHERE);
    const member = this.#begin(connection, talk, door, nowUs);
    this.#hand(member, signal, nowUs);
    return { kind: 'call', member };
  }

  #onRefused(
    door: VirtualPort,
    { kind, reason, detail }: VerifyFailure,
    remoteIdentity: Identity,
    nowUs: number,
  ): void {
    const remoteAddress = IpAddress.fromNet(NOWHERE.remote);
    const refusal = door.refusals.note({ kind, reason, detail, remoteIdentity, remoteAddress }, nowUs);
    if (refusal !== undefined) this.#endpoint.onRefused(door, refusal);
  }

  /**
   * A peer that calls although there is a connection may have begun anew. It is asked on the connection at each such
   * call, and the connection is given up when it has not answered for long enough.
   */
  #isForsaken(member: Member, nowUs: number): boolean {
    const { connection } = member;
    const link = connection.link!;
    if (!FACTS[connection.state].carriesData) return false;
    const isNewDoubt = link.doubtedAtUs === NEVER || connection.data.liveness.lastReceivedDataUs > link.doubtedAtUs;
    if (isNewDoubt) link.doubtedAtUs = nowUs;
    connection.data.probe();
    this.#endpoint.touch(member);
    return nowUs - link.doubtedAtUs >= REPLACE_AFTER_SILENCE_US;
  }

  /** Both sides asked. What already goes on is not disturbed. */
  #yields({ connection }: Member, caller: SignalCaller): boolean {
    const link = connection.link!;
    return connection.state === 'Connecting' && link.talk.isClient && link.isCallerFirst(caller);
  }

  #reject(caller: SignalCaller, localId: number, { debug }: End): SignalOutcome {
    const reason = EndReason.Misc_Generic;
    const why = { reason, debug: `Internal error accepting connection. ${debug}` };
    return { kind: 'rejected', to: caller.identity, signal: this.#rejection(caller, localId, why) };
  }

  #rejection({ identity, connectionId }: SignalCaller, localId: number, closed: End): Uint8Array {
    return encodeSignal({
      ...EMPTY_SIGNAL,
      toConnectionId: connectionId,
      closed: { reason: closed.reason, debug: closed.debug },
      fromIdentity: this.#endpoint.env.identity.toString(),
      fromConnectionId: localId,
      toIdentity: identity.toString(),
    });
  }

  /** The application does not want this call: what to tell the caller. The connection is forgotten without a word. */
  turnAway(member: Member): Uint8Array {
    const { connection } = member;
    const { identity, remoteId: connectionId } = connection;
    const { endReason: reason, endDebug: debug } = connection.info;
    const caller = { identity: identity!, connectionId, request: { ...NO_REQUEST } };
    return this.#rejection(caller, connection.id, { reason, debug });
  }

  // ---- datagrams

  handleDatagram(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): void {
    this.takeDatagram(bytes, length, from, nowUs);
  }

  /** False if it is neither ICE's nor for one of these connections, and may be somebody else's. */
  takeDatagram(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): boolean {
    if (this.#ground === undefined) return false;
    const arrival = this.#ground.ice.handleDatagram(bytes, length, from, nowUs);
    let isTaken = true;
    if (arrival === undefined) isTaken = this.#handlePlain(bytes, length, from, undefined, nowUs);
    else if (arrival.start < arrival.end) {
      const { start, end, remote, relay } = arrival;
      this.#handlePlain(bytes.subarray(start, end), end - start, remote, relay, nowUs);
    }
    this.#followIce(nowUs);
    return isTaken;
  }

  /** Whose it is says the id; where it came from proves nothing, and need not: data is sealed. */
  #handlePlain(bytes: Uint8Array, length: number, from: NetAddress, relay: Relay | undefined, nowUs: number): boolean {
    if (length < MIN_DATAGRAM_BYTES) return false;
    const packet = isDataPacket(bytes) ? undefined : decodeControlPacket(bytes, length);
    const member = this.#endpoint.findById(packet === undefined ? recipientOf(bytes) : recipientOfControl(packet));
    if (member === undefined || !this.#members.has(member)) return false;
    const { connection } = member;
    if (packet !== undefined) {
      if (senderOfControl(packet) !== connection.remoteId) return true;
      connection.handleControl(packet, length, nowUs);
    } else if (isDataPacket(bytes)) {
      connection.handleData(bytes, length, nowUs);
      const isGenuine = connection.data.liveness.lastReceivedDataUs === nowUs;
      if (isGenuine) connection.link!.agent?.noteDataReceived(from, relay, nowUs);
    }
    this.#endpoint.touch(member);
    return true;
  }

  /** ICE has found out something for these. */
  #followIce(nowUs: number): void {
    const ice = this.#ground?.ice;
    for (let agent = ice?.pollReady(); agent !== undefined; agent = ice?.pollReady()) {
      for (const member of this.#members) {
        if (member.connection.link!.agent !== agent) continue;
        member.connection.handleTimeout(nowUs);
        this.#endpoint.touch(member);
      }
    }
  }

  handleTimeout(nowUs: number): void {
    this.#ground?.ice.handleTimeout(nowUs);
    this.#followIce(nowUs);
  }

  nextTimeoutUs(): number {
    return this.#ground?.ice.nextTimeoutUs() ?? NEVER;
  }

  /** Fills `slot` with the next datagram of ICE. */
  pollTransmit(slot: TransmitSlot, nowUs: number): boolean {
    if (this.#ground === undefined) return false;
    this.#followIce(nowUs);
    if (this.#slot?.bytes !== slot.bytes) this.#slot = { bytes: slot.bytes, length: 0, to: undefined };
    if (!this.#ground.ice.pollTransmit(this.#slot)) return false;
    slot.length = this.#slot.length;
    slot.path = { port: this.#ground.port, remote: this.#slot.to! };
    return true;
  }
}

const FULL: End = { reason: EndReason.Misc_Generic, debug: 'There are too many connections' };
const NO_REQUEST = { cert: undefined, crypt: undefined, toVirtualPort: undefined, fromVirtualPort: undefined };

/** Our own virtual port is that of the peer, unless the configuration has another. */
export function portsOf(config: ConfigScope, remote: number): VirtualPorts {
  const local = config.get('localVirtualPort');
  return { local: local < 0 ? remote : local, remote };
}

function recipientOfControl(packet: ControlPacket): number {
  return packet.kind === 'connectionClosed' || packet.kind === 'noConnection' ? packet.toConnectionId : 0;
}

function senderOfControl(packet: ControlPacket): number {
  return packet.kind === 'connectionClosed' || packet.kind === 'noConnection' ? packet.fromConnectionId : 0;
}

// A listen socket: one port, many connections. Finds the connection that a datagram belongs to, and deals with strangers
// without keeping anything of them until they have shown that their address is theirs. Spec: 01 §1.1, §1.4, §1.7.

import { IpAddress } from '../base/address.ts';
import { Fifo } from '../base/fifo.ts';
import type { Identity } from '../base/identity.ts';
import { US_PER_SECOND } from '../base/time.ts';
import { NO_IDENTITY, type VerifyFailure } from '../certs/verify.ts';
import type { ConfigScope } from '../config/scope.ts';
import { EndReason } from '../connection/end-reason.ts';
import { PROTOCOL_VERSION, type TransmitSlot } from '../connection/environment.ts';
import { allowWithoutAuth, peerIdentity } from '../connection/key-exchange.ts';
import { FACTS } from '../connection/state-table.ts';
import { ServerHandshake } from '../connection/udp-handshake.ts';
import { ChallengeCookies } from '../crypto/siphash.ts';
import type { NetAddress, UdpPort } from '../platform.ts';
import { answerChallenge, peekChallenge } from '../wire/challenge.ts';
import {
  type ConnectRequest,
  type ControlPacket,
  ControlPacketId,
  decodeControlPacket,
  encodeControlPacket,
  MAX_CONTROL_PACKET_BYTES,
  MIN_DATAGRAM_BYTES,
} from '../wire/control-packets.ts';
import { isDataPacket, recipientOf } from '../wire/data-packet.ts';
import { type AdmissionHook, type AdmissionOptions, applicantOf, Refusals } from './admission.ts';
import type { Endpoint } from './endpoint.ts';
import { type DropReason, Gate, type StrangerStats } from './gate.ts';
import type { DatagramTarget, Member } from './member.ts';

/** Answers to strangers that wait for the network; more are dropped. */
const MAX_OUTBOX = 1024;
/** A live connection whose client asks to connect anew is taken for dead when it was silent for this long. */
const REPLACE_AFTER_SILENCE_US = 2 * US_PER_SECOND;
const COOKIE_KEY_BYTES = 16;

/** Working space for the answer at hand. */
const ANSWER = new Uint8Array(MAX_CONTROL_PACKET_BYTES);

interface Reply {
  readonly to: NetAddress;
  readonly bytes: Uint8Array;
}

export class Listener implements DatagramTarget {
  readonly port: UdpPort;
  readonly config: ConfigScope;
  /** No new connections: the port stays open until the last one has said goodbye. */
  isClosing = false;
  readonly members = new Set<Member>();
  readonly #endpoint: Endpoint;
  readonly #cookies: ChallengeCookies;
  readonly #byAddress = new Map<string, Map<number, Member>>();
  /** By connection id and identity of the client. */
  readonly #byClient = new Map<string, Member>();
  readonly #outbox = new Fifo<Reply>();
  readonly #gate: Gate;
  readonly #hook: AdmissionHook | undefined;
  /** Requests that were ignored because of their credentials. */
  readonly refusals = new Refusals();

  constructor(endpoint: Endpoint, port: UdpPort, config: ConfigScope, options: AdmissionOptions = {}) {
    this.#endpoint = endpoint;
    this.port = port;
    this.config = config;
    const key = new Uint8Array(COOKIE_KEY_BYTES);
    endpoint.env.random.fill(key);
    this.#cookies = new ChallengeCookies(key);
    this.#gate = new Gate(options.limits ?? {}, key);
    this.#hook = options.admit;
  }

  get strangers(): StrangerStats {
    return this.#gate.stats;
  }

  handleDatagram(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): void {
    const { rendezvous } = this.#endpoint;
    if (rendezvous.ground?.port === this.port && rendezvous.takeDatagram(bytes, length, from, nowUs)) return;
    if (length < MIN_DATAGRAM_BYTES) {
      this.#gate.onReceived(length);
      this.#gate.drop('malformed');
      return;
    }
    if (isDataPacket(bytes)) {
      this.#handleData(bytes, length, from, nowUs);
      return;
    }
    const member = this.#find(from);
    if (member !== undefined) {
      const packet = decodeControlPacket(bytes, length);
      if (!this.#isNewcomer(packet, member, nowUs)) {
        member.connection.handleControl(packet, length, nowUs);
        this.#endpoint.touch(member);
        return;
      }
    }
    this.#gate.onReceived(length);
    const reason = this.#handleStranger(bytes, length, from, member, nowUs);
    if (reason !== undefined) this.#gate.drop(reason);
  }

  #handleData(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): void {
    const owner = this.#endpoint.findById(recipientOf(bytes));
    const isAtHome = owner !== undefined && isSameAddress(owner.connection.route.path.remote, from);
    const member = isAtHome ? owner : (this.#find(from) ?? owner);
    if (member?.listener !== this) {
      this.#gate.onReceived(length);
      this.#gate.drop('stray');
      return;
    }
    if (isAtHome || member !== owner) member.connection.handleData(bytes, length, nowUs);
    else this.#handleElsewhere(member, bytes, length, from, nowUs);
    this.#endpoint.touch(member);
  }

  /** A data packet for a connection whose client is somewhere else, as far as we know. */
  #handleElsewhere(member: Member, bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): void {
    const { connection } = member;
    if (connection.config.get('ipFollowAddressChange') === 0) return;
    const { address, path } = connection.route;
    connection.handleDataElsewhere(bytes, length, from, nowUs);
    if (connection.route.path === path) return;
    this.#unplace(path.remote, member);
    this.#place(connection.route.path.remote, member);
    this.#endpoint.onMoved(member, address);
  }

  #find(from: NetAddress): Member | undefined {
    return this.#byAddress.get(from.address)?.get(from.port);
  }

  /** A client that asks to connect with another id than the connection from its address has, while that one is over. */
  #isNewcomer(packet: ControlPacket | undefined, member: Member, nowUs: number): boolean {
    if (packet === undefined) return false;
    const isRequest = packet.kind === 'challengeRequest' || packet.kind === 'connectRequest';
    if (!isRequest) return false;
    const { connection } = member;
    const id = packet.kind === 'challengeRequest' ? packet.connectionId : packet.clientConnectionId;
    if (id === connection.remoteId) return false;
    if (!FACTS[connection.state].isActive) return true;
    return (
      FACTS[connection.state].carriesData &&
      nowUs - connection.data.liveness.lastReceivedDataUs > REPLACE_AFTER_SILENCE_US
    );
  }

  /** What is cheap comes first: nothing of a request is read before its cookie was found to be good. */
  #handleStranger(
    bytes: Uint8Array,
    length: number,
    from: NetAddress,
    predecessor: Member | undefined,
    nowUs: number,
  ): DropReason | undefined {
    const kind = bytes[0];
    if (kind === ControlPacketId.ConnectRequest) {
      return this.#handleRequest(bytes, length, from, predecessor, nowUs);
    }
    if (kind !== ControlPacketId.ChallengeRequest && kind !== ControlPacketId.ConnectionClosed) return 'stray';
    if (this.isClosing && kind === ControlPacketId.ChallengeRequest) return 'closing';
    if (!this.#gate.mayAnswer(nowUs)) return 'challengeLimit';
    if (kind === ControlPacketId.ChallengeRequest) {
      const challenge = this.#cookies.issue(IpAddress.fromNet(from).bytes, from.port, nowUs);
      const replyBytes = answerChallenge(bytes, length, challenge, PROTOCOL_VERSION, ANSWER);
      if (replyBytes === 0) return 'malformed';
      this.#reply(from, replyBytes);
      return undefined;
    }
    const packet = decodeControlPacket(bytes, length);
    if (packet?.kind !== 'connectionClosed') return 'malformed';
    const { toConnectionId, fromConnectionId } = packet;
    this.#replyPacket(from, {
      kind: 'noConnection',
      fromConnectionId: toConnectionId,
      toConnectionId: fromConnectionId,
    });
    return undefined;
  }

  #handleRequest(
    bytes: Uint8Array,
    length: number,
    from: NetAddress,
    predecessor: Member | undefined,
    nowUs: number,
  ): DropReason | undefined {
    if (this.isClosing) return 'closing';
    const challenge = peekChallenge(bytes, 1, length);
    if (challenge === undefined) return 'malformed';
    const address = IpAddress.fromNet(from);
    if (!this.#cookies.isFresh(challenge, address.bytes, from.port, nowUs)) return 'badCookie';
    const obstacle = this.#gate.obstacle(address, nowUs);
    if (obstacle !== undefined) return obstacle;
    const request = decodeControlPacket(bytes, length);
    // Protobuf lets the last of several challenges win: then it is not the one that was checked.
    if (request?.kind !== 'connectRequest' || request.challenge !== challenge) return 'malformed';
    return this.#admit(request, address, from, length, predecessor, nowUs);
  }

  #admit(
    request: ConnectRequest,
    address: IpAddress,
    from: NetAddress,
    length: number,
    predecessor: Member | undefined,
    nowUs: number,
  ): DropReason | undefined {
    if (request.clientConnectionId === 0) return 'malformed';
    const identity = peerIdentity(request.cert, request.identity, address, allowWithoutAuth(this.config, address));
    if (identity === undefined) {
      this.#onRefused(NO_IDENTITY, identity, address, nowUs);
      return 'credentials';
    }
    const client = `${request.clientConnectionId} ${identity}`;
    if (this.#byClient.has(client)) {
      // The same client from another address: whoever was first keeps the id.
      this.#replyPacket(from, {
        kind: 'connectionClosed',
        toConnectionId: request.clientConnectionId,
        fromConnectionId: 0,
        reason: EndReason.Misc_Generic,
        debug: 'A connection with this id and identity exists already',
      });
      return undefined;
    }
    if (this.#hook?.(applicantOf(request, identity, address)) === false) return 'refused';
    let failure: VerifyFailure | undefined;
    const { env } = this.#endpoint;
    const member = this.#endpoint.admit(
      this,
      from,
      ({ id, config, data }) => {
        data.stats.received.note(length);
        const { roundTrip } = data.stats;
        const handshake = ServerHandshake.begin(env, config, id, address, request, identity, roundTrip, nowUs);
        if (!('kind' in handshake)) return handshake;
        failure = handshake;
        return undefined;
      },
      nowUs,
    );
    if (failure !== undefined) this.#onRefused(failure, identity, address, nowUs);
    if (member === undefined) return failure === undefined ? 'full' : 'credentials';
    if (predecessor !== undefined) {
      predecessor.connection.supersede(nowUs);
      this.#endpoint.touch(predecessor);
    }
    this.#gate.onAdmitted(address);
    this.members.add(member);
    this.#byClient.set(client, member);
    this.#place(from, member);
    return undefined;
  }

  /** The application accepted the client or turned it away, or it gave up. */
  onAnswered(member: Member): void {
    this.#gate.onAnswered(member.connection.route.address);
  }

  #onRefused(
    failure: VerifyFailure,
    remoteIdentity: Identity | undefined,
    remoteAddress: IpAddress,
    nowUs: number,
  ): void {
    const { kind, reason, detail } = failure;
    const refusal = this.refusals.note({ kind, reason, detail, remoteIdentity, remoteAddress }, nowUs);
    if (refusal !== undefined) this.#endpoint.onRefused(this, refusal);
  }

  #place({ address, port }: NetAddress, member: Member): void {
    let ports = this.#byAddress.get(address);
    if (ports === undefined) {
      ports = new Map();
      this.#byAddress.set(address, ports);
    }
    ports.set(port, member);
  }

  /** The connection is dead. */
  forget(member: Member): void {
    const { connection } = member;
    this.members.delete(member);
    this.#byClient.delete(`${connection.remoteId} ${connection.identity}`);
    this.#unplace(connection.route.path.remote, member);
  }

  #unplace({ address, port }: NetAddress, member: Member): void {
    const ports = this.#byAddress.get(address);
    if (ports?.get(port) !== member) return;
    ports.delete(port);
    if (ports.size === 0) this.#byAddress.delete(address);
  }

  #replyPacket(to: NetAddress, packet: ControlPacket): void {
    this.#reply(to, encodeControlPacket(packet, ANSWER));
  }

  /** Sends what is in `ANSWER`. */
  #reply({ address, port }: NetAddress, length: number): void {
    if (this.#outbox.length >= MAX_OUTBOX) return;
    this.#outbox.push({ to: { address, port }, bytes: ANSWER.slice(0, length) });
    this.#endpoint.touchListener(this);
  }

  pollTransmit(slot: TransmitSlot): boolean {
    const reply = this.#outbox.shift();
    if (reply === undefined) return false;
    slot.bytes.set(reply.bytes);
    slot.length = reply.bytes.length;
    slot.path = { port: this.port, remote: reply.to };
    this.#gate.onSent(slot.length);
    return true;
  }
}

function isSameAddress(a: NetAddress, b: NetAddress): boolean {
  return a.port === b.port && a.address === b.address;
}

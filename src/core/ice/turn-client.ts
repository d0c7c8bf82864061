// One TURN server that lends us an address: allocation, permissions, channels, and wrapping what goes through it.
// Spec: "TURN" (7.12); RFC 8656, RFC 8489 9.2 (long-term credentials).
import { NEVER, US_PER_SECOND } from '../base/time.ts';
import type { NetAddress } from '../platform.ts';
import { addressClass, familyOf, isSameAddress, plainAddress } from './candidate.ts';
import type { StunExchange, Timed } from './exchange.ts';
import { mappedAddress } from './mapping-probe.ts';
import type { Relay } from './route.ts';
import { bytesOf, StunAttribute, StunClass, type StunMessage, StunMethod, StunWriter } from './stun.ts';
import { type RelayUser, TurnPeer, TurnPermission } from './turn-peers.ts';
import { TurnRequest, type TurnStep } from './turn-request.ts';

export interface TurnServer {
  readonly address: NetAddress;
  /** Empty: no credentials. */
  readonly username: string;
  readonly password: string;
}

/** Whoever wants to know that an allocation was made or lost. */
export interface RelayListener {
  onRelay(client: TurnClient, nowUs: number): void;
}

/** Refreshing also keeps the hole in our NAT open, which some close after 30 s, and notices a server that is gone. */
const REFRESH_US = 15 * US_PER_SECOND;
/** Pause after a server refused or did not answer. */
const RETRY_US = 15 * US_PER_SECOND;
const DEFAULT_LIFETIME_S = 600;
const MAX_REDIRECTS = 2;
/** Whom a server lets us talk to, over all peers. */
const MAX_PERMISSIONS = 256;
const MAX_PEERS = 512;
const UDP = Uint8Array.of(17, 0, 0, 0);
const IPV6 = Uint8Array.of(2, 0, 0, 0);
const FIRST_CHANNEL = 0x4000;
const LAST_CHANNEL = 0x4fff;

export class TurnClient implements Relay, Timed {
  deadlineUs = NEVER;
  heapIndex = -1;
  /** Header, peer address (IPv6), data header, padding. */
  readonly overheadBytes = 20 + 24 + 4 + 3;
  state: 'off' | 'allocating' | 'ready' | 'failed' = 'off';
  server: NetAddress;
  /** What we were lent, while `ready`. */
  relayed: NetAddress | undefined;
  /** How the server sees us, while `ready`. */
  mapped: NetAddress | undefined;
  /** STUN error code of the last refusal to lend us an address; 0 if it did not refuse, or did not answer. */
  errorCode = 0;
  readonly #exchange: StunExchange;
  readonly #listener: RelayListener;
  readonly #options: TurnServer;
  readonly #permissions = new Map<string, TurnPermission>();
  readonly #peers = new Map<string, TurnPeer>();
  /** The same, by the address objects of routes and candidates: found without making a key. */
  #peerOf = new WeakMap<NetAddress, TurnPeer>();
  readonly #peerByChannel = new Map<number, TurnPeer>();
  #nextChannel = FIRST_CHANNEL;
  #realm = '';
  #nonce = '';
  #key: Uint8Array | undefined;
  #asksIPv6: boolean;
  #redirects = 0;
  #request: TurnRequest | undefined;
  #lifetimeUs = DEFAULT_LIFETIME_S * US_PER_SECOND;

  constructor(exchange: StunExchange, options: TurnServer, listener: RelayListener) {
    this.#exchange = exchange;
    this.#options = options;
    this.#listener = listener;
    this.server = plainAddress(options.address);
    this.#asksIPv6 = familyOf(this.server.address) === 'IPv6';
  }

  isFor({ address, username, password }: TurnServer): boolean {
    const mine = this.#options;
    const isSameUser = mine.username === username && mine.password === password;
    return isSameUser && isSameAddress(plainAddress(mine.address), plainAddress(address));
  }

  // ---- the allocation

  start(nowUs: number): void {
    if (this.state === 'allocating' || this.state === 'ready') return;
    this.state = 'allocating';
    this.#ask({ kind: 'allocate', attempts: 0 }, nowUs);
  }

  /** Gives the address back. */
  stop(nowUs: number): void {
    if (this.state === 'off') return;
    if (this.state === 'ready') this.#drop(nowUs);
    this.#forgetRequest();
    this.#exchange.timers.set(this, NEVER);
    // The answer changes nothing, so it is sent once and not waited for.
    const release = this.#build({ kind: 'release', attempts: 0 });
    if (this.#key !== undefined || this.#options.username === '') this.#exchange.send(release, this.server, undefined);
    this.state = 'off';
  }

  /** Asks the server whether the allocation is still there: what goes through it got no answer. */
  verify(nowUs: number): void {
    if (this.state === 'ready' && this.#request === undefined) this.#ask({ kind: 'refresh', attempts: 0 }, nowUs);
  }

  handleTimeout(nowUs: number): void {
    if (this.state === 'ready') this.verify(nowUs);
    else this.start(nowUs);
  }

  /** For `TurnRequest`. */
  isAnswer(message: StunMessage): boolean {
    // Some servers do not sign their answers, GNS's own among them. A wrong signature is another matter.
    return !message.hasIntegrity || (this.#key !== undefined && message.isGenuine(this.#exchange.crypto, this.#key));
  }

  /** For `TurnRequest`: the answer, undefined if there was none. */
  handleOutcome(step: TurnStep, message: StunMessage | undefined, nowUs: number): void {
    if (step.kind !== 'permission' && step.kind !== 'channel') this.#request = undefined;
    const code = message?.class === StunClass.Error ? (message.errorCode ?? 0) : 0;
    if (message !== undefined && this.#isChallenge(code, message, step)) {
      this.#ask({ ...step, attempts: step.attempts + 1 }, nowUs);
      return;
    }
    const isGranted = message?.class === StunClass.Success;
    if (step.kind === 'permission') step.permission.handleOutcome(isGranted, message === undefined, nowUs);
    else if (step.kind === 'channel') step.peer.handleBound(isGranted, nowUs);
    else if (step.kind === 'release') this.#ask({ kind: 'allocate', attempts: step.attempts + 1 }, nowUs);
    else if (step.kind === 'refresh') this.#handleRefreshed(isGranted ? message : undefined, nowUs);
    else if (isGranted && message !== undefined) this.#handleAllocated(message, nowUs);
    else this.#handleRefused(code, message, step, nowUs);
  }

  /** 401: who are you; 438: the nonce is stale. With what the answer says, the same request may do. */
  #isChallenge(code: number, message: StunMessage, step: TurnStep): boolean {
    if ((code !== 401 && code !== 438) || this.#options.username === '' || step.attempts >= 3) return false;
    const realm = message.text(StunAttribute.Realm) ?? this.#realm;
    const nonce = message.text(StunAttribute.Nonce);
    // Refused with the very nonce it wants: the password is wrong.
    if (nonce === undefined || realm === '' || (code === 401 && nonce === this.#nonce && step.attempts > 0))
      return false;
    this.#realm = realm;
    this.#nonce = nonce;
    const utf8 = new TextEncoder();
    const { username, password } = this.#options;
    this.#key = this.#exchange.crypto.md5(utf8.encode(`${username}:`), bytesOf(realm), utf8.encode(`:${password}`));
    return true;
  }

  #handleAllocated(message: StunMessage, nowUs: number): void {
    const relayed = message.address(StunAttribute.XorRelayedAddress);
    if (relayed === undefined || relayed.port === 0 || addressClass(relayed.address) === 'unusable') {
      this.#fail(nowUs);
      return;
    }
    this.state = 'ready';
    this.errorCode = 0;
    this.relayed = relayed;
    this.mapped = mappedAddress(message);
    this.#scheduleRefresh(message, nowUs);
    for (const permission of this.#permissions.values()) permission.renew(nowUs);
    for (const peer of this.#peers.values()) peer.renew(nowUs);
    this.#listener.onRelay(this, nowUs);
  }

  #handleRefused(code: number, message: StunMessage | undefined, step: TurnStep, nowUs: number): void {
    this.errorCode = code;
    const isFresh = step.attempts < 3;
    const next: TurnStep = { kind: 'allocate', attempts: step.attempts + 1 };
    if (code === 440 && this.#asksIPv6) {
      this.#asksIPv6 = false;
      this.#ask(next, nowUs);
    } else if (code === 437 && isFresh) {
      // An allocation of an earlier life of this port is in the way.
      this.#ask({ kind: 'release', attempts: step.attempts }, nowUs);
    } else if (code === 300 && this.#canFollow(message?.address(StunAttribute.AlternateServer))) {
      this.#ask(next, nowUs);
    } else this.#fail(nowUs);
  }

  /** Only to a server that is as public as the one we were told to use, and not in circles. */
  #canFollow(alternate: NetAddress | undefined): boolean {
    if (alternate === undefined || alternate.port === 0 || this.#redirects++ >= MAX_REDIRECTS) return false;
    if (familyOf(alternate.address) !== familyOf(this.server.address)) return false;
    if (addressClass(alternate.address) !== addressClass(this.server.address)) return false;
    this.server = alternate;
    return true;
  }

  #handleRefreshed(message: StunMessage | undefined, nowUs: number): void {
    if (message !== undefined) {
      this.#scheduleRefresh(message, nowUs);
      return;
    }
    this.#drop(nowUs);
    this.state = 'off';
    this.start(nowUs);
  }

  #scheduleRefresh(message: StunMessage, nowUs: number): void {
    const lifetimeS = message.u32(StunAttribute.Lifetime);
    if (lifetimeS !== undefined) this.#lifetimeUs = lifetimeS * US_PER_SECOND;
    // A server that grants nothing is not asked without pause.
    const afterUs = Math.max(US_PER_SECOND, Math.min(REFRESH_US, this.#lifetimeUs / 2));
    this.#exchange.timers.set(this, nowUs + afterUs);
  }

  #fail(nowUs: number): void {
    this.state = 'failed';
    this.server = plainAddress(this.#options.address);
    this.#redirects = 0;
    this.#nonce = '';
    this.#key = undefined;
    this.#exchange.timers.set(this, nowUs + RETRY_US);
    this.#listener.onRelay(this, nowUs);
  }

  /** What we were lent is gone, and with it all that depended on it. */
  #drop(nowUs: number): void {
    this.relayed = this.mapped = undefined;
    this.state = 'failed';
    for (const permission of this.#permissions.values()) permission.reset();
    for (const peer of this.#peers.values()) peer.reset();
    this.#listener.onRelay(this, nowUs);
  }

  #forgetRequest(): void {
    if (this.#request !== undefined) this.#exchange.forget(this.#request);
    this.#request = undefined;
  }

  // ---- requests

  /** For permissions and channels too. */
  ask(step: TurnStep, nowUs: number): void {
    if (this.state === 'ready') this.#ask(step, nowUs);
  }

  #ask(step: TurnStep, nowUs: number): void {
    const request = new TurnRequest(this.#exchange, this.#build(step), this.server, this, step);
    if (step.kind !== 'permission' && step.kind !== 'channel') {
      this.#forgetRequest();
      this.#exchange.timers.set(this, NEVER);
      this.#request = request;
    }
    this.#exchange.start(request, nowUs);
  }

  #build(step: TurnStep): Uint8Array {
    const { crypto } = this.#exchange;
    const writer = new StunWriter(METHODS[step.kind], StunClass.Request, this.#exchange.newTransactionId());
    if (step.kind === 'allocate') {
      writer.add(StunAttribute.RequestedTransport, UDP);
      if (this.#asksIPv6) writer.add(StunAttribute.RequestedAddressFamily, IPV6);
    } else if (step.kind === 'release') writer.addU32(StunAttribute.Lifetime, 0);
    else if (step.kind === 'permission') {
      writer.addAddress(StunAttribute.XorPeerAddress, { address: step.permission.host, port: 0 });
    } else if (step.kind === 'channel') {
      writer.addU32(StunAttribute.ChannelNumber, step.peer.channel * 0x10000);
      writer.addAddress(StunAttribute.XorPeerAddress, step.peer.remote);
    }
    if (this.#key !== undefined) {
      writer.add(StunAttribute.Username, new TextEncoder().encode(this.#options.username));
      writer.addText(StunAttribute.Realm, this.#realm).addText(StunAttribute.Nonce, this.#nonce);
      writer.addIntegrity(crypto, this.#key);
    }
    return writer.addFingerprint().finish();
  }

  // ---- peers

  /** Whether this server can reach `host`: public ones, and its like where it is not public itself. */
  isReachable(host: string): boolean {
    if (this.relayed !== undefined && familyOf(this.relayed.address) !== familyOf(host)) return false;
    const kind = addressClass(host);
    const serverClass = addressClass(this.server.address);
    return kind === 'public' || (serverClass !== 'public' && (kind === 'lan' || serverClass === 'localhost'));
  }

  /** Asks for leave to talk to `host`, for as long as `user` does not release it. */
  permit(host: string, user: RelayUser, nowUs: number): 'pending' | 'granted' | 'denied' {
    let permission = this.#permissions.get(host);
    if (permission === undefined) {
      if (this.#permissions.size >= MAX_PERMISSIONS) return 'denied';
      permission = new TurnPermission(this.#exchange, this, host);
      this.#permissions.set(host, permission);
      permission.renew(nowUs);
    }
    permission.users.add(user);
    return permission.state;
  }

  /** Whether the server lets us talk to `host`. */
  leaveFor(host: string): 'pending' | 'granted' | 'denied' {
    return this.#permissions.get(host)?.state ?? 'pending';
  }

  /** Has data to `remote` sent with four bytes of overhead instead of 36, for as long as `user` does not release it. */
  bindChannel(remote: NetAddress, user: RelayUser, nowUs: number): void {
    const peer = this.#peer(remote);
    if (peer.channel === 0) {
      if (this.#nextChannel > LAST_CHANNEL) return;
      peer.channel = this.#nextChannel++;
      this.#peerByChannel.set(peer.channel, peer);
    }
    const isNew = peer.users.size === 0;
    peer.users.add(user);
    if (isNew) peer.renew(nowUs);
  }

  releaseChannel(remote: NetAddress, user: RelayUser): void {
    this.#peer(remote).release(user);
  }

  /** All that `user` has asked for. */
  release(user: RelayUser): void {
    for (const peer of this.#peers.values()) peer.release(user);
    for (const [host, permission] of this.#permissions) {
      if (permission.release(user)) this.#permissions.delete(host);
    }
  }

  wrap(bytes: Uint8Array, length: number, remote: NetAddress): number {
    let peer = this.#peerOf.get(remote);
    if (peer === undefined) {
      peer = this.#peer(remote);
      this.#peerOf.set(remote, peer);
    }
    return peer.wrap(bytes, length);
  }

  peerByChannel(channel: number): TurnPeer | undefined {
    return this.#peerByChannel.get(channel);
  }

  #peer(remote: NetAddress): TurnPeer {
    const key = `${remote.address} ${remote.port}`;
    const known = this.#peers.get(key);
    if (known !== undefined) return known;
    if (this.#peers.size >= MAX_PEERS) this.#forgetIdlePeers();
    const peer = new TurnPeer(this.#exchange, this, { address: remote.address, port: remote.port });
    this.#peers.set(key, peer);
    return peer;
  }

  #forgetIdlePeers(): void {
    this.#peerOf = new WeakMap();
    for (const [key, peer] of this.#peers) if (peer.channel === 0) this.#peers.delete(key);
  }
}

const METHODS: Readonly<Record<TurnStep['kind'], number>> = {
  allocate: StunMethod.Allocate,
  refresh: StunMethod.Refresh,
  release: StunMethod.Refresh,
  permission: StunMethod.CreatePermission,
  channel: StunMethod.ChannelBind,
};

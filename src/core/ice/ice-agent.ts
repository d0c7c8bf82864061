// Finds a way to one peer and keeps it. One per connection; all agents of an instance share one `IcePort`, which has
// the candidates of our side. Spec: "Peer to peer" (7.9-7.13); RFC 8445, 8838 (trickle), 7675 (consent).
import { Fifo } from '../base/fifo.ts';
import type { NetAddress } from '../platform.ts';
import {
  addressClass,
  type Candidate,
  candidatePriority,
  type Family,
  familyOf,
  formatCandidate,
  isAddressOf,
  isLinkLocal,
  isSameAddress,
  parseCandidate,
} from './candidate.ts';
import { Pair, type RemoteCandidate } from './check-list.ts';
import type { StunExchange } from './exchange.ts';
import { PathFinder } from './path-finder.ts';
import { type Relay, Route, type RouteKind } from './route.ts';
import { bytesOf, StunAttribute, StunClass, type StunMessage } from './stun.ts';
import type { TurnClient } from './turn-client.ts';

/** What may be told to the peer: the bits 1, 2 and 4 of `P2P_Transport_ICE_Enable`. */
export interface AllowedTypes {
  readonly relay: boolean;
  /** Host candidates in private networks. */
  readonly privateHost: boolean;
  /** Public host candidates and what STUN servers see of us. */
  readonly publicHost: boolean;
}

export interface IceAgentOptions {
  readonly localUfrag: string;
  readonly localPwd: string;
  /** If known already: requests from others are not answered. */
  readonly remoteUfrag?: string;
  /** The accepting side is. */
  readonly isControlling: boolean;
  /** With `relay` alone, nothing goes straight: not even the peer learns our address. */
  readonly allowed: AllowedTypes;
}

export type IceEvent =
  /** To be signaled to the peer, as it is (trickle). */
  | { readonly kind: 'localCandidate'; readonly text: string }
  /** The first route, or another than before. Data goes this way from now on. */
  | { readonly kind: 'routeSelected'; readonly route: Route }
  /** Nothing is heard on the selected route any more and no other one works; checks go on. */
  | { readonly kind: 'routeLost'; readonly route: Route }
  /** Every check failed so far. A later candidate may still change that. */
  | { readonly kind: 'failed' };

/** For explanations: a candidate of either side. */
export interface CandidateRow {
  readonly side: 'local' | 'remote';
  /** As signaled. */
  readonly text: string;
  readonly type: 'host' | 'srflx' | 'prflx' | 'relay';
  readonly address: NetAddress;
}

/** For explanations: one pair of candidates. */
export interface CheckRow {
  readonly remote: NetAddress;
  /** Our TURN server, if the pair goes through one. */
  readonly relayServer: NetAddress | undefined;
  readonly state: 'waiting' | 'inProgress' | 'succeeded' | 'failed';
  readonly isSelected: boolean;
  readonly requestsSent: number;
  readonly responsesReceived: number;
  readonly requestsReceived: number;
  /** Of the last answered check; -1 if none was. */
  readonly rttUs: number;
}

/** One of our candidates, and which permission lets it be told. */
export interface LocalCandidate {
  readonly candidate: Candidate;
  readonly needs: keyof AllowedTypes;
}

/** What an agent sees of its port. */
export interface AgentSurroundings {
  readonly exchange: StunExchange;
  readonly localCandidates: readonly LocalCandidate[];
  readonly relays: readonly TurnClient[];
  readonly allowsLoopback: boolean;
  hasFamily(family: Family): boolean;
  /** An address in plain form as the port writes it. */
  written(plain: NetAddress): NetAddress;
  /** In a network of ours. */
  isLan(host: string): boolean;
  isGathering(allowed: AllowedTypes): boolean;
  /** The agent has events. */
  noteReady(agent: IceAgent): void;
  forget(agent: IceAgent): void;
}

const MAX_REMOTE_CANDIDATES = 64;
/** Of these: learned from requests. */
const MAX_PEER_REFLEXIVE = 16;

export class IceAgent {
  readonly localUfrag: string;
  readonly localPwd: string;
  readonly allowed: AllowedTypes;
  readonly #port: AgentSurroundings;
  readonly #finder: PathFinder;
  readonly #events = new Fifo<IceEvent>();
  readonly #signaled = new Set<string>();
  readonly #remotes: RemoteCandidate[] = [];
  #remoteUfrag: string | undefined;
  #route: Route | undefined;
  #routePair: Pair | undefined;
  #hasFailed = false;
  #isClosed = false;

  /** Made by `IcePort.newAgent`. */
  constructor(port: AgentSurroundings, options: IceAgentOptions, nowUs: number) {
    this.localUfrag = options.localUfrag;
    this.localPwd = options.localPwd;
    this.allowed = options.allowed;
    this.#remoteUfrag = options.remoteUfrag;
    this.#port = port;
    const credentials = { ufrag: options.localUfrag, pwd: options.localPwd };
    this.#finder = new PathFinder(port.exchange, this, credentials, options.isControlling);
    this.handleLocalCandidates(nowUs);
  }

  get isControlling(): boolean {
    return this.#finder.isControlling;
  }

  /** Undefined before the first selection and after `routeLost`. */
  get selectedRoute(): Route | undefined {
    return this.#route;
  }

  /** STUN or TURN servers have yet to answer: candidates of an allowed type may still come. */
  get isGathering(): boolean {
    return this.#port.isGathering(this.allowed);
  }

  /** The peer's password (and ufrag, if it was not known). A later call replaces both. Checks start at once. */
  setRemoteCredentials(ufrag: string, pwd: string, nowUs: number): void {
    if (this.#isClosed) return;
    this.#remoteUfrag = ufrag;
    this.#finder.setRemote({ ufrag, pwd }, nowUs);
  }

  /** A candidate as it was signaled. False if it is unusable or there are too many; nothing else happens then. */
  addRemoteCandidate(text: string, nowUs: number): boolean {
    const candidate = parseCandidate(text);
    if (this.#isClosed || candidate === undefined || !this.#isUsable(candidate.address.address)) return false;
    let remote = this.#remoteAt(candidate.address);
    if (remote !== undefined) {
      remote.candidate = { ...candidate, address: remote.candidate.address };
      this.#finder.list.sort();
      this.#updateRoute();
    } else if (this.#remotes.length < MAX_REMOTE_CANDIDATES) {
      remote = this.#newRemote(candidate);
      this.#hasFailed = false;
    } else return false;
    this.#addStraight(remote, nowUs);
    for (const relay of this.#port.relays) this.#addRelayed(remote, relay, nowUs);
    return true;
  }

  /** What happened, one by one. `IcePort.pollReady` says which agents have something. */
  pollEvent(): IceEvent | undefined {
    return this.#events.shift();
  }

  /**
   * A genuine (decrypted) datagram came this way; `relay` as `IceArrival.relay`. Spares checks while data flows, and
   * shows who controls on which path the peer is.
   */
  noteDataReceived(remote: NetAddress, relay: Relay | undefined, nowUs: number): void {
    const { selected } = this.#finder;
    if (selected === undefined) return;
    if (selected.relay === relay && isAddressOf(remote, selected.to)) this.#finder.noteData(nowUs);
    else this.#finder.noteStrayData(nowUs);
  }

  candidateTable(): readonly CandidateRow[] {
    const local = this.#ownCandidates().map((candidate) => rowOf('local', candidate));
    return [...local, ...this.#remotes.map(({ candidate }) => rowOf('remote', candidate))];
  }

  checkTable(): readonly CheckRow[] {
    return this.#finder.list.pairs.map((pair) => ({
      remote: pair.to,
      relayServer: pair.relay?.server,
      state: pair.state,
      isSelected: pair === this.#finder.selected,
      requestsSent: pair.requestsSent,
      responsesReceived: pair.responsesReceived,
      requestsReceived: pair.requestsReceived,
      rttUs: pair.rttUs,
    }));
  }

  /** Forgets everything; no more events, nothing is answered any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#finder.close();
    for (const relay of this.#port.relays) relay.release(this);
    this.#events.clear();
    this.#port.forget(this);
  }

  // ---- for the port

  /** A request for our ufrag. One that is not signed with our password is ignored. */
  handleRequest(request: StunMessage, from: NetAddress, relay: TurnClient | undefined, nowUs: number): void {
    const username = request.text(StunAttribute.Username) ?? '';
    const isFromPeer = this.#remoteUfrag === undefined || username === `${this.localUfrag}:${this.#remoteUfrag}`;
    if (!isFromPeer || request.fingerprint === 'wrong' || request.hasUnknownRequired) return;
    if (relay === undefined ? !this.#allowsStraight : !this.allowed.relay) return;
    if (!request.isGenuine(this.#port.exchange.crypto, bytesOf(this.localPwd))) return;
    if (request.class !== StunClass.Request) return;
    const pair = this.#finder.list.find(from, relay) ?? this.#learn(request, from, relay, nowUs);
    // The answer goes back the way the request came, even where there is no room for one more pair.
    this.#finder.answer(request, from, relay, pair, nowUs);
  }

  /** Ours have changed: tells those that are new. */
  handleLocalCandidates(nowUs: number): void {
    for (const candidate of this.#ownCandidates()) {
      const text = formatCandidate(candidate);
      if (this.#signaled.has(text)) continue;
      this.#signaled.add(text);
      this.#push({ kind: 'localCandidate', text });
    }
    for (const remote of this.#remotes) this.#addStraight(remote, nowUs);
  }

  /** The network of this machine is another one. */
  handleNetworkChange(nowUs: number): void {
    this.#finder.retryAll(nowUs);
  }

  /** A TURN server has lent us an address, or has taken it back. */
  handleRelay(relay: TurnClient, nowUs: number): void {
    if (relay.state === 'ready') {
      for (const remote of this.#remotes) this.#addRelayed(remote, relay, nowUs);
      return;
    }
    const pairs = this.#finder.list.pairs.filter((pair) => pair.relay === relay);
    if (pairs.length > 0) this.#finder.remove(pairs, nowUs);
  }

  /** A TURN server lets us talk to one more host, or does not. */
  onPermission(nowUs: number): void {
    this.#finder.handlePermission(nowUs);
  }

  /** For `PathFinder`. */
  onPath(change: 'selected' | 'lost' | 'failed', pair: Pair | undefined, nowUs: number): void {
    if (change === 'failed') {
      if (this.isGathering || this.#hasFailed) return;
      this.#hasFailed = true;
      this.#push({ kind: 'failed' });
      return;
    }
    this.#hasFailed = false;
    const before = this.#route;
    this.#routePair?.relay?.releaseChannel(this.#routePair.to, this);
    this.#routePair = change === 'lost' ? undefined : pair;
    if (change === 'lost') {
      this.#route = undefined;
      if (before !== undefined) this.#push({ kind: 'routeLost', route: before });
    } else if (pair !== undefined) {
      pair.relay?.bindChannel(pair.to, this, nowUs);
      this.#route = this.#routeOf(pair);
      this.#push({ kind: 'routeSelected', route: this.#route });
    }
  }

  // ---- candidates

  #ownCandidates(): Candidate[] {
    return this.#port.localCandidates.filter(({ needs }) => this.allowed[needs]).map(({ candidate }) => candidate);
  }

  get #allowsStraight(): boolean {
    return this.allowed.privateHost || this.allowed.publicHost;
  }

  #isUsable(host: string): boolean {
    const kind = addressClass(host);
    if (kind === 'localhost') return this.#port.allowsLoopback;
    return kind !== 'unusable' && !(familyOf(host) === 'IPv6' && isLinkLocal(host));
  }

  #remoteAt(address: NetAddress): RemoteCandidate | undefined {
    return this.#remotes.find(({ candidate }) => isSameAddress(candidate.address, address));
  }

  #newRemote(candidate: Candidate): RemoteCandidate {
    const remote = { candidate, isLan: this.#port.isLan(candidate.address.address) };
    this.#remotes.push(remote);
    return remote;
  }

  /** A peer-reflexive candidate: an address that the peer did not know it has (RFC 8445, 7.3.1.3). */
  #learn(request: StunMessage, from: NetAddress, relay: TurnClient | undefined, nowUs: number): Pair | undefined {
    let remote = this.#remoteAt(from);
    if (remote === undefined) {
      const learned = this.#remotes.filter(({ candidate }) => candidate.type === 'prflx').length;
      if (learned >= MAX_PEER_REFLEXIVE || this.#remotes.length >= MAX_REMOTE_CANDIDATES) return undefined;
      const foundation = `${from.address}:${from.port}`;
      const priority = request.u32(StunAttribute.Priority) ?? 0;
      remote = this.#newRemote({ foundation, priority, address: from, type: 'prflx' });
    }
    if (relay !== undefined) relay.permit(from.address, this, nowUs);
    return this.#addPair(remote, relay, nowUs);
  }

  #addStraight(remote: RemoteCandidate, nowUs: number): void {
    const { address } = remote.candidate;
    if (!this.#allowsStraight || !this.#port.hasFamily(familyOf(address.address))) return;
    if (this.#finder.list.find(address, undefined) === undefined) this.#addPair(remote, undefined, nowUs);
  }

  #addRelayed(remote: RemoteCandidate, relay: TurnClient, nowUs: number): void {
    const { address } = remote.candidate;
    if (!this.allowed.relay || relay.state !== 'ready' || !relay.isReachable(address.address)) return;
    if (this.#finder.list.find(address, relay) !== undefined) return;
    relay.permit(address.address, this, nowUs);
    this.#addPair(remote, relay, nowUs);
  }

  #addPair(remote: RemoteCandidate, relay: TurnClient | undefined, nowUs: number): Pair {
    const order = relay === undefined ? 0 : Math.max(0, this.#port.relays.indexOf(relay));
    const priority = candidatePriority(relay === undefined ? 'host' : 'relay', order);
    const pair = new Pair(remote, { priority, relay });
    this.#finder.add(pair, nowUs);
    return pair;
  }

  // ---- the route

  /** The peer has told what its address is. */
  #updateRoute(): void {
    const { selected } = this.#finder;
    if (selected === undefined || this.#route === undefined) return;
    const route = this.#routeOf(selected);
    if (route.kind === this.#route.kind) return;
    this.#route = route;
    this.#push({ kind: 'routeSelected', route });
  }

  #routeOf(pair: Pair): Route {
    const { relay, to, rttUs } = pair;
    return new Route({
      remote: this.#port.written(to),
      to: this.#port.written(relay === undefined ? to : relay.server),
      relay,
      peer: to,
      kind: this.#kindOf(pair),
      isLan: pair.remote.isLan && relay === undefined,
      rttUs,
    });
  }

  #kindOf(pair: Pair): RouteKind {
    const { type } = pair.remote.candidate;
    if (pair.relay !== undefined || type === 'relay') return 'relay';
    const { mapped } = pair;
    const isHost = ({ candidate }: LocalCandidate) =>
      candidate.type === 'host' && mapped !== undefined && isSameAddress(candidate.address, mapped);
    const isTheirsOwn = type === 'host' || pair.remote.isLan;
    return isTheirsOwn && this.#port.localCandidates.some(isHost) ? 'host' : 'srflx';
  }

  #push(event: IceEvent): void {
    this.#events.push(event);
    this.#port.noteReady(this);
  }
}

function rowOf(side: CandidateRow['side'], candidate: Candidate): CandidateRow {
  return { side, text: formatCandidate(candidate), type: candidate.type, address: candidate.address };
}

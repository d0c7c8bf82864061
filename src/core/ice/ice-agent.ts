// Finds a way to one peer and keeps it: checks the pairs of candidates, nominates, watches, moves. One per connection;
// all agents of an instance share one `IcePort`. Spec: "Peer to peer" (7.9-7.13); RFC 8445, 8838 (trickle), 7675 (consent).
import type { NetAddress } from '../platform.ts';
import type { Relay, Route } from './route.ts';

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
  readonly allowed: AllowedTypes;
}

export type IceEvent =
  /** To be signaled to the peer, as it is (trickle). */
  | { readonly kind: 'localCandidate'; readonly text: string }
  /** The first route, or another than before. Data goes this way from now on. */
  | { readonly kind: 'routeSelected'; readonly route: Route }
  /** Nothing is heard on the selected route any more and no other one works; checks go on. `selectedRoute` is undefined. */
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

export interface IceAgent {
  readonly localUfrag: string;
  readonly localPwd: string;
  readonly isControlling: boolean;
  /** Undefined before the first selection and after `routeLost`. */
  readonly selectedRoute: Route | undefined;
  /** STUN or TURN servers have yet to answer: candidates of an allowed type may still come. */
  readonly isGathering: boolean;
  /** The peer's password (and ufrag, if it was not known). A later call replaces both. Checks start at once. */
  setRemoteCredentials(ufrag: string, pwd: string, nowUs: number): void;
  /** A candidate as it was signaled. False if it is unusable or there are too many; nothing else happens then. */
  addRemoteCandidate(text: string, nowUs: number): boolean;
  /** What happened, one by one. `IcePort.pollReady` says which agents have something. */
  pollEvent(): IceEvent | undefined;
  /** A genuine (decrypted) datagram came this way; `relay` as `IceArrival.relay`. Spares checks while data flows. */
  noteDataReceived(remote: NetAddress, relay: Relay | undefined, nowUs: number): void;
  candidateTable(): readonly CandidateRow[];
  checkTable(): readonly CheckRow[];
  /** Forgets everything; no more events, nothing is answered any more. */
  close(): void;
}

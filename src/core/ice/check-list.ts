// The pairs of candidates of one agent, best first. All straight pairs leave through the one port, so there is one per
// remote candidate, and one more per TURN server of ours. Spec: "Checks and nomination" (7.11); RFC 8445, 6.1.2.
//
// There is no frozen state: with one component and one base per family, foundations would hold back nothing but the
// best pairs.
import { LONG_AGO } from '../base/time.ts';
import type { NetAddress } from '../platform.ts';
import { type Candidate, isSameAddress } from './candidate.ts';
import type { ConnectivityCheck } from './connectivity-check.ts';
import type { TurnClient } from './turn-client.ts';

/** Ours of the pair: what our side counts for. */
export interface LocalSide {
  readonly priority: number;
  readonly relay: TurnClient | undefined;
}

export interface RemoteCandidate {
  /** Replaced when the peer signals what was peer-reflexive before. */
  candidate: Candidate;
  readonly isLan: boolean;
}

export class Pair {
  readonly remote: RemoteCandidate;
  readonly local: LocalSide;
  /** The address object that `TurnClient.wrap` knows. */
  readonly to: NetAddress;
  state: 'waiting' | 'inProgress' | 'succeeded' | 'failed' = 'waiting';
  check: ConnectivityCheck | undefined;
  /** The peer has nominated it, before we knew that it works. */
  isNominated = false;
  /** Transaction of the last nomination, to tell a retransmission from a new one. */
  nomination = '';
  requestsSent = 0;
  responsesReceived = 0;
  requestsReceived = 0;
  rttUs = -1;
  answeredAtUs = LONG_AGO;
  /** How the peer sees us on this way. */
  mapped: NetAddress | undefined;
  /** When to look again whether it works, while it is not selected. */
  nextProbeUs = LONG_AGO;
  /** Checks without an answer, in a row. */
  failures = 0;
  /** Checks answered in a row. */
  streak = 0;
  /** Times that it died while selected; before it is taken back it must be answered more often than that. */
  distrust = 0;

  constructor(remote: RemoteCandidate, local: LocalSide) {
    this.remote = remote;
    this.local = local;
    this.to = remote.candidate.address;
  }

  get relay(): TurnClient | undefined {
    return this.local.relay;
  }

  /** Nothing is under way, and the TURN server lets it through. */
  get canBeChecked(): boolean {
    return this.check === undefined && (!this.relay || this.relay.leaveFor(this.to.address) === 'granted');
  }

  get isTrusted(): boolean {
    return this.state === 'succeeded' && this.streak > this.distrust;
  }
}

/** RFC 8445, 6.1.2.5. */
const MAX_PAIRS = 100;

export class CheckList {
  readonly pairs: Pair[] = [];
  #isControlling: boolean;

  constructor(isControlling: boolean) {
    this.#isControlling = isControlling;
  }

  setRole(isControlling: boolean): void {
    this.#isControlling = isControlling;
    this.sort();
  }

  find(address: NetAddress, relay: TurnClient | undefined): Pair | undefined {
    return this.pairs.find((pair) => pair.relay === relay && isSameAddress(pair.to, address));
  }

  /** Returns the pair that had to go, if there are too many: perhaps the new one. `keep` stays in any case. */
  add(pair: Pair, keep: Pair | undefined): Pair | undefined {
    this.pairs.push(pair);
    this.sort();
    if (this.pairs.length <= MAX_PAIRS) return undefined;
    const at = this.pairs.findLastIndex((each) => each !== keep);
    return this.pairs.splice(at, 1)[0];
  }

  remove(pair: Pair): void {
    this.pairs.splice(this.pairs.indexOf(pair), 1);
  }

  /** After a priority has changed. */
  sort(): void {
    this.pairs.sort((a, b) => this.compare(a, b));
  }

  /** Negative if `a` is better: first what is in our own network, as GNS; then RFC 8445, 6.1.2.3. */
  compare(a: Pair, b: Pair): number {
    if (a.remote.isLan !== b.remote.isLan) return a.remote.isLan ? -1 : 1;
    const [mine, theirs] = [prioritiesOf(a), prioritiesOf(b)];
    if (mine.least !== theirs.least) return theirs.least - mine.least;
    if (mine.most !== theirs.most) return theirs.most - mine.most;
    return Number(this.#isControllingHigher(b)) - Number(this.#isControllingHigher(a));
  }

  #isControllingHigher(pair: Pair): boolean {
    const remotePriority = pair.remote.candidate.priority;
    return this.#isControlling ? pair.local.priority > remotePriority : remotePriority > pair.local.priority;
  }
}

function prioritiesOf({ local, remote }: Pair): { readonly least: number; readonly most: number } {
  const theirs = remote.candidate.priority;
  return { least: Math.min(local.priority, theirs), most: Math.max(local.priority, theirs) };
}

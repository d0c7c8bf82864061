// The pairs of candidates of one agent, best first, and which of them to check next. All straight pairs leave through
// the one port, so there is one per remote candidate, and one more per TURN server of ours. Spec: "Checks and nomination"
// (7.11); RFC 8445, 6.1.2, 6.1.4.
//
// There is no frozen state: with one component and one base per family, foundations would hold back nothing but the
// best pairs.
import { LONG_AGO, NEVER, US_PER_MS, US_PER_SECOND } from '../base/time.ts';
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
  /** The peer has nominated it, before we knew that it works: who repeats a nomination from elsewhere gets no further. */
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
/** How soon a pair that is not in use is looked at again: a better one, one to fall back on, one while none works. */
const PROBE_BETTER_US = 5 * US_PER_SECOND;
const PROBE_BACKUP_US = 15 * US_PER_SECOND;
const PROBE_ANY_US = 2 * US_PER_SECOND;
/** While the selected path is in doubt, while a pair earns back trust, and at least after each check. */
export const PROBE_SOON_US = 500 * US_PER_MS;
/** As many are looked at again. */
const MAX_PROBED_PAIRS = 16;

export class CheckList {
  readonly pairs: Pair[] = [];
  /** What the peer can send through: checked first. */
  readonly triggered = new Set<Pair>();
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

  // ---- what to check next; how the selected pair fares is asked elsewhere

  /** Triggered checks first, then pairs never checked, then those due for another look; best first. */
  next(selected: Pair | undefined, nowUs: number): Pair | undefined {
    for (const pair of this.triggered) if (pair.canBeChecked) return pair;
    const waiting = this.pairs.find((pair) => pair.state === 'waiting' && pair.canBeChecked);
    return waiting ?? this.#probed(selected).find((pair) => pair.nextProbeUs <= nowUs);
  }

  /** When the first one is due for another look. */
  nextProbeUs(selected: Pair | undefined): number {
    return this.#probed(selected).reduce((nextUs, pair) => Math.min(nextUs, pair.nextProbeUs), NEVER);
  }

  planProbe(pair: Pair, selected: Pair | undefined, isSuspect: boolean, nowUs: number): void {
    let afterUs = PROBE_BACKUP_US;
    if (isSuspect || (pair.state === 'succeeded' && !pair.isTrusted)) afterUs = PROBE_SOON_US;
    else if (selected === undefined) afterUs = PROBE_ANY_US * Math.min(4, 1 + pair.failures);
    else if (this.compare(pair, selected) < 0) afterUs = PROBE_BETTER_US;
    pair.nextProbeUs = nowUs + afterUs;
  }

  hurryProbes(selected: Pair, nowUs: number): void {
    for (const pair of this.pairs) {
      if (pair !== selected) pair.nextProbeUs = Math.min(pair.nextProbeUs, nowUs);
    }
  }

  /** Those that work come first: a relay to fall back on is not to be crowded out by what never worked. */
  #probed(selected: Pair | undefined): Pair[] {
    const isIdle = (pair: Pair) => pair !== selected && pair.state !== 'waiting' && pair.canBeChecked;
    const idle = this.pairs.filter(isIdle);
    const works = idle.filter(({ state }) => state === 'succeeded');
    return [...works, ...idle.filter(({ state }) => state !== 'succeeded')].slice(0, MAX_PROBED_PAIRS);
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

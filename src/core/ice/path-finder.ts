// Which pair to check next, which to nominate, which to use, and when to leave it. Spec: "Checks and nomination" (7.11);
// RFC 8445, 7 and 8; RFC 7675.
import { LONG_AGO, NEVER, US_PER_MS, US_PER_SECOND } from '../base/time.ts';
import type { NetAddress } from '../platform.ts';
import { candidatePriority } from './candidate.ts';
import { CheckList, type Pair, PROBE_SOON_US } from './check-list.ts';
import {
  CHECK_WAITS_US,
  type Checker,
  CONSENT_WAITS_US,
  ConnectivityCheck,
  type Credentials,
  encodeRoleConflict,
  encodeSuccess,
  NOMINATION_WAITS_US,
  PROBE_WAITS_US,
} from './connectivity-check.ts';
import type { StunExchange, Timed } from './exchange.ts';
import { mappedAddress } from './mapping-probe.ts';
import { PathWatch } from './path-watch.ts';
import { latin1, StunAttribute, StunClass, type StunMessage } from './stun.ts';
import type { TurnClient } from './turn-client.ts';

/** Told what became of the search; `failed` again each time that another check fails in vain. */
export interface PathListener {
  onPath(change: 'selected' | 'lost' | 'failed', pair: Pair | undefined, nowUs: number): void;
}

/** Between two checks of one agent (RFC 8445, 14.2: at least 5 ms). */
const PACE_US = 20 * US_PER_MS;
const MAX_DISTRUST = 4;
/** The controlled side waits so long for a nomination before it leaves a dead path by itself. */
const NOMINATION_PATIENCE_US = 500 * US_PER_MS;
/** So long the peer may take to follow a nomination before it gets another one. */
const FOLLOW_US = 2 * US_PER_SECOND;

export class PathFinder implements Timed, Checker {
  deadlineUs = NEVER;
  heapIndex = -1;
  readonly list: CheckList;
  isControlling: boolean;
  selected: Pair | undefined;
  readonly #exchange: StunExchange;
  readonly #listener: PathListener;
  readonly #local: Credentials;
  readonly #tieBreaker = new Uint8Array(8);
  #remote: Credentials | undefined;
  /** Controlling: the pair whose nomination is under way. */
  #nominated: Pair | undefined;
  #nominatedAtUs = LONG_AGO;
  /** Controlled: the pair that the peer nominated last, and uses itself, whatever we think of it. */
  #wanted: Pair | undefined;
  /** There was a path, and there is none. */
  #isLost = false;
  #watch: PathWatch | undefined;
  #suspectSinceUs = NEVER;
  #lastCheckUs = LONG_AGO;

  constructor(exchange: StunExchange, listener: PathListener, local: Credentials, isControlling: boolean) {
    this.#exchange = exchange;
    this.#listener = listener;
    this.#local = local;
    this.isControlling = isControlling;
    this.list = new CheckList(isControlling);
    exchange.random.fill(this.#tieBreaker);
  }

  /** Checks under way were made for another peer, if there was one. */
  setRemote(remote: Credentials, nowUs: number): void {
    if (this.#remote?.ufrag === remote.ufrag && this.#remote.pwd === remote.pwd) return;
    for (const pair of this.list.pairs) this.#cancel(pair);
    this.#nominated = undefined;
    this.#remote = remote;
    this.handleTimeout(nowUs);
  }

  add(pair: Pair, nowUs: number): void {
    const dropped = this.list.add(pair, this.selected);
    if (dropped !== undefined) this.#forget(dropped);
    this.handleTimeout(nowUs);
  }

  /** The pairs can no longer be used: their relay is gone. */
  remove(pairs: readonly Pair[], nowUs: number): void {
    for (const pair of pairs) {
      this.list.remove(pair);
      this.#forget(pair);
    }
    if (this.selected !== undefined && pairs.includes(this.selected)) this.#lose(nowUs);
    this.#reconsider(nowUs);
    this.handleTimeout(nowUs);
  }

  /** Something in the world has changed: all that failed may work now. */
  retryAll(nowUs: number): void {
    this.#watch?.hurry(nowUs);
    for (const pair of this.list.pairs) {
      if (pair.state === 'failed') pair.state = 'waiting';
      pair.nextProbeUs = nowUs;
    }
    this.handleTimeout(nowUs);
  }

  /** A TURN server has decided whom we may talk to. */
  handlePermission(nowUs: number): void {
    for (const pair of this.list.pairs) {
      if (pair.relay?.leaveFor(pair.to.address) === 'denied' && pair.check === undefined) pair.state = 'failed';
    }
    this.handleTimeout(nowUs);
  }

  close(): void {
    for (const pair of this.list.pairs) this.#cancel(pair);
    this.#remote = undefined;
    this.#exchange.timers.set(this, NEVER);
  }

  // ---- what comes from the peer

  /** A genuine datagram of the connection came on the selected way. */
  noteData(nowUs: number): void {
    this.#watch?.noteData(nowUs);
  }

  /** One came another way. A peer that goes on so has left ours or never got there, and is told again. */
  noteStrayData(nowUs: number): void {
    const { selected } = this;
    if (!this.isControlling || selected === undefined) return;
    this.#watch?.noteStrayData(nowUs);
    if (this.#suspectSinceUs !== NEVER || nowUs - this.#nominatedAtUs < FOLLOW_US) return;
    this.#watch?.noteAsked(nowUs);
    this.#nominate(selected, nowUs);
    this.handleTimeout(nowUs);
  }

  /** A request whose user name and integrity are right; `pair` is undefined if there is no room for one. */
  answer(
    request: StunMessage,
    from: NetAddress,
    relay: TurnClient | undefined,
    pair: Pair | undefined,
    nowUs: number,
  ): void {
    const rival = request.value(this.isControlling ? StunAttribute.IceControlling : StunAttribute.IceControlled);
    if (rival !== undefined && this.#keepsRole(rival)) {
      this.#exchange.send(encodeRoleConflict(this.#exchange, request, this.#local.pwd), from, relay);
      return;
    }
    if (rival !== undefined) this.#switchRole();
    this.#exchange.send(encodeSuccess(this.#exchange, request, from, this.#local.pwd), from, relay);
    if (pair !== undefined) this.#trigger(pair, request, nowUs);
  }

  /** Both have the same role: the larger tie-breaker controls (RFC 8445, 7.3.1.1). */
  #keepsRole(rival: Uint8Array): boolean {
    return latin1(this.#tieBreaker) >= latin1(rival) === this.isControlling;
  }

  #switchRole(): void {
    this.isControlling = !this.isControlling;
    this.#nominated = this.#wanted = undefined;
    this.list.setRole(this.isControlling);
  }

  /** RFC 8445, 7.3.1.4 and 7.3.1.5: what the peer can send through, we check at once. */
  #trigger(pair: Pair, request: StunMessage, nowUs: number): void {
    pair.requestsReceived++;
    if (pair === this.selected) this.#watch?.noteQuestion(nowUs);
    const transaction = latin1(request.transactionId);
    if (request.has(StunAttribute.UseCandidate) && !this.isControlling && pair.nomination !== transaction) {
      pair.nomination = transaction;
      if (pair.state === 'succeeded') this.#wanted = pair;
      else pair.isNominated = true;
      this.#reconsider(nowUs);
    }
    if (pair.state !== 'succeeded') {
      if (pair.check !== undefined) pair.check.restart(nowUs);
      else this.list.triggered.add(pair);
    }
    this.handleTimeout(nowUs);
  }

  onCheckAnswered(check: ConnectivityCheck, message: StunMessage, nowUs: number): void {
    if (this.#remote === undefined) return;
    const { pair } = check;
    if (pair.check === check) pair.check = undefined;
    if (message.class === StunClass.Error) {
      // Any other error means that the peer does not want this check.
      if (message.errorCode !== 487) this.#handleFailure(check, nowUs);
      else if (check.content.isControlling === this.isControlling) this.#switchRole();
      if (message.errorCode === 487) this.list.triggered.add(pair);
      this.handleTimeout(nowUs);
      return;
    }
    const rttUs = check.rttUs(nowUs);
    pair.state = 'succeeded';
    pair.responsesReceived++;
    pair.rttUs = rttUs;
    pair.answeredAtUs = nowUs;
    pair.mapped = mappedAddress(message);
    pair.failures = 0;
    pair.streak++;
    if (pair === this.selected) this.#handleConsent(rttUs, nowUs);
    else this.#planProbe(pair, nowUs);
    if (pair === this.#nominated && check.content.nominates) {
      this.#nominated = undefined;
      if (this.isControlling) this.#select(pair, nowUs);
    } else if (pair.isNominated && !this.isControlling) this.#wanted = pair;
    pair.isNominated = false;
    this.#reconsider(nowUs);
    this.handleTimeout(nowUs);
  }

  onCheckSilent(check: ConnectivityCheck, nowUs: number): void {
    if (this.#remote === undefined) return;
    if (check.pair.check === check) check.pair.check = undefined;
    this.#handleFailure(check, nowUs);
    this.handleTimeout(nowUs);
  }

  #handleConsent(rttUs: number, nowUs: number): void {
    this.#watch?.noteAnswer(rttUs, nowUs);
    this.#suspectSinceUs = NEVER;
  }

  #handleFailure(check: ConnectivityCheck, nowUs: number): void {
    const { pair } = check;
    if (pair === this.#nominated) this.#nominated = undefined;
    // The selected pair is judged by its watch.
    if (pair !== this.selected) {
      pair.state = 'failed';
      pair.failures++;
      pair.streak = 0;
      pair.isNominated = false;
      this.#planProbe(pair, nowUs);
    }
    this.#reconsider(nowUs);
    if (this.list.pairs.every(({ state }) => state === 'failed')) this.#listener.onPath('failed', undefined, nowUs);
  }

  // ---- choosing

  /** Whether another pair should be taken than the selected one. */
  #reconsider(nowUs: number): void {
    if (this.#remote === undefined) return;
    // Who has left by itself comes back by itself: the peer may see no reason to nominate again, and GNS never does.
    if (this.#wanted?.isTrusted) this.#select(this.#wanted, nowUs);
    const { selected } = this;
    const isSuspect = this.#suspectSinceUs !== NEVER;
    // What answered before the doubts began proves nothing.
    const sinceUs = isSuspect ? (this.#watch?.openSinceUs ?? LONG_AGO) : LONG_AGO;
    const isBetter = (pair: Pair) => {
      if (pair === selected || pair.state !== 'succeeded' || pair.answeredAtUs < sinceUs) return false;
      return selected === undefined || isSuspect || (pair.isTrusted && this.list.compare(pair, selected) < 0);
    };
    const best = this.list.pairs.find(isBetter);
    if (best === undefined) return;
    if (this.isControlling) this.#nominate(best, nowUs);
    else if (this.#isLost || (isSuspect && nowUs - this.#suspectSinceUs >= NOMINATION_PATIENCE_US)) {
      this.#select(best, nowUs);
    }
  }

  #nominate(pair: Pair, nowUs: number): void {
    // That the selected one is nominated again must not keep us on it.
    if (this.#nominated !== undefined && this.#nominated !== this.selected) return;
    this.#nominated = pair;
    this.#nominatedAtUs = nowUs;
    this.#check(pair, NOMINATION_WAITS_US, nowUs);
  }

  #select(pair: Pair, nowUs: number): void {
    if (pair === this.selected) return;
    const before = this.selected;
    if (before !== undefined && this.#suspectSinceUs !== NEVER) this.#distrust(before, nowUs);
    else if (before !== undefined) this.#planProbe(before, nowUs);
    this.#suspectSinceUs = NEVER;
    this.#isLost = false;
    this.selected = pair;
    this.#watch = new PathWatch(this.#exchange.random, Math.max(0, pair.rttUs), nowUs);
    this.#listener.onPath('selected', pair, nowUs);
  }

  #distrust(pair: Pair, nowUs: number): void {
    pair.state = 'failed';
    pair.streak = 0;
    pair.distrust = Math.min(MAX_DISTRUST, pair.distrust + 1);
    this.#planProbe(pair, nowUs);
  }

  #lose(nowUs: number): void {
    const lost = this.selected;
    this.selected = this.#watch = undefined;
    this.#suspectSinceUs = NEVER;
    this.#isLost = true;
    this.#listener.onPath('lost', lost, nowUs);
  }

  #planProbe(pair: Pair, nowUs: number): void {
    this.list.planProbe(pair, this.selected, this.#suspectSinceUs !== NEVER, nowUs);
  }

  // ---- asking

  handleTimeout(nowUs: number): void {
    if (this.#remote === undefined) return;
    this.#watchSelected(nowUs);
    if (nowUs >= this.#lastCheckUs + PACE_US) {
      const pair = this.list.next(this.selected, nowUs);
      if (pair !== undefined) {
        this.list.triggered.delete(pair);
        const isKnown = pair.state === 'succeeded' || pair.failures > 0;
        this.#check(pair, isKnown && pair !== this.#wanted ? PROBE_WAITS_US : CHECK_WAITS_US, nowUs);
      }
    }
    this.#exchange.timers.set(this, this.#nextTimeoutUs(nowUs));
  }

  #watchSelected(nowUs: number): void {
    const { selected } = this;
    const watch = this.#watch;
    if (selected === undefined || watch === undefined) return;
    const verdict = watch.verdict(nowUs);
    if (verdict === 'lost') {
      this.#distrust(selected, nowUs);
      this.#lose(nowUs);
      // Nothing was answered since the doubts began: what worked before proves nothing.
      for (const pair of this.list.pairs) pair.state = 'failed';
      this.retryAll(nowUs);
      return;
    }
    if (verdict === 'suspect' && this.#suspectSinceUs === NEVER) {
      this.#suspectSinceUs = nowUs;
      selected.relay?.verify(nowUs);
    }
    if (verdict === 'suspect') this.#reconsider(nowUs);
    if (this.selected === selected && watch.nextQuestionUs() <= nowUs) {
      // Other ways are looked at in time, so that one is at hand when this one is given up.
      if (verdict !== 'fine') this.list.hurryProbes(selected, nowUs);
      watch.noteAsked(nowUs);
      this.#check(selected, CONSENT_WAITS_US, nowUs);
    }
  }

  #nextTimeoutUs(nowUs: number): number {
    const { selected } = this;
    const nextUs = Math.min(this.#watch?.nextQuestionUs() ?? NEVER, this.list.nextProbeUs(selected));
    const pacedUs = this.#lastCheckUs + PACE_US;
    if (nextUs <= nowUs) return Math.max(nowUs + 1, pacedUs);
    return this.list.next(selected, nowUs) === undefined ? nextUs : Math.max(nowUs + 1, Math.min(pacedUs, nextUs));
  }

  #check(pair: Pair, waitsUs: readonly number[], nowUs: number): void {
    const remote = this.#remote;
    if (remote === undefined) return;
    // A check of the selected pair does not end the one before: its answer may still come.
    if (pair !== this.selected) this.#cancel(pair);
    if (pair.state !== 'succeeded') pair.state = 'inProgress';
    pair.requestsSent++;
    pair.nextProbeUs = nowUs + PROBE_SOON_US;
    const check = new ConnectivityCheck(this.#exchange, this, pair, this.#contentFor(pair, remote), waitsUs);
    pair.check = check;
    this.#lastCheckUs = nowUs;
    this.#exchange.start(check, nowUs);
  }

  #contentFor(pair: Pair, remote: Credentials): ConnectivityCheck['content'] {
    return {
      local: this.#local,
      remote,
      isControlling: this.isControlling,
      tieBreaker: this.#tieBreaker,
      // As a peer-reflexive candidate has it; a relayed one is what it is.
      priority: candidatePriority(pair.relay === undefined ? 'prflx' : 'relay', 0),
      nominates: this.isControlling && pair === this.#nominated,
    };
  }

  #cancel(pair: Pair): void {
    if (pair.check !== undefined) this.#exchange.forget(pair.check);
    pair.check = undefined;
    if (pair.state === 'inProgress') pair.state = 'waiting';
  }

  #forget(pair: Pair): void {
    this.#cancel(pair);
    this.list.triggered.delete(pair);
    if (this.#nominated === pair) this.#nominated = undefined;
    if (this.#wanted === pair) this.#wanted = undefined;
  }
}

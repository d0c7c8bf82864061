// What a P2P connection has beside the others: the talk by signals, and ICE, which finds the way. The connection owns it,
// and asks it what to do as it asks the handshake of direct UDP. Spec: 07 §7.3 – §7.14.

import { Fifo } from '../base/fifo.ts';
import type { Identity } from '../base/identity.ts';
import { NEVER, US_PER_MS } from '../base/time.ts';
import type { ShownCertificate } from '../certs/certificate.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { AllowedTypes, IceAgent } from '../ice/ice-agent.ts';
import type { IcePort } from '../ice/ice-port.ts';
import type { Route as IceRoute } from '../ice/route.ts';
import { type RouteProblem, type RouteReport, routeProblem, routeReport } from '../ice/route-report.ts';
import type { UdpPort } from '../platform.ts';
import { type IceNews, NO_CONNECTION_REASON, type Signal, type SignalClosed } from '../wire/signal.ts';
import type { CloseNotice } from './close-notice.ts';
import { type End, EndReason, Ends } from './end-reason.ts';
import type { Environment, Path } from './environment.ts';
import { failed, type Handshake, type Step } from './handshake.ts';
import { isOurRequestFirst, type P2pHandshake, type SignalCaller } from './p2p-handshake.ts';
import { type ConnectionState, FACTS } from './state-table.ts';

/** What all P2P connections of an instance share. */
export interface P2pGround {
  readonly ice: IcePort;
  readonly port: UdpPort;
}

/** How long the first signal waits for candidates: STUN servers need a round trip, our own addresses next to nothing. */
const STUN_PATIENCE_US = 100 * US_PER_MS;
const HOST_PATIENCE_US = 10 * US_PER_MS;
/** What a peer tells before we are ready to hear it. */
const MAX_EARLY_NEWS = 256;
/** Replies that wait for a turn; the last one says it all. */
const MAX_REPLIES = 2;

export class P2pLink implements Handshake {
  readonly talk: P2pHandshake;
  readonly #env: Environment;
  readonly #config: ConfigScope;
  readonly #ground: P2pGround;
  readonly #localId: number;
  #agent: IceAgent | undefined;
  /** ICE was given up, on either side. */
  isIceDown = false;
  /** Some way was found once. */
  wasRouted = false;
  #path: Path | undefined;
  readonly #early: IceNews[] = [];
  readonly #replies = new Fifo<Signal>();
  #finalReport: RouteReport | undefined;
  /** The peer called again then, and was asked whether it still knows this connection; `NEVER` if it did not. */
  doubtedAtUs = NEVER;
  /** As an application asked: `connect` on both sides becomes one connection. */
  readonly isSymmetric: boolean;

  constructor(env: Environment, config: ConfigScope, ground: P2pGround, localId: number, talk: P2pHandshake) {
    this.#env = env;
    this.#config = config;
    this.#ground = ground;
    this.#localId = localId;
    this.talk = talk;
    this.isSymmetric = config.get('symmetricConnect') === 1;
  }

  get remoteId(): number {
    return this.talk.remoteId;
  }
  get identity(): Identity | undefined {
    return this.talk.identity;
  }
  get isAuthenticated(): boolean {
    return this.talk.isAuthenticated;
  }
  get shown(): ShownCertificate | undefined {
    return this.talk.shown;
  }
  get timeout(): End {
    return this.talk.isClient ? Ends.connectTimedOut : Ends.acceptTimedOut;
  }
  /** The way that ICE found. */
  get path(): Path | undefined {
    return this.#path;
  }
  /** For explanations. */
  get agent(): IceAgent | undefined {
    return this.#agent;
  }

  // ---- coming to terms

  /** Those who ask begin to gather candidates at once. */
  onTime(nowUs: number): Step | undefined {
    if (this.#agent !== undefined || !this.talk.isClient) return undefined;
    if (this.talk.obstacle !== undefined) return failed(this.talk.obstacle);
    this.#startIce(nowUs);
    return undefined;
  }

  accept(nowUs: number): Step {
    if (!canUseIce(allowedTypes(this.#config))) return failed(Ends.noTransport);
    const step = this.talk.accept(nowUs);
    if (step.kind === 'agreed') this.#startIce(nowUs);
    return step;
  }

  /** Nothing of the kind comes by packets. */
  onPacket(): undefined {
    return undefined;
  }

  /** Signals have a schedule of their own. */
  readonly dueUs = NEVER;

  #startIce(nowUs: number): void {
    const localPwd = iceText(this.#env.random.u32());
    const { remoteId } = this.talk;
    this.#agent = this.#ground.ice.newAgent(
      {
        localUfrag: iceText(this.#localId),
        localPwd,
        ...(remoteId === 0 ? {} : { remoteUfrag: iceText(remoteId) }),
        isControlling: !this.talk.isClient,
        allowed: allowedTypes(this.#config),
      },
      nowUs,
    );
    this.talk.tell({ password: localPwd, candidate: undefined }, nowUs);
    for (const news of this.#early.splice(0)) this.#hear(news, nowUs);
  }

  /** A signal for this connection. */
  onSignal(signal: Signal, state: ConnectionState, notice: CloseNotice, nowUs: number): Step | undefined {
    if (signal.closed !== undefined) return this.#onClosed(signal.closed);
    if (FACTS[state].isActive) return this.#onNews(signal, state, nowUs);
    this.sayClosed(notice);
    return undefined;
  }

  #onClosed({ reason, debug }: SignalClosed): Step {
    if (!this.wasRouted) this.#finalReport ??= this.report;
    if (reason === NO_CONNECTION_REASON) return { kind: 'peerEnded', end: Ends.unknownToPeer };
    this.#reply(undefined);
    return { kind: 'peerEnded', end: { reason, debug: debug === '' ? 'The peer closed the connection' : debug } };
  }

  #onNews(signal: Signal, state: ConnectionState, nowUs: number): Step | undefined {
    if (!signal.isIceEnabled) this.#stopIce();
    for (const news of this.talk.receiveNews(signal, nowUs)) {
      if (this.#agent !== undefined) this.#hear(news, nowUs);
      else if (this.#early.length < MAX_EARLY_NEWS) this.#early.push(news);
    }
    if (signal.isHostedServer) return failed(Ends.hostedServer);
    return this.talk.onSignal(signal, state, nowUs);
  }

  #hear({ password, candidate }: IceNews, nowUs: number): void {
    if (this.isIceDown) return;
    if (password !== undefined) this.#agent?.setRemoteCredentials(iceText(this.talk.remoteId), password, nowUs);
    if (candidate !== undefined) this.#agent?.addRemoteCandidate(candidate, nowUs);
  }

  /** Both sides asked: whether the caller's request counts, and ours is to be forgotten. */
  isCallerFirst({ connectionId, request }: SignalCaller): boolean {
    const [ours, theirs] = [this.talk.localCertificate?.cert, request.cert?.cert];
    if (ours === undefined || theirs === undefined) return true;
    return !isOurRequestFirst(this.#localId, connectionId, ours, theirs);
  }

  /** Both sides asked, and the caller's request counts: we are its server, and have accepted. */
  yieldTo(caller: SignalCaller, nowUs: number): Step {
    this.#agent?.close();
    this.#agent = undefined;
    const end = this.talk.becomeServer(caller, nowUs);
    return end === undefined ? this.accept(nowUs) : failed(end);
  }

  // ---- ICE

  /**
   * Takes what ICE has to tell. The way that it has chosen now, if that is another one than before. One that was lost is
   * kept until there is another: it may heal, and if not the connection times out as any other does.
   */
  pollPath(nowUs: number): IceRoute | undefined {
    let chosen: IceRoute | undefined;
    for (let event = this.#agent?.pollEvent(); event !== undefined; event = this.#agent?.pollEvent()) {
      if (event.kind === 'localCandidate') this.talk.tell({ password: undefined, candidate: event.text }, nowUs);
      else if (event.kind === 'routeSelected') chosen = event.route;
    }
    if (chosen === undefined) return undefined;
    this.wasRouted = true;
    this.#path = pathOf(this.#ground.port, chosen);
    return chosen;
  }

  /** Neither candidates nor checks any more; signals say so from now on. */
  #stopIce(): void {
    this.isIceDown = true;
    this.#agent?.close();
  }

  /** The connection is dead. */
  close(): void {
    this.#agent?.close();
  }

  /** What is known of the ways; as it was in the end, if none was found. */
  get report(): RouteReport {
    return this.#finalReport ?? routeReport(this.#agent, this.#ground.ice);
  }

  /** What is in the way to the peer, while there is none. */
  get obstacle(): RouteProblem {
    if (this.isIceDown) return { kind: 'noRoute', summary: 'the peer has ICE disabled or gave it up' };
    if (!this.talk.stream.isHeard) {
      return { kind: 'signalsLost', summary: 'the peer has acknowledged none of our signals' };
    }
    return routeProblem(this.report, this.#config.get('p2pStunServerList') !== '');
  }

  /** No way was found in time. Spec: 07 §7.14. */
  giveUp(): End {
    this.#finalReport = this.report;
    const { summary } = this.obstacle;
    return { reason: EndReason.Misc_P2P_Rendezvous, debug: `Timed out attempting to negotiate rendezvous: ${summary}` };
  }

  // ---- signals out

  /** Says by signal that the connection has ended. */
  sayClosed(notice: CloseNotice): void {
    this.#reply(notice.isByPeer ? undefined : notice);
  }

  #reply(end: End | undefined): void {
    if (this.#replies.length < MAX_REPLIES) this.#replies.push(this.talk.closedSignal(end, this.#isIceAlive));
  }

  get #isIceAlive(): boolean {
    return !this.isIceDown;
  }

  /** The next signal to send in this state, if one is due. */
  pollSignal(state: ConnectionState, sinceUs: number, nowUs: number): Signal | undefined {
    const reply = this.#replies.shift();
    if (reply !== undefined) return reply;
    if (nowUs < this.signalDueUs(state, sinceUs)) return undefined;
    return this.talk.signal(state, this.#isIceAlive, nowUs);
  }

  /** When `pollSignal` has something. */
  signalDueUs(state: ConnectionState, sinceUs: number): number {
    if (this.#replies.length > 0) return 0;
    return FACTS[state].isActive ? this.talk.dueUs(state, this.#heldUntilUs(sinceUs)) : NEVER;
  }

  #heldUntilUs(sinceUs: number): number {
    const agent = this.#agent;
    if (this.talk.hasSent || agent === undefined || agent.selectedRoute !== undefined || this.isIceDown) return 0;
    const allowed = allowedTypes(this.#config);
    const local = agent.candidateTable().filter(({ side }) => side === 'local');
    const lacksStun = allowed.publicHost && agent.isGathering && !local.some(({ type }) => type === 'srflx');
    if (lacksStun) return sinceUs + STUN_PATIENCE_US;
    const lacksHost = (allowed.privateHost || allowed.publicHost) && local.length === 0;
    return lacksHost ? sinceUs + HOST_PATIENCE_US : 0;
  }
}

/** What the configuration lets us tell the peer. */
export function allowedTypes(config: ConfigScope): AllowedTypes {
  const bits = config.get('p2pTransportIceEnable');
  return { relay: (bits & 1) !== 0, privateHost: (bits & 2) !== 0, publicHost: (bits & 4) !== 0 };
}

export function canUseIce({ relay, privateHost, publicHost }: AllowedTypes): boolean {
  return relay || privateHost || publicHost;
}

const TEXT_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Five characters for the low 30 bits of a number: how connection ids and passwords become text for ICE. Spec: §7.9. */
export function iceText(number: number): string {
  return [24, 18, 12, 6, 0].map((shift) => TEXT_DIGITS[(number >>> shift) & 63]).join('');
}

function pathOf(port: UdpPort, route: IceRoute): Path {
  const kind = route.kind === 'relay' ? 'relay' : route.isLan ? 'lan' : undefined;
  const wrap = route.relay && ((bytes: Uint8Array, length: number) => route.wrap(bytes, length));
  return { port, remote: route.to, ...(kind && { kind }), ...(wrap && { wrap }) };
}

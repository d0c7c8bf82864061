// Finding game sessions on the local network without any server, and signaling between those who are there. Nobody
// proves anything here: a name, an identity and a signal are what somebody on the network says.

import { EventEmitter } from 'node:events';
import { NetworkingError } from '../core/base/errors.ts';
import { Identity } from '../core/base/identity.ts';
import { US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import type { Alarm, NetAddress, Platform } from '../core/platform.ts';
import { nodePlatform } from '../node/platform.ts';
import { MAX_SIGNAL_BYTES, type Signaling } from '../signaling/signaling.ts';
import { type AnnouncedFields, Announcer } from './announcer.ts';
import { LanLink, type LanOptions } from './lan-link.ts';
import { ANY_APP, decodeLanPacket, encodeLanPacket, type LanPacket } from './lan-packet.ts';
import { PeerBook } from './peer-book.ts';
import { type LanSession, type SessionChange, SessionTable, SourceLimits } from './session-table.ts';

/** What came in since it was opened. */
export interface LanStats {
  readonly received: number;
  /** Dropped: not a datagram of this protocol. */
  readonly malformed: number;
  /** Dropped: the sender said too much. */
  readonly rateLimited: number;
}

export interface SessionDescription {
  /** What people read: at most 64 bytes of UTF-8. */
  readonly name: string;
  /** Which game it is: 0 – 2^32-1. Browsers may ask for one. */
  readonly appId: number;
  /** Of the host. */
  readonly identity?: string | Identity;
  /** UDP port of the listen socket. Its address is the one that the announcement comes from. */
  readonly port?: number;
  /** Of the P2P listen socket. */
  readonly virtualPort?: number;
  /** At most 256 bytes of the application's. */
  readonly userData?: Uint8Array;
}

/** Where they meet, see `LanOptions`. */
export interface AnnounceOptions extends SessionDescription {
  readonly lan?: LanOptions;
}

export interface BrowseOptions {
  /** Default: the sessions of all applications. */
  readonly appId?: number;
  readonly lan?: LanOptions;
}

export interface LanSignalingOptions {
  readonly identity: string | Identity;
  readonly lan?: LanOptions;
}

/** Announces a game session until `close`. Throws `InvalidParam` for what cannot be announced, `BindFailed`. */
export function announce({ lan = {}, ...session }: AnnounceOptions): Beacon {
  return new Beacon(session, lan);
}

/** Looks for game sessions until `close`. Throws `BindFailed`. */
export function browse(options: BrowseOptions = {}): Browser {
  return new Browser(options);
}

interface StationWork {
  onPacket(packet: LanPacket, from: NetAddress, nowUs: number): void;
  /** Sends what is due and returns when it wants to be called again. */
  onTime(nowUs: number): number;
}

/** How often we look which interfaces there are. */
const REFRESH_US = 2 * US_PER_SECOND;

/** What all have in common: a link, a clock, and limits on what is listened to. */
class Station {
  readonly platform: Platform = nodePlatform();
  readonly link: LanLink;
  readonly stats = { received: 0, malformed: 0, rateLimited: 0 };
  readonly #work: StationWork;
  readonly #limits = new SourceLimits();
  readonly #alarm: Alarm;
  #refreshAtUs: number;
  #isClosed = false;

  constructor(options: LanOptions, work: StationWork) {
    this.#work = work;
    this.#alarm = this.platform.newAlarm(() => this.run());
    this.link = new LanLink(options, (bytes, from) => this.#receive(bytes, from));
    this.#refreshAtUs = this.platform.nowUs() + REFRESH_US;
  }

  run(): void {
    if (this.#isClosed) return;
    const nowUs = this.platform.nowUs();
    if (nowUs >= this.#refreshAtUs) {
      this.link.refresh();
      this.#refreshAtUs = nowUs + REFRESH_US;
    }
    const nextUs = this.#work.onTime(nowUs);
    // A listener may have closed us.
    if (!this.#isClosed) this.#alarm.set(Math.min(nextUs, this.#refreshAtUs));
  }

  setRef(keepAlive: boolean): void {
    this.link.setRef(keepAlive);
    this.#alarm.setRef(keepAlive);
  }

  close(): void {
    this.#isClosed = true;
    this.#alarm.set(Number.POSITIVE_INFINITY);
    this.link.close();
  }

  #receive(bytes: Uint8Array, from: NetAddress): void {
    const nowUs = this.platform.nowUs();
    this.stats.received++;
    if (!this.#limits.take(from.address, nowUs)) {
      this.stats.rateLimited++;
      return;
    }
    const packet = decodeLanPacket(bytes);
    if (packet === undefined) {
      this.stats.malformed++;
      return;
    }
    this.#work.onPacket(packet, from, nowUs);
    this.run();
  }
}

/** Sends what an announcer has to say. */
function transmit(announcer: Announcer, link: LanLink, nowUs: number): number {
  for (let out = announcer.pollTransmit(nowUs); out !== undefined; out = announcer.pollTransmit(nowUs)) {
    if (out.to === undefined) link.sendToAll(out.bytes);
    else link.sendTo(out.bytes, out.to);
  }
  return announcer.nextTimeoutUs;
}

/** A session that others are told of. Made by `announce`. */
export class Beacon {
  readonly #station: Station;
  readonly #announcer: Announcer;
  #isClosed = false;

  /** @internal */
  constructor(session: SessionDescription, lan: LanOptions) {
    this.#station = new Station(lan, {
      onPacket: (packet, from, nowUs) => {
        if (packet.kind === 'query') this.#announcer.handleQuery(packet, from, nowUs);
      },
      onTime: (nowUs) => transmit(this.#announcer, this.#station.link, nowUs),
    });
    const { platform } = this.#station;
    try {
      this.#announcer = new Announcer(fieldsOf(session), platform.random, platform.nowUs());
    } catch (error) {
      this.#station.close();
      throw error;
    }
    this.#station.run();
  }

  /** As `LanSession.id` has it. */
  get id(): string {
    return this.#announcer.sessionId;
  }

  get stats(): LanStats {
    return this.#station.stats;
  }

  /** Tells everybody of the change at once. Throws `InvalidParam` and changes nothing if it cannot be announced. */
  update(changes: Partial<SessionDescription>): void {
    if (this.#isClosed) return;
    this.#announcer.update(changedFields(changes), this.#station.platform.nowUs());
    this.#station.run();
  }

  /** Whether it keeps the process alive (it does when opened). */
  setRef(keepAlive: boolean): void {
    this.#station.setRef(keepAlive);
  }

  /** Says goodbye. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#station.link.sendToAll(this.#announcer.goodbye());
    this.#station.close();
  }
}

function fieldsOf(session: SessionDescription): AnnouncedFields {
  const defaults = { identity: '', port: 0, virtualPort: undefined, userData: new Uint8Array(0) };
  const { name, appId } = session;
  return { name, appId, isSession: true, ...defaults, ...changedFields(session) };
}

function changedFields({ identity, ...changes }: Partial<SessionDescription>): Partial<AnnouncedFields> {
  return identity === undefined ? changes : { ...changes, identity: identityText(identity) };
}

function identityText(identity: string | Identity): string {
  const parsed = typeof identity === 'string' ? Identity.parse(identity) : identity;
  if (parsed?.isValid) return String(parsed);
  throw new NetworkingError('InvalidParam', `"${identity}" is not an identity`);
}

/** When a browser asks, each counted from the one before; then announcements suffice. */
const QUERY_INTERVALS_US: readonly number[] = [300 * US_PER_MS, 700 * US_PER_MS, 2 * US_PER_SECOND];
const LATE_QUERY_INTERVAL_US = 30 * US_PER_SECOND;

interface BrowserEvents {
  found: [session: LanSession];
  changed: [session: LanSession];
  lost: [session: LanSession];
}

/** The sessions on the local network, as they come and go. Made by `browse`. */
export class Browser extends EventEmitter<BrowserEvents> {
  readonly #station: Station;
  readonly #table = new SessionTable();
  readonly #appId: number;
  #queries = 0;
  #nextQueryUs: number;

  /** @internal */
  constructor({ appId = ANY_APP, lan = {} }: BrowseOptions) {
    super();
    this.#appId = appId;
    // Throws for an application that cannot be.
    encodeLanPacket({ kind: 'query', appId, nonce: 0, identity: '' });
    this.#station = new Station(lan, {
      onPacket: (packet, from, nowUs) => this.#handle(packet, from, nowUs),
      onTime: (nowUs) => this.#work(nowUs),
    });
    this.#nextQueryUs = this.#station.platform.nowUs();
    this.#station.run();
  }

  get sessions(): readonly LanSession[] {
    return this.#table.sessions;
  }

  get stats(): LanStats {
    return this.#station.stats;
  }

  /** Whether it keeps the process alive (it does when opened). */
  setRef(keepAlive: boolean): void {
    this.#station.setRef(keepAlive);
  }

  close(): void {
    this.#station.close();
  }

  #handle(packet: LanPacket, from: NetAddress, nowUs: number): void {
    if (packet.kind === 'goodbye') this.#tell(this.#table.handleGoodbye(packet.sessionId, from));
    if (packet.kind !== 'announcement' || !packet.isSession) return;
    if (this.#appId !== ANY_APP && packet.appId !== this.#appId) return;
    this.#tell(this.#table.handleAnnouncement(packet, from, nowUs));
  }

  #work(nowUs: number): number {
    for (const change of this.#table.handleTimeout(nowUs)) this.#tell(change);
    if (nowUs >= this.#nextQueryUs) {
      const nonce = this.#station.platform.random.u32();
      const query = encodeLanPacket({ kind: 'query', appId: this.#appId, nonce, identity: '' });
      this.#station.link.sendToAll(query);
      this.#nextQueryUs = nowUs + (QUERY_INTERVALS_US[this.#queries++] ?? LATE_QUERY_INTERVAL_US);
    }
    return Math.min(this.#nextQueryUs, this.#table.nextTimeoutUs);
  }

  #tell(change: SessionChange | undefined): void {
    if (change !== undefined) this.emit(change.kind, change.session);
  }
}

/**
 * Signaling on a local network without a server: signals go straight to whoever says to be the peer. Identities are not
 * proven, so certificates must say whom a connection is with.
 */
export class LanSignaling implements Signaling {
  readonly identity: string;
  onSignal: ((signal: Uint8Array, from: string) => void) | undefined;
  readonly #station: Station;
  readonly #announcer: Announcer;
  readonly #peers = new PeerBook();
  #isClosed = false;

  /** Throws `InvalidParam` for what is no identity; `BindFailed`. */
  constructor({ identity, lan = {} }: LanSignalingOptions) {
    this.identity = identityText(identity);
    this.#station = new Station(lan, {
      onPacket: (packet, from, nowUs) => this.#handle(packet, from, nowUs),
      onTime: (nowUs) => this.#work(nowUs),
    });
    const { platform } = this.#station;
    const session = { name: '', appId: ANY_APP, identity: this.identity };
    const fields = { ...fieldsOf(session), isSession: false };
    this.#announcer = new Announcer(fields, platform.random, platform.nowUs());
    this.#station.run();
  }

  get stats(): LanStats {
    return this.#station.stats;
  }

  send(to: string, signal: Uint8Array): boolean {
    const isSendable = to !== '' && String(Identity.parse(to)) === to && signal.length <= MAX_SIGNAL_BYTES;
    if (this.#isClosed || !isSendable) return false;
    const nowUs = this.#station.platform.nowUs();
    const bytes = encodeLanPacket({ kind: 'signal', from: this.identity, to, signal });
    const at = this.#peers.addressOf(to, nowUs);
    if (at !== undefined) return this.#station.link.sendTo(bytes, at);
    const isKept = this.#peers.wait(to, bytes, nowUs);
    this.#station.run();
    return isKept;
  }

  /** Whether it keeps the process alive (it does when opened). */
  setRef(keepAlive: boolean): void {
    this.#station.setRef(keepAlive);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#station.close();
  }

  #handle(packet: LanPacket, from: NetAddress, nowUs: number): void {
    switch (packet.kind) {
      case 'query':
        this.#announcer.handleQuery(packet, from, nowUs);
        return;
      case 'announcement':
        if (!packet.isSession) this.#learn(packet.identity, from, nowUs);
        return;
      case 'signal':
        if (packet.to !== this.identity) return;
        this.#learn(packet.from, from, nowUs);
        this.onSignal?.(packet.signal, packet.from);
        return;
      case 'goodbye':
        return;
    }
  }

  #learn(identity: string, from: NetAddress, nowUs: number): void {
    for (const bytes of this.#peers.learn(identity, from, nowUs)) this.#station.link.sendTo(bytes, from);
  }

  #work(nowUs: number): number {
    const { link, platform } = this.#station;
    for (let who = this.#peers.pollQuestion(nowUs); who !== undefined; who = this.#peers.pollQuestion(nowUs)) {
      link.sendToAll(encodeLanPacket({ kind: 'query', appId: ANY_APP, nonce: platform.random.u32(), identity: who }));
    }
    return Math.min(transmit(this.#announcer, link, nowUs), this.#peers.nextTimeoutUs);
  }
}

// A listen socket as the application holds it, and the connections that wait for its answer.

import { EventEmitter } from 'node:events';
import { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import type { Identity } from '../core/base/identity.ts';
import type { ConfigScope } from '../core/config/scope.ts';
import type { ConnectionConfigOptions } from '../core/config/values.ts';
import { FACTS } from '../core/connection/state-table.ts';
import type { AdmissionHook } from '../core/endpoint/admission.ts';
import type { Endpoint } from '../core/endpoint/endpoint.ts';
import { DEFAULT_LIMITS, Gate, type ListenLimits, type StrangerStats } from '../core/endpoint/gate.ts';
import type { Listener } from '../core/endpoint/listener.ts';
import type { Member, Refusal } from '../core/endpoint/member.ts';
import type { VirtualPort } from '../core/endpoint/rendezvous.ts';
import type { Platform } from '../core/platform.ts';
import type { CloseOptions, Connection } from './connection.ts';
import type { AllowWithoutAuth } from './credentials.ts';
import type { Driver } from './driver.ts';
import {
  type AnyRefusalKind,
  askApplication,
  type CheckResult,
  type PeerCertificate,
  type PeerVerdict,
} from './peer-certificate.ts';

const CHECK_TIMEOUT_MS = 5_000;
/** Those who call by signal are no strangers: the application knows who carries their signals. */
const NO_STRANGERS: StrangerStats = new Gate(DEFAULT_LIMITS, new Uint8Array(16)).stats;
const NO_ADDRESS = { address: '::', port: 0 } as const;

export interface ListenOptions {
  /** Numeric address to bind. Default: `::`, which takes IPv4 too. */
  readonly host?: string;
  /** 1 – 65535; 0 takes any free one (GNS refuses that). */
  readonly port: number;
  /** Accept every connection at once, without asking. Default: false. */
  readonly autoAccept?: boolean;
  /**
   * Share the port with other instances, in worker threads or processes, that ask for this too: the system divides the
   * clients among them by their addresses. Linux and BSDs, Node 22.12, 23.1 or later. Default: false.
   */
  readonly reusePort?: boolean;
  /**
   * P2P connections of this instance use this port, too, and none of their own: routers and firewalls have one port to
   * let through. Not with `reusePort`, and not while P2P connections use another port. Default: false.
   */
  readonly p2p?: boolean;
  /**
   * Asked about each client that has shown its address, before its signatures are checked: false turns it away without
   * a word. Must answer at once; an exception is a refusal, and surfaces as uncaught.
   */
  readonly admit?: AdmissionHook;
  /** What strangers may cost. The defaults do not get in the way of an ordinary server. */
  readonly limits?: ListenLimits;
  /**
   * Looks at each client whose credentials are acceptable, before it is accepted or `connection` is told of it; may take
   * its time. `remoteCertificate` of the connection is what it showed.
   */
  readonly check?: (incoming: IncomingConnection) => PeerVerdict | Promise<PeerVerdict>;
  /** A client is turned away when `check` takes longer. Default: 5000. */
  readonly checkTimeoutMs?: number;
  /** As for the instance. */
  readonly allowWithoutAuth?: AllowWithoutAuth;
  /** Values for this socket and, unless they set their own, its connections. */
  readonly config?: ConnectionConfigOptions;
}

export interface ListenSocketEvents {
  /**
   * A client with acceptable credentials asks to connect, or was accepted with `autoAccept`. Without an answer it is
   * turned away after `timeoutInitial`, and its connection closed for you.
   */
  connection: [incoming: IncomingConnection];
  /**
   * A client was ignored because of its credentials, or turned away by `check`. It asks again twice a second, and each
   * time counts; no more than ten in a second are told.
   */
  refused: [refusal: ClientRefusal];
  /** `close` was called. */
  close: [];
}

/** Why a client was not let in. */
export interface ClientRefusal extends Omit<Refusal, 'kind'> {
  readonly kind: AnyRefusalKind;
}

/** A client that waits for our answer. */
export class IncomingConnection {
  /** In state Connecting; it is the one that `accept` returns. */
  readonly connection: Connection;
  readonly #member: Member;
  readonly #driver: Driver;
  #isAnswered = false;

  /** @internal */
  constructor(connection: Connection, member: Member, driver: Driver) {
    this.connection = connection;
    this.#member = member;
    this.#driver = driver;
  }

  /** Who the client says it is. */
  get remoteIdentity(): Identity {
    return this.#member.connection.identity!;
  }
  /** What it showed, and whether an authority vouches for it. */
  get remoteCertificate(): PeerCertificate | undefined {
    return this.connection.remoteCertificate;
  }
  /** It called a listen socket; else it came by a signal to a virtual port on which nobody listens. */
  get hasListenSocket(): boolean {
    return this.#member.listener !== undefined;
  }
  /** Where its packets come from. */
  get remoteAddress(): IpAddress {
    return this.connection.remoteAddress;
  }

  /**
   * Lets the client in; the connection is Connected when this returns. If the client has gone meanwhile, or there is no
   * cipher that both sides allow, the connection has ended instead: no error is thrown for what a peer did, `state` and
   * `info` tell. Throws `InvalidState` if it was accepted or closed by us already, and as `config.set` does.
   */
  accept(config: ConnectionConfigOptions = {}): Connection {
    if (this.#isAnswered) throw new NetworkingError('InvalidState', 'cannot accept: the client was answered already');
    const { connection } = this.#member;
    if (connection.state === 'Connecting') connection.config.setAll(config);
    this.#isAnswered = true;
    connection.accept(this.#driver.platform.nowUs());
    this.#driver.touch(this.#member);
    return this.connection;
  }

  /** Turns the client away: it is told reason and text. */
  reject(options: Omit<CloseOptions, 'linger'> = {}): void {
    this.#isAnswered = true;
    void this.connection.close(options);
  }

  // The client is gone: a connection that was never taken over is nobody's to close but ours.
  /** @internal */
  release(): void {
    if (!this.#isAnswered) void this.connection.close();
  }
}

/**
 * A port that clients connect to, made by `Networking.listen`. Listen to `connection`, or loop over it: a loop also gets
 * the clients that came before it and still wait. Clients that nobody answers are let go by themselves.
 */
export class ListenSocket
  extends EventEmitter<ListenSocketEvents>
  implements AsyncIterable<IncomingConnection>, AsyncDisposable
{
  readonly #listener: Listener | VirtualPort;
  readonly #endpoint: Endpoint;
  readonly #driver: Driver;
  readonly #options: ListenOptions;
  readonly #unanswered = new Set<IncomingConnection>();
  #gone: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  /** @internal */
  constructor(listener: Listener | VirtualPort, endpoint: Endpoint, driver: Driver, options: ListenOptions) {
    super();
    this.#listener = listener;
    this.#endpoint = endpoint;
    this.#driver = driver;
    this.#options = options;
  }

  /** Where clients reach it; `::` for one that takes P2P connections, which have no address to call. */
  get address(): IpAddress {
    return IpAddress.fromNet('port' in this.#listener ? this.#listener.port.local : NO_ADDRESS);
  }
  /** Values for its connections, unless they set their own; what it does not set comes from the instance. */
  get config(): ConfigScope {
    return this.#listener.config;
  }
  /** Requests that were ignored because of their credentials; clients ask twice a second. */
  get refusedCount(): number {
    return this.#listener.refusals.count;
  }
  /** Connections that came in here, in any state, those still saying goodbye included. */
  get connectionCount(): number {
    return this.#listener.members.size;
  }

  /** What came from addresses that have no connection, and what became of it: a snapshot. */
  get strangers(): StrangerStats {
    return 'port' in this.#listener ? this.#listener.strangers : NO_STRANGERS;
  }

  /**
   * Takes no more clients and closes the connections of those that came in here; unlike GNS it tells them so. Resolves
   * when they are gone and the port is free: after up to 5 s, later if some linger.
   */
  close(options: CloseOptions = {}): Promise<void> {
    if (this.#gone !== undefined) return this.#gone.promise;
    let resolve: () => void = () => {};
    const promise = new Promise<void>((settle) => {
      resolve = settle;
    });
    this.#gone = { promise, resolve };
    const { reason = 0, debug = 'The listen socket was closed', linger = false } = options;
    this.#endpoint.closeListener(this.#listener, { reason, debug }, linger, this.#driver.platform.nowUs());
    this.#driver.poke();
    this.emit('close');
    // After the settle that was just asked for: if nobody is connected, that is what closes the port.
    this.#driver.platform.defer(() => this.onMembersChanged());
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Clients as they come, from when the loop starts until the socket is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<IncomingConnection, void, undefined> {
    const waiting = [...this.#unanswered];
    let wake: (() => void) | undefined;
    const onConnection = (incoming: IncomingConnection) => {
      waiting.push(incoming);
      wake?.();
    };
    const onClose = () => wake?.();
    this.on('connection', onConnection);
    this.on('close', onClose);
    try {
      while (this.#gone === undefined) {
        const next = waiting.shift();
        if (next !== undefined) yield next;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      this.off('connection', onConnection);
      this.off('close', onClose);
    }
  }

  // ---- called by the instance

  /** @internal */
  onIncoming(incoming: IncomingConnection): void {
    incoming.connection.once('state', ({ to }) => {
      this.#unanswered.delete(incoming);
      if (!FACTS[to].isActive) incoming.release();
    });
    const { check, checkTimeoutMs = CHECK_TIMEOUT_MS } = this.#options;
    if (check === undefined) this.#offer(incoming);
    else
      askApplication(
        () => check(incoming),
        checkTimeoutMs,
        this.#driver.platform,
        (failure) => {
          if (incoming.connection.state !== 'Connecting') return;
          if (failure === undefined) this.#offer(incoming);
          else this.#turnAway(incoming, failure);
        },
      );
  }

  #turnAway(incoming: IncomingConnection, { kind, end, detail }: CheckResult): void {
    incoming.reject(end);
    const { remoteIdentity, remoteAddress } = incoming;
    const { endReason: reason } = incoming.connection.info;
    this.emit('refused', { kind, reason, detail, remoteIdentity, remoteAddress, untold: 0 });
  }

  #offer(incoming: IncomingConnection): void {
    this.#unanswered.add(incoming);
    // A client that could not be let in is nobody's to look after.
    if (this.#options.autoAccept === true && !FACTS[incoming.accept().state].isActive) incoming.reject();
    else this.emit('connection', incoming);
  }

  /** @internal */
  onMembersChanged(): void {
    if (!this.#endpoint.listeners.has(this.#listener)) this.#gone?.resolve();
  }
}

/** Throws `InvalidParam` for a limit that is none. */
export function checkLimits(limits: ListenLimits | undefined): ListenLimits | undefined {
  for (const [name, value] of Object.entries(limits ?? {})) {
    if (Object.hasOwn(DEFAULT_LIMITS, name) && value >= 0) continue;
    throw new NetworkingError('InvalidParam', `cannot listen with the limit ${name}: ${value}`);
  }
  return limits;
}

/** The application's error is the application's: it surfaces as uncaught, and the client is turned away. */
export function guarded(admit: AdmissionHook | undefined, platform: Platform): AdmissionHook | undefined {
  if (admit === undefined) return undefined;
  return (applicant) => {
    try {
      return admit(applicant);
    } catch (error) {
      platform.defer(() => {
        throw error;
      });
      return false;
    }
  };
}

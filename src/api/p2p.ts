// P2P connections as the application sees them: who carries the signals, who is asked when somebody calls, and the port,
// addresses and servers that ICE needs. Spec: 05 §5.3, §5.5, 07.

import { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import type { Identity } from '../core/base/identity.ts';
import { US_PER_SECOND } from '../core/base/time.ts';
import { readPublicKey } from '../core/certs/issue.ts';
import type { Expectation } from '../core/certs/verify.ts';
import { ConfigScope } from '../core/config/scope.ts';
import type { ConnectionConfigOptions } from '../core/config/values.ts';
import { Ends } from '../core/connection/end-reason.ts';
import { failed } from '../core/connection/handshake.ts';
import { FACTS } from '../core/connection/state-table.ts';
import type { Endpoint } from '../core/endpoint/endpoint.ts';
import type { Listener } from '../core/endpoint/listener.ts';
import type { Door, Member } from '../core/endpoint/member.ts';
import { portsOf, type VirtualPort } from '../core/endpoint/rendezvous.ts';
import { IcePort } from '../core/ice/ice-port.ts';
import type { Alarm, Platform, UdpPort } from '../core/platform.ts';
import { identityOf } from './connect.ts';
import type { Connection } from './connection.ts';
import { authConfig, mustBeAbleToAnswer } from './credentials.ts';
import type { Driver } from './driver.ts';
import { ServerBook } from './ice-servers.ts';
import { IncomingConnection, type ListenOptions, ListenSocket } from './listen-socket.ts';
import type { ConnectOptions } from './options.ts';

/** Carries signals to other peers: small, opaque, at best effort. They may be lost, doubled and reordered. */
export interface P2PSignaling {
  /**
   * Sends a signal to the peer that is called `to`, as `Identity` prints it; empty if nobody knows yet, which only a
   * signaling for one peer can bear. Must not wait. False, or an exception, ends a connection that is not Connected yet
   * with reason 5002.
   */
  send(to: string, signal: Uint8Array, connection?: Connection): unknown;
  /** Called once for each connection that was given this object, when it is gone. */
  release?(): void;
}

/** A service that also receives: given to `Networking`, what arrives is handed to the instance. */
export interface P2PSignalingService extends P2PSignaling {
  onSignal?: ((signal: Uint8Array, from: string) => void) | undefined;
}

/** How the application answers a signal that somebody new sent. */
export interface P2PSignalContext {
  /**
   * Somebody asks to connect. Return what carries our signals to that peer, and the connection goes on: accept it now
   * or later. Return undefined to ignore the peer, after `incoming.reject` to have a rejection sent.
   */
  onConnectRequest?(incoming: IncomingConnection, localVirtualPort: number): P2PSignaling | undefined;
  /** Carries a rejection. Without it, none is sent. */
  sendRejection?(to: Identity, signal: Uint8Array): void;
}

export interface P2POptions {
  /** UDP port that all P2P connections share. Default: that of a listen socket with `p2p`, or any free one. */
  readonly port?: number;
  /** Numeric local address of that port. Default: `::`, which takes IPv4 too. */
  readonly host?: string;
  /** Offer loopback addresses, too: for peers on one machine without a network. C++ GNS does not take them. */
  readonly offersLoopback?: boolean;
}

/** For the rest see `ListenOptions`. */
export interface ListenP2POptions
  extends Pick<ListenOptions, 'autoAccept' | 'check' | 'checkTimeoutMs' | 'allowWithoutAuth' | 'config'> {
  /** 0 – 65535: a number of the application's, not of the network. One listen socket each. */
  readonly virtualPort: number;
}

/** For the rest see `ConnectOptions`. That the peer is the one that is called is always expected. */
export interface ConnectP2POptions extends Pick<ConnectOptions, 'allowWithoutAuth' | 'pinnedKey' | 'config'> {
  /** Carries the signals of this connection. Default: the instance's. */
  readonly signaling?: P2PSignaling;
}

/** What the instance does for its P2P part. */
export interface P2PHost {
  readonly platform: Platform;
  readonly endpoint: Endpoint;
  readonly driver: Driver;
  wrap(member: Member): Connection;
  addListenSocket(door: Door, socket: ListenSocket): void;
}

const MAX_VIRTUAL_PORT = 0xffff;
/** How often we look whether the addresses of this machine have changed. */
const ADDRESSES_INTERVAL_US = 5 * US_PER_SECOND;

export class P2P {
  readonly #host: P2PHost;
  readonly #options: P2POptions;
  readonly #signaling: P2PSignaling | undefined;
  readonly #signalings = new Map<Member, P2PSignaling>();
  readonly #servers: ServerBook;
  /** Whose port is ours, too. */
  #shared: Listener | undefined;
  #alarm: Alarm | undefined;

  constructor(host: P2PHost, options: P2POptions, signaling: P2PSignaling | undefined) {
    this.#host = host;
    this.#options = options;
    this.#signaling = signaling;
    this.#servers = new ServerBook(host.platform, () => {
      host.endpoint.rendezvous.ground?.ice.setServers(this.#servers.all(this.#configs), host.platform.nowUs());
      host.driver.poke();
    });
  }

  /** The signals of those who have no signaling of their own can be carried. */
  get hasSignaling(): boolean {
    return this.#signaling !== undefined;
  }

  listen(options: ListenP2POptions): ListenSocket {
    const { virtualPort, allowWithoutAuth, config } = options;
    checkVirtualPort(virtualPort, 'listen');
    const { endpoint, driver } = this.#host;
    const values = { ...authConfig(allowWithoutAuth), ...config };
    const scope = new ConfigScope('listenSocket', endpoint.config);
    scope.setAll(values);
    mustBeAbleToAnswer(scope, endpoint.env.certificate, `virtual port ${virtualPort}`);
    const door = this.openDoor(virtualPort, values);
    const socket = new ListenSocket(door, endpoint, driver, { ...options, port: 0 });
    this.#host.addListenSocket(door, socket);
    return socket;
  }

  openDoor(virtualPort: number, config: ConnectionConfigOptions): VirtualPort {
    const { endpoint } = this.#host;
    const scope = new ConfigScope('listenSocket', endpoint.config);
    scope.setAll(config);
    scope.set('localVirtualPort', virtualPort);
    const door = endpoint.rendezvous.listen(virtualPort, scope);
    endpoint.listeners.add(door);
    this.#prepare(scope);
    return door;
  }

  open(remote: string | Identity | undefined, virtualPort: number, options: ConnectP2POptions): Connection {
    checkVirtualPort(virtualPort, 'connect');
    return this.#host.wrap(this.connect(remote, virtualPort, options));
  }

  connect(remote: string | Identity | undefined, virtualPort: number, options: ConnectP2POptions): Member {
    const { endpoint, platform, driver } = this.#host;
    const signaling = options.signaling ?? this.#signaling;
    if (signaling === undefined) {
      throw new NetworkingError('InvalidState', 'cannot connect by signals: neither call nor instance has a signaling');
    }
    const identity = remote === undefined ? undefined : identityOf(remote);
    const config = new ConfigScope('connection', endpoint.config);
    const values = { ...authConfig(options.allowWithoutAuth), ...options.config };
    config.setAll(values);
    const { pinnedKey } = options;
    const publicKey = pinnedKey === undefined ? undefined : readPublicKey(pinnedKey);
    const ports = portsOf(config, virtualPort);
    config.set('localVirtualPort', ports.local);
    const isOurs = identity?.equals(endpoint.env.identity) === true && options.signaling === undefined;
    if (isOurs && !endpoint.rendezvous.virtualPorts.has(virtualPort)) {
      const why = `we are that, and nobody listens on virtual port ${virtualPort}`;
      throw new NetworkingError('InvalidParam', `cannot connect to ${identity}: ${why}`);
    }
    const door = endpoint.rendezvous.virtualPorts.get(ports.local);
    if (door?.config.get('symmetricConnect') === 1) config.set('symmetricConnect', 1);
    if (config.get('symmetricConnect') === 1) {
      if (identity === undefined) {
        throw new NetworkingError('InvalidParam', 'cannot connect symmetrically to a peer without a name');
      }
      if (identity.equals(endpoint.env.identity)) {
        throw new NetworkingError('InvalidParam', `cannot connect symmetrically to ${identity}: we are that`);
      }
      const match = endpoint.rendezvous.findMatch(identity, ports, true);
      if (match !== undefined) return this.#join(match, { identity, publicKey }, values);
    }
    this.#prepare(config);
    const expected = { identity, publicKey };
    const member = endpoint.rendezvous.connect({ expected, remoteVirtualPort: virtualPort, config }, platform.nowUs());
    for (const name of ['symmetricConnect', 'localVirtualPort'] as const) config.lock(name);
    this.#signalings.set(member, signaling);
    driver.poke();
    return member;
  }

  /** In symmetric mode, the peer's own request is as good as ours. */
  #join(match: Member, { identity, publicKey }: Expectation, options: ConnectionConfigOptions): Member {
    const { connection } = match;
    if (!connection.isIncoming || connection.state !== 'Connecting') {
      throw new NetworkingError('DuplicateRequest', `cannot connect to ${identity}: there is a connection already`);
    }
    const { symmetricConnect: _, localVirtualPort: __, ...config } = options;
    connection.config.setAll(config);
    const nowUs = this.#host.platform.nowUs();
    const misfit = connection.link!.talk.misfit(publicKey);
    if (misfit === undefined) connection.accept(nowUs);
    else connection.act(failed(misfit), nowUs);
    this.#host.driver.touch(match);
    return match;
  }

  /** False if the signal is broken or not what it should be. */
  receive(signal: Uint8Array, context: P2PSignalContext): boolean {
    const { endpoint, platform, driver } = this.#host;
    if (endpoint.rendezvous.ground === undefined) this.#prepare(endpoint.config);
    const outcome = endpoint.rendezvous.receiveSignal(signal.slice(), platform.nowUs());
    driver.poke();
    if (outcome.kind === 'rejected') this.#sendRejection(outcome.to, outcome.signal, context);
    else if (outcome.kind === 'call') this.#ask(outcome.member, context);
    return outcome.kind === 'taken' || outcome.kind === 'call';
  }

  #ask(member: Member, context: P2PSignalContext): void {
    const { endpoint, platform, driver } = this.#host;
    const { identity, link } = member.connection;
    this.#prepare(member.connection.config);
    const incoming = new IncomingConnection(this.#host.wrap(member), member, driver);
    const { local } = link!.talk.ports;
    const isDefault = context.onConnectRequest === undefined;
    const signaling = isDefault ? this.#defaultSignaling(member) : context.onConnectRequest!(incoming, local);
    if (signaling !== undefined) {
      this.#signalings.set(member, signaling);
      return;
    }
    const isRejected = member.connection.state !== 'Connecting';
    const rejection = isRejected ? endpoint.rendezvous.turnAway(member) : undefined;
    endpoint.discard(member, platform.nowUs());
    incoming.connection.onCloseConfirmed();
    if (rejection !== undefined) this.#sendRejection(identity!, rejection, context);
  }

  /** Without an own decision of the application, only those who call a listen socket are heard. */
  #defaultSignaling({ listener }: Member): P2PSignaling | undefined {
    return listener === undefined ? undefined : this.#signaling;
  }

  #sendRejection(to: Identity, signal: Uint8Array, context: P2PSignalContext): void {
    if (context.sendRejection !== undefined) context.sendRejection(to, signal);
    else if (context.onConnectRequest === undefined) this.#signaling?.send(to.toString(), signal);
  }

  /** A connection has something to say. */
  onSignal(member: Member, signal: Uint8Array): void {
    const { driver, endpoint, platform, wrap } = this.#host;
    let isSent = false;
    try {
      const signaling = this.#signalings.get(member);
      const to = member.connection.identity?.toString() ?? '';
      const isOurs = to === endpoint.env.identity.toString() && signaling === this.#signaling;
      // No service need tell us what we say.
      if (isOurs) platform.defer(() => this.receive(signal, {}));
      isSent = isOurs || (signaling !== undefined && signaling.send(to, signal, wrap(member)) !== false);
    } catch (error) {
      platform.defer(() => {
        throw error;
      });
    }
    // Those who have found each other can do without.
    if (isSent || FACTS[member.connection.state].carriesData) return;
    member.connection.act(failed(Ends.signalNotSent), platform.nowUs());
    driver.touch(member);
  }

  onGone(member: Member): void {
    const signaling = this.#signalings.get(member);
    this.#signalings.delete(member);
    signaling?.release?.();
    if (this.#host.endpoint.rendezvous.ground === undefined) this.#alarm?.set(Number.POSITIVE_INFINITY);
  }

  // ---- what ICE needs

  /** Throws unless the port of a listen socket with these options can be ours, too. */
  mustShare({ port, reusePort }: ListenOptions): void {
    const { endpoint } = this.#host;
    const what = `cannot listen on port ${port} with p2p`;
    if (reusePort === true)
      throw new NetworkingError('InvalidParam', `${what}: a port that several share is no way back`);
    const used = endpoint.rendezvous.ground?.port ?? this.#openShared;
    if (used === undefined) return;
    throw new NetworkingError('InvalidState', `${what}: P2P connections use port ${used.local.port}`);
  }

  share(listener: Listener): void {
    this.#shared = listener;
  }

  get #openShared(): UdpPort | undefined {
    return this.#shared !== undefined && this.#host.endpoint.listeners.has(this.#shared)
      ? this.#shared.port
      : undefined;
  }

  /** Opens the port if there is none, and tells ICE of our addresses and the servers that this configuration names. */
  #prepare(config: ConfigScope): void {
    const { endpoint, platform, driver } = this.#host;
    const { rendezvous } = endpoint;
    const servers = this.#servers.all([config, ...this.#configs]);
    if (rendezvous.ground !== undefined) {
      rendezvous.ground.ice.setServers(servers, platform.nowUs());
      driver.refPort(rendezvous.ground.port);
      return;
    }
    const start = (port: UdpPort) => {
      const { local } = port;
      const { offersLoopback: allowsLoopback = false } = this.#options;
      const options = { ...servers, port: local.port, mapsIPv4: local.address.includes(':'), allowsLoopback };
      rendezvous.start({ ice: new IcePort(platform, options), port });
      return rendezvous;
    };
    const shared = this.#openShared;
    const { host = '::', port = 0 } = this.#options;
    if (shared !== undefined) start(shared);
    else driver.openPort({ address: host, port }, start);
    this.#watchAddresses();
  }

  /** Of everything that may look for a way now. */
  get #configs(): readonly ConfigScope[] {
    const { config, rendezvous } = this.#host.endpoint;
    const doors = [...rendezvous.virtualPorts.values()].map((door) => door.config);
    return [config, ...doors, ...[...rendezvous.members].map(({ connection }) => connection.config)];
  }

  #watchAddresses(): void {
    const { endpoint, platform, driver } = this.#host;
    const nowUs = platform.nowUs();
    const { ground } = endpoint.rendezvous;
    if (ground === undefined) return;
    const bound = IpAddress.fromNet(ground.port.local);
    const addresses = platform.localAddresses();
    const reachable = bound.isAny ? addresses : addresses.filter(({ address }) => address === bound.host);
    ground.ice.setLocalAddresses(reachable, nowUs);
    driver.poke();
    if (this.#alarm === undefined) {
      this.#alarm = platform.newAlarm(() => this.#watchAddresses());
      this.#alarm.setRef(false);
    }
    this.#alarm.set(nowUs + ADDRESSES_INTERVAL_US);
  }
}

function checkVirtualPort(virtualPort: number, action: string): void {
  if (Number.isInteger(virtualPort) && virtualPort >= 0 && virtualPort <= MAX_VIRTUAL_PORT) return;
  throw new NetworkingError(
    'InvalidParam',
    `cannot ${action}: virtual port ${virtualPort} is not a whole number from 0 to ${MAX_VIRTUAL_PORT}`,
  );
}

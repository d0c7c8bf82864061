// One instance of the library: identity, configuration, listen sockets, connections. As many as you like in one process;
// they share nothing.

import { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import type { Identity } from '../core/base/identity.ts';
import { readPublicKey } from '../core/certs/issue.ts';
import { ConfigScope } from '../core/config/scope.ts';
import { EndReason } from '../core/connection/end-reason.ts';
import { Endpoint } from '../core/endpoint/endpoint.ts';
import type { EndpointEvent, Member } from '../core/endpoint/member.ts';
import type { NetAddress, Platform } from '../core/platform.ts';
import { nodePlatform } from '../node/platform.ts';
import { broadcast, type OutgoingBatchMessage, type SendResult, sendMessages } from './batch.ts';
import { ConnectRace, identityOf, mustBeAsymmetric, orAborted, resolveTargets } from './connect.ts';
import { Connection } from './connection.ts';
import { authConfig, Credentials, environmentOf, mustBeAbleToAnswer } from './credentials.ts';
import { Driver } from './driver.ts';
import type { FakeNetworkCounts } from './fake-network.ts';
import { checkLimits, guarded, IncomingConnection, type ListenOptions, ListenSocket } from './listen-socket.ts';
import { Log } from './log.ts';
import { Messages, type MessagesOptions } from './messages.ts';
import type { ConnectAndWaitOptions, ConnectOptions, NetworkingOptions } from './options.ts';
import { type ConnectP2POptions, type ListenP2POptions, P2P, type P2PSignalContext } from './p2p.ts';
import { PollGroup } from './poll-group.ts';
import type { SendOptions } from './sending.ts';
import { openSocketPair, type SocketPairOptions } from './socket-pair.ts';

/**
 * The library's entrance: makes listen sockets and connections. Whatever is open keeps the process alive (see `unref`);
 * `close` ends it all.
 */
export class Networking implements AsyncDisposable {
  readonly platform: Platform;
  /** Our certificate, and whom we trust. */
  readonly credentials: Credentials;
  /** The global configuration values of this instance. */
  readonly config = new ConfigScope('global');
  readonly #interfaceConfig = new ConfigScope('interface', this.config);
  readonly #endpoint: Endpoint;
  readonly #driver: Driver;
  readonly #connections = new Map<Member, Connection>();
  readonly #listenSockets = new Map<unknown, ListenSocket>();
  readonly #p2p: P2P;
  #messages: Messages | undefined;
  readonly #log: Log | undefined;
  #isClosed = false;

  /** Throws `InvalidParam` for an identity that cannot be read, and as `credentials` and `config.set` do. */
  constructor(options: NetworkingOptions = {}) {
    this.platform = options.platform ?? nodePlatform(options.crypto === undefined ? {} : { crypto: options.crypto });
    this.config.setAll(authConfig(options.allowWithoutAuth));
    if (options.config !== undefined) this.config.setAll(options.config);
    this.credentials = new Credentials(this.platform, identityOf(options.identity), options);
    this.#endpoint = new Endpoint(
      environmentOf(this.platform, this.credentials, options.checkCertificateAddresses ?? false),
      this.#interfaceConfig,
    );
    this.#log = options.log === undefined ? undefined : new Log(options.log, this.platform);
    this.#log?.watch(this.credentials);
    this.#endpoint.isObserved = this.#log !== undefined;
    this.#driver = new Driver(this.platform, this.#endpoint, (event) => this.#onEvent(event), options.trace);
    this.#p2p = this.#newP2P(options);
  }

  #newP2P({ p2p = {}, signaling }: NetworkingOptions): P2P {
    const host = {
      platform: this.platform,
      endpoint: this.#endpoint,
      driver: this.#driver,
      wrap: (member: Member) => this.#wrap(member),
      addListenSocket: (door: unknown, socket: ListenSocket) => this.#addListenSocket(door, socket),
    };
    if (signaling !== undefined && 'onSignal' in signaling) {
      signaling.onSignal = (signal) => void this.receivedP2PCustomSignal(signal);
    }
    return new P2P(host, p2p, signaling);
  }

  /** Who we are, as peers see it: as given, or whoever our certificate names. */
  get identity(): Identity {
    return this.credentials.identity;
  }

  /** Microseconds on the clock of this instance; monotonic, arbitrary origin. */
  nowUs(): number {
    return this.platform.nowUs();
  }

  /** What `fakePacketLossSend` and its relatives did to the datagrams of this instance so far: a snapshot. */
  get fakeNetworkCounts(): { readonly sent: FakeNetworkCounts; readonly received: FakeNetworkCounts } {
    const { sent, received } = this.#driver.fakePorts;
    return { sent: { ...sent.counts }, received: { ...received.counts } };
  }

  /** The connections that this side has not closed, without those behind `messages`. */
  get connections(): Iterable<Connection> {
    const isShown = ({ state, member }: Connection) => state !== 'None' && this.#messages?.owns(member) !== true;
    return [...this.#connections.values()].filter(isShown);
  }

  /**
   * Opens a listen socket. Throws `BindFailed`, `InvalidParam`, `NotSupported` for `reusePort` where it cannot be,
   * `InvalidState` for `p2p` while P2P connections have a port, and as `config.set` does.
   */
  listen(options: ListenOptions): ListenSocket {
    this.#mustBeOpen();
    const { host = '::', port, reusePort = false } = options;
    if (IpAddress.parse(host) === undefined)
      throw new NetworkingError('InvalidParam', `cannot listen on "${host}": not a numeric address`);
    const config = new ConfigScope('listenSocket', this.#interfaceConfig);
    config.setAll(authConfig(options.allowWithoutAuth));
    if (options.config !== undefined) config.setAll(options.config);
    mustBeAsymmetric(config, 'listen');
    mustBeAbleToAnswer(config, this.#endpoint.env.certificate, `${host} port ${port}`);
    if (options.p2p === true) this.#p2p.mustShare(options);
    const admission = { limits: checkLimits(options.limits), admit: guarded(options.admit, this.platform) };
    const listener = this.#driver.openPort({ address: host, port, reusePort }, (udpPort) =>
      this.#endpoint.listen(udpPort, config, admission),
    );
    const socket = new ListenSocket(listener, this.#endpoint, this.#driver, options);
    this.#addListenSocket(listener, socket);
    if (options.p2p === true) this.#p2p.share(listener);
    return socket;
  }

  #addListenSocket(door: unknown, socket: ListenSocket): void {
    this.#listenSockets.set(door, socket);
    socket.on('refused', (refusal) => this.#log?.onRefused(refusal));
  }

  /**
   * Begins to connect to a numeric address with port; the connection returned is in state Connecting. Throws
   * `InvalidParam` for an address that cannot be connected to, `BindFailed`, and as `config.set` does.
   */
  open(address: string | IpAddress, options: ConnectOptions = {}): Connection {
    this.#mustBeOpen();
    const target = typeof address === 'string' ? IpAddress.parse(address) : address;
    if (target === undefined || target.isAny || target.port === 0) {
      throw new NetworkingError(
        'InvalidParam',
        `cannot connect to "${address}": give a numeric address and port, such as 127.0.0.1:27015`,
      );
    }
    const config = new ConfigScope('connection', this.#interfaceConfig);
    config.setAll(authConfig(options.allowWithoutAuth));
    if (options.config !== undefined) config.setAll(options.config);
    mustBeAsymmetric(config, 'connect');
    const remote: NetAddress = { address: target.host, port: target.port };
    const local = { address: options.localAddress ?? (target.isIPv4 ? '0.0.0.0' : '::'), port: 0 };
    if (IpAddress.parse(local.address)?.isIPv4 !== target.isIPv4) {
      throw new NetworkingError('InvalidParam', `cannot connect to ${target} from local address "${local.address}"`);
    }
    const { expectedIdentity, pinnedKey } = options;
    const expected = {
      identity: expectedIdentity === undefined ? undefined : identityOf(expectedIdentity),
      publicKey: pinnedKey === undefined ? undefined : readPublicKey(pinnedKey),
    };
    let member: Member | undefined;
    this.#driver.openPort(local, (port) => {
      member = this.#endpoint.connect(port, remote, config, this.platform.nowUs(), expected);
      return this.#endpoint.clientTarget(member);
    });
    return this.#wrap(member!);
  }

  /**
   * Connects to `host:port` and resolves once connected. A name is looked up; each of its addresses gets half a second
   * before the next is tried beside it, and the first to answer wins. Rejects with a `ConnectionError` that says why the
   * (first) address failed, with code `ResolveFailed` or `Aborted`, or as `open` throws.
   */
  async connect(address: string | IpAddress, options: ConnectAndWaitOptions = {}): Promise<Connection> {
    const { signal } = options;
    const what = `connecting to ${address}`;
    const targets = await orAborted(resolveTargets(address, this.platform), what, signal);
    const race = new ConnectRace(targets, (target) => this.open(target, options), this.platform);
    let winner: Connection | undefined;
    try {
      winner = await orAborted(race.run(), what, signal);
      return winner;
    } finally {
      race.stop(winner);
    }
  }

  /**
   * Listens for P2P connections on a virtual port. Throws `InvalidParam`, also without a certificate where peers need
   * one, `InvalidState` if somebody listens there, `BindFailed`, and as `config.set` does.
   */
  listenP2P(options: ListenP2POptions): ListenSocket {
    this.#mustBeOpen();
    return this.#p2p.listen(options);
  }

  /**
   * Begins to connect by signals; the connection returned is in state Connecting (in symmetric mode it may be the peer's
   * own). Without `remote` the peer is whoever answers. Throws `InvalidParam`, `InvalidState` without a signaling,
   * `NotSupported` if no kind of address may be used, `DuplicateRequest` in symmetric mode, `BindFailed`, and as
   * `config.set` does.
   */
  openP2P(remote: string | Identity | undefined, virtualPort: number, options: ConnectP2POptions = {}): Connection {
    this.#mustBeOpen();
    return this.#p2p.open(remote, virtualPort, options);
  }

  /** As `openP2P`; resolves once connected, rejects with a `ConnectionError` that says why not, or code `Aborted`. */
  async connectP2P(
    remote: string | Identity | undefined,
    virtualPort: number,
    options: ConnectP2POptions & { readonly signal?: AbortSignal } = {},
  ): Promise<Connection> {
    const connection = this.openP2P(remote, virtualPort, options);
    try {
      return await orAborted(connection.connected(), `connecting to ${remote}`, options.signal);
    } catch (error) {
      void connection.close();
      throw error;
    }
  }

  /**
   * Takes a signal that a peer's application sent, by whatever means. False if it is broken or not what it should be;
   * never throws because of it. Without `context`, new peers are heard on listen sockets, and answered by the
   * instance's signaling.
   */
  receivedP2PCustomSignal(signal: Uint8Array, context: P2PSignalContext = {}): boolean {
    return !this.#isClosed && this.#p2p.receive(signal, context);
  }

  /**
   * Ad-hoc messages to peers by their names. The first call begins to take requests; later ones, without options, give
   * the same object until it is closed. Throws `InvalidParam`, `InvalidState` without a signaling, `BindFailed`.
   */
  messages(options?: MessagesOptions): Messages {
    this.#mustBeOpen();
    if (this.#messages?.isClosed === false) {
      if (options === undefined) return this.#messages;
      throw new NetworkingError('InvalidState', 'messages are open already: these options come too late');
    }
    const wrap = (member: Member) => this.#wrap(member);
    this.#messages = new Messages({ endpoint: this.#endpoint, driver: this.#driver, p2p: this.#p2p, wrap }, options);
    return this.#messages;
  }

  /**
   * Two connections with each other, both Connected, without events. Both want to be closed. Throws `InvalidParam` for
   * an identity that cannot be read, `BindFailed`, `LimitExceeded`, and as `config.set` does.
   */
  createSocketPair(options: SocketPairOptions = {}): [Connection, Connection] {
    this.#mustBeOpen();
    const { loopback = 'memory', identities: [first, second] = [undefined, undefined], config = {} } = options;
    const identities = [identityOf(first), identityOf(second)] as const;
    const members = openSocketPair(this.#driver, this.#endpoint, loopback, identities, config);
    return [this.#wrap(members[0]), this.#wrap(members[1])];
  }

  /** A group for reading from many connections as from one. */
  createPollGroup(): PollGroup {
    return new PollGroup(this.#driver);
  }

  /**
   * Sends in the given order; throws nothing that has to do with one of the messages, but returns it in its place. After
   * a message that was not taken, those behind it of the same connection are not tried.
   */
  sendMessages(messages: readonly OutgoingBatchMessage[]): SendResult[] {
    return sendMessages(messages);
  }

  /** Sends the same message to all of them, copying it once. The results are those of `sendMessages`. */
  broadcast(connections: Iterable<Connection>, data: Uint8Array | string, options: SendOptions = {}): SendResult[] {
    return broadcast(connections, data, options);
  }

  /**
   * Closes everything: peers are told with reason 2999. Resolves when they have confirmed or, at the latest, after
   * FinWait (5 s). Reliable data that was not acknowledged is lost. To keep it, close the connections with linger
   * first: those that linger already are waited for.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.credentials.stop();
    const end = { reason: EndReason.AppException_Max, debug: 'The application shut down' };
    const closing: Promise<unknown>[] = [...this.#connections.values()].map((connection) => connection.close(end));
    if (this.#messages !== undefined) closing.push(this.#messages.close(end));
    for (const socket of this.#listenSockets.values()) void socket.close(end);
    await Promise.all(closing);
    for (const member of this.#endpoint.members) {
      member.connection.destroy(this.platform.nowUs());
      this.#endpoint.touch(member);
    }
    this.#driver.settle();
  }

  /** Listen sockets and connections no longer keep the process alive; `ref` takes that back. */
  unref(): this {
    this.#driver.setRef(false);
    return this;
  }

  /** Open listen sockets and connections keep the process alive, as at the beginning. */
  ref(): this {
    this.#driver.setRef(true);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new NetworkingError('InvalidState', 'this instance was closed');
  }

  #wrap(member: Member): Connection {
    let connection = this.#connections.get(member);
    if (connection === undefined) {
      connection = new Connection(member, this.#driver);
      this.#connections.set(member, connection);
    }
    return connection;
  }

  #onEvent(event: EndpointEvent): void {
    if (event.kind === 'refused') {
      this.#listenSockets.get(event.listener)?.emit('refused', event.refusal);
      return;
    }
    const { member } = event;
    const connection = this.#wrap(member);
    this.#messages?.onEvent(event);
    switch (event.kind) {
      case 'stateChanged': {
        this.#log?.onStateChange(connection, event.change);
        connection.onStateChange(event.change);
        const listenSocket = this.#listenSockets.get(member.listener);
        if (event.change.to === 'Connecting' && listenSocket !== undefined) {
          listenSocket.onIncoming(new IncomingConnection(connection, member, this.#driver));
        }
        break;
      }
      case 'messagesReady':
        connection.onMessagesReady();
        break;
      case 'streamsReady':
        connection.streams.onReady();
        break;
      case 'settled':
        this.#log?.onSettled(member, connection);
        break;
      case 'receipt':
        connection.emit('receipt', event.receipt);
        break;
      case 'moved':
        this.#log?.onMoved(connection, event.from);
        connection.emit('addressChanged', event.from);
        break;
      case 'signal':
        this.#p2p.onSignal(member, event.signal);
        break;
      case 'drained':
        connection.onDrained();
        break;
      case 'rateLimited':
        connection.emit('rateLimited', event.limit);
        break;
      case 'closeConfirmed':
        connection.onCloseConfirmed();
        break;
      case 'gone': {
        this.#connections.delete(member);
        this.#p2p.onGone(member);
        const listenSocket = this.#listenSockets.get(member.listener);
        listenSocket?.onMembersChanged();
        if (listenSocket !== undefined && !this.#endpoint.listeners.has(member.listener!))
          this.#listenSockets.delete(member.listener);
      }
    }
  }
}

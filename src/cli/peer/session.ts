// What the peer knows between commands: its instance of the library, connections and listen sockets by the ids that the
// harness chose, and the switches. Reports what happens to connections.

import {
  ConfigScope,
  type Connection,
  type ConnectionInfo,
  type ConnectionState,
  type Identity,
  type IncomingConnection,
  type LaneOptions,
  type ListenSocket,
  LOG_LEVELS,
  type Networking,
  type PollGroup,
  type SendOptions,
} from '../../index.ts';
import { Groups } from './groups.ts';
import { CommandError, parseInteger } from './line.ts';
import { addressText, description, endFields, flagFields, identityText, orNull, resultName } from './names.ts';
import type { Reporter } from './report.ts';

/** How received messages are checked against the pattern. */
export interface VerifyMode {
  readonly seed: number;
  readonly base: number;
  readonly byMessageNumber: boolean;
}

/** What was received and sent. */
export class Totals {
  receivedMessages = 0;
  receivedBytes = 0;
  sentMessages = 0;
  sentBytes = 0;
  verified = 0;
  mismatches = 0;

  add(other: Totals): void {
    this.receivedMessages += other.receivedMessages;
    this.receivedBytes += other.receivedBytes;
    this.sentMessages += other.sentMessages;
    this.sentBytes += other.sentBytes;
    this.verified += other.verified;
    this.mismatches += other.mismatches;
  }
}

/** How many of the connections that `connect count=` opened came about. */
export interface BatchProgress {
  connected: number;
  failed: number;
}

export class PeerConnection {
  id: string;
  readonly connection: Connection;
  /** Undefined for one that we opened. */
  readonly incoming: IncomingConnection | undefined;
  /** Empty for one that we opened. */
  readonly listenId: string;
  /** As reported last. */
  state: ConnectionState = 'None';
  totals = new Totals();
  firstReceivedUs = 0;
  lastReceivedUs = 0;
  /** Messages received on each lane since `verify` was given. */
  readonly verifiedOnLane = new Map<number, number>();
  /** These go before the session's, unless undefined. */
  sink: boolean | undefined;
  latency: boolean | undefined;
  /** Null: off. */
  echo: SendOptions | null | undefined;
  verify: VerifyMode | null | undefined;
  batch: BatchProgress | undefined;

  constructor(id: string, connection: Connection, incoming: IncomingConnection | undefined, listenId: string) {
    this.id = id;
    this.connection = connection;
    this.incoming = incoming;
    this.listenId = listenId;
  }

  /** Of our sending side. */
  laneCount = 1;

  /** Throws as `Connection.configureLanes` does. */
  configureLanes(lanes: readonly LaneOptions[]): void {
    this.connection.configureLanes(lanes);
    this.laneCount = lanes.length;
  }

  resetTotals(): void {
    this.totals = new Totals();
    this.firstReceivedUs = this.lastReceivedUs = 0;
  }

  /** Throws as `Connection.send` does. */
  send(bytes: Uint8Array, options: SendOptions): number {
    const number = this.connection.send(bytes, options);
    this.totals.sentMessages++;
    this.totals.sentBytes += bytes.length;
    return number;
  }
}

export interface PeerListenSocket {
  readonly handle: number;
  readonly socket: ListenSocket;
  /** Goes before the session's, unless undefined. */
  autoAccept: boolean | undefined;
}

/** What a session tells those that work for it. */
export interface SessionListener {
  /** Messages wait. */
  onReadable(peer: PeerConnection): void;
  onGroupReadable(group: PollGroup): void;
  /** A state was reported, or a connection is no longer known. */
  onChange(peer: PeerConnection): void;
}

/** GNS numbers its listen sockets from here. */
const FIRST_LISTEN_HANDLE = 65_536;

export class Session {
  readonly report: Reporter;
  identity: Identity | undefined;
  networking: Networking | undefined;
  isQuiet = false;
  /** GNS's number; log entries beyond it are not reported. */
  logLevel: number = LOG_LEVELS.bug;
  autoAccept = false;
  autoClose = true;
  hexMax = 256;
  sink = false;
  latency = false;
  echo: SendOptions | null = null;
  verify: VerifyMode | null = null;
  echoFailures = 0;
  mismatchEvents = 0;
  /** Whether rejections of P2P calls are reported as signals. */
  reportsRejections = true;
  /** Totals of the connections that are gone. */
  gone = new Totals();
  readonly listens = new Map<string, PeerListenSocket>();
  readonly groups: Groups;
  readonly #byHandle = new Map<number, PeerConnection>();
  readonly #byId = new Map<string, PeerConnection>();
  /** Connections that came in, by listen socket id. */
  readonly #incomingCounts = new Map<string, number>();
  readonly #initialConfig = new ConfigScope('global');
  readonly #listener: SessionListener;
  #listenHandle = FIRST_LISTEN_HANDLE;

  constructor(report: Reporter, listener: SessionListener) {
    this.report = report;
    this.#listener = listener;
    this.groups = new Groups(
      () => this.instance.createPollGroup(),
      (group) => listener.onGroupReadable(group),
    );
  }

  /** Throws `CommandError` before `init`. */
  get instance(): Networking {
    if (this.networking === undefined) throw new CommandError("not initialised: send 'init' first");
    return this.networking;
  }

  /** The global configuration values; those set before `init` are for the instance to come. */
  get globalConfig(): ConfigScope {
    return this.networking?.config ?? this.#initialConfig;
  }

  /** By handle, as GNS sorts them. */
  get connections(): readonly PeerConnection[] {
    return [...this.#byHandle.values()].sort((a, b) => a.connection.id - b.connection.id);
  }

  has(peer: PeerConnection): boolean {
    return this.#byHandle.get(peer.connection.id) === peer;
  }

  find(id: string): PeerConnection | undefined {
    return id.startsWith('#') ? this.#byHandle.get(parseInteger(id.slice(1), 'id')) : this.#byId.get(id);
  }

  need(id: string): PeerConnection {
    const peer = this.find(id);
    if (peer === undefined) throw new CommandError(`no connection '${id}'`);
    return peer;
  }

  needListen(id: string): PeerListenSocket {
    const listen = this.listens.get(id);
    if (listen === undefined) throw new CommandError(`no listen socket '${id}'`);
    return listen;
  }

  /** One id, or a prefix followed by a star. */
  match(id: string): readonly PeerConnection[] {
    if (!id.endsWith('*')) return [this.need(id)];
    const prefix = id.slice(0, -1);
    return this.connections.filter((peer) => peer.id.startsWith(prefix));
  }

  needFreeId(id: string): void {
    if (id === '' || id.startsWith('#') || id.endsWith('*')) throw new CommandError(`bad id '${id}'`);
    if (this.isTaken(id)) throw new CommandError(`id '${id}' is in use`);
  }

  isTaken(id: string): boolean {
    return this.#byId.has(id) || this.listens.has(id);
  }

  add(id: string, connection: Connection, incoming?: IncomingConnection, listenId = ''): PeerConnection {
    const peer = new PeerConnection(id, connection, incoming, listenId);
    this.#byId.set(id, peer);
    this.#byHandle.set(connection.id, peer);
    // `info` has the state as applications know it: FinWait and the like are None.
    connection.on('state', ({ from, info }) => this.#onState(peer, from, info.state, info));
    // Otherwise its group tells.
    connection.on('readable', () => {
      if (this.groups.of(connection) === undefined) this.#listener.onReadable(peer);
    });
    this.groups.move(connection, 'default');
    return peer;
  }

  rename(peer: PeerConnection, id: string): void {
    this.needFreeId(id);
    this.#byId.delete(peer.id);
    peer.id = id;
    this.#byId.set(id, peer);
  }

  /** Forgets the connection; whoever calls this closes it. */
  drop(peer: PeerConnection): void {
    if (!this.has(peer)) return;
    this.gone.add(peer.totals);
    this.#byHandle.delete(peer.connection.id);
    if (this.#byId.get(peer.id) === peer) this.#byId.delete(peer.id);
    this.#settleBatch(peer, 'failed');
    this.#listener.onChange(peer);
  }

  addListen(id: string, socket: ListenSocket): PeerListenSocket {
    const listen: PeerListenSocket = { handle: this.#listenHandle++, socket, autoAccept: undefined };
    this.listens.set(id, listen);
    socket.on('connection', (incoming) => this.addIncoming(id, listen, incoming));
    return listen;
  }

  /** Without a listen socket, `listenId` is only what its id begins with. */
  addIncoming(listenId: string, listen: PeerListenSocket | undefined, incoming: IncomingConnection): void {
    let id: string;
    do {
      const count = (this.#incomingCounts.get(listenId) ?? 0) + 1;
      this.#incomingCounts.set(listenId, count);
      id = `${listenId}.${count}`;
    } while (this.isTaken(id));
    const peer = this.add(id, incoming.connection, incoming, listen === undefined ? '' : listenId);
    // The state of others is told by now.
    if (listen !== undefined) this.#onState(peer, 'None', 'Connecting', incoming.connection.info);
    if (!(listen?.autoAccept ?? this.autoAccept)) return;
    try {
      incoming.accept();
    } catch (error) {
      const result = resultName(CommandError.from(error).result ?? 0);
      this.report.event('error', { conn: id, message: 'automatic accept failed', result });
    }
  }

  #onState(peer: PeerConnection, from: ConnectionState, to: ConnectionState, info: ConnectionInfo): void {
    const hasEnded = to === 'ClosedByPeer' || to === 'ProblemDetectedLocally';
    // What arrived before the end is reported before it.
    if (hasEnded && this.has(peer)) this.#listener.onReadable(peer);
    peer.state = to;
    if (!this.isQuiet) this.#reportState(peer, from, to, info);
    if (to === 'Connected') this.#settleBatch(peer, 'connected');
    else if (hasEnded || to === 'None') this.#settleBatch(peer, 'failed');
    if (to === 'None' || (hasEnded && this.autoClose)) {
      this.drop(peer);
      void peer.connection.close();
    }
    this.#listener.onChange(peer);
  }

  #reportState(peer: PeerConnection, from: ConnectionState, to: ConnectionState, info: ConnectionInfo): void {
    this.report.event('state', {
      conn: peer.id,
      handle: peer.connection.id,
      old: from,
      new: to,
      incoming: peer.incoming !== undefined,
      listen: orNull(peer.listenId),
      ...endFields(info),
      identity: identityText(info),
      addr: addressText(info),
      desc: description(peer.connection, info),
      ...flagFields(info),
    });
  }

  #settleBatch(peer: PeerConnection, outcome: keyof BatchProgress): void {
    if (peer.batch === undefined) return;
    peer.batch[outcome]++;
    peer.batch = undefined;
  }
}

// Our peer and the reference peer, each in one of the two roles: who listens, and who connects.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import {
  type MessageReport,
  type Parameters,
  PeerProcess,
  type PeerProgram,
  type Report,
  type StateReport,
} from '../support/peer-process.ts';

/** Empty is absent. */
const GNS_PEER = process.env['GNS_PEER'] || undefined;
/** Plays the reference against itself: shows that what the tests expect is what it does. */
const IS_REFERENCE_RUN = process.env['GNS_REFERENCE'] !== undefined;

const OURS: PeerProgram = {
  name: 'ours',
  command: process.execPath,
  args: [fileURLToPath(new URL('../../src/cli/main.js', import.meta.url)), 'peer'],
};
const GNS: PeerProgram = { name: 'GNS', command: GNS_PEER ?? '', args: [] };

/** Who plays which role. */
export interface Roles {
  readonly title: string;
  readonly listener: PeerProgram;
  readonly connector: PeerProgram;
}

const PAIRINGS: readonly Roles[] = IS_REFERENCE_RUN
  ? [{ title: 'GNS with itself', listener: GNS, connector: GNS }]
  : [
      { title: 'ours listens, GNS connects', listener: OURS, connector: GNS },
      { title: 'GNS listens, ours connects', listener: GNS, connector: OURS },
    ];

const MAX_TEST_MS = 30_000;

/** Defines the tests once for each pairing, or one pending test that says what is missing. */
export function describeInterop(title: string, define: (roles: Roles) => void): void {
  describe(`interoperability: ${title}`, function () {
    this.timeout(MAX_TEST_MS);
    this.slow(MAX_TEST_MS);
    if (GNS_PEER === undefined) {
      it('needs a peer that is made of the real library: set GNS_PEER to the path of gns-peer', function () {
        this.skip();
      });
      return;
    }
    for (const roles of PAIRINGS) describe(roles.title, () => define(roles));
  });
}

export function isOurs(program: PeerProgram): boolean {
  return program === OURS;
}

export interface PairOptions {
  /** Identity strings; without one a peer is anonymous. */
  readonly identities?: { readonly listener?: string; readonly connector?: string };
  /** Global configuration values, for both, and for one of them. */
  readonly both?: Parameters;
  readonly listener?: Parameters;
  readonly connector?: Parameters;
  /** For the reference peer, in whichever role it is, and for ours. */
  readonly gns?: Parameters;
  readonly ours?: Parameters;
  /** `127.0.0.1` or `::1`. */
  readonly host?: string;
  /** Whether the listener accepts at once. Default: true. */
  readonly autoAccept?: boolean;
}

/** One end of a connection. */
export class ConnectionEnd {
  readonly peer: PeerProcess;
  readonly id: string;

  constructor(peer: PeerProcess, id: string) {
    this.peer = peer;
    this.id = id;
  }

  get states(): readonly StateReport[] {
    return this.peer.states(this.id);
  }
  /** The end's story: each new state, with the reason and text if it is an end. */
  get story(): readonly string[] {
    return this.states.map((state) => (state.reason === 0 ? state.new : `${state.new} ${state.reason} ${state.debug}`));
  }
  get messages(): readonly MessageReport[] {
    return this.peer.messages(this.id);
  }

  state(name: string, timeoutMs?: number): Promise<StateReport> {
    const what = `${this.id} to become ${name}`;
    return this.peer.until(what, () => this.states.find((state) => state.new === name), timeoutMs);
  }

  untilMessages(count: number, timeoutMs?: number): Promise<readonly MessageReport[]> {
    const find = () => (this.messages.length >= count ? this.messages : undefined);
    return this.peer.until(`${count} messages on ${this.id}`, find, timeoutMs);
  }

  ask(command: string, parameters: Parameters = {}): Promise<Report> {
    return this.peer.ask(command, { id: this.id, ...parameters });
  }
}

export class Pair implements AsyncDisposable {
  readonly roles: Roles;
  readonly listener: PeerProcess;
  readonly connector: PeerProcess;
  readonly #host: string;
  #address = '';

  private constructor(roles: Roles, host: string) {
    this.roles = roles;
    this.listener = new PeerProcess(roles.listener);
    this.connector = new PeerProcess(roles.connector);
    this.#host = host;
  }

  /** Two peers that are ready, not connected. */
  static async start(roles: Roles, options: PairOptions = {}): Promise<Pair> {
    const pair = new Pair(roles, options.host ?? '127.0.0.1');
    try {
      await pair.#prepare(options);
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #prepare(options: PairOptions): Promise<void> {
    for (const role of ['listener', 'connector'] as const) {
      const peer = this[role];
      const identity = options.identities?.[role];
      if (identity !== undefined) await peer.ask('identity', { any: identity });
      const ofSide = peer === this.gnsEnd.peer ? options.gns : options.ours;
      await peer.ask('init', { ...options.both, ...options[role], ...ofSide });
      await peer.ask('hexmax 0');
    }
    if (options.autoAccept ?? true) await this.listener.ask('autoaccept on');
  }

  /** Where the listener is. */
  get address(): string {
    return this.#address;
  }
  /** The first connection, as the connector and as the listener has it. */
  get connectorEnd(): ConnectionEnd {
    return new ConnectionEnd(this.connector, 'C');
  }
  get listenerEnd(): ConnectionEnd {
    return new ConnectionEnd(this.listener, 'L.1');
  }
  /** The end at the reference peer. */
  get gnsEnd(): ConnectionEnd {
    return isOurs(this.roles.listener) ? this.connectorEnd : this.listenerEnd;
  }
  get otherEnd(): ConnectionEnd {
    return isOurs(this.roles.listener) ? this.listenerEnd : this.connectorEnd;
  }
  /** Sender and receiver, both ways. */
  get directions(): readonly (readonly [from: ConnectionEnd, to: ConnectionEnd])[] {
    return [
      [this.connectorEnd, this.listenerEnd],
      [this.listenerEnd, this.connectorEnd],
    ];
  }

  async listen(config: Parameters = {}): Promise<void> {
    this.#address = addressOf(this.#host, await freePort(this.#host));
    await this.listener.ask('listen', { id: 'L', addr: this.#address, ...config });
  }

  async connect(config: Parameters = {}): Promise<void> {
    await this.connector.ask('connect', { id: 'C', addr: this.#address, ...config });
  }

  /** Listens, connects and waits until both are Connected. */
  async establish(timeoutMs?: number): Promise<this> {
    await this.listen();
    await this.connect();
    await Promise.all([
      this.connectorEnd.state('Connected', timeoutMs),
      this.listenerEnd.state('Connected', timeoutMs),
    ]);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.listener[Symbol.asyncDispose](), this.connector[Symbol.asyncDispose]()]);
  }
}

export function addressOf(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A UDP port that nobody uses right now: GNS does not take 0. */
export async function freePort(host: string): Promise<number> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** Real time has to pass where the behaviour is that nothing happens, or that something takes so long. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** For payloads; from the environment's `SEED` if that is set. It is part of the titles of the tests that use it. */
export const SEED = Number(process.env['SEED'] ?? 20_260_805);

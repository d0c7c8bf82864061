// Two instances of the public interface on two simulated hosts with a link each way: the heart of the simulation tests.
// A pair connects, lets time pass, and keeps what connections told.

import { expect } from 'chai';
import { US_PER_SECOND } from '../../src/core/base/time.ts';
import { type ControlPacket, decodeControlPacket } from '../../src/core/wire/control-packets.ts';
import { isDataPacket } from '../../src/core/wire/data-packet.ts';
import {
  type ConfigOptions,
  type Connection,
  type ConnectionConfigOptions,
  type ConnectionState,
  type IncomingConnection,
  type IncomingMessage,
  type ListenSocket,
  Networking,
  type StateChange,
} from '../../src/index.ts';
import { type LinkConditions, nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';

export const PORT = 27_015;
export const SECOND = US_PER_SECOND;
/** Longer than anything takes that ends by a timeout of its own. */
const PATIENCE_US = 60 * SECOND;

export interface PairOptions {
  readonly seed: number;
  /** From client to server, and back unless `back` says otherwise. Perfect if absent. */
  readonly link?: LinkConditions;
  readonly back?: LinkConditions;
  /** Of both instances; those below come on top. */
  readonly config?: ConfigOptions;
  readonly clientConfig?: ConfigOptions;
  readonly serverConfig?: ConfigOptions;
  /** Default: true. Otherwise the test answers `arrivals`. */
  readonly autoAccept?: boolean;
  /** Whether messages are taken as they come. Default: true. Otherwise the test calls `receiveMessages`. */
  readonly reads?: boolean;
}

/** A connection and all that it has told. */
export class Side {
  readonly connection: Connection;
  readonly messages: IncomingMessage[] = [];
  /** Hidden states included. */
  readonly changes: StateChange[] = [];

  constructor(connection: Connection, reads: boolean) {
    this.connection = connection;
    connection.on('internalState', (change) => this.changes.push(change));
    if (reads) connection.on('message', (message) => this.messages.push(message));
  }

  get texts(): string[] {
    return this.messages.map(textOf);
  }
  /** Where it went, hidden states included. */
  get states(): ConnectionState[] {
    return this.changes.map(({ to }) => to);
  }
}

export interface ConnectedPair {
  readonly client: Side;
  readonly server: Side;
}

/** A datagram whose fate is known. `packet` is undefined for data. */
export interface SeenDatagram {
  readonly from: 'client' | 'server';
  readonly kind: ControlPacket['kind'] | 'data' | undefined;
  readonly packet: ControlPacket | undefined;
  readonly length: number;
  /** Network time. */
  readonly sentAtUs: number;
  readonly fate: string;
}

export class Pair {
  readonly network: SimulatedNetwork;
  readonly clientHost: SimulatedHost;
  readonly serverHost: SimulatedHost;
  readonly client: Networking;
  readonly server: Networking;
  readonly socket: ListenSocket;
  /** Clients that came, and their connections, in the same order. */
  readonly arrivals: IncomingConnection[] = [];
  readonly serverSides: Side[] = [];
  readonly #reads: boolean;

  constructor(options: PairOptions) {
    const { seed, link = {}, back = link, config, clientConfig, serverConfig, autoAccept = true } = options;
    this.#reads = options.reads ?? true;
    this.network = new SimulatedNetwork({ seed, crypto: nodeCrypto });
    this.clientHost = this.network.host('client', { clockOffsetUs: 5 * SECOND });
    this.serverHost = this.network.host('server', { clockOffsetUs: 3_600 * SECOND });
    this.network.between(this.clientHost, this.serverHost).set(link, back);
    this.client = new Networking({ platform: this.clientHost.platform, config: { ...config, ...clientConfig } });
    this.server = new Networking({ platform: this.serverHost.platform, config: { ...config, ...serverConfig } });
    this.socket = this.server.listen({ port: PORT, autoAccept });
    this.socket.on('connection', (arrival) => {
      this.arrivals.push(arrival);
      this.serverSides.push(new Side(arrival.connection, this.#reads));
    });
  }

  get address(): string {
    return `${this.serverHost.address}:${PORT}`;
  }

  /** Begins to connect. */
  open(config: ConnectionConfigOptions = {}): Side {
    return new Side(this.client.open(this.address, { config }), this.#reads);
  }

  /** Connects; needs a server that accepts by itself. */
  async connect(config: ConnectionConfigOptions = {}): Promise<ConnectedPair> {
    const client = this.open(config);
    const known = this.serverSides.length;
    await this.settle(client.connection.connected());
    return { client, server: this.serverSides[known]! };
  }

  /** Replaces the conditions of the link; those of the way back are the same if absent. */
  setLink(there: LinkConditions, back: LinkConditions = there): void {
    this.network.between(this.clientHost, this.serverHost).set(there, back);
  }

  advance(durationUs: number): Promise<void> {
    return this.network.advance(durationUs);
  }

  /** Lets time pass until it holds; fails if it does not. */
  async until(predicate: () => boolean, limitUs = PATIENCE_US): Promise<void> {
    expect(await this.network.advanceUntil(predicate, limitUs), `${predicate} after ${limitUs} us`).to.equal(true);
  }

  /** Lets time pass until the promise is settled. */
  settle<T>(promise: Promise<T>, limitUs = PATIENCE_US): Promise<T> {
    return this.network.settle(promise, limitUs);
  }

  /** Everything that is sent from now on, once its fate is known. */
  watch(): SeenDatagram[] {
    const seen: SeenDatagram[] = [];
    this.network.tap(({ from, bytes, sentAtUs, fate }) => {
      const isData = isDataPacket(bytes);
      const packet = isData ? undefined : decodeControlPacket(bytes, bytes.length);
      seen.push({
        from: this.serverHost.addresses.includes(from.address) ? 'server' : 'client',
        kind: isData ? 'data' : packet?.kind,
        packet,
        length: bytes.length,
        sentAtUs,
        fate,
      });
    });
    return seen;
  }

  /** Closes both instances, except one whose process was killed, and checks that nothing is left of them. */
  async end(): Promise<void> {
    const living = [this.client, this.server].filter(({ platform }) =>
      [this.clientHost.platform, this.serverHost.platform].includes(platform),
    );
    await this.settle(Promise.all(living.map((instance) => instance.close())));
    expect(this.network.openPorts, 'open ports').to.equal(0);
    expect(this.network.pendingAlarms, 'armed alarms').to.equal(0);
  }
}

const utf8 = new TextDecoder();

export function textOf(message: IncomingMessage): string {
  return utf8.decode(message.data);
}

/** `length` bytes that tell of each mistake in their order or number. */
export function patternOf(length: number, salt = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8) * 7 + salt) & 0xff);
}

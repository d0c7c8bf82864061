// Every row of the state table, taken by real endpoints on a simulated network. Spec: 00, 04 §4.2.

import { expect } from 'chai';
import { Driver } from '../../src/api/driver.ts';
import { IpAddress } from '../../src/core/base/address.ts';
import { Identity } from '../../src/core/base/identity.ts';
import { TrustStore } from '../../src/core/certs/trust-store.ts';
import { ConfigScope } from '../../src/core/config/scope.ts';
import type { ConnectionConfigOptions } from '../../src/core/config/values.ts';
import { Connection } from '../../src/core/connection/connection.ts';
import { type ConnectionState, TRANSITIONS, TRIGGERS, type Trigger } from '../../src/core/connection/state-table.ts';
import { ClientHandshake } from '../../src/core/connection/udp-handshake.ts';
import { Endpoint, StrayLimiter } from '../../src/core/endpoint/endpoint.ts';
import type { EndpointEvent, Member } from '../../src/core/endpoint/member.ts';
import type { Platform } from '../../src/core/platform.ts';
import { decodeControlPacket } from '../../src/core/wire/control-packets.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';
import { PORT, SECOND } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

type Row = `${ConnectionState} ${Trigger}`;

const LINK = { delayUs: 20_000 };
const DEAD = { lossRatio: 1 };
const LIMIT_US = 30 * SECOND;

/** Rows that direct UDP does not take. */
const NOT_REACHABLE: Readonly<Partial<Record<Row, string>>> = {
  'None establish': 'two connections of one process, joined without a handshake: not in this version',
  'Connecting findRoute': 'needs signaling: see p2p.test.ts',
  'FindingRoute findRoute': 'needs signaling: see p2p.test.ts',
  'FindingRoute establish': 'needs signaling: see p2p.test.ts',
  'FindingRoute peerClose': 'needs signaling: see p2p.test.ts',
  'FindingRoute fail': 'needs signaling: see p2p.test.ts',
  'FindingRoute close': 'needs signaling: see p2p.test.ts',
  'FindingRoute closeLinger': 'needs signaling: see p2p.test.ts',
  'FindingRoute destroy': 'needs signaling: see p2p.test.ts',
  'ClosedByPeer fail': 'nobody looks for problems once a connection has ended',
  'ProblemDetectedLocally fail': 'nobody looks for problems once a connection has ended',
  'FinWait fail': 'nobody looks for problems once a connection has ended',
};

/** An endpoint with its driver, below the public interface: where triggers that it does not offer can be pulled. */
class Station {
  readonly platform: Platform;
  readonly endpoint: Endpoint;
  readonly driver: Driver;
  readonly #config = new ConfigScope('interface', new ConfigScope('global'));
  /** What came in and was not asked for. */
  readonly incoming: Member[] = [];

  constructor(platform: Platform) {
    this.platform = platform;
    const { crypto, random } = platform;
    const strays = new StrayLimiter();
    const env = {
      crypto,
      random,
      identity: Identity.localHost,
      appId: 0,
      trust: new TrustStore(crypto),
      certificate: undefined,
      unixTimeS: () => platform.unixTimeS(),
      mayAnswerStray: (nowUs: number) => strays.mayAnswer(nowUs),
    };
    this.endpoint = new Endpoint(env, this.#config);
    this.driver = new Driver(platform, this.endpoint, (event) => this.#onEvent(event));
  }

  get nowUs(): number {
    return this.platform.nowUs();
  }

  #onEvent(event: EndpointEvent): void {
    const isNew = event.kind === 'stateChanged' && event.change.to === 'Connecting';
    if (isNew && event.member.listener !== undefined) this.incoming.push(event.member);
  }

  listen(): void {
    this.driver.openPort({ address: '0.0.0.0', port: PORT }, (port) =>
      this.endpoint.listen(port, new ConfigScope('listenSocket', this.#config)),
    );
  }

  connect(address: string, config: ConnectionConfigOptions): Member {
    const scope = new ConfigScope('connection', this.#config);
    scope.setAll(config);
    let member: Member | undefined;
    this.driver.openPort({ address: '0.0.0.0', port: 0 }, (port) => {
      member = this.endpoint.connect(port, { address, port: PORT }, scope, this.nowUs);
      return this.endpoint.clientTarget(member);
    });
    return member!;
  }

  /** A connection to which nothing has happened. */
  blank(address: string): Connection {
    const remote = IpAddress.parse(`${address}:${PORT}`)!;
    const path = { port: undefined as never, remote: { address: remote.host, port: remote.port } };
    return new Connection(this.endpoint.env, new ConfigScope('connection', this.#config), 0x1_0001, false, path);
  }
}

/** A client and a server; the client's connection is the one that is looked at. */
class Scene {
  readonly network: SimulatedNetwork;
  readonly client: Station;
  readonly server: Station;
  /** Notices that reached the client: they say that its peer has closed, or does not know it. */
  noticesToClient = 0;
  readonly #serverAddress: string;
  readonly #setLink: (there: object, back: object) => void;
  #blank: Connection | undefined;
  #member: Member | undefined;

  constructor(seed: number) {
    this.network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions: LINK });
    const clientHost = this.network.host('client');
    const serverHost = this.network.host('server');
    this.client = new Station(clientHost.platform);
    this.server = new Station(serverHost.platform);
    this.server.listen();
    this.#serverAddress = serverHost.address;
    const pair = this.network.between(clientHost, serverHost);
    this.#setLink = (there, back) => pair.set(there, back);
    this.network.tap(({ to, bytes, fate }) => {
      const kind = decodeControlPacket(bytes, bytes.length)?.kind;
      const isNotice = kind === 'connectionClosed' || kind === 'noConnection';
      if (fate === 'delivered' && to.address === clientHost.address && isNotice) this.noticesToClient++;
    });
  }

  get connection(): Connection {
    return this.#member?.connection ?? this.#blank!;
  }
  get remote(): Connection {
    return this.server.incoming[0]!.connection;
  }

  setLink(there: object, back: object): void {
    this.#setLink(there, back);
  }

  runUntil(predicate: () => boolean): void {
    expect(this.network.runUntil(predicate, LIMIT_US), `${predicate}`).to.equal(true);
  }

  stay(): void {
    this.#blank = this.client.blank(this.#serverAddress);
  }

  connect(config: ConnectionConfigOptions = {}): void {
    this.#member = this.client.connect(this.#serverAddress, config);
    this.runUntil(() => this.server.incoming.length > 0);
  }

  /** Does something to the connection of the client, or of the server. */
  actOn(member: Member, act: (connection: Connection, nowUs: number) => void): void {
    const station = member === this.#member ? this.client : this.server;
    act(member.connection, station.nowUs);
    station.driver.touch(member);
  }

  act(act: (connection: Connection, nowUs: number) => void): void {
    if (this.#member === undefined) act(this.connection, this.client.nowUs);
    else this.actOn(this.#member, act);
  }

  actRemotely(act: (connection: Connection, nowUs: number) => void): void {
    this.actOn(this.server.incoming[0]!, act);
  }

  establish(): void {
    this.actRemotely((connection, nowUs) => connection.accept(nowUs));
    this.runUntil(() => this.connection.state === 'Connected');
  }
}

/** How to bring the client's connection into a state. */
const REACH: Readonly<Partial<Record<ConnectionState, (scene: Scene) => void>>> = {
  None: (scene) => scene.stay(),
  Connecting: (scene) => scene.connect({ timeoutInitial: 3_000 }),
  Connected: (scene) => {
    scene.connect({ timeoutConnected: 1_000 });
    scene.establish();
  },
  ClosedByPeer: (scene) => {
    REACH.Connected!(scene);
    scene.actRemotely((connection, nowUs) => connection.close(1001, '', false, nowUs));
    // That we know must not get through: the peer says it again.
    scene.setLink(DEAD, LINK);
    scene.runUntil(() => scene.connection.state === 'ClosedByPeer');
  },
  ProblemDetectedLocally: (scene) => {
    REACH.Connected!(scene);
    scene.setLink(DEAD, DEAD);
    scene.act((connection, nowUs) =>
      connection.send(
        new Uint8Array(10),
        { isReliable: true, noNagle: true, noDelay: false, lane: 0, freshness: undefined },
        nowUs,
      ),
    );
    scene.runUntil(() => scene.connection.state === 'ProblemDetectedLocally');
  },
  Linger: (scene) => {
    REACH.Connected!(scene);
    scene.act((connection, nowUs) => {
      connection.send(
        new Uint8Array(100_000),
        { isReliable: true, noNagle: true, noDelay: false, lane: 0, freshness: undefined },
        nowUs,
      );
      connection.close(1001, '', true, nowUs);
    });
  },
  FinWait: (scene) => {
    REACH.Connected!(scene);
    scene.act((connection, nowUs) => connection.close(1001, '', false, nowUs));
  },
};

const close = (scene: Scene) => scene.act((connection, nowUs) => connection.close(1002, '', false, nowUs));
const closeLinger = (scene: Scene) => scene.act((connection, nowUs) => connection.close(1002, '', true, nowUs));
const destroy = (scene: Scene) => scene.act((connection, nowUs) => connection.destroy(nowUs));
const peerClose = (scene: Scene) =>
  scene.actRemotely((connection, nowUs) => connection.close(1003, 'the peer closed', false, nowUs));
const newHandshake = (scene: Scene, { id, config, route }: Connection, nowUs: number) =>
  new ClientHandshake(scene.client.endpoint.env, config, id, route.address, undefined, nowUs);
const cutLink = (scene: Scene) => scene.setLink(DEAD, DEAD);
const nothing = () => {};

/** How the trigger of each row comes about. */
const SCENES: Readonly<Partial<Record<Row, (scene: Scene) => void>>> = {
  'None start': (scene) =>
    scene.act((connection, nowUs) => connection.begin(newHandshake(scene, connection, nowUs), nowUs)),
  'None destroy': destroy,
  'Connecting establish': (scene) => scene.establish(),
  'Connecting peerClose': peerClose,
  'Connecting fail': nothing,
  'Connecting close': close,
  'Connecting closeLinger': closeLinger,
  'Connecting destroy': destroy,
  'Connected peerClose': peerClose,
  'Connected fail': (scene) => {
    cutLink(scene);
    scene.act((connection, nowUs) =>
      connection.send(
        new Uint8Array(10),
        { isReliable: true, noNagle: true, noDelay: false, lane: 0, freshness: undefined },
        nowUs,
      ),
    );
  },
  'Connected close': close,
  'Connected closeLinger': (scene) =>
    scene.act((connection, nowUs) => {
      connection.send(
        new Uint8Array(10),
        { isReliable: true, noNagle: false, noDelay: false, lane: 0, freshness: undefined },
        nowUs,
      );
      connection.close(1002, '', true, nowUs);
    }),
  'Connected destroy': destroy,
  'ClosedByPeer peerClose': nothing,
  'ClosedByPeer close': close,
  'ClosedByPeer closeLinger': closeLinger,
  'ClosedByPeer destroy': destroy,
  'ProblemDetectedLocally peerClose': (scene) => {
    scene.setLink(LINK, LINK);
    peerClose(scene);
  },
  'ProblemDetectedLocally close': close,
  'ProblemDetectedLocally closeLinger': closeLinger,
  'ProblemDetectedLocally destroy': destroy,
  'Linger peerClose': peerClose,
  'Linger fail': cutLink,
  'Linger flushed': nothing,
  'Linger destroy': destroy,
  'FinWait peerClose': nothing,
  'FinWait expire': nothing,
  'FinWait destroy': destroy,
};

describe('the rows of the state table', () => {
  for (const [row, pull] of Object.entries(SCENES)) {
    const [from, trigger] = row.split(' ') as [ConnectionState, Trigger];
    const to = TRANSITIONS[from][trigger]!;
    itSeeded(`${row}: ${to === from ? 'stays' : `becomes ${to}`}`, (seed) => {
      const scene = new Scene(seed);
      REACH[from]!(scene);
      expect(scene.connection.state).to.equal(from);
      const noticesBefore = scene.noticesToClient;
      pull(scene);
      if (to === from) {
        scene.runUntil(() => scene.noticesToClient > noticesBefore);
        scene.network.run(SECOND);
        expect(scene.connection.state).to.equal(to);
      } else scene.runUntil(() => scene.connection.state === to);
    });
  }

  it('are all taken here, or listed with the reason why not', () => {
    const states = Object.keys(TRANSITIONS) as ConnectionState[];
    const rows = states.flatMap((state) =>
      (Object.keys(TRIGGERS) as Trigger[])
        .filter((trigger) => TRANSITIONS[state][trigger] !== undefined)
        .map((trigger): Row => `${state} ${trigger}`),
    );
    expect([...Object.keys(SCENES), ...Object.keys(NOT_REACHABLE)]).to.have.members(rows);
  });
});

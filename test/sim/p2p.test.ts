// P2P connections in virtual time: over signaling of every quality, from the first signal to the last goodbye.

import { expect } from 'chai';
import fc from 'fast-check';

import type { Platform } from '../../src/core/platform.ts';
import { isDataPacket } from '../../src/core/wire/data-packet.ts';
import {
  type Connection,
  type IncomingConnection,
  type ListenSocket,
  Networking,
  type P2PSignalContext,
  type P2PSignaling,
} from '../../src/index.ts';
import {
  LocalSignaling,
  nodeCrypto,
  type SignalingConditions,
  type SimulatedHost,
  SimulatedNetwork,
} from '../../src/testing.ts';
import { SEED } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;

interface SceneOptions {
  readonly signaling?: SignalingConditions;
  readonly delayUs?: number;
  readonly autoAccept?: boolean;
  readonly seed?: number;
  readonly config?: object;
  /** Alice answers every check, but all that she sends on the path itself is lost. */
  readonly isAliceMute?: boolean;
}

function mute(platform: Platform): void {
  const openUdp = platform.openUdp.bind(platform);
  platform.openUdp = (options, sink) => {
    const port = openUdp(options, sink);
    const send = port.send.bind(port);
    port.send = (bytes, length, to) => isDataPacket(bytes) || send(bytes, length, to);
    return port;
  };
}

/** Two instances on two hosts; bob listens on virtual port 7. */
class Scene {
  readonly network: SimulatedNetwork;
  readonly signaling: LocalSignaling;
  readonly alice: Networking;
  readonly bob: Networking;
  readonly listen: ListenSocket;
  readonly incoming: IncomingConnection[] = [];
  readonly #hosts: SimulatedHost[] = [];

  constructor({
    signaling = { delayUs: 25 * MS },
    delayUs = 10 * MS,
    autoAccept = true,
    seed = SEED,
    config = {},
    isAliceMute = false,
  }: SceneOptions = {}) {
    this.network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions: { delayUs } });
    this.signaling = new LocalSignaling(signaling, seed);
    this.alice = this.#newPeer('alice', config, isAliceMute);
    this.bob = this.#newPeer('bob', config);
    this.listen = this.bob.listenP2P({ virtualPort: 7, autoAccept });
    this.listen.on('connection', (incoming) => this.incoming.push(incoming));
  }

  #newPeer(name: string, config: object, isMute = false): Networking {
    const host = this.network.host(name);
    this.#hosts.push(host);
    if (isMute) mute(host.platform);
    const { platform } = host;
    const identity = `str:${name}`;
    return new Networking({ platform, identity, config, signaling: this.signaling.join(identity, platform) });
  }

  open(config: object = {}): Connection {
    return this.alice.openP2P('str:bob', 7, { config });
  }

  runUntil(predicate: () => boolean, limitUs = 20 * SECOND): void {
    expect(this.network.runUntil(predicate, limitUs), `${predicate}`).to.equal(true);
  }

  /** Nothing gets through any more, but for signals. */
  cut(): void {
    this.network.between(this.#hosts[0]!, this.#hosts[1]!).set({ lossRatio: 1 }, { lossRatio: 1 });
  }

  get server(): Connection {
    return this.incoming[0]!.connection;
  }
}

function story(connection: Connection): string[] {
  const states: string[] = [];
  connection.on('state', ({ to }) => states.push(to));
  return states;
}

describe('a P2P connection', () => {
  it('is found and made by signals, and goes through FindingRoute on both sides', () => {
    const scene = new Scene();
    const client = scene.open();
    const clientStory = story(client);
    let serverStory: string[] = [];
    scene.listen.on('connection', ({ connection }) => {
      serverStory = story(connection);
    });
    scene.runUntil(() => client.state === 'Connected' && scene.incoming[0]?.connection.state === 'Connected');
    expect(clientStory).to.deep.equal(['Connecting', 'FindingRoute', 'Connected']);
    expect(serverStory).to.include.members(['Connected']);
    expect(String(client.remoteIdentity)).to.equal('str:bob');
    expect(String(scene.server.remoteIdentity)).to.equal('str:alice');
  });

  it('takes two path round trips and at most three of signaling', () => {
    const scene = new Scene({ signaling: { delayUs: 25 * MS } });
    const startUs = scene.alice.nowUs();
    const client = scene.open();
    scene.runUntil(() => client.state === 'Connected');
    expect(scene.alice.nowUs() - startUs).to.be.at.most(3 * 50 * MS + 2 * 20 * MS);
  });

  it('delivers messages both ways, those that were queued before it was Connected included', () => {
    const scene = new Scene();
    const client = scene.open();
    client.send('early');
    scene.runUntil(() => client.state === 'Connected' && scene.incoming[0]?.connection.state === 'Connected');
    scene.server.send('hello');
    const texts = (connection: Connection) =>
      connection.receiveMessages().map(({ data }) => new TextDecoder().decode(data));
    scene.network.run(SECOND);
    expect(texts(scene.server)).to.deep.equal(['early']);
    expect(texts(client)).to.deep.equal(['hello']);
  });

  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8].map((n) => SEED + n)) {
    it(`comes about over signaling that loses, doubles and reorders (SEED=${seed})`, () => {
      const signaling = { delayUs: 20 * MS, jitterUs: 200 * MS, lossRatio: 0.3, duplicateRatio: 0.3 };
      const scene = new Scene({ signaling, seed, config: { timeoutInitial: 30_000 } });
      const client = scene.open();
      const isUp = () => client.state === 'Connected' && scene.incoming[0]?.connection.state === 'Connected';
      scene.runUntil(isUp, 60 * SECOND);
      expect(scene.incoming).to.have.length(1);
    });
  }

  it('tells the peer of a close at once, and with reason and text', () => {
    const scene = new Scene();
    const client = scene.open();
    scene.runUntil(() => client.state === 'Connected' && scene.incoming[0]?.connection.state === 'Connected');
    void client.close({ reason: 1234, debug: 'enough' });
    scene.runUntil(() => scene.server.state === 'ClosedByPeer', SECOND);
    expect(scene.server.info).to.include({ endReason: 1234, endDebug: 'enough' });
  });

  it('flushes what was sent when it is closed with linger', () => {
    const scene = new Scene();
    const client = scene.open();
    scene.runUntil(() => client.state === 'Connected' && scene.incoming[0]?.connection.state === 'Connected');
    client.send(new Uint8Array(100_000));
    void client.close({ linger: true });
    scene.runUntil(() => scene.server.state === 'ClosedByPeer');
    expect(scene.server.receiveMessages().map(({ data }) => data.length)).to.deep.equal([100_000]);
  });

  it('ends by signal when it is closed before a way is found', () => {
    const scene = new Scene();
    const client = scene.open();
    scene.runUntil(() => scene.incoming.length > 0);
    void client.close({ reason: 1001, debug: 'no more' });
    scene.runUntil(() => scene.server.state === 'ClosedByPeer', 5 * SECOND);
    expect(scene.server.info).to.include({ endReason: 1001, endDebug: 'no more' });
  });

  it('is closed by the peer in FindingRoute, by signal', () => {
    const scene = new Scene();
    const client = scene.open();
    scene.runUntil(() => client.state === 'FindingRoute');
    scene.cut();
    void scene.server.close({ reason: 1002, debug: 'sorry' });
    scene.runUntil(() => client.state === 'ClosedByPeer', 5 * SECOND);
    expect(client.info).to.include({ endReason: 1002, endDebug: 'sorry' });
  });

  it('is closed at once by linger in FindingRoute, and what was queued is lost', async () => {
    const scene = new Scene();
    const client = scene.open();
    client.send('never');
    scene.runUntil(() => client.state === 'FindingRoute');
    scene.cut();
    const closing = client.close({ linger: true });
    expect(client.internalState).to.equal('FinWait');
    const result = await scene.network.settle(closing, 10 * SECOND);
    expect(result.delivered).to.equal(false);
  });

  it('is gone without a word when the instance is destroyed in FindingRoute', async () => {
    const scene = new Scene();
    const client = scene.open();
    scene.runUntil(() => client.state === 'FindingRoute');
    await scene.network.settle(scene.alice.close(), 10 * SECOND);
    expect(client.internalState).to.equal('Dead');
  });

  it('tells the caller why it was rejected', () => {
    const scene = new Scene({ autoAccept: false });
    const client = scene.open();
    scene.runUntil(() => scene.incoming.length > 0);
    scene.incoming[0]!.reject({ reason: 1500, debug: 'full' });
    scene.runUntil(() => client.state === 'ClosedByPeer', SECOND);
    expect(client.info).to.include({ endReason: 1500, endDebug: 'full' });
  });

  it('ends with 5003 when nobody accepts, and the caller is told', () => {
    const scene = new Scene({ autoAccept: false });
    const client = scene.open();
    scene.runUntil(() => client.state !== 'Connecting', 15 * SECOND);
    expect(client.info.endReason).to.equal(5003);
  });

  it('ends with 5008, and says what was tried, when no data comes through', () => {
    const scene = new Scene();
    scene.network.tap(() => {});
    const client = scene.open();
    scene.runUntil(() => client.state === 'FindingRoute');
    scene.cut();
    scene.runUntil(() => client.state !== 'FindingRoute', 15 * SECOND);
    expect(client.state).to.equal('ProblemDetectedLocally');
    expect(client.info.endReason).to.equal(5008);
    expect(client.info.endDebug).to.match(/^Timed out attempting to negotiate rendezvous: /);
    expect(client.explain().kind).to.equal('privateAddressesOnly');
  });

  it('can be with ourselves, without the help of the signaling service', () => {
    const scene = new Scene({ signaling: { lossRatio: 1 } });
    const client = scene.bob.openP2P('str:bob', 7);
    scene.runUntil(() => client.state === 'Connected' && scene.incoming[0]?.connection.state === 'Connected');
    client.send('note to self');
    scene.network.run(SECOND);
    expect(scene.server.receiveMessages().map(({ data }) => new TextDecoder().decode(data))).to.deep.equal([
      'note to self',
    ]);
    void client.close({ reason: 1001, debug: 'enough of me' });
    scene.runUntil(() => scene.server.state === 'ClosedByPeer', SECOND);
  });

  it('cannot be with ourselves where we do not listen, nor in symmetric mode', () => {
    const scene = new Scene();
    expect(() => scene.bob.openP2P('str:bob', 8)).to.throw(/nobody listens on virtual port 8/);
    const config = { symmetricConnect: 1 };
    expect(() => scene.bob.openP2P('str:bob', 7, { config })).to.throw(/symmetrically to str:bob: we are that/);
  });

  it('ends with 5002 when its signals cannot be sent', () => {
    const scene = new Scene();
    const client = scene.alice.openP2P('str:bob', 7, { signaling: { send: () => false } });
    scene.runUntil(() => client.state === 'ProblemDetectedLocally', SECOND);
    expect(client.info.endReason).to.equal(5002);
  });

  it('waits at its ease, to the end of timeoutInitial, for a peer that has a path and says nothing on it', () => {
    const scene = new Scene({ isAliceMute: true, config: { timeoutInitial: 30_000, timeoutConnected: 5_000 } });
    scene.open();
    scene.runUntil(() => scene.incoming[0]?.connection.state === 'ProblemDetectedLocally', 40 * SECOND);
    expect(scene.server.info.endReason).to.equal(5008);
    expect(scene.network.nowUs).to.be.above(30 * SECOND);
  });

  it('does without signaling once it is Connected', () => {
    const scene = new Scene();
    const service = scene.signaling.join('str:alice', scene.alice.platform);
    const heard: Uint8Array[] = [];
    service.onSignal = (signal) => {
      heard.push(signal);
      scene.alice.receivedP2PCustomSignal(signal);
    };
    let isUp = true;
    let refused = 0;
    const send = (to: string, signal: Uint8Array) => (isUp ? service.send(to, signal) : ++refused < 0);
    const client = scene.alice.openP2P('str:bob', 7, { signaling: { send } });
    scene.runUntil(() => client.state === 'Connected');
    isUp = false;
    for (const signal of heard) scene.alice.receivedP2PCustomSignal(signal);
    scene.runUntil(() => refused > 0);
    expect(client.state).to.equal('Connected');
  });

  it('becomes one, where both sides connect at the same time in symmetric mode', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const scene = new Scene({ seed });
      const config = { symmetricConnect: 1, localVirtualPort: 9 };
      const first = scene.alice.openP2P('str:bob', 9, { config });
      const second = scene.bob.openP2P('str:alice', 9, { config });
      scene.runUntil(() => first.state === 'Connected' && second.state === 'Connected');
      expect([...scene.alice.connections], `seed ${seed}`).to.deep.equal([first]);
      expect([...scene.bob.connections], `seed ${seed}`).to.deep.equal([second]);
    }
  });

  it('is refused by signals that are none, without an exception', () => {
    const scene = new Scene();
    const client = scene.open();
    scene.network.run(10 * MS);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(scene.bob.receivedP2PCustomSignal(bytes)).to.be.a('boolean');
      }),
      { seed: SEED },
    );
    scene.runUntil(() => client.state === 'Connected');
  });
});

describe('an application that decides about every signal', () => {
  /** Alice calls; what she says is handed to bob's application, as it likes. */
  function callBob(scene: Scene, context: P2PSignalContext): { client: Connection; released: () => number } {
    let released = 0;
    const toBob: P2PSignaling = {
      send: (_to, signal) => {
        scene.alice.platform.defer(() => scene.bob.receivedP2PCustomSignal(signal, context));
        return true;
      },
      release: () => released++,
    };
    const client = scene.alice.openP2P('str:bob', 9, { signaling: toBob });
    return { client, released: () => released };
  }

  function toAlice(scene: Scene): P2PSignaling {
    const send = (_to: string, signal: Uint8Array) =>
      scene.bob.platform.defer(() => scene.alice.receivedP2PCustomSignal(signal));
    return { send };
  }

  it('takes callers without a listen socket, each with a signaling of its own that is released in the end', async () => {
    const scene = new Scene();
    const asked: string[] = [];
    const { client, released } = callBob(scene, {
      onConnectRequest: (incoming, virtualPort) => {
        asked.push(`${incoming.remoteIdentity} ${virtualPort} ${incoming.hasListenSocket}`);
        incoming.accept();
        return toAlice(scene);
      },
    });
    scene.runUntil(() => client.state === 'Connected');
    expect(asked).to.deep.equal(['str:alice 9 false']);
    expect(released()).to.equal(0);
    await scene.network.settle(client.close(), 10 * SECOND);
    scene.network.run(10 * SECOND);
    expect(released()).to.equal(1);
  });

  it('rejects a caller with reason and text', () => {
    const scene = new Scene();
    const { client } = callBob(scene, {
      onConnectRequest: (incoming) => {
        incoming.reject({ reason: 1234, debug: 'not today' });
        return undefined;
      },
      sendRejection: (to, signal) => toAlice(scene).send(`${to}`, signal),
    });
    scene.runUntil(() => client.state === 'ClosedByPeer', SECOND);
    expect(client.info).to.include({ endReason: 1234, endDebug: 'not today' });
    expect([...scene.bob.connections]).to.deep.equal([]);
  });

  it('ignores a caller, who hears nothing', () => {
    const scene = new Scene();
    const { client } = callBob(scene, { onConnectRequest: () => undefined });
    scene.runUntil(() => client.state !== 'Connecting', 15 * SECOND);
    expect(client.info.endReason).to.equal(5003);
    expect([...scene.bob.connections]).to.deep.equal([]);
  });
});

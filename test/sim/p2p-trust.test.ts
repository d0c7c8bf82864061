// Who may talk to whom by P2P: proven identities, pinned keys, the application's own check, and what each side is told.

import { expect } from 'chai';
import {
  type ClientRefusal,
  type Connection,
  type ConnectP2POptions,
  createCA,
  generateKeyPair,
  issueCertificate,
  type ListenP2POptions,
  type ListenSocket,
  Networking,
  type NetworkingOptions,
} from '../../src/index.ts';
import { LocalSignaling, nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';
import { SEED } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;
const ca = createCA({ createdAt: new Date(0), expiresAt: new Date(4_000_000_000_000) });

/** What makes an instance one that has a certificate, and asks for one. */
function proven(name: string): NetworkingOptions {
  const expiresAt = new Date(4_000_000_000_000);
  const { certificate, privateKey } = issueCertificate({
    caKey: ca.privateKey,
    identity: `str:${name}`,
    createdAt: new Date(0),
    expiresAt,
  });
  return { trustedCAs: ca.publicKey, certificate, privateKey: privateKey!, allowWithoutAuth: 'never' };
}

/** Alice calls bob on port 7, each as the test wants them. */
class Stage {
  readonly network = new SimulatedNetwork({ seed: SEED, crypto: nodeCrypto, conditions: { delayUs: 10 * MS } });
  readonly signaling = new LocalSignaling({ delayUs: 20 * MS });
  readonly alice: Networking;
  readonly bob: Networking;
  readonly refusals: ClientRefusal[] = [];
  readonly incoming: Connection[] = [];

  constructor(alice: NetworkingOptions, bob: NetworkingOptions) {
    this.alice = this.#make('alice', alice);
    this.bob = this.#make('bob', bob);
  }

  #make(name: string, options: NetworkingOptions): Networking {
    const { platform } = this.network.host(name);
    const identity = `str:${name}`;
    return new Networking({ platform, identity, signaling: this.signaling.join(identity, platform), ...options });
  }

  listen(options: Partial<ListenP2POptions> = {}): ListenSocket {
    const socket = this.bob.listenP2P({ virtualPort: 7, autoAccept: true, ...options });
    socket.on('refused', (refusal) => this.refusals.push(refusal));
    socket.on('connection', ({ connection }) => this.incoming.push(connection));
    return socket;
  }

  /** How alice fares. */
  call(options: ConnectP2POptions = {}): Connection {
    const connection = this.alice.openP2P('str:bob', 7, options);
    const states = ['Connected', 'ClosedByPeer', 'ProblemDetectedLocally'];
    expect(this.network.runUntil(() => states.includes(connection.state), 20 * SECOND)).to.equal(true);
    this.network.run(SECOND);
    return connection;
  }
}

describe('trust between P2P peers', () => {
  it('is mutual where both have certificates and demand them', () => {
    const stage = new Stage(proven('alice'), proven('bob'));
    stage.listen();
    const connection = stage.call();
    expect(connection.state).to.equal('Connected');
    expect(connection.remoteCertificate?.isCaSigned).to.equal(true);
    expect(connection.info.flags.unauthenticated).to.equal(false);
    expect(stage.incoming[0]!.info.flags.unauthenticated).to.equal(false);
  });

  it('cannot be demanded by a listener for whom nobody vouches, as it could answer no caller', () => {
    const stage = new Stage(proven('alice'), {});
    const refused = { code: 'InvalidParam', message: /cannot listen on virtual port 7: .*no certificate/ };
    for (const options of [{ allowWithoutAuth: 'never' }, { config: { ipAllowWithoutAuth: 0 } }] as const) {
      let error: unknown;
      try {
        stage.listen(options);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).to.have.property('code', refused.code);
      expect(String(error)).to.match(refused.message);
    }
    stage.listen({ allowWithoutAuth: 'warn' });
  });

  it('is not given to somebody whom nobody vouches for; the caller and the listen socket are told', () => {
    const stage = new Stage({}, proven('bob'));
    const socket = stage.listen();
    const connection = stage.call();
    expect(connection.state).to.equal('ClosedByPeer');
    expect(connection.info.endDebug).to.include('the certificate is not signed');
    expect(stage.refusals[0]).to.include({ kind: 'unsigned', reason: 4003, untold: 0 });
    expect(String(stage.refusals[0]!.remoteIdentity)).to.equal('str:alice');
    expect(socket.refusedCount).to.equal(stage.refusals.length);
    expect(stage.incoming).to.deep.equal([]);
  });

  it('is not given to somebody who answers as the one that was called, and cannot prove it', () => {
    const stage = new Stage(proven('alice'), { trustedCAs: ca.publicKey });
    stage.listen();
    const connection = stage.call();
    expect(connection.state).to.equal('ProblemDetectedLocally');
    expect(connection.info.endReason).to.equal(4003);
  });

  it('is not given to the holder of a certificate for somebody else', () => {
    const mallory = proven('mallory');
    const stage = new Stage(proven('alice'), { ...mallory, identity: 'str:mallory' });
    stage.bob.listenP2P({ virtualPort: 7, autoAccept: true });
    // What the service takes for bob is mallory.
    const service = stage.signaling.join('str:bob', stage.bob.platform);
    service.onSignal = (signal) => void stage.bob.receivedP2PCustomSignal(signal);
    const connection = stage.alice.openP2P('str:bob', 7, { config: { timeoutInitial: 2_000 } });
    stage.network.run(5 * SECOND);
    expect(connection.state).to.equal('ProblemDetectedLocally');
  });

  it('may differ for one listen socket and one call', () => {
    const stage = new Stage(proven('alice'), proven('bob'));
    stage.listen({ allowWithoutAuth: 'always' });
    const stranger = new Stage({}, { ...proven('bob') });
    stranger.listen({ allowWithoutAuth: 'always' });
    expect(stage.call({ allowWithoutAuth: 'always' }).state).to.equal('Connected');
    expect(stranger.call().state).to.equal('Connected');
    expect(stranger.call({ allowWithoutAuth: 'never' }).info.endReason).to.equal(5002);
  });

  it('is given to the key that was pinned, and to no other', () => {
    const keys = generateKeyPair();
    const stage = new Stage({}, { privateKey: keys.privateKey });
    stage.listen();
    expect(stage.call({ pinnedKey: keys.publicKey }).state).to.equal('Connected');
    const wrong = stage.call({ pinnedKey: generateKeyPair().publicKey });
    expect(wrong.state).to.equal('ProblemDetectedLocally');
    expect(wrong.info).to.include({ endReason: 4003, endDebug: "the peer's key is not the pinned one" });
  });

  it('is asked of a peer whose own call we take for ours, too', () => {
    const config = { symmetricConnect: 1, localVirtualPort: 9 };
    const keys = generateKeyPair();
    for (const { pinnedKey, isConnected } of [
      { pinnedKey: keys.publicKey, isConnected: true },
      { pinnedKey: generateKeyPair().publicKey, isConnected: false },
    ]) {
      const stage = new Stage({}, { privateKey: keys.privateKey });
      stage.alice.listenP2P({ virtualPort: 9, config: { symmetricConnect: 1 } });
      stage.bob.openP2P('str:alice', 9, { config });
      stage.network.run(100 * MS);
      const connection = stage.alice.openP2P('str:bob', 9, { config, pinnedKey });
      expect(connection.isIncoming).to.equal(true);
      stage.network.run(3 * SECOND);
      expect(connection.state === 'Connected').to.equal(isConnected);
      if (!isConnected) expect(connection.info.endReason).to.equal(4003);
    }
  });

  it('is asked of a peer to whose simultaneous call ours yields, too', () => {
    const config = { symmetricConnect: 1, localVirtualPort: 9 };
    for (const seed of [1, 2, 3, 4]) {
      const stage = new Stage({}, {});
      const pinnedKey = generateKeyPair().publicKey;
      stage.network.run(seed * MS);
      const connection = stage.alice.openP2P('str:bob', 9, { config, pinnedKey });
      stage.bob.openP2P('str:alice', 9, { config });
      stage.network.run(3 * SECOND);
      expect(connection.info).to.include({ state: 'ProblemDetectedLocally', endReason: 4003 });
    }
  });

  it('can be left to the application, which is asked once the credentials are known to be good', async () => {
    const stage = new Stage(proven('alice'), proven('bob'));
    const asked: string[] = [];
    stage.listen({
      check: async ({ remoteIdentity, remoteCertificate }) => {
        asked.push(`${remoteIdentity} ${remoteCertificate?.isCaSigned}`);
        return { reason: 1234, debug: 'banned' };
      },
    });
    const connection = stage.alice.openP2P('str:bob', 7);
    await stage.network.settle(
      connection.connected().catch(() => {}),
      20 * SECOND,
    );
    expect(connection.info).to.include({ state: 'ClosedByPeer', endReason: 1234, endDebug: 'banned' });
    expect(asked).to.deep.equal(['str:alice true']);
    expect(stage.refusals[0]).to.include({ kind: 'checkRejected', reason: 1234 });
    expect(stage.incoming).to.deep.equal([]);
  });

  it('is told of ten times a second at most, and counted always', () => {
    const stage = new Stage({}, proven('bob'));
    const socket = stage.listen();
    for (let count = 0; count < 25; count++) stage.alice.openP2P('str:bob', 7);
    stage.network.run(500 * MS);
    expect(socket.refusedCount).to.equal(25);
    expect(stage.refusals).to.have.length(10);
  });
});

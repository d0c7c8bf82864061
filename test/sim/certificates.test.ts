// Who may talk to whom: certificates installed at run time, authorities, pinned keys, the application's own check; and
// what each side is told when it comes to nothing.

import { expect } from 'chai';
import {
  type ClientRefusal,
  type ConnectionError,
  createCA,
  generateKeyPair,
  type IssueOptions,
  issueAuthority,
  issueCertificate,
  type ListenOptions,
  type LogEntry,
  Networking,
  NetworkingError,
  type NetworkingOptions,
  readCertificate,
} from '../../src/index.ts';
import { nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';

const PORT = 27_015;
const SECOND = 1_000_000;
const DAY_S = 86_400;
const ca = createCA({ createdAt: new Date(0), expiresAt: new Date(4_000_000_000_000) });
const otherCa = createCA({ createdAt: new Date(0), expiresAt: new Date(4_000_000_000_000) });

/** Both machines, and what came to light. */
class Stage {
  readonly network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
  readonly clientHost = this.network.host('client');
  readonly serverHost = this.network.host('server');
  readonly refusals: ClientRefusal[] = [];
  readonly log: LogEntry[] = [];
  readonly instances: Networking[] = [];

  /** What an instance needs that has a certificate and asks for one. */
  member(host: SimulatedHost, identity: string, options: Partial<IssueOptions> = {}): NetworkingOptions {
    const now = new Date(host.platform.unixTimeS() * 1000);
    const { certificate, privateKey } = issueCertificate({
      caKey: ca.privateKey,
      identity,
      createdAt: now,
      ...options,
    });
    return { trustedCAs: ca.publicKey, certificate, privateKey: privateKey!, allowWithoutAuth: 'never' };
  }

  make(host: SimulatedHost, options: NetworkingOptions): Networking {
    const instance = new Networking({ platform: host.platform, ...options });
    this.instances.push(instance);
    return instance;
  }

  serve(options: NetworkingOptions = this.member(this.serverHost, 'str:server'), listen: Partial<ListenOptions> = {}) {
    const log = { output: (entry: LogEntry) => void this.log.push(entry) };
    const server = this.make(this.serverHost, { log, ...options });
    const socket = server.listen({ port: PORT, autoAccept: true, ...listen });
    socket.on('refused', (refusal) => this.refusals.push(refusal));
    return { server, socket };
  }

  client(options: NetworkingOptions = this.member(this.clientHost, 'str:client')): Networking {
    return this.make(this.clientHost, options);
  }

  connect(client: Networking, options: Parameters<Networking['connect']>[1] = {}) {
    return this.network.settle(client.connect(`${this.serverHost.address}:${PORT}`, options), 60 * SECOND);
  }

  async failure(client: Networking, options: Parameters<Networking['connect']>[1] = {}): Promise<ConnectionError> {
    try {
      await this.connect(client, options);
    } catch (error) {
      return error as ConnectionError;
    }
    throw new Error('it connected');
  }

  async end(): Promise<void> {
    await this.network.settle(Promise.all(this.instances.map((instance) => instance.close())), 60 * SECOND);
    expect(this.network.pendingAlarms, 'armed alarms').to.equal(0);
  }
}

function refusalOf(action: () => unknown): NetworkingError {
  try {
    action();
  } catch (error) {
    if (error instanceof NetworkingError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe('certificates at run time', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });

  it('let two sides that demand them know each other for certain', async () => {
    const { socket } = stage.serve();
    const seen: unknown[] = [];
    socket.on('connection', ({ remoteCertificate, connection }) => {
      seen.push(
        String(remoteCertificate?.identity),
        remoteCertificate?.isCaSigned,
        connection.info.flags.unauthenticated,
      );
    });
    const connection = await stage.connect(stage.client(), { expectedIdentity: 'str:server' });
    expect(seen).to.deep.equal(['str:client', true, false]);
    expect(connection.info.flags.unauthenticated).to.equal(false);
    expect(connection.remoteCertificate).to.deep.include({ isCaSigned: true, appIds: [0], ipAddresses: [] });
    await stage.end();
  });

  it('give an anonymous instance the identity that they name', async () => {
    stage.serve();
    const client = stage.client();
    expect(String(client.identity)).to.equal('str:client');
    expect(client.credentials.status).to.equal('ok');
    await stage.end();
  });

  it('may be signed by an authority below the trusted one, whose certificate the other side has', async () => {
    const years = { createdAt: new Date(0), expiresAt: new Date(4_000_000_000_000) };
    const branch = issueAuthority({ caKey: ca.privateKey, ...years });
    const trustedCAs = [ca.certificate, branch.certificate];
    stage.serve({ ...stage.member(stage.serverHost, 'str:server'), trustedCAs });
    const own = stage.member(stage.clientHost, 'str:client', { caKey: branch.privateKey });
    const chain = `${own.certificate}${branch.certificate}`;
    const connection = await stage.connect(stage.client({ ...own, certificate: chain }));
    expect(connection.info.flags.unauthenticated).to.equal(false);
    await stage.end();
  });

  it('are renewed while connections are open: the next one shows the new one', async () => {
    const { server, socket } = stage.serve();
    const client = stage.client();
    const first = await stage.connect(client);
    const renewed = issueCertificate({
      caKey: ca.privateKey,
      identity: 'str:server',
      createdAt: new Date(0),
      expiresInS: 4e9,
    });
    server.credentials.setCertificate(renewed.certificate, renewed.privateKey!);
    const second = await stage.connect(client);
    expect(first.state).to.equal('Connected');
    expect(second.remoteCertificate!.keyId).to.equal(readCertificate(renewed.certificate)[0]!.keyId);
    expect(first.remoteCertificate!.keyId).to.not.equal(second.remoteCertificate!.keyId);
    expect(socket.connectionCount).to.equal(2);
    await stage.end();
  });

  it('warn before they expire, then stop counting, and are told in the log', async () => {
    const { server } = stage.serve(stage.member(stage.serverHost, 'str:server', { expiresInS: 1000 }));
    const events: string[] = [];
    server.credentials.on('expiring', () => events.push(`expiring, ${server.credentials.status}`));
    server.credentials.on('expired', () => events.push(`expired, ${server.credentials.status}`));
    await stage.network.advance(899 * SECOND);
    expect(events).to.deep.equal([]);
    await stage.network.advance(2 * SECOND);
    expect(events).to.deep.equal(['expiring, ok']);
    await stage.network.advance(100 * SECOND);
    expect(events).to.deep.equal(['expiring, ok', 'expired, expired']);
    expect(stage.log.map(({ level, text }) => `${level}: ${text.replace(/ on .*/, '')}`)).to.deep.equal([
      'warning: our certificate expires',
      'error: our certificate expired',
    ]);
    await stage.failure(stage.client());
    expect(stage.refusals[0]).to.include({ kind: 'noOwnCertificate', reason: 5002 });
    await stage.end();
  });

  it('come about by request: the key never leaves the instance', async () => {
    stage.serve();
    const client = stage.client({ identity: 'str:client', trustedCAs: ca.certificate, allowWithoutAuth: 'never' });
    const request = client.credentials.createRequest();
    const { certificate, privateKey } = issueCertificate({
      caKey: ca.privateKey,
      request,
      createdAt: new Date(0),
      expiresInS: 4e9,
    });
    expect(privateKey).to.equal(undefined);
    client.credentials.setCertificate(certificate);
    expect((await stage.connect(client)).info.flags.unauthenticated).to.equal(false);
    await stage.end();
  });
});

/** What the server hears of a client that it ignores. The client only notices that nobody answers. */
const UNWELCOME: Readonly<Record<string, [kind: string, client: (stage: Stage) => NetworkingOptions]>> = {
  'another authority signed': [
    'unknownAuthority',
    (stage) => ({
      ...stage.member(stage.clientHost, 'str:client', { caKey: otherCa.privateKey }),
      trustedCAs: otherCa.publicKey,
    }),
  ],
  'that has expired': ['expired', (stage) => stage.member(stage.clientHost, 'str:client', { expiresInS: 30 })],
  'with a claim to be at another address': [
    'wrongAddress',
    (stage) => stage.member(stage.clientHost, 'str:client', { ipAddresses: ['192.0.2.0/24', '2001:db8::/32'] }),
  ],
  'for another application': [
    'wrongApp',
    (stage) => ({ ...stage.member(stage.clientHost, 'str:client', { appIds: [480] }), appId: 480 }),
  ],
  'that nobody signed': ['unsigned', () => ({ identity: 'str:client', allowWithoutAuth: 'always' })],
};

describe('a server that demands certificates', () => {
  for (const [what, [kind, clientOptions]] of Object.entries(UNWELCOME)) {
    it(`ignores a client with one ${what}, and says why in an event and in the log`, async () => {
      const stage = new Stage();
      const options = { ...stage.member(stage.serverHost, 'str:server', { expiresInS: 3 * DAY_S }) };
      const { socket } = stage.serve({ ...options, checkCertificateAddresses: true });
      const client = stage.client(clientOptions(stage));
      // A client whose clock is right knows by itself that it has none.
      if (kind === 'expired') {
        await stage.network.advance(60 * SECOND);
        stage.clientHost.setWallClock(-120);
      }
      const error = await stage.failure(client);
      expect(error.endReason).to.equal(5003);
      expect(error.diagnosis.kind).to.equal('notAccepted');
      expect(new Set(stage.refusals.map((refusal) => refusal.kind))).to.deep.equal(new Set([kind]));
      expect(String(stage.refusals[0]!.remoteIdentity)).to.equal('str:client');
      expect(socket.refusedCount).to.equal(stage.refusals.length).and.to.be.within(15, 21);
      expect(stage.log[0]!.text).to.match(/^refused str:client@.*: .* \(\w+\)$/);
      await stage.end();
    });
  }

  it('ignores a client that is nobody', async () => {
    const stage = new Stage();
    stage.serve();
    await stage.failure(stage.client({ allowWithoutAuth: 'always' }));
    expect(stage.refusals[0]).to.include({ kind: 'unsigned', remoteIdentity: undefined });
    await stage.end();
  });

  it('does not take a key that was revoked', async () => {
    const stage = new Stage();
    const { server } = stage.serve();
    const member = stage.member(stage.clientHost, 'str:client');
    server.credentials.revoke(readCertificate(member.certificate!)[0]!.keyId);
    await stage.failure(stage.client(member));
    expect(stage.refusals[0]!.kind).to.equal('revoked');
    await stage.end();
  });

  it('cannot listen without one of its own', async () => {
    const stage = new Stage();
    const error = refusalOf(() => stage.serve({ identity: 'str:server', allowWithoutAuth: 'never' }));
    expect(error.message).to.match(/has no certificate of an authority/);
    await stage.end();
  });
});

/** What a client finds wrong with a server: it says so, to both. */
type Fault = [detail: RegExp, hint: RegExp, server: (stage: Stage) => NetworkingOptions];
const UNTRUSTWORTHY: Readonly<Record<string, Fault>> = {
  'another authority signed': [
    /certificate authority \d+ is unknown or not trusted/,
    /trustedCAs/,
    (stage) => ({
      ...stage.member(stage.serverHost, 'str:server', { caKey: otherCa.privateKey }),
      trustedCAs: [otherCa.publicKey, ca.publicKey],
    }),
  ],
  'nobody signed': [
    /not signed, and unsigned ones are not allowed/,
    /setCertificate/,
    () => ({ identity: 'str:server' }),
  ],
  'is for somebody else': [
    /the peer is str:mallory, and str:server was expected/,
    /Somebody else is at this address, or expectedIdentity/,
    (stage) => stage.member(stage.serverHost, 'str:mallory'),
  ],
};

describe('a client that demands certificates', () => {
  for (const [what, [detail, hint, serverOptions]] of Object.entries(UNTRUSTWORTHY)) {
    it(`ends with reason 4003 when the server's ${what}, and both know why`, async () => {
      const stage = new Stage();
      const { server } = stage.serve(serverOptions(stage), { autoAccept: true });
      const error = await stage.failure(stage.client(), { expectedIdentity: 'str:server' });
      expect(error.endReason).to.equal(4003);
      expect(error.info.endDebug).to.match(detail);
      expect(error.diagnosis.kind).to.equal('certificateRefused');
      expect(error.diagnosis.summary)
        .to.match(/^this side refused/)
        .and.to.match(detail);
      expect(error.diagnosis.hint).to.match(hint);
      await stage.network.advance(SECOND);
      const [connection, another] = [...server.connections];
      expect([connection?.info.endReason, another]).to.deep.equal([4003, undefined]);
      expect(connection!.explain()).to.include({ kind: 'certificateRefused', hint: error.diagnosis.hint });
      expect(connection!.explain().summary).to.match(/^the peer refused/);
      await stage.end();
    });
  }

  it('ends with reason 5002 when it has none itself, and sends nothing', async () => {
    const stage = new Stage();
    stage.serve();
    const error = await stage.failure(stage.client({ identity: 'str:client', allowWithoutAuth: 'never' }));
    expect(error.endReason).to.equal(5002);
    expect(error.message).to.match(/no certificate to present/);
    expect(error.diagnosis.summary).to.match(/^this side has no certificate to present/);
    expect(error.diagnosis.hint).to.match(/setCertificate/);
    expect(stage.refusals).to.deep.equal([]);
    await stage.end();
  });

  it('finds out who shows the certificate of another', async () => {
    const stage = new Stage();
    const { server } = stage.serve();
    const stolen = server.credentials.usable!;
    Object.defineProperty(server.credentials, 'usable', { value: { ...stolen, key: nodeCrypto.signingKey() } });
    const { endReason, diagnosis } = await stage.failure(stage.client());
    expect([endReason, diagnosis.kind]).to.deep.equal([4002, 'certificateRefused']);
    expect(diagnosis.hint).to.match(/belongs to somebody else/);
    await stage.end();
  });

  it('says why it heard nobody when the server is anonymous', async () => {
    const stage = new Stage();
    stage.serve({});
    const error = await stage.failure(stage.client());
    expect(error.endReason).to.equal(5003);
    expect(error.info.endDebug).to.match(/replies came and were ignored: .*anonymous/);
    expect(error.diagnosis.kind).to.equal('certificateRefused');
    expect(error.diagnosis.hint).to.match(/setCertificate/);
    await stage.end();
  });
});

describe('a pinned key', () => {
  it('tells a server by its key alone, and another one from it', async () => {
    const stage = new Stage();
    const { privateKey, publicKey } = generateKeyPair();
    stage.serve({ identity: 'str:server', privateKey });
    const client = stage.client({ identity: 'str:client' });
    const connection = await stage.connect(client, { pinnedKey: publicKey });
    expect(connection.remoteCertificate!.isCaSigned).to.equal(false);
    const error = await stage.failure(client, { pinnedKey: generateKeyPair().publicKey });
    expect([error.endReason, error.info.endDebug]).to.deep.equal([4003, "the peer's key is not the pinned one"]);
    await stage.end();
  });
});

describe("the application's check of a client", () => {
  const CHECKS: Readonly<Record<string, [kind: string | undefined, check: NonNullable<ListenOptions['check']>]>> = {
    'says yes at once': [undefined, ({ remoteCertificate }) => remoteCertificate!.isCaSigned],
    'says yes later': [undefined, async () => undefined],
    'says no at once': ['checkRejected', () => false],
    'says no later, with reason and text': ['checkRejected', async () => ({ reason: 1042, debug: 'banned' })],
    throws: ['checkFailed', () => JSON.parse('{') as boolean],
    'rejects later': ['checkFailed', async () => JSON.parse('{') as boolean],
    'takes too long': ['checkTimedOut', () => new Promise(() => {})],
  };
  for (const [what, [kind, check]] of Object.entries(CHECKS)) {
    it(`${kind === undefined ? 'lets it in' : 'turns it away'} when it ${what}`, async () => {
      const stage = new Stage();
      const { socket } = stage.serve(undefined, { check });
      const arrivals: string[] = [];
      socket.on('connection', ({ remoteIdentity }) => arrivals.push(String(remoteIdentity)));
      const client = stage.client();
      if (kind === undefined) {
        await stage.connect(client);
        expect(arrivals).to.deep.equal(['str:client']);
      } else {
        const error = await stage.failure(client);
        expect(error.endReason).to.equal(what.includes('text') ? 1042 : 1000);
        expect(arrivals).to.deep.equal([]);
        expect(stage.refusals.map((refusal) => refusal.kind)).to.deep.equal([kind]);
      }
      await stage.end();
    });
  }
});

describe('allowWithoutAuth', () => {
  it("lets everybody in with 'warn', and the log tells of those that nobody vouches for", async () => {
    const stage = new Stage();
    stage.serve({ identity: 'str:server', allowWithoutAuth: 'warn' });
    await stage.connect(stage.client({ identity: 'str:client' }));
    const warnings = stage.log.filter(({ level }) => level === 'warning').map(({ text }) => text);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/no trusted authority vouches for this peer$/);
    await stage.end();
  });
});

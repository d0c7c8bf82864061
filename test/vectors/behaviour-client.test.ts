// Crafted answers of a server to a client of ours: it ends up in the state that GNS's client came to, for the same reason
// and after the same datagrams. Recordings: README.md.
import { expect } from 'chai';
import { Identity } from '../../src/core/base/identity.ts';
import { makeUnsignedCertificate, signCertificate } from '../../src/core/certs/certificate.ts';
import { TrustStore } from '../../src/core/certs/trust-store.ts';
import { FACTS } from '../../src/core/connection/state-table.ts';
import type { SigningKey } from '../../src/core/platform.ts';
import type { ConnectionClosed, ConnectOk, ControlPacket, NoConnection } from '../../src/core/wire/control-packets.ts';
import type { Certificate } from '../../src/core/wire/crypt-messages.ts';
import { NO_IDENTITY_FIELDS, writeIdentity } from '../../src/core/wire/identity-fields.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { BENCH_UNIX_TIME_S, Bench, CraftedPeer, type PeerOptions } from '../support/crafted-peer.ts';
import { loadBehaviour, loadHandshake } from './handshake/load.ts';

/** A crafted server. What is left out is as a well-behaved server does it. */
interface CraftedServer extends PeerOptions {
  /** In ChallengeReply. */
  readonly version?: number;
  readonly challengeReplyId?: number;
  readonly connectOk?: Partial<ConnectOk>;
  /** In place of a ChallengeReply. */
  readonly insteadOfReply?: (clientId: number, serverId: number) => ConnectionClosed | NoConnection;
}

interface Observed {
  readonly state: number;
  readonly reason: number;
  readonly client_sent: Readonly<Record<string, number>>;
  readonly connection_closed: { readonly reason_code: number; readonly has_to: boolean } | null;
  readonly remote_identity: string;
}

const SERVER_ADDRESS = { address: '127.0.0.1', port: 28_901 };
const OBSERVED_AFTER_US = 900_000;
const STEPS = 9;
const caKey = nodeCrypto.signingKey(loadHandshake('ca-signed').ca!.seed);
const strangerKey = nodeCrypto.signingKey(new Uint8Array(32).fill(9));
const ZEROS = new Uint8Array(32);

const named = (text: string) => ({ ...NO_IDENTITY_FIELDS, identityString: text });
const NOBODY = { identity: NO_IDENTITY_FIELDS };

function signed(fields: Partial<Certificate> = {}, by: SigningKey = caKey): CraftedServer {
  const dates = { timeCreatedS: BENCH_UNIX_TIME_S - 100, timeExpiryS: BENCH_UNIX_TIME_S + 100 };
  return {
    sign: (certificate) => signCertificate(nodeCrypto, by, { ...certificate, ...dates, ...fields }),
  };
}

const closed = (to: number, from: number, reason: number, debug: string): ConnectionClosed => ({
  kind: 'connectionClosed',
  toConnectionId: to,
  fromConnectionId: from,
  reason,
  debug,
});
const none = (to: number, from: number): NoConnection => ({
  kind: 'noConnection',
  toConnectionId: to,
  fromConnectionId: from,
});

const SERVERS: Readonly<Record<string, CraftedServer>> = {
  baseline: {},
  'ChallengeReply version 7': { version: 7 },
  'ChallengeReply version 8 and crypt version 8': { version: 8, protocolVersion: 8 },
  'ChallengeReply version absent, crypt version 13': { version: 0 },
  'ChallengeReply 13, crypt 12': { protocolVersion: 12 },
  'ChallengeReply 14, crypt 14': { version: 14, protocolVersion: 14 },
  'ChallengeReply 13, crypt 7': { protocolVersion: 7 },
  'ChallengeReply with wrong id': { challengeReplyId: 99 },
  'ConnectOK with wrong client id': { connectOk: { clientConnectionId: 99 } },
  'server id low 16 bits zero': { id: 0x1234_0000 },
  'server id high 16 bits zero': { id: 0x1234 },
  'server id 0': { id: 0 },
  'signature wrong': { changeCrypt: (crypt) => ({ ...crypt, signature: new Uint8Array(64) }) },
  'signature missing': { changeCrypt: (crypt) => ({ ...crypt, signature: new Uint8Array(0) }) },
  'no cert': { sign: () => undefined },
  'no crypt': { changeCrypt: () => undefined },
  'cipher list [2,1]': { ciphers: [2, 1] },
  'cipher list []': { ciphers: [] },
  'cipher list [1] while the client only offers AES': { ciphers: [1] },
  'cipher list [77]': { ciphers: [], infoTail: Uint8Array.of(0x28, 77) },
  'key exchange type 0': { exchangeKeyType: 0 },
  'X25519 key 31 bytes': { exchangeKey: ZEROS.subarray(1).fill(7) },
  'X25519 key zero': { exchangeKey: new Uint8Array(32) },
  'app_ids empty with str identity': { certificate: { appIds: [] } },
  'identity absent': { certificate: NOBODY },
  'identity absent, app_ids empty': { certificate: { ...NOBODY, appIds: [] } },
  'identity ip:::1': { certificate: { identity: writeIdentity(Identity.localHost) } },
  'identity unparsable': { certificate: { identity: named('foo') } },
  'identity ip:9.9.9.9 only in ConnectOK': { certificate: NOBODY, identity: named('ip:9.9.9.9') },
  'identity str:x only in ConnectOK': { certificate: NOBODY, identity: named('str:x') },
  'cert str:a, message str:b': { certificate: { identity: named('str:a') }, identity: named('str:b') },
  'cert key_type 0': { certificate: { keyType: 0 } },
  'cert key 31 bytes': { certificate: { key: new Uint8Array(31).fill(7) } },
  'CA-signed by unknown key, policy allow': signed({}, strangerKey),
  'ConnectionClosed 1234 to the client id before ConnectOK': {
    insteadOfReply: (client) => closed(client, 5, 1234, 'go away'),
  },
  'ConnectionClosed without `to`, before server id known': {
    insteadOfReply: (_client, server) => closed(0, server, 1234, 'go away'),
  },
  'NoConnection to=client id, no from, while Connecting': { insteadOfReply: (client) => none(client, 0) },
  'NoConnection to=client id, from=5, while Connecting': { insteadOfReply: (client) => none(client, 5) },
  'ConnectionClosed 65000 (odd code)': { insteadOfReply: (client) => closed(client, 5, 65_000, 'odd') },
  'ConnectionClosed without code and text': { insteadOfReply: (client) => closed(client, 5, 0, '') },
  'app_ids [5]': { certificate: { appIds: [5] } },
};

const SIGNED_SERVERS: Readonly<Record<string, CraftedServer>> = {
  unsigned: {},
  'signed ok': signed(),
  'signature altered': {
    sign: (certificate) => ({ ...signed().sign!(certificate)!, caSignature: new Uint8Array(64).fill(3) }),
  },
  'unknown ca': signed({}, strangerKey),
  expired: signed({ timeExpiryS: BENCH_UNIX_TIME_S - 1 }),
  'no expiry': signed({ timeExpiryS: undefined }),
  'app_ids [5]': signed({ appIds: [5] }),
  'app_ids empty': signed({ appIds: [] }),
  'no identity': signed(NOBODY),
  'identity str:other in message only': { ...signed(), identity: named('str:other') },
};

const rows = loadBehaviour('client');

describe(`crafted answers to a client: ${rows.length} cases that GNS decided`, () => {
  for (const [setup, name, observed] of rows) {
    const isDefault = setup === 'default options';
    it(`${name} (${setup})`, () => {
      const server = (isDefault ? SERVERS : SIGNED_SERVERS)[name];
      if (server === undefined) throw new Error('no server is crafted for this case');
      expect(play(server, isDefault)).to.deep.equal(expected(observed as Observed));
    });
  }
});

/**
 * Where we mean to differ: we repeat the notice of a close until the peer says that it knows, and these servers never
 * do. That it was said, and said again when the application closed, is all that can be compared.
 */
function expected(observed: Observed): Observed {
  const { ConnectionClosed: count, ...others } = observed.client_sent;
  return {
    ...observed,
    client_sent: count === undefined ? others : { ...others, ConnectionClosed: Math.min(count, 1) },
  };
}

/** Connects to the crafted server, closes after a while, and tells how that went in the terms of the recordings. */
function play(crafted: CraftedServer, isDefault: boolean): Observed {
  const bench = isDefault ? new Bench() : strictBench();
  const server = new CraftedPeer(bench, {
    address: SERVER_ADDRESS,
    ...crafted,
    certificate: { identity: writeIdentity(Identity.string('srv')), ...crafted.certificate },
  });
  const member = bench.connect(SERVER_ADDRESS);
  const received: ControlPacket[] = [];
  const serve = () => {
    for (let news = server.takeControl(); news.length > 0; news = server.takeControl()) {
      received.push(...news);
      for (const packet of news) respond(server, crafted, packet);
    }
  };
  for (let step = 0; step < STEPS; step++) {
    serve();
    bench.advance(OBSERVED_AFTER_US / STEPS);
  }
  serve();
  const { state, endReason, remoteIdentity } = member.connection.info;
  bench.act(member, (each, nowUs) => each.close(0, '', false, nowUs));
  serve();
  const notice = received.find((packet) => packet.kind === 'connectionClosed');
  return {
    state: FACTS[state].number,
    reason: endReason,
    client_sent: countKinds(received),
    connection_closed: notice ? { reason_code: notice.reason, has_to: notice.toConnectionId !== 0 } : null,
    remote_identity: remoteIdentity?.toString() ?? 'invalid',
  };
}

function respond(server: CraftedPeer, crafted: CraftedServer, packet: ControlPacket): void {
  if (packet.kind === 'challengeRequest') {
    if (crafted.insteadOfReply !== undefined) server.send(crafted.insteadOfReply(packet.connectionId, server.id));
    else
      server.send({
        kind: 'challengeReply',
        connectionId: crafted.challengeReplyId ?? packet.connectionId,
        challenge: 1n,
        echoedTimestamp: packet.timestamp,
        protocolVersion: crafted.version ?? 13,
      });
  } else if (packet.kind === 'connectRequest') {
    const { cert, crypt, identity } = server;
    server.send({
      kind: 'connectOk',
      clientConnectionId: packet.clientConnectionId,
      serverConnectionId: server.id,
      echoedTimestamp: packet.timestamp,
      delayUs: 0,
      cert,
      crypt,
      identity,
      ...crafted.connectOk,
    });
  }
}

/** A notice that is repeated counts once, see `expected`. */
function countKinds(packets: readonly ControlPacket[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of packets) {
    const name = NAMES[kind];
    counts[name] = kind === 'connectionClosed' ? 1 : (counts[name] ?? 0) + 1;
  }
  return counts;
}

const NAMES = {
  challengeRequest: 'ChallengeRequest',
  challengeReply: 'ChallengeReply',
  connectRequest: 'ConnectRequest',
  connectOk: 'ConnectOK',
  connectionClosed: 'ConnectionClosed',
  noConnection: 'NoConnection',
} as const;

/** A client with a certificate of its own that insists on one of its peer. */
function strictBench(): Bench {
  const identity = Identity.string('client');
  const trust = new TrustStore(nodeCrypto);
  trust.addRootKey(caKey.publicKey);
  const config = { ipAllowWithoutAuth: 0, ipLocalHostAllowWithoutAuth: 0 };
  return new Bench({ identity, trust, config, certificate: makeUnsignedCertificate(nodeCrypto, identity, 0) });
}

// Crafted datagrams and handshakes sent to a listen socket of ours: it answers, and keeps silent, as GNS did. One probe
// per recorded row does what the name of the row says. Recordings: README.md.
import { expect } from 'chai';
import { Identity } from '../../src/core/base/identity.ts';
import { signCertificate } from '../../src/core/certs/certificate.ts';
import type { SigningKey } from '../../src/core/platform.ts';
import { type ConnectRequest, type ControlPacket, encodeControlPacket } from '../../src/core/wire/control-packets.ts';
import {
  type Certificate,
  decodeCryptInfo,
  encodeSignedCertificate,
  type SignedCryptInfo,
} from '../../src/core/wire/crypt-messages.ts';
import { NO_IDENTITY_FIELDS, writeIdentity } from '../../src/core/wire/identity-fields.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { BENCH_UNIX_TIME_S, type PeerOptions, REPLY_NOW_BLOB } from '../support/crafted-peer.ts';
import { hex, toHex } from '../support/hex.ts';
import { caKey, describeReply, Stage } from './behaviour-stage.ts';
import { type BehaviourCase, loadBehaviour } from './handshake/load.ts';

/** Rows where we mean to differ: what we do, and why. */
const DEVIATIONS: Readonly<Record<string, { readonly ours: unknown; readonly reason: string }>> = {
  '  ChallengeRequest with new id from the same port in FinWait: ignored': {
    ours: ['ChallengeReply'],
    reason: 'a client that starts anew from the same port need not wait until we have forgotten its last connection',
  },
};

type Probe = (stage: Stage) => unknown;

const strangerKey = nodeCrypto.signingKey(new Uint8Array(32).fill(9));
const MESSAGE = hex('27 0100 61');

// ---- datagrams of strangers

const CHALLENGE_FIELDS = '0d 78563412 19 0700000000000000 20 0d';

/** A padded control packet of any kind of wrongness. */
function padded(id: number, fields: string, { bytes = 512, length = -1, fill = 0 } = {}): Uint8Array {
  const payload = hex(fields);
  const out = new Uint8Array(bytes).fill(fill);
  out[0] = id;
  out[1] = length < 0 ? payload.length : length & 0xff;
  out[2] = length < 0 ? 0 : length >> 8;
  out.set(payload, 3);
  return out;
}

const closedBy = (fields: string) => padded(0x24, fields);
/** Protobuf tags of ChallengeReply. */
const REPLY_TAGS: Readonly<Record<number, readonly [name: string, bytes: number]>> = {
  13: ['connection_id', 4],
  17: ['challenge', 8],
  25: ['your_timestamp', 8],
  32: ['protocol_version', 1],
};

function replyFields(bytes: Uint8Array): readonly string[] {
  const names: string[] = [];
  for (let at = 1; at < bytes.length; ) {
    const [name, size] = REPLY_TAGS[bytes[at]!]!;
    names.push(name);
    at += 1 + size;
  }
  return names;
}

const sends =
  (datagram: Uint8Array): Probe =>
  (stage) =>
    stage.replies(datagram);
const sendsAndTells =
  (datagram: Uint8Array): Probe =>
  (stage) =>
    stage.repliesWithFields(datagram);

const STRANGERS: Readonly<Record<string, Probe>> = {
  'ChallengeRequest, 512 bytes': sends(padded(0x20, CHALLENGE_FIELDS)),
  'ChallengeRequest, 511 bytes': sends(padded(0x20, CHALLENGE_FIELDS, { bytes: 511 })),
  'ChallengeRequest, 600 bytes of padding': sends(padded(0x20, CHALLENGE_FIELDS, { bytes: 619 })),
  'ChallengeRequest, non-zero padding': sends(padded(0x20, CHALLENGE_FIELDS, { fill: 0xee })),
  'ChallengeRequest, length field 0': sends(padded(0x20, CHALLENGE_FIELDS, { length: 0 })),
  'ChallengeRequest, length field past the end': sends(padded(0x20, CHALLENGE_FIELDS, { length: 510 })),
  'ChallengeRequest, length field covers padding (zeros are not valid fields)': sends(
    padded(0x20, CHALLENGE_FIELDS, { length: 509 }),
  ),
  'ChallengeRequest, connection id 0': sends(padded(0x20, '0d 00000000 20 0d')),
  'ChallengeRequest, connection id with low 16 bits 0': sends(padded(0x20, '0d 00003412 20 0d')),
  'ChallengeRequest, no version': sends(padded(0x20, '0d 78563412 19 0700000000000000')),
  'ChallengeRequest, version 1': sends(padded(0x20, '0d 78563412 20 01')),
  'ChallengeRequest, only the id: reply fields': ({ peer }) => {
    peer.sendBytes(padded(0x20, '0d 78563412'));
    return replyFields(peer.take()[0]!.bytes);
  },
  'ChallengeRequest, unknown field 9': sends(padded(0x20, `${CHALLENGE_FIELDS} 48 05`)),
  'unknown id 38': sends(padded(38, CHALLENGE_FIELDS)),
  'four bytes': sends(hex('24 25 20 21')),
  'data packet from unknown host': sends(hex('80 78563412 0200', '00'.repeat(40))),
  'ConnectOK from unknown host': sends(hex('23 0d 78563412 2d 44332211')),
  'NoConnection from unknown host': sends(hex('25 15 11000000 1d 63000000')),
  'ConnectionClosed from unknown host (to 17, from 99)': sendsAndTells(closedBy('18 01 25 11000000 2d 63000000')),
  'ConnectionClosed from unknown host (from 99 only)': sendsAndTells(closedBy('18 01 2d 63000000')),
  'ConnectionClosed from unknown host (no ids)': sendsAndTells(closedBy('18 01')),
  'three ConnectionClosed in a row: replies not limited': (stage) =>
    stage.replies(closedBy('18 01 2d 63000000'), closedBy('18 01 2d 63000000'), closedBy('18 01 2d 63000000')),
  'ConnectionClosed from unknown host, unpadded': sends(hex('24 18 01 2d 63000000')),
};

// ---- handshakes

const named = (text: string) => ({ identity: { ...NO_IDENTITY_FIELDS, identityString: text } });
const inCertificate = (text: string): PeerOptions => ({ certificate: named(text) });
const nobody = { identity: NO_IDENTITY_FIELDS };
const anonymous = { identity: writeIdentity(Identity.localHost) };

const comes =
  (options: PeerOptions = {}, fields: Partial<ConnectRequest> = {}, ageUs = 0): Probe =>
  (stage) =>
    stage.connect(options, fields, ageUs);

/** A request whose challenge is not the one that was given out. */
const comesWith =
  (change: (challenge: bigint) => bigint): Probe =>
  (stage) => {
    const challenge = change(stage.peer.askChallenge());
    return stage.ask(stage.peer.connectRequest(challenge));
  };

const signature = (bytes: Uint8Array) => (crypt: SignedCryptInfo) => ({ ...crypt, signature: bytes });

const CLIENTS: Readonly<Record<string, Probe>> = {
  baseline: comes(),
  'challenge changed in bit 20': comesWith((challenge) => challenge ^ (1n << 20n)),
  'challenge time +1': comesWith((challenge) => challenge + 1n),
  'challenge 2.9 s old': comes({}, {}, 2_900_000),
  'challenge 4.4 s old': comes({}, {}, 4_400_000),
  'ConnectRequest id differs from the challenged id': comes({}, { clientConnectionId: 77 }),
  'ConnectRequest id 0': comes({}, { clientConnectionId: 0 }),
  'no cert': comes({ sign: () => undefined }),
  'no crypt': comes({ changeCrypt: () => undefined }),
  'info signature wrong': comes({ changeCrypt: signature(new Uint8Array(64)) }),
  'info signature missing': comes({ changeCrypt: signature(new Uint8Array(0)) }),
  // The recorded encoder left a 0 out; to a decoder both are the same.
  'cert key_type absent': comes({ certificate: { keyType: 0 } }),
  'cert key_type 0': comes({ certificate: { keyType: 0 } }),
  'cert key 31 bytes': comes({ certificate: { key: new Uint8Array(31).fill(7) } }),
  'app_ids empty, str identity, unsigned': comes({ certificate: { appIds: [] } }),
  'app_ids [0,5]': comes({ certificate: { appIds: [0, 5] } }),
  'app_ids [5]': comes({ certificate: { appIds: [5] } }),
  'anonymous ip:::1, app_ids empty': comes({ certificate: { ...anonymous, appIds: [] } }),
  'anonymous ip:127.0.0.1': comes(inCertificate('ip:127.0.0.1')),
  'no identity at all, app_ids [0]': comes({ certificate: nobody }),
  'no identity at all, app_ids empty': comes({ certificate: { ...nobody, appIds: [] } }),
  'identity ip:9.8.7.6 in cert': comes(inCertificate('ip:9.8.7.6')),
  'identity ip:9.8.7.6 only in ConnectRequest': comes({ certificate: nobody, ...named('ip:9.8.7.6') }),
  'identity str:x only in ConnectRequest': comes({ certificate: nobody, ...named('str:x') }),
  'identity in cert and another in ConnectRequest': comes(named('str:other')),
  'unparsable identity "foo"': comes(inCertificate('foo')),
  'unknown-type identity "zz9:hello"': comes(inCertificate('zz9:hello')),
  'identity "" (empty string)': comes(inCertificate('')),
  'identity str: with 31 bytes': comes(inCertificate(`str:${'a'.repeat(31)}`)),
  'identity str: with 32 bytes': comes(inCertificate(`str:${'a'.repeat(32)}`)),
  'identity str: empty text': comes(inCertificate('str:')),
  'identity gen: 32 bytes': comes(inCertificate(`gen:${'ab'.repeat(32)}`)),
  'identity gen: 33 bytes': comes(inCertificate(`gen:${'ab'.repeat(33)}`)),
  'identity gen: odd digits': comes(inCertificate('gen:abc')),
  'identity gen: upper case': comes(inCertificate('gen:ABCD')),
  'identity steamid valid': comes({ certificate: { identity: writeIdentity(Identity.steamId(76561197960265729n)) } }),
  'identity steamid:0': comes(inCertificate('steamid:0')),
  'identity "invalid"': comes(inCertificate('invalid')),
  'ChallengeRequest version 8, crypt version 13': (stage) => {
    const challenge = stage.peer.askChallenge({ protocolVersion: 8 });
    return stage.ask(stage.peer.connectRequest(challenge));
  },
  'ciphers [] (means AES)': comes({ ciphers: [] }),
  'ciphers [1]': comes({ ciphers: [1] }),
  'ciphers [1,2]': comes({ ciphers: [1, 2] }),
  'ciphers [2,1]': comes({ ciphers: [2, 1] }),
  'ciphers [77,2] (unknown value)': comes({ ciphers: [], infoTail: hex('28 4d 28 02') }),
  'ciphers [77]': comes({ ciphers: [], infoTail: hex('28 4d') }),
  'ciphers packed [2]': comes({ ciphers: [], infoTail: hex('2a 01 02') }),
  'key exchange type 0': comes({ exchangeKeyType: 0 }),
  'X25519 key 31 bytes': comes({ exchangeKey: new Uint8Array(31).fill(7) }),
  'X25519 key all zero (low order)': comes({ exchangeKey: new Uint8Array(32) }),
  'ca_key_id and signature by an unknown CA, policy allow': comes(signed({}, strangerKey)),
  'ping_est_ms 40': comes({}, { pingEstimateMs: 40 }),
  'ping_est_ms 5000 (ignored)': comes({}, { pingEstimateMs: 5000 }),
  'two clients may share an identity': comes({ id: 0x0101_0101 }),
  'existing connection': comes(),
  'ConnectionClosed with only `from`': comes(),
  'ConnectionClosed with no ids': comes(),
};

// ---- certificates that an authority signed

function signed(fields: Partial<Certificate> = {}, by: SigningKey = caKey): PeerOptions {
  const dates = { timeCreatedS: BENCH_UNIX_TIME_S - 100, timeExpiryS: BENCH_UNIX_TIME_S + 100 };
  return { sign: (certificate) => signCertificate(nodeCrypto, by, { ...certificate, ...dates, ...fields }) };
}

function damaged(change: object): PeerOptions {
  return { sign: (certificate) => ({ ...signed().sign!(certificate)!, ...change }) };
}

const SIGNED_CLIENTS: Readonly<Record<string, Probe>> = {
  'unsigned cert': comes(),
  'CA-signed, str identity, app 0': comes(signed()),
  'signature altered': comes(damaged({ caSignature: new Uint8Array(64).fill(3) })),
  'signature 60 bytes': comes(damaged({ caSignature: new Uint8Array(60).fill(3) })),
  'unknown ca_key_id': comes(signed({}, strangerKey)),
  'ca_key_id 0': comes(damaged({ caKeyId: 0n })),
  expired: comes(signed({ timeExpiryS: BENCH_UNIX_TIME_S - 1 })),
  'no expiry': comes(signed({ timeExpiryS: undefined })),
  'created in the future': comes(signed({ timeCreatedS: BENCH_UNIX_TIME_S + 50 })),
  'expiry beyond CA expiry': comes(signed({ timeExpiryS: 0xffff_ffff })),
  'app_ids empty, identity str': comes(signed({ appIds: [] })),
  'app_ids [5]': comes(signed({ appIds: [5] })),
  'signed without identity': comes(signed(nobody)),
  'signed ip:::1': comes(signed(anonymous)),
  'private_key_data present': comesWithPrivateKey,
  'ip_addresses restriction 9.9.9.9 (not checked)': comes(signed({ ipAddresses: ['9.9.9.9'] })),
};

/** No encoder of ours writes this field, so it is put behind the others by hand. */
function comesWithPrivateKey(stage: Stage): string {
  const peer = stage.newPeer(signed());
  const out = new Uint8Array(1300);
  const request = peer.connectRequest(peer.askChallenge(), { cert: undefined });
  const end = encodeControlPacket(request, out);
  const envelope = Uint8Array.of(...hex('0a 20', '99'.repeat(32)), ...encodeSignedCertificate(peer.cert!));
  const { length } = envelope;
  peer.sendBytes(Uint8Array.of(...out.slice(0, end), 0x22, (length & 0x7f) | 0x80, length >> 7, ...envelope));
  return peer.takeControl().some(({ kind }) => kind === 'connectOk') ? 'connected' : 'no reply';
}

// ---- what a case is continued with

const SAME_PLACE_NEW_ID = 0x7777_7777;
const isReplied = (replies: readonly string[]) => replies.length > 0 && replies.every((kind) => kind === 'data');

const CONTINUATIONS: Readonly<Record<string, Probe>> = {
  '… second one, other client id': comes({ id: 0x0202_0202 }),
  '… third one with the id of the first': comes({ id: 0x0101_0101 }),
  '… fields of that ConnectionClosed': ({ answer }) =>
    answer?.kind === 'connectionClosed' && answer.toConnectionId === 0x0101_0101 && answer.fromConnectionId === 0
      ? { reason_code: answer.reason, to_connection_id: 'client id' }
      : answer,
  '… same client id, other identity': comes({ id: 0x0101_0101, ...inCertificate('str:somebody else') }),
  '… server cipher list': ({ ok }) => decodeCryptInfo(ok.crypt!.info)!.ciphers,
  '  chosen': ({ ok }) => decodeCryptInfo(ok.crypt!.info)!.ciphers,
  '  NULL cipher: chunk of 1293 bytes accepted': (stage) =>
    stage.delivers(Uint8Array.of(...hex('27 0100'), ...new Uint8Array(1290)), 2),
  '  NULL cipher: chunk of 1405 bytes': (stage) =>
    stage.delivers(Uint8Array.of(...hex('2f 0200 00'), ...new Uint8Array(1401)), 3),

  'duplicate ConnectRequest → ConnectOK again': (stage) => {
    stage.bench.advance(100_000);
    stage.peer.take();
    stage.peer.send(stage.request!);
    const packets = stage.peer.takeControl();
    [stage.again] = packets;
    return packets.filter(({ kind }) => kind === 'connectOk').length;
  },
  '  same crypt and cert bytes': ({ ok, again }) => {
    if (again?.kind !== 'connectOk') return again;
    const isSameCrypt = toHex(again.crypt!.info) + toHex(again.crypt!.signature);
    return [
      isSameCrypt === toHex(ok.crypt!.info) + toHex(ok.crypt!.signature),
      toHex(again.cert!.cert) === toHex(ok.cert!.cert),
      again.serverConnectionId === ok.serverConnectionId,
    ];
  },
  '  your_timestamp unchanged, delay larger': ({ ok, again }) =>
    again?.kind === 'connectOk' && [again.echoedTimestamp === ok.echoedTimestamp, again.delayUs > ok.delayUs],
  'ChallengeRequest on a connected connection → ConnectOK again, no ChallengeReply': (stage) => {
    const replies = stage.replies(stage.peer.challengeRequest());
    return [replies.length, replies.filter((kind) => kind === 'ConnectOK').length];
  },
  'ChallengeRequest with another id from the same address → nothing': (stage) =>
    stage.replies(stage.peer.challengeRequest({ connectionId: SAME_PLACE_NEW_ID })).length,
  'ConnectRequest repeated after > 4 s: ConnectOK without your_timestamp/delay': (stage) => {
    stage.bench.advance(4_000_000);
    stage.peer.take();
    stage.peer.send(stage.request!);
    const again = stage.peer.takeControl().filter((packet) => packet.kind === 'connectOk');
    return [again.length, again[0]!.echoedTimestamp ?? null, again[0]!.delayUs || null];
  },
  'ConnectionClosed with wrong `to` (right from): replied, not closed': (stage) => stage.replies(strayClose(stage)),
  'same again within 250 ms: reply suppressed': (stage) => stage.replies(strayClose(stage)),
  'data with wrong recipient id: NoConnection fields': (stage) => {
    stage.bench.advance(300_000);
    stage.peer.take();
    stage.peer.sendData(MESSAGE, { to: 0x1111_2222 });
    return stage.peer.take().map(({ bytes }) => describeReply(bytes));
  },
  'NoConnection lacking or with a wrong id: ignored, still answering': (stage) => {
    const { peer, ok } = stage;
    const [to, from] = [ok.serverConnectionId, peer.id];
    for (const [toConnectionId, fromConnectionId] of [
      [to, 0],
      [0, from],
      [to, 5],
      [5, from],
    ] as const) {
      peer.send({ kind: 'noConnection', toConnectionId, fromConnectionId });
    }
    return isReplied(repliesToData(stage));
  },
  'NoConnection with both ids: connection closed (state change to ClosedByPeer 5010), then app close sends': (
    stage,
  ) => {
    const { peer, connection } = stage;
    const replies = stage.replies({
      kind: 'noConnection',
      toConnectionId: peer.remoteId,
      fromConnectionId: peer.id,
    });
    return [replies, connection.info.endReason === 5010];
  },
  'data after that (FinWait, wire state ClosedByPeer)': repliesToData,
  '  → closed': (stage) => {
    const { peer, connection } = stage;
    const replies = stage.replies({
      kind: 'connectionClosed',
      toConnectionId: 0,
      fromConnectionId: peer.id,
      reason: 1234,
      debug: '',
    });
    return [replies, connection.info.endReason === 1234];
  },
  '  ChallengeRequest in FinWait': (stage) => stage.replies(stage.peer.challengeRequest()),
  '  ChallengeRequest with new id from the same port in FinWait: ignored': (stage) =>
    stage.replies(stage.peer.challengeRequest({ connectionId: SAME_PLACE_NEW_ID })),
  '  same after 5.1 s': (stage) => {
    stage.bench.advance(5_100_000);
    return stage.replies(stage.peer.challengeRequest({ connectionId: SAME_PLACE_NEW_ID }));
  },
  '  → not closed': (stage) => {
    const replies = stage.repliesWithFields(closedBy('18 01'));
    return [replies, isReplied(repliesToData(stage))];
  },
};

function strayClose({ peer }: Stage): ControlPacket {
  return { kind: 'connectionClosed', toConnectionId: 99, fromConnectionId: peer.id, reason: 1234, debug: '' };
}

function repliesToData({ peer }: Stage): readonly string[] {
  peer.take();
  peer.sendData(new Uint8Array(0), { blob: REPLY_NOW_BLOB });
  return peer.take().map(({ bytes }) => describeReply(bytes)[0]);
}

/** Names that hold a value. */
const PATTERNS: readonly (readonly [RegExp, (...values: readonly string[]) => Probe])[] = [
  [/^crypt protocol_version (\d+)$/, (version) => comes({ protocolVersion: Number(version) })],
  [/^ {2}version \d+: first data packet number (\d) accepted$/, (n) => (stage) => stage.delivers(MESSAGE, Number(n))],
  [/^ {2}version \d+: first server packet number$/, () => (stage) => stage.firstServerPacketNumber()],
  [/^server list .*, client list \[(.*)\]$/, (list) => comes({ ciphers: list!.split(',').map(Number) })],
];

function probeOf(setup: string, name: string): Probe {
  const probes = setup.startsWith('private CA') ? SIGNED_CLIENTS : { ...STRANGERS, ...CLIENTS, ...CONTINUATIONS };
  if (probes[name] !== undefined) return probes[name];
  for (const [pattern, make] of PATTERNS) {
    const match = pattern.exec(name);
    if (match !== null) return make(...match.slice(1));
  }
  throw new Error(`no probe for the recorded case "${name}"`);
}

const rows = loadBehaviour('server');

/** A row is continued by those behind it that are named as continuations. */
function stories(): readonly (readonly BehaviourCase[])[] {
  const all: BehaviourCase[][] = [];
  for (const row of rows) {
    const isContinued = row[1] in CONTINUATIONS || /^[ …]/.test(row[1]);
    if (isContinued) all.at(-1)!.push(row);
    else all.push([row]);
  }
  return all;
}

describe(`crafted datagrams to a server: ${rows.length} observations of GNS`, () => {
  for (const story of stories()) {
    const [setup, head] = story[0]!;
    it(`${head} (${setup})${story.length > 1 ? `, and ${story.length - 1} more of it` : ''}`, () => {
      const stage = new Stage(setup);
      for (const [, name, observed] of story) {
        const expected = DEVIATIONS[name]?.ours ?? observed;
        expect(probeOf(setup, name)(stage), name).to.deep.equal(expected);
      }
    });
  }
});

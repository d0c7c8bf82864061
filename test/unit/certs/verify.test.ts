// What a peer must show us. Crafted peers meet the verdict that the reference gave in the recorded behaviour.
import { expect } from 'chai';
import { IpAddress } from '../../../src/core/base/address.ts';
import { Identity } from '../../../src/core/base/identity.ts';
import { describeKey, makeCryptInfo, signCertificate } from '../../../src/core/certs/certificate.ts';
import { TrustStore } from '../../../src/core/certs/trust-store.ts';
import { type UnsignedPolicy, type VerifyResult, verifyPeer } from '../../../src/core/certs/verify.ts';
import type { SigningKey } from '../../../src/core/platform.ts';
import {
  type Certificate,
  Cipher,
  decodeSignedCertificate,
  encodeCertificate,
  encodeCryptInfo,
  encodeSignedCertificate,
  type SignedCertificate,
  type SignedCryptInfo,
} from '../../../src/core/wire/crypt-messages.ts';
import { NO_IDENTITY_FIELDS, writeIdentity } from '../../../src/core/wire/identity-fields.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { hex, toHex } from '../../support/hex.ts';
import { loadBehaviour, loadHandshake } from '../../vectors/handshake/load.ts';

const NOW_S = 1_800_000_000;
const APP_ID = 0;
const caKey = nodeCrypto.signingKey(loadHandshake('ca-signed').ca!.seed);
const strangerKey = nodeCrypto.signingKey(new Uint8Array(32).fill(9));
const peerKey = nodeCrypto.signingKey(new Uint8Array(32).fill(1));
const exchangeKey = nodeCrypto.exchangeKey(new Uint8Array(32).fill(2));
const SEEN_AT = Identity.ip(IpAddress.fromNet({ address: '127.0.0.1', port: 1234 }));

interface Peer {
  readonly cert?: SignedCertificate | undefined;
  readonly crypt?: SignedCryptInfo | undefined;
  readonly identity?: Identity;
  readonly announcedVersion?: number;
}

const PEER: Certificate = {
  ...describeKey(peerKey.publicKey),
  timeCreatedS: NOW_S - 100,
  timeExpiryS: NOW_S + 100,
  appIds: [APP_ID],
  identity: writeIdentity(Identity.string('srv')),
};

function signed(fields: Partial<Certificate> = {}, by: SigningKey = caKey): SignedCertificate {
  return signCertificate(nodeCrypto, by, { ...PEER, ...fields });
}

function unsigned(fields: Partial<Certificate> = {}): SignedCertificate {
  return { cert: encodeCertificate({ ...PEER, ...fields }), caKeyId: undefined, caSignature: undefined };
}

function crypt(fields: { protocolVersion?: number; ciphers?: readonly Cipher[] } = {}): SignedCryptInfo {
  const parameters = { nonce: 1n, protocolVersion: 13, ciphers: [Cipher.Aes256Gcm], ...fields };
  return makeCryptInfo(peerKey, exchangeKey, parameters);
}

function verify(peer: Peer, policy: UnsignedPolicy): VerifyResult {
  const {
    cert,
    crypt: info,
    identity: identityOutside,
    announcedVersion,
  } = { cert: unsigned(), crypt: crypt(), ...peer };
  const trust = new TrustStore(nodeCrypto);
  trust.addRootKey(caKey.publicKey);
  const options = { crypto: nodeCrypto, trust, policy, localAppId: APP_ID, announcedVersion, nowS: NOW_S };
  return verifyPeer(cert, info, { ...options, peerIdentity: identityOutside ?? Identity.string('srv') });
}

const STEAM_ACCOUNT_ANONYMOUS_SERVER = (4n << 52n) | (1n << 56n) | 7n;
const anonymous = { identity: writeIdentity(Identity.localHost) };
const nobody = { identity: NO_IDENTITY_FIELDS };

/** The crafted peers of the recorded behaviour, by the name of the case. */
const PEERS: Readonly<Record<string, Peer>> = {
  // Signed, or not.
  'unsigned cert': { cert: unsigned() },
  unsigned: { cert: unsigned() },
  'CA-signed, str identity, app 0': { cert: signed() },
  'signed ok': { cert: signed() },
  'signature altered': { cert: { ...signed(), caSignature: new Uint8Array(64).fill(3) } },
  'signature 60 bytes': { cert: { ...signed(), caSignature: signed().caSignature!.subarray(0, 60) } },
  'unknown ca_key_id': { cert: signed({}, strangerKey) },
  'unknown ca': { cert: signed({}, strangerKey) },
  'ca_key_id and signature by an unknown CA, policy allow': { cert: signed({}, strangerKey) },
  'CA-signed by unknown key, policy allow': { cert: signed({}, strangerKey) },
  'ca_key_id 0': { cert: { ...signed(), caKeyId: 0n } },
  expired: { cert: signed({ timeExpiryS: NOW_S - 1 }) },
  'no expiry': { cert: signed({ timeExpiryS: undefined }) },
  'created in the future': { cert: signed({ timeCreatedS: NOW_S + 50 }) },
  'expiry beyond CA expiry': { cert: signed({ timeExpiryS: 4_294_967_295 }) },
  'private_key_data present': {
    cert: decodeSignedCertificate(hex('0a 01 99', toHex(encodeSignedCertificate(signed())))),
  },
  'identity str:other in message only': { cert: signed() },
  'ip_addresses restriction 9.9.9.9 (not checked)': { cert: signed({ ipAddresses: ['9.9.9.9'] }) },
  // Applications and identities of signed certificates.
  'app_ids empty, identity str': { cert: signed({ appIds: [] }) },
  'app_ids empty': { cert: signed({ appIds: [] }) },
  'app_ids [5]': { cert: signed({ appIds: [5] }) },
  'signed without identity': { cert: signed(nobody), identity: SEEN_AT },
  'no identity': { cert: signed(nobody), identity: SEEN_AT },
  'signed ip:::1': { cert: signed(anonymous), identity: SEEN_AT },
  // Applications and identities of unsigned ones.
  'app_ids empty, str identity, unsigned': { cert: unsigned({ appIds: [] }) },
  'app_ids empty with str identity': { cert: unsigned({ appIds: [] }) },
  'app_ids [0,5]': { cert: unsigned({ appIds: [0, 5] }) },
  'anonymous ip:::1, app_ids empty': { cert: unsigned({ ...anonymous, appIds: [] }), identity: SEEN_AT },
  'no identity at all, app_ids [0]': { cert: unsigned(nobody), identity: SEEN_AT },
  'no identity at all, app_ids empty': { cert: unsigned({ ...nobody, appIds: [] }), identity: SEEN_AT },
  'identity absent': { cert: unsigned(nobody), identity: SEEN_AT },
  'identity absent, app_ids empty': { cert: unsigned({ ...nobody, appIds: [] }), identity: SEEN_AT },
  // The key of the certificate, and what it signs.
  'no cert': { cert: undefined },
  'no crypt': { crypt: undefined },
  'cert key_type absent': { cert: unsigned({ keyType: 0 }) },
  'cert key_type 0': { cert: unsigned({ keyType: 0 }) },
  'cert key 31 bytes': { cert: unsigned({ key: peerKey.publicKey.subarray(0, 31) }) },
  'signature wrong': { crypt: { ...crypt(), signature: new Uint8Array(64) } },
  'info signature wrong': { crypt: { ...crypt(), signature: new Uint8Array(64) } },
  'signature missing': { crypt: { ...crypt(), signature: hex() } },
  'info signature missing': { crypt: { ...crypt(), signature: hex() } },
  // Protocol versions.
  'crypt protocol_version 7': { crypt: crypt({ protocolVersion: 7 }) },
  'crypt protocol_version 8': { crypt: crypt({ protocolVersion: 8 }) },
  'crypt protocol_version 1000': { crypt: crypt({ protocolVersion: 1000 }) },
  'ChallengeReply version 8 and crypt version 8': { crypt: crypt({ protocolVersion: 8 }), announcedVersion: 8 },
  'ChallengeReply 13, crypt 12': { crypt: crypt({ protocolVersion: 12 }), announcedVersion: 13 },
  'ChallengeReply 14, crypt 14': { crypt: crypt({ protocolVersion: 14 }), announcedVersion: 14 },
  'ChallengeReply 13, crypt 7': { crypt: crypt({ protocolVersion: 7 }), announcedVersion: 13 },
};

const POLICY_OF: Readonly<Record<string, UnsignedPolicy>> = {
  'default options': 'allow',
  'private CA trusted, unsigned certificates disallowed': 'disallow',
  'private CA trusted, unsigned certificates allowed with warning': 'warn',
};

describe('verifying a peer', () => {
  for (const { setup, name, peer, policy, observed } of recordedCases('server')) {
    it(`decides like a server (${setup}): ${name}`, () => {
      expect(verify(peer, policy).ok).to.equal(observed === 'connected');
    });
  }

  for (const { setup, name, peer, policy, observed } of recordedCases('client')) {
    it(`decides like a client (${setup}): ${name}`, () => {
      const { state, reason } = observed as { state: number; reason: number };
      const result = verify(peer, policy);
      expect(result.ok).to.equal(state === 3);
      // Without a reason the reference dropped the packet before it looked at the certificate.
      if (!result.ok && reason !== 0) expect(result.reason).to.equal(reason);
    });
  }

  it('says whether an authority vouches for the certificate', () => {
    expect(verify({ cert: signed() }, 'allow')).to.include({ ok: true, caSigned: true });
    expect(verify({ cert: unsigned() }, 'allow')).to.include({ ok: true, caSigned: false });
    expect(verify({ cert: signed({}, strangerKey) }, 'warn')).to.include({ ok: true, caSigned: false });
  });

  it('takes no ciphers for the usual one, and drops unknown ones', () => {
    const none = verify({ crypt: crypt({ ciphers: [] }) }, 'allow');
    expect(none.ok && none.cryptInfo.ciphers).to.deep.equal([Cipher.Aes256Gcm]);
    const info = Uint8Array.of(...encodeCryptInfo({ ...PEER, nonce: 1n, protocolVersion: 13, ciphers: [] }), 0x28, 77);
    const unknown = verify({ crypt: { info, signature: peerKey.sign(info) } }, 'allow');
    expect(unknown.ok && unknown.cryptInfo.ciphers).to.deep.equal([Cipher.Aes256Gcm]);
  });

  it('refuses a certificate for somebody else', () => {
    expect(verify({ cert: signed(), identity: Identity.string('other') }, 'allow')).to.include({ reason: 4003 });
  });

  it('refuses an identity that does not parse', () => {
    const cert = unsigned({ identity: { ...NO_IDENTITY_FIELDS, identityString: 'foo' } });
    expect(verify({ cert }, 'allow')).to.include({ reason: 4003 });
  });

  it('refuses certificates and key exchanges that do not parse', () => {
    const cert = { ...unsigned(), cert: hex('ff') };
    expect(verify({ cert }, 'allow')).to.include({ reason: 4002 });
    expect(verify({ cert: { ...signed(), cert: hex('ff') } }, 'disallow')).to.include({ reason: 4003 });
    const info = hex('ff');
    expect(verify({ crypt: { info, signature: peerKey.sign(info) } }, 'allow')).to.include({ reason: 4002 });
  });

  it('lets anonymous game servers in a data center go without a name', () => {
    const identity = Identity.steamId(STEAM_ACCOUNT_ANONYMOUS_SERVER);
    const inDatacenter = signed({ ...nobody, datacenterIds: [1] });
    expect(verify({ cert: inDatacenter, identity }, 'disallow')).to.include({ ok: true });
    expect(verify({ cert: signed(nobody), identity }, 'disallow')).to.include({ reason: 4003 });
    expect(verify({ cert: inDatacenter, identity: Identity.string('a') }, 'disallow')).to.include({ reason: 4003 });
  });

  it('refuses what the authority may not sign', () => {
    const trust = new TrustStore(nodeCrypto);
    const scope = { ...describeKey(caKey.publicKey), timeExpiryS: NOW_S, appIds: [5] };
    trust.addRootCertificate(signCertificate(nodeCrypto, caKey, scope));
    const options = {
      crypto: nodeCrypto,
      trust,
      announcedVersion: 13,
      nowS: NOW_S,
      peerIdentity: Identity.string('srv'),
    };
    const ofApp = (localAppId: number) =>
      verifyPeer(signed({ appIds: [5, 6] }), crypt(), { ...options, policy: 'disallow', localAppId });
    expect(ofApp(5)).to.include({ ok: true });
    expect(ofApp(6)).to.include({ reason: 4003 });
  });
});

/** All that are about authentication, and those of the others that are about what `verifyPeer` looks at. */
function recordedCases(role: 'server' | 'client') {
  return loadBehaviour(role).flatMap(([setup, name, observed]) => {
    const policy = POLICY_OF[setup];
    if (!policy || (policy === 'allow' && !PEERS[name])) return [];
    // The default setup has no authority: there, the case of this name is about an unsigned certificate.
    const isUnsigned = policy === 'allow' && name === 'app_ids [5]';
    const peer = isUnsigned ? { cert: unsigned({ appIds: [5] }) } : PEERS[name];
    if (!peer) throw new Error(`no peer is crafted for the recorded case "${name}"`);
    return [{ setup, name, peer, policy, observed }];
  });
}

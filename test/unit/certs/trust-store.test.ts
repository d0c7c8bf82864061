// Which authorities are trusted: chains to a root, what is left of their scope, revocation, expiry.
import { expect } from 'chai';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { Identity } from '../../../src/core/base/identity.ts';
import { describeKey, keyId, signCertificate } from '../../../src/core/certs/certificate.ts';
import { coversApp, type TrustResult, TrustStore } from '../../../src/core/certs/trust-store.ts';
import type { SigningKey } from '../../../src/core/platform.ts';
import {
  type Certificate,
  decodeCertificate,
  decodeSignedCertificate,
  type SignedCertificate,
} from '../../../src/core/wire/crypt-messages.ts';
import { writeIdentity } from '../../../src/core/wire/identity-fields.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { loadHandshake } from '../../vectors/handshake/load.ts';

const NOW_S = 1_800_000_000;
const LATER_S = NOW_S + 1000;
const root = key(1);
const region = key(2);
const studio = key(3);
const player = key(4);

function key(seed: number): SigningKey {
  return nodeCrypto.signingKey(new Uint8Array(32).fill(seed));
}

/** A certificate for `subject`, by default without limits but for its expiry. */
function issue(signer: SigningKey, subject: SigningKey, fields: Partial<Certificate> = {}): SignedCertificate {
  return signCertificate(nodeCrypto, signer, { ...describeKey(subject.publicKey), timeExpiryS: LATER_S, ...fields });
}

function storeOf(...certificates: readonly SignedCertificate[]): TrustStore {
  const store = new TrustStore(nodeCrypto);
  store.addRootKey(root.publicKey);
  for (const certificate of certificates) store.addCertificate(certificate);
  return store;
}

function check(store: TrustStore, signed: SignedCertificate, nowS = NOW_S): TrustResult {
  return store.check(signed, decodeCertificate(signed.cert)!, nowS);
}

describe('a trust store', () => {
  it('trusts what a root key signed', () => {
    expect(check(storeOf(), issue(root, player))).to.deep.equal({
      ok: true,
      scope: { appIds: 'all', datacenterIds: 'all', expiryS: Number.POSITIVE_INFINITY },
    });
  });

  it('trusts recorded certificates, by the key of the authority or by its own certificate', () => {
    const { ca, packets } = loadHandshake('ca-signed');
    const withKey = new TrustStore(nodeCrypto);
    withKey.addRootKey(ca!.publicKey);
    const withCertificate = new TrustStore(nodeCrypto);
    withCertificate.addRootCertificate(decodeSignedCertificate(ca!.rootCertificate)!);
    const certs = packets.flatMap(({ fields: { cert } }) => (cert ? [recordedCertificate(cert)] : []));
    expect(certs).to.have.length(2);
    for (const cert of certs) {
      expect(check(withKey, cert)).to.include({ ok: true });
      expect(check(withCertificate, cert)).to.include({ ok: true });
      expect(check(storeOf(), cert)).to.include({ ok: false });
    }
  });

  it('follows a chain, whose certificates came in any order', () => {
    const chain = [issue(region, studio), issue(root, region)];
    expect(check(storeOf(...chain), issue(studio, player))).to.include({ ok: true });
    expect(check(storeOf(...chain.reverse()), issue(studio, player))).to.include({ ok: true });
  });

  it('does not trust a chain with a gap, a loop, or a forged link', () => {
    const leaf = issue(studio, player);
    const forged = { ...issue(region, studio), caSignature: new Uint8Array(64) };
    expect(check(storeOf(issue(region, studio)), leaf)).to.include({ ok: false });
    expect(check(storeOf(issue(region, studio), issue(studio, region)), leaf)).to.include({ ok: false });
    expect(check(storeOf(issue(root, region), forged), leaf)).to.include({ ok: false });
  });

  it('notices what is added after it was asked', () => {
    const store = storeOf();
    expect(check(store, issue(region, player))).to.include({ ok: false });
    store.addCertificate(issue(root, region));
    expect(check(store, issue(region, player))).to.include({ ok: true });
  });

  it('allows only what every link allows', () => {
    const result = check(
      storeOf(
        issue(root, region, { appIds: [1, 2, 3], datacenterIds: [7] }),
        issue(region, studio, { appIds: [2, 3, 4] }),
      ),
      issue(studio, player),
    );
    if (!result.ok) throw new Error(result.detail);
    expect(result.scope).to.deep.include({ datacenterIds: new Set([7]), expiryS: LATER_S });
    expect([1, 2, 3, 4].filter((app) => coversApp(result.scope, app))).to.deep.equal([2, 3]);
  });

  it('does not trust an authority that is left with no application or no data center', () => {
    const link = issue(root, region, { appIds: [1], datacenterIds: [1] });
    for (const fields of [{ appIds: [2] }, { datacenterIds: [2] }]) {
      expect(check(storeOf(link, issue(region, studio, fields)), issue(studio, player))).to.include({ ok: false });
    }
  });

  it('uses the newest valid certificate of an authority', () => {
    const older = issue(root, region, { timeCreatedS: 1, appIds: [1] });
    const newer = issue(root, region, { timeCreatedS: 2, appIds: [2] });
    const newestButForged = issue(studio, region, { timeCreatedS: 3, appIds: [3] });
    const result = check(storeOf(newer, older, newestButForged), issue(region, player));
    expect(result).to.deep.include({
      ok: true,
      scope: { appIds: new Set([2]), datacenterIds: 'all', expiryS: LATER_S },
    });
  });

  it('looks at the expiry of the certificate and of every authority', () => {
    const store = storeOf(issue(root, region, { timeExpiryS: NOW_S }));
    const expiry = (timeExpiryS: number | undefined) => issue(region, player, { timeExpiryS });
    expect(check(store, expiry(NOW_S), NOW_S)).to.include({ ok: true });
    expect(check(store, expiry(NOW_S - 1), NOW_S)).to.include({ ok: false });
    expect(check(store, expiry(undefined), NOW_S)).to.include({ ok: false });
    expect(check(store, expiry(LATER_S), NOW_S + 1)).to.include({ ok: false });
  });

  it('never trusts a revoked key, in any place', () => {
    for (const revoked of [root, region, player]) {
      const store = storeOf(issue(root, region));
      store.revoke(keyId(nodeCrypto, revoked.publicKey));
      expect(check(store, issue(region, player))).to.include({ ok: false });
    }
  });

  it('trusts a self-signed certificate only as a root, and within its limits', () => {
    const selfSigned = issue(studio, studio, { appIds: [5] });
    expect(check(storeOf(selfSigned), issue(studio, player))).to.include({ ok: false });
    const store = storeOf(selfSigned);
    store.addRootCertificate(selfSigned);
    const result = check(store, issue(studio, player));
    expect(result.ok && coversApp(result.scope, 5) && !coversApp(result.scope, 6)).to.equal(true);
  });

  it('refuses certificates that cannot act as an authority', () => {
    const unfit: readonly (readonly [string, SignedCertificate])[] = [
      ['identity', issue(root, region, { identity: writeIdentity(Identity.string('a')) })],
      ['addresses', issue(root, region, { ipAddresses: ['1.2.3.4'] })],
      ['expiry', issue(root, region, { timeExpiryS: undefined })],
      ['key', issue(root, region, { keyType: 2 })],
      ['not signed', { ...issue(root, region), caSignature: undefined }],
      ['parse', { ...issue(root, region), cert: Uint8Array.of(0xff) }],
    ];
    for (const [why, certificate] of unfit) {
      expect(() => storeOf(certificate)).to.throw(NetworkingError, why);
    }
    const store = storeOf();
    expect(() => store.addRootCertificate(issue(root, region))).to.throw(NetworkingError, 'own key');
    expect(() => store.addRootKey(new Uint8Array(31))).to.throw(NetworkingError, '31');
  });
});

function recordedCertificate(fields: unknown): SignedCertificate {
  const { cert, ca_key_id: id, ca_signature: signature } = fields as Record<string, string>;
  const bytes = (digits: string | undefined) => Uint8Array.from(Buffer.from(digits ?? '', 'hex'));
  return { cert: bytes(cert), caKeyId: BigInt(id ?? 0), caSignature: bytes(signature) };
}

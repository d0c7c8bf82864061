// Identities: which text is one, what the builders refuse, what goes into the legacy message.
import { expect } from 'chai';
import fc from 'fast-check';
import { IpAddress } from '../../../src/core/base/address.ts';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { Identity, isSteamIdSerializable, isValidSteamId } from '../../../src/core/base/identity.ts';

const { SEED } = process.env;
const seed = SEED === undefined ? {} : { seed: Number(SEED) };

function steamId(fields: { account?: number; instance?: number; type: number; universe?: number }): bigint {
  const { account = 1, instance = 1, type, universe = 1 } = fields;
  return BigInt(account) | (BigInt(instance) << 32n) | (BigInt(type) << 52n) | (BigInt(universe) << 56n);
}

const INDIVIDUAL = 76_561_197_960_265_729n;

describe('Identity', () => {
  const readable = [
    { text: `steamid:${INDIVIDUAL}`, kind: 'steamid', type: 16 },
    { text: `xboxpwid:${'x'.repeat(32)}`, kind: 'xboxpwid', type: 17 },
    { text: 'psn:18446744073709551615', kind: 'psn', type: 18 },
    { text: 'psn:0', kind: 'psn', type: 18 },
    { text: 'ip:1.2.3.4', kind: 'ip', type: 1 },
    { text: 'ip:1.2.3.4:80', kind: 'ip', type: 1 },
    { text: 'ip:::1', kind: 'ip', type: 1 },
    { text: 'ip:[2001:db8::1]:80', kind: 'ip', type: 1 },
    { text: 'str:', kind: 'str', type: 2 },
    { text: 'str:Ünïcode: with spaces', kind: 'str', type: 2 },
    { text: `str:${'é'.repeat(15)}x`, kind: 'str', type: 2 },
    { text: 'gen:00', kind: 'gen', type: 3 },
    { text: `gen:${'0f'.repeat(32)}`, kind: 'gen', type: 3 },
    { text: 'fancy_4:any thing', kind: 'unknown', type: 4 },
    { text: `a234567890123456:${'x'.repeat(110)}`, kind: 'unknown', type: 4 },
  ] as const;
  for (const { text, kind, type } of readable) {
    it(`reads ${text} and prints the same`, () => {
      const identity = Identity.parse(text);
      expect(identity).to.include({ kind, type, isValid: true });
      expect(String(identity)).to.equal(text);
    });
  }

  it('prints the canonical form of an address and of bytes', () => {
    expect(String(Identity.parse('ip:[::FFFF:1.2.3.4]:0'))).to.equal('ip:1.2.3.4');
    expect(String(Identity.parse('gen:0AfF'))).to.equal('gen:0aff');
  });

  const refused = [
    '',
    'invalid',
    'no colon',
    ':x',
    'Upper:x',
    'a b:x',
    'a2345678901234567:x',
    `x:${'x'.repeat(126)}`,
    'steamid:',
    'steamid:0',
    `steamid:0${INDIVIDUAL}`,
    `steamid: ${INDIVIDUAL}`,
    `steamid:${INDIVIDUAL}x`,
    'steamid:18446744073709551616',
    'psn:18446744073709551616',
    'psn:-1',
    'psn:0x10',
    'xboxpwid:',
    `xboxpwid:${'x'.repeat(33)}`,
    'ip:',
    'ip:1.2.3',
    'ip:1.2.3.4x',
    `str:${'x'.repeat(32)}`,
    `str:${'é'.repeat(16)}`,
    'str:a\0b',
    'str:\ud800',
    'gen:',
    'gen:0',
    'gen:0g',
    `gen:${'00'.repeat(33)}`,
  ];
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
      expect(Identity.parse(text)).to.equal(undefined);
    });
  }

  it('gives back what it was built from', () => {
    expect(Identity.string('bob').genericString).to.equal('bob');
    expect(Identity.bytes(Uint8Array.of(0, 255)).genericBytes).to.deep.equal(Uint8Array.of(0, 255));
    expect(Identity.steamId(INDIVIDUAL).steamId64).to.equal(INDIVIDUAL);
    expect(Identity.xbox('pw').xboxPairwiseId).to.equal('pw');
    expect(Identity.psn(7n).psnId).to.equal(7n);
    expect(String(Identity.ip(IpAddress.fromNet({ address: '::1', port: 9 })).ipAddress)).to.equal('[::1]:9');
  });

  it('has no data of another kind', () => {
    const { genericString, genericBytes, steamId64, xboxPairwiseId, psnId, ipAddress } = Identity.invalid;
    const data = [genericString, genericBytes, steamId64, xboxPairwiseId, psnId, ipAddress];
    expect(data.filter((value) => value !== undefined)).to.deep.equal([]);
    expect(Identity.string('1').psnId).to.equal(undefined);
  });

  const misuse = [
    { what: 'an empty string', build: () => Identity.string(''), names: '1 to 31 bytes' },
    { what: 'a long string', build: () => Identity.string('é'.repeat(16)), names: 'has 32 bytes; expected 1 to 31' },
    { what: 'a NUL', build: () => Identity.string('a\0'), names: 'without NUL' },
    { what: 'no bytes', build: () => Identity.bytes(new Uint8Array(0)), names: '1 to 32 bytes, not 0' },
    { what: 'many bytes', build: () => Identity.bytes(new Uint8Array(33)), names: '1 to 32 bytes, not 33' },
    { what: 'a bad SteamID', build: () => Identity.steamId(5n), names: '5 is not a valid SteamID' },
    { what: 'a long Xbox id', build: () => Identity.xbox('x'.repeat(33)), names: '1 to 32 bytes' },
    { what: 'a negative PSN id', build: () => Identity.psn(-1n), names: '-1' },
  ];
  for (const { what, build, names } of misuse) {
    it(`names ${what} and the limit when it refuses to build from it`, () => {
      expect(build).to.throw(NetworkingError, names).with.property('code', 'InvalidParam');
    });
  }

  it('is anonymous at the exact addresses of this machine, with any port', () => {
    for (const text of ['ip:::1', 'ip:127.0.0.1', 'ip:127.0.0.1:80']) {
      expect(Identity.parse(text)?.isLocalHost, text).to.equal(true);
    }
    for (const text of ['ip:127.0.0.2', 'ip:1.2.3.4', 'str:::1']) {
      expect(Identity.parse(text)?.isLocalHost, text).to.equal(false);
    }
    expect(String(Identity.localHost)).to.equal('ip:::1');
  });

  it('has an invalid value that prints as such and does not parse', () => {
    expect(Identity.invalid).to.include({ kind: 'invalid', type: 0, isValid: false });
    expect(String(Identity.invalid)).to.equal('invalid');
  });

  it('is equal to what has the same kind and the same data', () => {
    expect(Identity.string('a').equals(Identity.parse('str:a')!)).to.equal(true);
    expect(Identity.string('a').equals(Identity.string('A'))).to.equal(false);
    expect(Identity.psn(1n).equals(Identity.string('1'))).to.equal(false);
  });

  const anyIdentity = fc.oneof(
    fc
      .string({ unit: 'binary', minLength: 1, maxLength: 7 })
      .filter((text) => !text.includes('\0'))
      .map(Identity.string),
    fc.uint8Array({ minLength: 1, maxLength: 32 }).map(Identity.bytes),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(Identity.psn),
    fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(0xffff)).map(([bytes, port]) => {
      return Identity.ip(IpAddress.fromBytes(bytes, port));
    }),
    fc.integer({ min: 1, max: 0xffff_ffff }).map((account) => Identity.steamId(steamId({ account, type: 1 }))),
  );

  it('reads back what it prints', () => {
    fc.assert(
      fc.property(anyIdentity, (identity) => {
        const again = Identity.parse(identity.toString());
        return again?.equals(identity) === true && again.kind === identity.kind;
      }),
      seed,
    );
  });

  it('takes any text without throwing', () => {
    const prefix = fc.constantFrom('', 'ip:', 'str:', 'gen:', 'steamid:', 'psn:', 'xboxpwid:', 'other:');
    fc.assert(
      fc.property(prefix, fc.string({ unit: 'binary' }), (before, text) => {
        const identity = Identity.parse(before + text);
        return identity === undefined || Identity.parse(identity.toString())?.equals(identity) === true;
      }),
      seed,
    );
  });
});

describe('the legacy form of an identity', () => {
  it('has the one field of its kind', () => {
    const none = { genericBytes: undefined, genericString: undefined, ipv6AndPort: undefined, steamId: undefined };
    const ipv6AndPort = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
    expect(Identity.string('a').toLegacy()).to.deep.equal({ ...none, genericString: 'a' });
    expect(Identity.bytes(Uint8Array.of(1)).toLegacy()).to.deep.equal({ ...none, genericBytes: Uint8Array.of(1) });
    expect(Identity.localHost.toLegacy()).to.deep.equal({ ...none, ipv6AndPort });
    expect(Identity.steamId(INDIVIDUAL).toLegacy()).to.deep.equal({ ...none, steamId: INDIVIDUAL });
    expect(Identity.psn(1n).toLegacy()).to.deep.equal(none);
    expect(Identity.steamId(steamId({ type: 7, instance: 0 })).toLegacy()).to.deep.equal(none);
  });

  it('is read by precedence: Steam id, string, bytes, address', () => {
    const ipv6AndPort = IpAddress.fromNet({ address: '1.2.3.4', port: 5 }).toBytes18();
    const fields = { ipv6AndPort, genericBytes: Uint8Array.of(1), genericString: 'a', steamId: INDIVIDUAL };
    expect(String(Identity.fromLegacy(fields))).to.equal(`steamid:${INDIVIDUAL}`);
    expect(String(Identity.fromLegacy({ ...fields, steamId: undefined }))).to.equal('str:a');
    expect(String(Identity.fromLegacy({ ipv6AndPort, genericBytes: Uint8Array.of(1) }))).to.equal('gen:01');
    expect(String(Identity.fromLegacy({ ipv6AndPort }))).to.equal('ip:1.2.3.4:5');
  });

  it('is refused when the field that decides is malformed', () => {
    expect(Identity.fromLegacy({ steamId: 0n, genericString: 'a' })).to.equal(undefined);
    expect(Identity.fromLegacy({ steamId: steamId({ type: 7, instance: 0 }) })).to.equal(undefined);
    expect(Identity.fromLegacy({ genericString: 'x'.repeat(32) })).to.equal(undefined);
    expect(Identity.fromLegacy({ genericBytes: new Uint8Array(33) })).to.equal(undefined);
    expect(Identity.fromLegacy({ genericBytes: new Uint8Array(0) })).to.equal(undefined);
    expect(Identity.fromLegacy({ ipv6AndPort: new Uint8Array(17) })).to.equal(undefined);
    expect(Identity.fromLegacy({})).to.equal(undefined);
  });
});

describe('a SteamID', () => {
  const cases = [
    { what: 'an individual', id: steamId({ type: 1 }), valid: true, serializable: true },
    { what: 'an individual without account', id: steamId({ type: 1, account: 0 }), valid: false, serializable: false },
    { what: 'an individual instance 2', id: steamId({ type: 1, instance: 2 }), valid: false, serializable: false },
    { what: 'a game server', id: steamId({ type: 3, instance: 9 }), valid: true, serializable: true },
    { what: 'a game server without account', id: steamId({ type: 3, account: 0 }), valid: false, serializable: false },
    { what: 'an anonymous game server', id: steamId({ type: 4 }), valid: true, serializable: true },
    { what: 'one without account', id: steamId({ type: 4, account: 0 }), valid: true, serializable: false },
    { what: 'a clan', id: steamId({ type: 7, instance: 0 }), valid: true, serializable: false },
    { what: 'a clan instance 1', id: steamId({ type: 7, instance: 1 }), valid: false, serializable: false },
    { what: 'type 9', id: steamId({ type: 9 }), valid: true, serializable: true },
    { what: 'type 10', id: steamId({ type: 10 }), valid: true, serializable: false },
    { what: 'type 11', id: steamId({ type: 11 }), valid: false, serializable: false },
    { what: 'type 0', id: steamId({ type: 0 }), valid: false, serializable: false },
    { what: 'universe 0', id: steamId({ type: 1, universe: 0 }), valid: false, serializable: false },
    { what: 'universe 4', id: steamId({ type: 1, universe: 4 }), valid: true, serializable: true },
    { what: 'universe 5', id: steamId({ type: 1, universe: 5 }), valid: false, serializable: false },
    { what: 'more than 64 bits', id: steamId({ type: 1 }) + (1n << 64n), valid: false, serializable: false },
  ];
  for (const { what, id, valid, serializable } of cases) {
    it(`of ${what} is ${valid ? '' : 'not '}valid and may ${serializable ? '' : 'not '}be in legacy fields`, () => {
      expect(isValidSteamId(id)).to.equal(valid);
      expect(isSteamIdSerializable(id)).to.equal(serializable);
    });
  }
});

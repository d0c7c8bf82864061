// Which datagrams are control packets, what they say, what is left out when they are written.
import { expect } from 'chai';
import fc from 'fast-check';
import { IpAddress } from '../../../src/core/base/address.ts';
import { Identity } from '../../../src/core/base/identity.ts';
import {
  type ConnectionClosed,
  type ConnectOk,
  type ConnectRequest,
  type ControlPacket,
  decodeControlPacket,
  encodeControlPacket,
  MAX_CONTROL_PACKET_BYTES,
} from '../../../src/core/wire/control-packets.ts';
import {
  NO_IDENTITY_FIELDS,
  readIdentity,
  writeHandshakeIdentity,
  writeIdentity,
} from '../../../src/core/wire/identity-fields.ts';
import { hex, toHex } from '../../support/hex.ts';

const { SEED } = process.env;
const seed = SEED === undefined ? {} : { seed: Number(SEED) };

/** ChallengeRequest of connection 0x11223344, time 5, version 13. */
const CHALLENGE = ['0d 44332211', '19 0500000000000000', '20 0d'] as const;

function decode(bytes: Uint8Array): ControlPacket | undefined {
  return decodeControlPacket(bytes, bytes.length);
}

function encode(packet: ControlPacket): Uint8Array {
  const out = new Uint8Array(MAX_CONTROL_PACKET_BYTES).fill(0xee);
  return out.subarray(0, encodeControlPacket(packet, out));
}

/** A padded datagram of `size` bytes whose length field says `payloadBytes`. */
function padded(id: string, payload: Uint8Array, size = 512, payloadBytes = payload.length): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(hex(id));
  bytes[1] = payloadBytes;
  bytes[2] = payloadBytes >> 8;
  bytes.set(payload, 3);
  return bytes;
}

describe('decoding a control packet', () => {
  const challenge = hex(...CHALLENGE);

  it('reads a padded packet', () => {
    expect(decode(padded('20', challenge))).to.deep.equal({
      kind: 'challengeRequest',
      connectionId: 0x11223344,
      timestamp: 5n,
      protocolVersion: 13,
    });
  });

  it('reads no further than the length it is given', () => {
    const bytes = Uint8Array.of(...hex('25', '15 01000000', '1d 02000000'), 0xff);
    expect(decodeControlPacket(bytes, 11)).to.deep.equal({
      kind: 'noConnection',
      fromConnectionId: 1,
      toConnectionId: 2,
    });
    expect(decodeControlPacket(bytes, 12)).to.equal(undefined);
  });

  it('accepts more padding than needed, and padding that is not zero', () => {
    expect(decode(padded('20', challenge, 600))).to.include({ connectionId: 0x11223344 });
    const dirty = padded('20', challenge);
    dirty.fill(0xaa, 3 + challenge.length);
    expect(decode(dirty)).to.include({ connectionId: 0x11223344 });
  });

  const refused = [
    ['a padded packet of 511 bytes', padded('20', challenge, 511)],
    ['a padded packet with length 0', padded('20', challenge, 512, 0)],
    ['a padded packet with a length beyond its end', padded('20', challenge, 512, 510)],
    ['a padded packet whose length covers the padding', padded('20', challenge, 512, 509)],
    ['an unpadded ConnectionClosed', hex('24 0500', '2d 63000000')],
    ['a packet of four bytes', hex('25 18 01 00')],
    ['an unknown id', hex('26 0d 44332211')],
    ['a data packet', hex('80 44332211 0200')],
    ['a probe of another engine', hex('ffffffff 54')],
    ['a field that ends too early', hex('21 0d 443322')],
  ] as const;
  for (const [what, bytes] of refused) {
    it(`refuses ${what}`, () => {
      expect(decode(bytes)).to.equal(undefined);
    });
  }

  it('skips unknown fields', () => {
    expect(decode(hex('21', '4a 03 616263', '0d 44332211'))).to.include({ connectionId: 0x11223344 });
  });

  it('reads absent numbers as 0 where absence means nothing', () => {
    expect(decode(hex('21', '0d 44332211'))).to.deep.equal({
      kind: 'challengeReply',
      connectionId: 0x11223344,
      challenge: 0n,
      echoedTimestamp: 0n,
      protocolVersion: 0,
    });
  });

  it('tells absent fields of the handshake from those that are 0', () => {
    expect(decode(hex('22', '0d 44332211'))).to.deep.equal(connectRequest({ clientConnectionId: 0x11223344 }));
    expect(decode(hex('22', '29 0000000000000000', '30 00'))).to.deep.equal(
      connectRequest({ timestamp: 0n, pingEstimateMs: 0 }),
    );
  });

  it('has no certificate and no key exchange if their envelopes are empty', () => {
    expect(decode(hex('23', '0d 44332211', '3a 00', '42 00'))).to.include({ cert: undefined, crypt: undefined });
  });

  it('ignores a private key that a careless peer sends along', () => {
    const bytes = hex('22', '22 07', '0a 01 99', '22 02 0801');
    expect(decode(bytes)).to.deep.include({
      cert: { cert: hex('0801'), caKeyId: undefined, caSignature: undefined },
    });
  });

  it('never throws, whatever arrives', () => {
    const id = fc.integer({ min: 0x1f, max: 0x26 });
    fc.assert(
      fc.property(id, fc.uint8Array({ maxLength: 700, size: 'max' }), (first, rest) => {
        decode(Uint8Array.of(first, ...rest));
        decode(padded(first.toString(16), rest.subarray(0, 509)));
      }),
      seed,
    );
  });
});

describe('encoding a control packet', () => {
  it('pads with zeros to exactly 512 bytes', () => {
    const packet = { kind: 'challengeRequest', connectionId: 0x11223344, timestamp: 5n, protocolVersion: 13 } as const;
    expect(toHex(encode(packet))).to.equal(toHex(padded('20', hex(...CHALLENGE))));
  });

  it('leaves out ids, reason and text that are nothing', () => {
    expect(toHex(encode({ kind: 'noConnection', toConnectionId: 7, fromConnectionId: 0 }))).to.equal('251d07000000');
    expect(toHex(encode({ kind: 'noConnection', toConnectionId: 0, fromConnectionId: 0 }))).to.equal('25');
    expect(toHex(encode(closed({ fromConnectionId: 7 })).subarray(0, 10))).to.equal('2405002d070000000000');
  });

  it('leaves out the delay together with the timestamp', () => {
    const bytes = encode(connectOk({ clientConnectionId: 1, serverConnectionId: 2, delayUs: 99 }));
    expect(toHex(bytes)).to.equal('230d010000002d02000000');
  });

  it('writes a delay and a ping of 0', () => {
    expect(toHex(encode(connectOk({ echoedTimestamp: 1n })))).to.contain('2000');
    expect(toHex(encode(connectRequest({ pingEstimateMs: 0 })))).to.match(/3000$/);
  });

  it('never writes a private key', () => {
    const cert = { cert: hex('0801'), caKeyId: undefined, caSignature: undefined, privateKeyData: hex('99') };
    expect(toHex(encode(connectRequest({ cert })))).to.match(/220422020801$/);
    expect(toHex(encode(connectOk({ cert })))).to.match(/420422020801$/);
  });

  it('cuts the text between two characters, at 127 bytes', () => {
    const packet = decode(encode(closed({ debug: `x${'é'.repeat(100)}`, toConnectionId: 1 })));
    expect(packet).to.include({ debug: `x${'é'.repeat(63)}` });
    expect(decode(encode(closed({ debug: 'é'.repeat(100), toConnectionId: 1 })))).to.include({ debug: 'é'.repeat(63) });
  });

  it('writes what decodes to the same packet', () => {
    fc.assert(
      fc.property(anyHandshakePacket(), (packet) => {
        expect(decode(encode(packet))).to.deep.equal(packet);
      }),
      seed,
    );
  });
});

describe('identity fields', () => {
  const STEAM = Identity.steamId(76_561_197_960_287_930n);

  it('hold an identity that reads back', () => {
    const address = IpAddress.fromNet({ address: '10.1.2.3', port: 5 });
    for (const identity of [STEAM, Identity.localHost, Identity.ip(address), Identity.string('a'), Identity.psn(1n)]) {
      expect(String(readIdentity(writeIdentity(identity)))).to.equal(String(identity));
    }
  });

  it('read the text before the legacy binary before the Steam id', () => {
    const fields = writeIdentity(STEAM);
    const legacyIdentityBinary = { genericString: 'b' };
    expect(String(readIdentity({ ...fields, identityString: 'str:a', legacyIdentityBinary }))).to.equal('str:a');
    expect(String(readIdentity({ ...fields, identityString: undefined, legacyIdentityBinary }))).to.equal('str:b');
    expect(String(readIdentity({ ...NO_IDENTITY_FIELDS, legacySteamId: STEAM.steamId64! }))).to.equal(String(STEAM));
    expect(readIdentity(NO_IDENTITY_FIELDS)).to.equal(undefined);
  });

  it('are malformed if the first one present is, whatever the others say', () => {
    const fields = writeIdentity(STEAM);
    for (const identityString of ['', 'foo', 'invalid', 'steamid:0', 'gen:abc', 'str:\ufffd']) {
      expect(readIdentity({ ...fields, identityString })).to.equal('malformed');
    }
    expect(readIdentity({ ...fields, identityString: undefined, legacyIdentityBinary: {} })).to.equal('malformed');
    expect(readIdentity({ ...NO_IDENTITY_FIELDS, legacySteamId: 0n })).to.equal('malformed');
  });

  it('beside a certificate that names the identity are only the Steam id', () => {
    expect(writeHandshakeIdentity(STEAM, true)).to.deep.equal({
      ...NO_IDENTITY_FIELDS,
      legacySteamId: STEAM.steamId64,
    });
    expect(writeHandshakeIdentity(Identity.string('a'), true)).to.deep.equal(NO_IDENTITY_FIELDS);
    expect(writeHandshakeIdentity(Identity.string('a'), false)).to.include({ identityString: 'str:a' });
  });

  it('include an empty legacy binary for identities that have no such form', () => {
    const bytes = encode(connectRequest({ identity: writeIdentity(Identity.psn(1n)) }));
    expect(toHex(bytes)).to.match(/4a00520570736e3a31$/);
  });
});

function connectRequest(fields: Partial<ConnectRequest>): ConnectRequest {
  return {
    kind: 'connectRequest',
    clientConnectionId: 0,
    challenge: 0n,
    timestamp: undefined,
    pingEstimateMs: undefined,
    cert: undefined,
    crypt: undefined,
    identity: NO_IDENTITY_FIELDS,
    ...fields,
  };
}

function connectOk(fields: Partial<ConnectOk>): ConnectOk {
  return {
    kind: 'connectOk',
    clientConnectionId: 0,
    serverConnectionId: 0,
    echoedTimestamp: undefined,
    delayUs: 0,
    cert: undefined,
    crypt: undefined,
    identity: NO_IDENTITY_FIELDS,
    ...fields,
  };
}

function closed(fields: Partial<ConnectionClosed>): ConnectionClosed {
  return { kind: 'connectionClosed', toConnectionId: 0, fromConnectionId: 0, reason: 0, debug: '', ...fields };
}

function anyHandshakePacket(): fc.Arbitrary<ConnectRequest | ConnectOk> {
  const id = fc.nat(0xffff_ffff);
  const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
  const maybe = <T>(some: fc.Arbitrary<T>) => fc.option(some, { nil: undefined });
  const bytes = fc.uint8Array({ maxLength: 200 });
  const credentials = {
    cert: maybe(fc.record({ cert: bytes, caKeyId: maybe(u64), caSignature: maybe(bytes) })),
    crypt: maybe(fc.record({ info: bytes, signature: bytes })),
    identity: fc.record({
      identityString: maybe(fc.string({ maxLength: 40 })),
      legacyIdentityBinary: maybe(
        fc.record({
          genericBytes: maybe(bytes),
          genericString: maybe(fc.string({ maxLength: 40 })),
          ipv6AndPort: maybe(bytes),
          steamId: maybe(u64),
        }),
      ),
      legacySteamId: maybe(u64),
    }),
  };
  const request = fc.record({
    kind: fc.constant('connectRequest' as const),
    clientConnectionId: id,
    challenge: u64,
    timestamp: maybe(u64),
    pingEstimateMs: maybe(id),
    ...credentials,
  });
  const ok = fc.record({
    kind: fc.constant('connectOk' as const),
    clientConnectionId: id,
    serverConnectionId: id,
    echoedTimestamp: u64,
    delayUs: id,
    ...credentials,
  });
  return fc.oneof(request, ok);
}

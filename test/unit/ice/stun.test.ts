// STUN messages: those of RFC 5769, those that GNS sends, and broken ones.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  bytesOf,
  decodeStun,
  isStun,
  StunAttribute,
  StunClass,
  StunMessage,
  StunMethod,
  StunWriter,
} from '../../../src/core/ice/stun.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { hex, toHex } from '../../support/hex.ts';
import { SEED } from '../../support/seed.ts';

const A = StunAttribute;
/** RFC 5769, 2.1–2.3. */
const SHORT_TERM_KEY = bytesOf('VOkJxbRl1RmTxUk/WvJxBt');
const REQUEST = hex(
  '000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74',
  '002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020',
  '000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf',
);
const IPV4_RESPONSE = hex(
  '0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643',
  '000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96',
);
const IPV6_RESPONSE = hex(
  '010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220',
  '002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9',
  '00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c',
);
/** RFC 5769, 2.4: long-term credentials, a user name in UTF-8. */
const LONG_TERM_REQUEST = hex(
  '000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000',
  '0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700',
  '00080014f67024656dd64a3e02b8e0712e85c9a28ca89666',
);

function decode(bytes: Uint8Array): StunMessage {
  const message = decodeStun(bytes, 0, bytes.length);
  expect(message, toHex(bytes)).to.be.instanceOf(StunMessage);
  return message!;
}

function encodeAgain(message: StunMessage, key: Uint8Array | undefined): Uint8Array {
  const writer = new StunWriter(message.method, message.class, message.transactionId);
  for (const type of new Set(message.attributeTypes)) writer.add(type, message.value(type));
  if (key !== undefined) writer.addIntegrity(nodeCrypto, key);
  if (message.fingerprint !== 'absent') writer.addFingerprint();
  return writer.finish();
}

describe('a STUN message', () => {
  it('is read as RFC 5769 says: request', () => {
    const message = decode(REQUEST);
    expect(message.method).to.equal(StunMethod.Binding);
    expect(message.class).to.equal(StunClass.Request);
    expect(message.text(A.Username)).to.equal('evtj:h6vY');
    expect(message.u32(A.Priority)).to.equal(0x6e0001ff);
    expect(message.fingerprint).to.equal('right');
    expect(message.isGenuine(nodeCrypto, SHORT_TERM_KEY)).to.equal(true);
    expect(message.isGenuine(nodeCrypto, bytesOf('another'))).to.equal(false);
  });

  it('is read as RFC 5769 says: responses', () => {
    const [ipv4, ipv6] = [decode(IPV4_RESPONSE), decode(IPV6_RESPONSE)];
    expect(ipv4.address(A.XorMappedAddress)).to.deep.equal({ address: '192.0.2.1', port: 32_853 });
    expect(ipv6.address(A.XorMappedAddress)).to.deep.equal({
      address: '2001:db8:1234:5678:11:2233:4455:6677',
      port: 32_853,
    });
    for (const message of [ipv4, ipv6]) {
      expect(message.fingerprint).to.equal('right');
      expect(message.isGenuine(nodeCrypto, SHORT_TERM_KEY)).to.equal(true);
    }
  });

  it('is read as RFC 5769 says: long-term credentials', () => {
    const message = decode(LONG_TERM_REQUEST);
    const utf8 = new TextEncoder();
    const key = nodeCrypto.md5(utf8.encode('マトリックス:example.org:TheMatrIX'));
    expect(message.isGenuine(nodeCrypto, key)).to.equal(true);
    expect(message.value(A.Username)).to.deep.equal(utf8.encode('マトリックス'));
    expect(message.text(A.Realm)).to.equal('example.org');
    expect(message.fingerprint).to.equal('absent');
  });

  it('is broken by any bit that is turned', () => {
    for (let bit = 0; bit < 8 * REQUEST.length; bit++) {
      const bytes = REQUEST.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const message = decodeStun(bytes, 0, bytes.length);
      const isAccepted = message?.fingerprint === 'right' && message.isGenuine(nodeCrypto, SHORT_TERM_KEY);
      expect(isAccepted, `bit ${bit}`).to.equal(false);
    }
  });

  it('does not show what follows its integrity', () => {
    const bytes = new StunWriter(StunMethod.Binding, StunClass.Request, new Uint8Array(12))
      .addIntegrity(nodeCrypto, SHORT_TERM_KEY)
      .add(A.UseCandidate)
      .finish();
    expect(decode(bytes).has(A.UseCandidate)).to.equal(false);
  });

  it('is nothing if lengths do not add up', () => {
    for (let length = 0; length < REQUEST.length; length++) {
      expect(decodeStun(REQUEST, 0, length), `${length} bytes`).to.equal(undefined);
    }
    const tooLong = REQUEST.slice();
    tooLong[23] = 0xff;
    expect(decodeStun(tooLong, 0, tooLong.length)).to.equal(undefined);
  });

  it('may lie anywhere in a buffer', () => {
    const bytes = new Uint8Array(REQUEST.length + 20);
    bytes.set(REQUEST, 7);
    const message = decodeStun(bytes, 7, 7 + REQUEST.length)!;
    expect(message.text(A.Username)).to.equal('evtj:h6vY');
    expect(message.isGenuine(nodeCrypto, SHORT_TERM_KEY)).to.equal(true);
  });

  it('tells which attributes it does not know', () => {
    const write = (type: number) =>
      new StunWriter(StunMethod.Binding, StunClass.Request, new Uint8Array(12)).add(type, new Uint8Array(4)).finish();
    expect(decode(write(0x7fff)).hasUnknownRequired).to.equal(true);
    expect(decode(write(0xc057)).hasUnknownRequired).to.equal(false);
  });

  it('survives random bytes behind a right header', () => {
    const body = fc.uint8Array({ maxLength: 200 }).map((bytes) => bytes.subarray(0, bytes.length & ~3));
    fc.assert(
      fc.property(body, (bytes) => {
        const datagram = new Uint8Array(20 + bytes.length);
        datagram.set(hex('0101', '0000', '2112a442'));
        datagram[3] = bytes.length;
        datagram.set(bytes, 20);
        expect(isStun(datagram, 0, datagram.length)).to.equal(true);
        const message = decodeStun(datagram, 0, datagram.length);
        for (const type of Object.values(A)) {
          const address = message?.address(type);
          expect(address === undefined || address.port <= 0xffff).to.equal(true);
        }
        expect(message?.errorCode ?? 0).to.be.within(0, 1_000);
      }),
      { seed: SEED },
    );
  });
});

// ---- GNS

interface Recorded {
  readonly turnKey: string;
  readonly messages: readonly {
    readonly from: string;
    readonly hex: string;
    readonly key?: string;
    readonly attributes: readonly [number, string | number | { code: number } | null][];
  }[];
}

const FILE = new URL('../../../../test/vectors/stun.json', import.meta.url);
const RECORDED = JSON.parse(readFileSync(FILE, 'utf8')) as Recorded;

function keyOf(name: string | undefined): Uint8Array | undefined {
  if (name === undefined) return undefined;
  return name === 'turn' ? hex(RECORDED.turnKey) : bytesOf(name);
}

/** An attribute in the words of the recording. */
function shown(message: StunMessage, type: number, as: unknown): unknown {
  const address = message.address(type);
  if (typeof as === 'number') return message.u32(type);
  if (typeof as === 'object') return as === null ? null : { ...as, code: message.errorCode };
  if (address !== undefined) {
    const host = address.address.includes(':') ? `[${address.address}]` : address.address;
    return `${host}:${address.port}`;
  }
  const value = message.value(type)!;
  return toHex(value) === as ? as : message.text(type);
}

describe('a STUN message of GNS', () => {
  for (const { from, hex: digits, key, attributes } of RECORDED.messages) {
    const bytes = hex(digits);
    const title = `${digits.slice(0, 4)} of ${from} with ${attributes.map(([type]) => type.toString(16)).join(' ')}`;

    it(`is read: ${title}`, () => {
      const message = decode(bytes);
      const first = attributes.filter(([type], at) => attributes.findIndex((other) => other[0] === type) === at);
      for (const [type, value] of first) expect(shown(message, type, value)).to.deep.equal(value);
      expect(message.fingerprint).to.not.equal('wrong');
      expect(message.hasIntegrity).to.equal(key !== undefined);
      if (key !== undefined) expect(message.isGenuine(nodeCrypto, keyOf(key)!)).to.equal(true);
    });

    const isRepeated = new Set(attributes.map(([type]) => type)).size < attributes.length;
    if (isRepeated) continue;
    it(`is written to the same bytes: ${title}`, () => {
      expect(toHex(encodeAgain(decode(bytes), keyOf(key)))).to.equal(digits);
    });
  }
});

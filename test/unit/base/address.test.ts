// IP addresses: what is read, how it is printed, what counts as local.
import { expect } from 'chai';
import fc from 'fast-check';
import { IpAddress } from '../../../src/core/base/address.ts';
import { NetworkingError } from '../../../src/core/base/errors.ts';

const { SEED } = process.env;
const seed = SEED === undefined ? {} : { seed: Number(SEED) };

function parse(text: string): IpAddress {
  const address = IpAddress.parse(text);
  if (!address) throw new Error(`${text} does not parse`);
  return address;
}

describe('IpAddress', () => {
  const readable = [
    ['1.2.3.4', '1.2.3.4'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255:65535', '255.255.255.255:65535'],
    ['1.2.3.4:0', '1.2.3.4'],
    ['::', '::'],
    ['::1', '::1'],
    ['[::1]', '::1'],
    ['[::1]:80', '[::1]:80'],
    ['1::', '1::'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['fe80::1%eth0', 'fe80::1'],
    ['[fe80::1%eth0.5]:27015', '[fe80::1]:27015'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['[::ffff:1.2.3.4]:80', '1.2.3.4:80'],
    ['::ffff:102:304', '1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['::1.2.3.4', '::102:304'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
    ['::1#80', '[::1]:80'],
    ['::1.80', '[::1]:80'],
    ['::1p80', '[::1]:80'],
    ['::1 port 80', '[::1]:80'],
  ] as const;
  for (const [text, printed] of readable) {
    it(`reads ${text} and prints it as ${printed}`, () => {
      expect(parse(text).toString()).to.equal(printed);
    });
  }

  const refused = [
    '',
    ' 1.2.3.4',
    '1.2.3.4 ',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.0x4',
    '1.2.3.4:',
    '1.2.3.4:65536',
    '1.2.3.4:080',
    '1.2.3.4:-1',
    '1.2.3.4:80x',
    '1.2.3.4#80',
    '[1.2.3.4]:80',
    'localhost',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '1:2:3:4:5:6:7::8',
    '::12345',
    '::g',
    ':1',
    '1:',
    '::1%',
    '[::1',
    '::1]',
    '[::1]80',
    '[::1]:',
    '[::1]:65536',
    '::1.2.3.4:80',
    '1.2.3.4::',
    '::1\n',
    `::${'0'.repeat(200)}`,
  ];
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 30))}`, () => {
      expect(IpAddress.parse(text)).to.equal(undefined);
    });
  }

  it('keeps IPv4 in its mapped form', () => {
    const address = parse('1.2.3.4:5');
    expect([...address.bytes]).to.deep.equal([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]);
    expect(address.isIPv4).to.equal(true);
    expect(parse('::1').isIPv4).to.equal(false);
  });

  it('writes 18 bytes with the port in big-endian order', () => {
    const bytes = parse('[2001:db8::1]:27015').toBytes18();
    expect(Buffer.from(bytes).toString('hex')).to.equal('20010db80000000000000000000000016987');
  });

  it('reads nothing from a wire form of another length', () => {
    expect(IpAddress.fromBytes18(new Uint8Array(17))).to.equal(undefined);
    expect(IpAddress.fromBytes18(new Uint8Array(19))).to.equal(undefined);
  });

  it('understands the addresses of a dual-stack port', () => {
    expect(IpAddress.fromNet({ address: '::ffff:1.2.3.4', port: 80 }).toString()).to.equal('1.2.3.4:80');
    expect(IpAddress.fromNet({ address: 'fe80::1%eth0', port: 80 }).toString()).to.equal('[fe80::1]:80');
  });

  it('keeps its own copy of the bytes it is made from', () => {
    const bytes = new Uint8Array(16);
    const address = IpAddress.fromBytes(bytes, 0);
    bytes[15] = 1;
    expect(address.host).to.equal('::');
  });

  const local = [
    ['127.0.0.1:5', { isLocalHost: true, isLoopback: true, isAny: false }],
    ['::1', { isLocalHost: true, isLoopback: true, isAny: false }],
    ['127.0.0.2', { isLocalHost: false, isLoopback: true, isAny: false }],
    ['128.0.0.1', { isLocalHost: false, isLoopback: false, isAny: false }],
    ['::', { isLocalHost: false, isLoopback: false, isAny: true }],
    ['0.0.0.0:80', { isLocalHost: false, isLoopback: false, isAny: true }],
    ['::127.0.0.1', { isLocalHost: false, isLoopback: false, isAny: false }],
  ] as const;
  for (const [text, expected] of local) {
    it(`knows whether ${text} is this machine or any address`, () => {
      expect(parse(text)).to.include(expected);
    });
  }

  it('is equal to the same address with the same port only', () => {
    expect(parse('1.2.3.4:5').equals(parse('[::ffff:102:304]:5'))).to.equal(true);
    expect(parse('1.2.3.4:5').equals(parse('1.2.3.4:6'))).to.equal(false);
    expect(parse('1.2.3.4:5').equals(parse('1.2.3.5:5'))).to.equal(false);
  });

  it('gives a new address for another port', () => {
    const address = parse('1.2.3.4:5');
    expect(address.withPort(6).toString()).to.equal('1.2.3.4:6');
    expect(address.port).to.equal(5);
  });

  it('names a port, a length or an address that it refuses', () => {
    expect(() => parse('::1').withPort(65536)).to.throw(NetworkingError, '65536');
    expect(() => parse('::1').withPort(1.5)).to.throw(NetworkingError, '1.5');
    expect(() => IpAddress.fromBytes(new Uint8Array(4), 0)).to.throw(NetworkingError, 'not 4');
    expect(() => IpAddress.fromNet({ address: 'example.org', port: 1 })).to.throw(NetworkingError, 'example.org');
  });

  // Zeros are frequent, so that runs of them are.
  const anyByte = fc.oneof(fc.constant(0), fc.nat(255));
  const anyBytes = fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .chain((bytes) =>
      fc.array(anyByte, { minLength: 16, maxLength: 16 }).map((mask) => bytes.map((byte, i) => (mask[i] ? byte : 0))),
    );
  const anyIPv4 = fc
    .uint8Array({ minLength: 4, maxLength: 4 })
    .map((octets) => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...octets));
  const anyAddress = fc
    .tuple(fc.oneof(anyBytes, anyIPv4), fc.nat(0xffff))
    .map(([bytes, port]) => IpAddress.fromBytes(bytes, port));

  it('reads back what it prints', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        const again = parse(address.toString());
        return again.equals(address) && again.toString() === address.toString();
      }),
      seed,
    );
  });

  it('reads back what it writes', () => {
    fc.assert(
      fc.property(anyAddress, (address) => IpAddress.fromBytes18(address.toBytes18())?.equals(address) === true),
      seed,
    );
  });

  it('takes any text without throwing', () => {
    const anyText = fc.string({ unit: fc.constantFrom(...'0123456789abf:.%[]#p ') });
    fc.assert(
      fc.property(anyText, (text) => {
        const address = IpAddress.parse(text);
        return address === undefined || parse(address.toString()).equals(address);
      }),
      seed,
    );
  });
});

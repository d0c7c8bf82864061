// Candidates: the text, priorities and foundations of GNS, and classes of addresses.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import {
  addressClass,
  type CandidateType,
  candidatePriority,
  formatCandidate,
  foundationOf,
  isAddressOf,
  isSameNetwork,
  parseCandidate,
  plainAddress,
} from '../../../src/core/ice/candidate.ts';
import type { NetAddress } from '../../../src/core/platform.ts';

const FILE = new URL('../../../../test/vectors/stun.json', import.meta.url);
const { candidates } = JSON.parse(readFileSync(FILE, 'utf8')) as {
  readonly candidates: readonly {
    readonly candidate: string;
    readonly base: string;
    readonly stun_server: string;
    readonly foundation: number;
    readonly priority: number;
  }[];
};

function netOf(text: string): NetAddress {
  const [address = '', port = '0'] = text.split(' ');
  return { address, port: Number(port) };
}

describe('a candidate of GNS', () => {
  for (const { candidate: text, base, stun_server, foundation, priority } of candidates) {
    it(`is read and written: ${text}`, () => {
      const candidate = parseCandidate(text)!;
      expect(formatCandidate(candidate)).to.equal(text);
      expect(candidate.priority).to.equal(priority);
    });

    it(`gets the same foundation and priority from us: ${text}`, () => {
      const { type } = parseCandidate(text)!;
      const server = stun_server === 'unset' ? undefined : netOf(stun_server);
      expect(foundationOf(type, netOf(base), server)).to.equal(String(foundation));
      expect(candidatePriority(type, 0)).to.equal(priority);
    });
  }
});

describe('the text of a candidate', () => {
  const text = 'candidate:1 1 udp 2130706431 192.0.2.1 4000 typ host';

  it('may have other components, capital letters and more fields', () => {
    expect(parseCandidate(text.replace('udp', 'UDP'))).to.deep.equal(parseCandidate(text));
    expect(parseCandidate(`${text} generation 0 ufrag abcd`)).to.deep.equal(parseCandidate(text));
  });

  const refused: Readonly<Record<string, string>> = {
    'a host name': text.replace('192.0.2.1', 'f00f-1234.local'),
    'a port in the address': text.replace('192.0.2.1', '192.0.2.1:9'),
    brackets: text.replace('192.0.2.1', '[2001:db8::1]'),
    TCP: text.replace('udp', 'tcp'),
    'port 0': text.replace('4000', '0'),
    'too large a port': text.replace('4000', '65536'),
    'an unknown type': text.replace('host', 'constructor'),
    'a trailing blank': `${text} `,
    'an odd number of further fields': `${text} generation`,
    'a priority of words': text.replace('2130706431', 'high'),
    'no prefix': text.slice(10),
    'endless text': text + ' a b'.repeat(1_000),
  };
  for (const [what, bad] of Object.entries(refused)) {
    it(`is refused with ${what}`, () => {
      expect(parseCandidate(bad)).to.equal(undefined);
    });
  }

  it('sorts types as RFC 8445 does', () => {
    const order: CandidateType[] = ['host', 'prflx', 'srflx', 'relay'];
    const priorities = order.map((type) => candidatePriority(type, 3));
    expect(priorities).to.deep.equal([...priorities].sort((a, b) => b - a));
    expect(candidatePriority('host', 1)).to.be.below(candidatePriority('host', 0));
  });
});

describe('an address', () => {
  const classes: Readonly<Record<string, string>> = {
    '10.1.2.3': 'lan',
    '172.16.0.1': 'lan',
    '172.32.0.1': 'public',
    '192.168.0.1': 'lan',
    '169.254.0.1': 'lan',
    '8.8.8.8': 'public',
    '127.0.0.5': 'localhost',
    '0.0.0.0': 'unusable',
    '224.0.0.1': 'unusable',
    '255.255.255.255': 'unusable',
    '::1': 'localhost',
    '::': 'unusable',
    'fd00::1': 'lan',
    'fe80::1': 'lan',
    'ff02::1': 'unusable',
    '2001:db8::1': 'public',
    nonsense: 'unusable',
  };
  for (const [host, kind] of Object.entries(classes)) {
    it(`is of class ${kind}: ${host}`, () => {
      expect(addressClass(host)).to.equal(kind);
    });
  }

  it('is in one network with others up to the prefix', () => {
    expect(isSameNetwork('10.0.0.1', '10.0.0.200', 24)).to.equal(true);
    expect(isSameNetwork('10.0.0.1', '10.0.1.1', 24)).to.equal(false);
    expect(isSameNetwork('10.0.0.1', '10.0.1.1', 23)).to.equal(true);
    expect(isSameNetwork('fd00::1', 'fd00::ffff:1', 64)).to.equal(true);
    expect(isSameNetwork('fd00::1', 'fd01::1', 64)).to.equal(false);
    expect(isSameNetwork('10.0.0.1', 'fd01::1', 0)).to.equal(false);
  });

  it('is the same whether a dual-stack socket wrote it or not', () => {
    const plain = { address: '192.0.2.1', port: 5 };
    const mapped = { address: '::ffff:192.0.2.1', port: 5 };
    expect(plainAddress(mapped)).to.deep.equal(plain);
    expect(isAddressOf(mapped, plain)).to.equal(true);
    expect(isAddressOf({ ...mapped, port: 6 }, plain)).to.equal(false);
    expect(isAddressOf({ address: '::ffff:192.0.2.2', port: 5 }, plain)).to.equal(false);
  });
});

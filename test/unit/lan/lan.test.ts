// What happens between programs on a local network, without sockets and in virtual time: datagrams, the table of sessions,
// announcers, and signals that wait for a peer.

import { expect } from 'chai';
import fc from 'fast-check';
import { SeededRandom } from '../../../src/core/base/random.ts';
import { US_PER_SECOND } from '../../../src/core/base/time.ts';
import { type AnnouncedFields, Announcer } from '../../../src/lan/announcer.ts';
import {
  type Announcement,
  decodeLanPacket,
  encodeLanPacket,
  type LanPacket,
  QUERY_BYTES,
} from '../../../src/lan/lan-packet.ts';
import { PeerBook } from '../../../src/lan/peer-book.ts';
import { SessionTable, SourceLimits } from '../../../src/lan/session-table.ts';
import { itSeeded, SEED } from '../../support/seed.ts';

const HERE = { address: '192.168.1.5', port: 40_000 };

function announcement(changes: Partial<Announcement> = {}): Announcement {
  const numbers = { revision: 3, appId: 480, lifetimeS: 20, port: 27_015, virtualPort: 7, isSession: true } as const;
  const texts = { sessionId: '0123456789abcdef', name: 'Ünique', identity: 'str:alice' };
  return { kind: 'announcement', ...numbers, ...texts, userData: Uint8Array.of(1, 2), ...changes };
}

describe('datagrams of the local network', () => {
  const packets: readonly LanPacket[] = [
    announcement(),
    announcement({ virtualPort: undefined, identity: '', name: '', userData: new Uint8Array(0) }),
    { kind: 'query', appId: 480, nonce: 0xffff_ffff, identity: 'str:bob' },
    { kind: 'goodbye', sessionId: '00000000000000ff' },
    { kind: 'signal', from: 'str:a', to: 'str:b', signal: new Uint8Array(8_192).fill(9) },
  ];
  for (const packet of packets) {
    it(`come back as they went: ${packet.kind} ${packet.kind === 'announcement' ? packet.name : ''}`, () => {
      expect(decodeLanPacket(encodeLanPacket(packet))).to.deep.equal(packet);
    });
    it(`are refused when cut short: ${packet.kind} ${packet.kind === 'announcement' ? packet.name : ''}`, () => {
      const bytes = encodeLanPacket(packet);
      for (let end = 0; end < bytes.length; end += end < 600 ? 1 : 97)
        expect(decodeLanPacket(bytes.subarray(0, end)), `${end} bytes`).to.equal(undefined);
    });
  }

  it('have no answer longer than its question', () => {
    const longest = announcement({
      name: 'n'.repeat(64),
      identity: `unknown_kind:${'x'.repeat(114)}`,
      userData: new Uint8Array(256),
    });
    expect(encodeLanPacket(longest).length).to.be.at.most(QUERY_BYTES);
    expect(encodeLanPacket({ kind: 'query', appId: 1, nonce: 1, identity: '' }).length).to.equal(QUERY_BYTES);
  });

  it('are refused by name when they cannot be written', () => {
    expect(() => encodeLanPacket(announcement({ userData: new Uint8Array(257) }))).to.throw('257 bytes; at most 256');
    expect(() => encodeLanPacket(announcement({ name: 'x'.repeat(65) }))).to.throw('65 bytes; at most 64');
    expect(() => encodeLanPacket(announcement({ port: 70_000 }))).to.throw('port 70000');
  });

  itSeeded('are read whatever they are, and what is read is written the same', (seed) => {
    const spoilt = fc
      .tuple(fc.constantFrom(...packets), fc.array(fc.tuple(fc.nat(500), fc.nat(255)), { maxLength: 6 }))
      .map(([packet, changes]) => {
        const bytes = encodeLanPacket(packet).slice();
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes;
      });
    const property = fc.property(fc.oneof(spoilt, fc.uint8Array({ maxLength: 700 })), (bytes) => {
      const packet = decodeLanPacket(bytes);
      if (packet !== undefined) expect(decodeLanPacket(encodeLanPacket(packet))).to.deep.equal(packet);
    });
    fc.assert(property, { seed });
  });
});

describe('the table of sessions', () => {
  it('finds a session once, however often and from wherever it is announced', () => {
    const table = new SessionTable();
    expect(table.handleAnnouncement(announcement(), HERE, 0)?.kind).to.equal('found');
    expect(table.handleAnnouncement(announcement(), HERE, 1)).to.equal(undefined);
    expect(table.handleAnnouncement(announcement(), { address: '127.0.0.1', port: 1 }, 2)).to.equal(undefined);
    expect(table.sessions.map(({ addresses }) => addresses)).to.deep.equal([['192.168.1.5', '127.0.0.1']]);
  });

  it('tells of a change, and takes nothing older after it', () => {
    const table = new SessionTable();
    table.handleAnnouncement(announcement(), HERE, 0);
    const change = table.handleAnnouncement(announcement({ revision: 4, name: 'new' }), HERE, 1);
    expect([change?.kind, change?.session.name]).to.deep.equal(['changed', 'new']);
    expect(table.handleAnnouncement(announcement(), HERE, 2)).to.equal(undefined);
    expect(table.sessions[0]!.name).to.equal('new');
  });

  it('loses a session that is no longer announced', () => {
    const table = new SessionTable();
    table.handleAnnouncement(announcement(), HERE, 0);
    table.handleAnnouncement(announcement(), HERE, 5 * US_PER_SECOND);
    expect(table.handleTimeout(24 * US_PER_SECOND)).to.deep.equal([]);
    expect(table.nextTimeoutUs).to.equal(25 * US_PER_SECOND);
    expect(table.handleTimeout(25 * US_PER_SECOND).map(({ kind }) => kind)).to.deep.equal(['lost']);
    expect(table.sessions).to.deep.equal([]);
  });

  it('takes a goodbye from where the session is, and from nowhere else', () => {
    const table = new SessionTable();
    table.handleAnnouncement(announcement(), HERE, 0);
    expect(table.handleGoodbye('0123456789abcdef', { address: '192.168.1.6', port: 1 })).to.equal(undefined);
    expect(table.handleGoodbye('0123456789abcdef', HERE)?.kind).to.equal('lost');
  });

  it('keeps no more than 32 sessions of one address', () => {
    const table = new SessionTable();
    for (let i = 0; i < 100; i++) {
      const sessionId = i.toString(16).padStart(16, '0');
      table.handleAnnouncement(announcement({ sessionId }), HERE, 0);
    }
    expect(table.sessions).to.have.length(32);
    table.handleAnnouncement(announcement(), { address: '192.168.1.6', port: 1 }, 0);
    expect(table.sessions).to.have.length(33);
  });
});

describe('the limit of an address', () => {
  it('lets a hundred datagrams through at once, then fifty per second, and other addresses all the same', () => {
    const limits = new SourceLimits();
    const count = (nowUs: number) => Array.from({ length: 500 }, () => limits.take('a', nowUs)).filter(Boolean).length;
    expect(count(0)).to.equal(100);
    expect(count(US_PER_SECOND)).to.equal(50);
    expect(limits.take('b', US_PER_SECOND)).to.equal(true);
  });
});

describe('an announcer', () => {
  const { kind: _, sessionId: __, revision: ___, lifetimeS: ____, ...fields } = announcement();
  const newAnnouncer = (changes: Partial<AnnouncedFields> = {}) =>
    new Announcer({ ...fields, ...changes }, new SeededRandom(SEED), 0);
  const query = { kind: 'query', appId: 480, nonce: 1, identity: '' } as const;

  /** When it announces to all. */
  function roundsOf(announcer: Announcer, untilUs: number): number[] {
    const rounds: number[] = [];
    for (let nowUs = 0; nowUs < untilUs; nowUs = announcer.nextTimeoutUs) {
      if (announcer.pollTransmit(nowUs) !== undefined) rounds.push(nowUs);
    }
    return rounds;
  }

  it('announces at once, soon again, and then every five seconds or so, never in step', () => {
    const rounds = roundsOf(newAnnouncer(), 60 * US_PER_SECOND);
    const gapsS = rounds.slice(1).map((at, i) => (at - rounds[i]!) / US_PER_SECOND);
    expect(rounds[0]).to.equal(0);
    expect(gapsS[0]).to.be.within(0.2, 0.3);
    expect(gapsS[1]).to.be.within(0.8, 1.2);
    for (const gapS of gapsS.slice(2)) expect(gapS).to.be.within(4, 6);
    expect(new Set(gapsS.slice(2)).size).to.equal(gapsS.length - 2);
  });

  it('answers a question once within 60 ms, though it arrives several times', () => {
    const announcer = newAnnouncer();
    announcer.pollTransmit(0);
    for (let i = 0; i < 10; i++) announcer.handleQuery(query, HERE, 1);
    expect(announcer.nextTimeoutUs).to.be.within(1, 60_001);
    expect(announcer.pollTransmit(60_001)?.to).to.deep.equal(HERE);
    announcer.handleQuery(query, HERE, 100_000);
    expect(announcer.pollTransmit(160_000)).to.equal(undefined);
  });

  it('answers the same asker again after a pause', () => {
    const announcer = newAnnouncer();
    announcer.pollTransmit(0);
    announcer.handleQuery(query, HERE, 1);
    announcer.pollTransmit(60_001);
    announcer.handleQuery(query, HERE, 200_001);
    const answers = [announcer.pollTransmit(300_000), announcer.pollTransmit(300_000)];
    expect(answers.filter((each) => each?.to !== undefined)).to.have.length(1);
  });

  it('leaves questions for other games, and for other people, to others', () => {
    const announcer = newAnnouncer();
    announcer.pollTransmit(0);
    announcer.handleQuery({ ...query, appId: 481 }, HERE, 1);
    announcer.handleQuery({ ...query, identity: 'str:bob' }, HERE, 1);
    expect(announcer.pollTransmit(70_000)).to.equal(undefined);
    announcer.handleQuery({ ...query, appId: 0 }, HERE, 70_000);
    expect(announcer.pollTransmit(140_000)?.to).to.deep.equal(HERE);
  });

  it('tells of a change at once, with a higher revision', () => {
    const announcer = newAnnouncer();
    announcer.pollTransmit(0);
    announcer.update({ name: 'changed' }, 10);
    const packet = decodeLanPacket(announcer.pollTransmit(10)!.bytes);
    expect(packet).to.include({ kind: 'announcement', name: 'changed', revision: 1 });
  });

  it('stays as it is when a change cannot be announced', () => {
    const announcer = newAnnouncer();
    expect(() => announcer.update({ name: 'x'.repeat(65) }, 0)).to.throw('at most 64');
    expect(decodeLanPacket(announcer.pollTransmit(0)!.bytes)).to.include({ name: 'Ünique', revision: 0 });
  });
});

describe('signals for a peer whose address is unknown', () => {
  const hello = Uint8Array.of(1);

  it('wait while it is looked for, and go when it is found', () => {
    const book = new PeerBook();
    expect(book.wait('str:bob', hello, 0)).to.equal(true);
    expect(book.pollQuestion(0)).to.equal('str:bob');
    expect(book.pollQuestion(0)).to.equal(undefined);
    expect(book.nextTimeoutUs).to.equal(250_000);
    expect(book.learn('str:bob', HERE, 1)).to.deep.equal([hello]);
    expect(book.addressOf('str:bob', 2)).to.deep.equal(HERE);
  });

  it('are lost, and counted, when nobody answers four questions within five seconds', () => {
    const book = new PeerBook();
    book.wait('str:bob', hello, 0);
    let questions = 0;
    let nowUs = 0;
    for (; book.nextTimeoutUs < Number.POSITIVE_INFINITY; nowUs = book.nextTimeoutUs) {
      if (book.nextTimeoutUs <= nowUs && book.pollQuestion(nowUs) !== undefined) questions++;
      if (questions > 9) break;
      if (book.lost > 0) break;
    }
    expect({ questions, lost: book.lost }).to.deep.equal({ questions: 4, lost: 1 });
  });

  it('go to where the peer spoke from last, for 20 seconds', () => {
    const book = new PeerBook();
    book.learn('str:bob', HERE, 0);
    book.learn('str:bob', { address: '192.168.1.9', port: 5 }, 1);
    expect(book.addressOf('str:bob', 20 * US_PER_SECOND)?.address).to.equal('192.168.1.9');
    expect(book.addressOf('str:bob', 20 * US_PER_SECOND + 1)).to.equal(undefined);
  });

  it('are the last sixteen, for the first 64 peers', () => {
    const book = new PeerBook();
    for (let i = 0; i < 20; i++) book.wait('str:bob', Uint8Array.of(i), 0);
    expect(book.learn('str:bob', HERE, 0).map(([first]) => first)).to.deep.equal(
      Array.from({ length: 16 }, (_, i) => i + 4),
    );
    const kept = Array.from({ length: 70 }, (_, i) => book.wait(`str:${i}`, hello, 0));
    expect(kept.filter(Boolean)).to.have.length(64);
  });
});

// What strangers may cost: who is answered, who is looked at, in which order, and that it is counted. Spec: 01 §1.4, 10.5.

import { expect } from 'chai';
import fc from 'fast-check';
import { Identity } from '../../../src/core/base/identity.ts';
import type { AdmissionOptions, Applicant } from '../../../src/core/endpoint/admission.ts';
import type { Listener } from '../../../src/core/endpoint/listener.ts';
import { answerChallenge, peekChallenge } from '../../../src/core/wire/challenge.ts';
import {
  type ControlPacket,
  decodeControlPacket,
  encodeControlPacket,
} from '../../../src/core/wire/control-packets.ts';
import { writeIdentity } from '../../../src/core/wire/identity-fields.ts';
import { Bench, CraftedPeer } from '../../support/crafted-peer.ts';
import { itSeeded } from '../../support/seed.ts';

const SECOND = 1_000_000;

/** A server, and clients at addresses of choice. */
class Stage {
  readonly bench = new Bench();
  readonly listener: Listener;
  #peers = 0;

  constructor(options: AdmissionOptions = {}, accepts = true) {
    if (!accepts) this.bench.onEvent = () => {};
    this.listener = this.bench.listen(options);
  }

  peer(address: string): CraftedPeer {
    const number = ++this.#peers;
    return new CraftedPeer(this.bench, { address: { address, port: 4_000 + number }, id: 0x1_0001 * number });
  }

  /** Whether a new client gets in from there. */
  letsIn(address: string): boolean {
    const known = this.listener.members.size;
    const peer = this.peer(address);
    peer.send(peer.connectRequest(peer.askChallenge()));
    return this.listener.members.size > known;
  }

  /** How many of so many clients get in from there, one after the other at once. */
  admitted(count: number, addressOf: (i: number) => string): number {
    return Array.from({ length: count }, (_, i) => this.letsIn(addressOf(i))).filter(Boolean).length;
  }

  get dropped() {
    return this.listener.strangers.dropped;
  }
}

describe('strangers at a listen socket', () => {
  it('are answered with less than they sent, and so often in a second', () => {
    const stage = new Stage({ limits: { challengesPerSec: 50 } });
    for (let i = 0; i < 200; i++) stage.peer(`10.0.${i}.1`).askChallenge();
    expect(stage.listener.strangers).to.include({ receivedDatagrams: 200, sentDatagrams: 50 });
    expect(stage.listener.strangers.receivedBytes).to.equal(200 * 512);
    expect(stage.listener.strangers.amplification).to.be.within(0.001, 0.1);
    expect(stage.dropped.challengeLimit).to.equal(150);
    stage.bench.advance(SECOND / 2);
    for (let i = 0; i < 200; i++) stage.peer(`10.0.${i}.1`).askChallenge();
    expect(stage.listener.strangers.sentDatagrams).to.equal(75);
  });

  it('are not answered a thousand times at once, whatever the limit of a second', () => {
    const stage = new Stage({ limits: { challengesPerSec: 5_000 } });
    for (let i = 0; i < 2_000; i++) stage.peer(`10.0.${i % 250}.1`).askChallenge();
    expect(stage.listener.strangers.sentDatagrams).to.equal(1_000);
    stage.bench.advance(SECOND / 10);
    for (let i = 0; i < 2_000; i++) stage.peer(`10.0.${i % 250}.1`).askChallenge();
    expect(stage.listener.strangers.sentDatagrams).to.equal(1_500);
  });

  it('are all answered and looked at where there is no limit, in one moment as well', () => {
    const limits = { challengesPerSec: Infinity, handshakesPerSec: Infinity };
    const stage = new Stage({ limits });
    expect(stage.admitted(20, (i) => `10.0.${i}.1`)).to.equal(20);
    expect(stage.listener.strangers.sentDatagrams).to.be.at.least(20);
  });

  it('cost no look at their request without a cookie that is good, and leave nothing behind', () => {
    let asked = 0;
    const stage = new Stage({ admit: () => ++asked > 0 });
    const thief = stage.peer('10.0.0.2');
    const cookie = stage.peer('10.0.0.1').askChallenge();
    const [sent] = [stage.bench.sent.length];
    for (const challenge of [0n, 1n, cookie, cookie ^ 0x1_0000n]) thief.send(thief.connectRequest(challenge));
    expect(stage.dropped.badCookie).to.equal(4);
    expect(asked).to.equal(0);
    expect(stage.bench.sent).to.have.length(sent);
    expect(stage.listener.members.size).to.equal(0);
  });

  it('cannot use a cookie after four seconds', () => {
    const stage = new Stage();
    const peer = stage.peer('10.0.0.1');
    const cookie = peer.askChallenge();
    stage.bench.advance(5 * SECOND);
    peer.send(peer.connectRequest(cookie));
    expect(stage.dropped.badCookie).to.equal(1);
  });

  it('cannot hide another cookie behind one that is good', () => {
    const stage = new Stage();
    const peer = stage.peer('10.0.0.1');
    const out = new Uint8Array(1300);
    const length = encodeControlPacket(peer.connectRequest(peer.askChallenge()), out);
    const second = Uint8Array.of(0x11, 9, 9, 9, 9, 9, 9, 9, 9);
    peer.sendBytes(Uint8Array.of(...out.subarray(0, length), ...second));
    expect(stage.dropped.malformed).to.equal(1);
    expect(stage.listener.members.size).to.equal(0);
  });

  it('are counted by what became of them', () => {
    const stage = new Stage();
    const peer = stage.peer('10.0.0.1');
    peer.sendBytes(Uint8Array.of(0x20));
    peer.sendBytes(new Uint8Array(600).fill(0xff));
    peer.sendBytes(Uint8Array.of(0x22, 0xff, 0xff, 0xff, 0xff, 0xff));
    peer.sendBytes(Uint8Array.of(0x20, 1, 0, 0, 0, 0));
    peer.sendBytes(Uint8Array.of(0x7f, 1, 0, 0, 0, 0));
    const noIdentity = { identityString: 'nonsense', legacyIdentityBinary: undefined, legacySteamId: undefined };
    peer.send(peer.connectRequest(peer.askChallenge(), { cert: undefined, identity: noIdentity }));
    expect(stage.dropped).to.include({ malformed: 3, stray: 2, credentials: 1 });
    expect(stage.listener.strangers.admitted).to.equal(0);
  });

  it('get in so often in a second, from everywhere together', () => {
    const stage = new Stage({ limits: { handshakesPerSec: 10 } });
    expect(stage.admitted(30, (i) => `10.0.${i}.1`)).to.equal(10);
    expect(stage.dropped.handshakeLimit).to.equal(20);
    stage.bench.advance(SECOND);
    expect(stage.admitted(30, (i) => `10.1.${i}.1`)).to.equal(10);
  });

  it('get in so often in a second from one address, while others do, too', () => {
    const stage = new Stage({ limits: { handshakesPerSecPerSource: 5 } });
    expect(stage.admitted(30, () => '10.0.0.1')).to.equal(10);
    expect(stage.dropped.sourceLimit).to.equal(20);
    expect(stage.letsIn('10.0.0.2')).to.equal(true);
    stage.bench.advance(SECOND);
    expect(stage.admitted(30, () => '10.0.0.1')).to.equal(5);
  });

  it('count as one source where they share a /64 of IPv6', () => {
    const stage = new Stage({ limits: { handshakesPerSecPerSource: 5 } });
    expect(stage.admitted(30, (i) => `2001:db8:1:2::${i + 1}`)).to.equal(10);
    expect(stage.letsIn('2001:db8:1:3::1')).to.equal(true);
  });

  it('are not limited from this machine, except in waiting', () => {
    const stage = new Stage({ limits: { handshakesPerSec: 1, handshakesPerSecPerSource: 1, waitingPerSource: 1 } });
    expect(stage.admitted(50, () => '127.0.0.1')).to.equal(50);
  });

  it('wait for the application in limited numbers, and the next may come when one was answered', () => {
    const stage = new Stage({ limits: { waiting: 8, waitingPerSource: 3 } }, false);
    expect(stage.admitted(10, () => '10.0.0.1')).to.equal(3);
    expect(stage.admitted(10, (i) => `10.0.1.${i}`)).to.equal(5);
    expect(stage.dropped).to.include({ sourceLimit: 7, waitingLimit: 5 });
    const [first] = stage.listener.members;
    stage.bench.act(first!, (connection, nowUs) => connection.accept(nowUs));
    expect(stage.admitted(10, () => '10.0.0.1')).to.equal(1);
    stage.bench.advance(11 * SECOND);
    expect(stage.admitted(10, () => '10.0.0.1')).to.equal(3);
  });

  it('take the same memory, however many they are', () => {
    const stage = new Stage({ limits: { waiting: 5 } }, false);
    for (let i = 0; i < 5_000; i++) {
      const peer = stage.peer(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
      peer.send(peer.challengeRequest());
      peer.send(peer.connectRequest(BigInt(i)));
    }
    expect(stage.listener.members.size).to.equal(0);
    expect(stage.bench.endpoint.connectionCount).to.equal(0);
  });
});

describe('the admission hook', () => {
  it('is told who asks, and what its certificate says', () => {
    const applicants: Applicant[] = [];
    const stage = new Stage({ admit: (applicant) => applicants.push(applicant) > 0 });
    const peer = new CraftedPeer(stage.bench, {
      address: { address: '10.0.0.1', port: 4000 },
      certificate: { appIds: [7, 8], timeExpiryS: 99 },
      identity: writeIdentity(Identity.string('crafted')),
    });
    peer.send(peer.connectRequest(peer.askChallenge()));
    expect(applicants).to.have.length(1);
    expect(String(applicants[0]!.remoteAddress)).to.equal('10.0.0.1:4000');
    expect(String(applicants[0]!.remoteIdentity)).to.equal('str:crafted');
    const claims = { caKeyId: undefined, timeCreatedS: undefined, timeExpiryS: 99, appIds: [7, 8] };
    expect(applicants[0]!.certificate).to.deep.equal(claims);
  });

  it('turns away without a word, before any signature is looked at', () => {
    let asked = 0;
    const stage = new Stage({ admit: () => ++asked < 0 });
    const peer = stage.peer('10.0.0.1');
    const broken = { info: peer.crypt!.info, signature: new Uint8Array(64) };
    peer.send(peer.connectRequest(peer.askChallenge(), { crypt: broken }));
    expect(asked).to.equal(1);
    expect(stage.dropped).to.include({ refused: 1, credentials: 0 });
    expect(peer.take()).to.have.length(0);
  });

  it('does not make up for bad credentials', () => {
    const stage = new Stage({ admit: () => true });
    const peer = stage.peer('10.0.0.1');
    const broken = { info: peer.crypt!.info, signature: new Uint8Array(64) };
    peer.send(peer.connectRequest(peer.askChallenge(), { crypt: broken }));
    expect(stage.dropped).to.include({ refused: 0, credentials: 1 });
    expect(stage.listener.members.size).to.equal(0);
  });
});

describe('peekChallenge', () => {
  const CHALLENGE = Uint8Array.of(0x11, 8, 7, 6, 5, 4, 3, 2, 1);

  it('finds the challenge behind fields of every kind', () => {
    const before = [Uint8Array.of(0x0d, 1, 2, 3, 4), Uint8Array.of(0x19, 1, 2, 3, 4, 5, 6, 7, 8)];
    const others = [Uint8Array.of(0x22, 2, 0x11, 0x11), Uint8Array.of(0x30, 0xff, 0x01)];
    const bytes = Uint8Array.of(...[...before, ...others, CHALLENGE].flatMap((field) => [...field]));
    expect(peekChallenge(bytes, 0, bytes.length)).to.equal(0x0102_0304_0506_0708n);
  });

  it('finds nothing where the challenge is of another kind, cut short, or behind what is broken', () => {
    const broken = [[0x10, 5], [0x11, 1, 2, 3], [0x0b, ...CHALLENGE], [0x22, 0xff, 0x7f, ...CHALLENGE], []];
    for (const bytes of broken.map((each) => Uint8Array.from(each))) {
      expect(peekChallenge(bytes, 0, bytes.length), String(bytes)).to.equal(undefined);
    }
  });
});

describe('answerChallenge', () => {
  const CHALLENGE = 0xf102_0304_8506_0708n;
  const VERSION = 13;

  /** The answer by way of objects, which must be the same. */
  function answerOf(request: Uint8Array): Uint8Array {
    const packet = decodeControlPacket(request, request.length);
    if (packet?.kind !== 'challengeRequest' || packet.connectionId === 0) return new Uint8Array(0);
    const { connectionId, timestamp: echoedTimestamp } = packet;
    return encoded({
      kind: 'challengeReply',
      connectionId,
      challenge: CHALLENGE,
      echoedTimestamp,
      protocolVersion: VERSION,
    });
  }

  function quickAnswerOf(request: Uint8Array): Uint8Array {
    const out = new Uint8Array(64);
    return out.slice(0, answerChallenge(request, request.length, CHALLENGE, VERSION, out));
  }

  function encoded(packet: ControlPacket): Uint8Array {
    const out = new Uint8Array(1300);
    return out.slice(0, encodeControlPacket(packet, out));
  }

  /** A question of these fields. */
  function padded(fields: readonly (readonly number[])[]): Uint8Array {
    const payload = Uint8Array.from(fields.flat());
    const request = new Uint8Array(512);
    request.set([0x20, payload.length & 0xff, payload.length >> 8]);
    request.set(payload.subarray(0, 509), 3);
    return request;
  }

  it('writes what the coders of control packets do', () => {
    const values = [0xffff_ffff, 0x8000_0001, 1, 0];
    for (const connectionId of values) {
      const timestamp = BigInt(connectionId) << 31n;
      const request = encoded({ kind: 'challengeRequest', connectionId, timestamp, protocolVersion: 8 });
      expect(quickAnswerOf(request)).to.deep.equal(answerOf(request));
      expect(quickAnswerOf(request)).to.have.length(connectionId === 0 ? 0 : 26);
    }
  });

  itSeeded(
    'understands the same questions as they do: fields in any order, unknown, repeated, missing, broken',
    (seed) => {
      const byte = fc.integer({ min: 0, max: 255 });
      const bytes = (count: number) => fc.array(byte, { minLength: count, maxLength: count });
      const varInt = fc.tuple(
        fc.array(fc.integer({ min: 128, max: 255 }), { maxLength: 3 }),
        fc.integer({ max: 127, min: 0 }),
      );
      const tag = fc.tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 0, max: 7 }));
      const field = fc.oneof(
        bytes(4).map((value) => [0x0d, ...value]),
        bytes(8).map((value) => [0x19, ...value]),
        varInt.map(([more, last]) => [0x20, ...more, last]),
        bytes(3).map((value) => [0x2a, 3, ...value]),
        fc
          .tuple(tag, fc.array(byte, { maxLength: 9 }))
          .map(([[number, kind], rest]) => [(number << 3) | kind, ...rest]),
      );
      const check = fc.property(fc.array(field, { maxLength: 6 }), (fields) => {
        const request = padded(fields);
        expect(quickAnswerOf(request)).to.deep.equal(answerOf(request));
      });
      fc.assert(check, { seed, numRuns: 3_000 });
    },
  );

  it('gives none to what is too short, or says that it is longer than it is', () => {
    const request = encoded({ kind: 'challengeRequest', connectionId: 7, timestamp: 7n, protocolVersion: 13 });
    expect(quickAnswerOf(request.subarray(0, 511))).to.have.length(0);
    const liar = request.slice();
    liar.set([0xff, 0x01], 1);
    expect(quickAnswerOf(liar)).to.have.length(0);
  });
});

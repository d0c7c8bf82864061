// One agent and a peer made by hand, who need not be honest.
import { expect } from 'chai';
import fc from 'fast-check';
import { SeededRandom } from '../../../src/core/base/random.ts';
import type { IceAgent, IceAgentOptions } from '../../../src/core/ice/ice-agent.ts';
import { IcePort } from '../../../src/core/ice/ice-port.ts';
import {
  bytesOf,
  decodeStun,
  StunAttribute,
  StunClass,
  type StunMessage,
  StunMethod,
  StunWriter,
} from '../../../src/core/ice/stun.ts';
import type { NetAddress } from '../../../src/core/platform.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';
import { SEED } from '../../support/seed.ts';

const A = StunAttribute;
const MS = 1_000;
const START_US = 1_000_000;
const PEER: NetAddress = { address: '198.51.100.7', port: 4_000 };
const STRANGER: NetAddress = { address: '203.0.113.66', port: 6_666 };
const CANDIDATE = 'candidate:1 0 udp 2130706431 198.51.100.7 4000 typ host';

interface Sent {
  readonly message: StunMessage;
  readonly to: NetAddress;
}

class Stage {
  readonly port: IcePort;
  readonly agent: IceAgent;
  nowUs = START_US;

  constructor(options: Partial<IceAgentOptions> = {}) {
    const env = { crypto: nodeCrypto, random: new SeededRandom(SEED) };
    this.port = new IcePort(env, { port: 5_000, stun: [], turn: [] });
    this.port.setLocalAddresses([{ address: '192.0.2.1' }], this.nowUs);
    const allowed = { relay: true, privateHost: true, publicHost: true };
    const all = { localUfrag: 'LOCAL', localPwd: 'local-pwd', isControlling: true, allowed, ...options };
    this.agent = this.port.newAgent(all, this.nowUs);
  }

  /** Knows the peer, and has taken what it sent first. */
  withPeer(): Sent {
    this.agent.setRemoteCredentials('REMOTE', 'remote-pwd', this.nowUs);
    this.agent.addRemoteCandidate(CANDIDATE, this.nowUs);
    return this.sent()[0]!;
  }

  sent(): Sent[] {
    const slot = { bytes: new Uint8Array(1500), length: 0, to: undefined as NetAddress | undefined };
    const all: Sent[] = [];
    while (this.port.pollTransmit(slot)) {
      all.push({ message: decodeStun(slot.bytes, 0, slot.length)!, to: slot.to! });
    }
    return all;
  }

  runUntil(nowUs: number): void {
    while (this.port.nextTimeoutUs() <= nowUs) {
      this.nowUs = Math.max(this.nowUs, this.port.nextTimeoutUs());
      this.port.handleTimeout(this.nowUs);
    }
    this.nowUs = nowUs;
  }

  receive(bytes: Uint8Array, from: NetAddress = PEER): void {
    this.port.handleDatagram(bytes, bytes.length, from, this.nowUs);
  }

  events(): string[] {
    const kinds: string[] = [];
    for (let event = this.agent.pollEvent(); event; event = this.agent.pollEvent()) kinds.push(event.kind);
    return kinds.filter((kind) => kind !== 'localCandidate');
  }
}

interface RequestOptions {
  readonly username?: string;
  readonly pwd?: string | undefined;
  readonly nominates?: boolean;
  readonly role?: number;
  readonly tieBreaker?: number;
  readonly id?: number;
}

function requestOf(options: RequestOptions = {}): Uint8Array {
  const { username = 'LOCAL:REMOTE', nominates = false, role = A.IceControlled, tieBreaker = 0, id = 1 } = options;
  const pwd = 'pwd' in options ? options.pwd : 'local-pwd';
  const writer = new StunWriter(StunMethod.Binding, StunClass.Request, new Uint8Array(12).fill(id))
    .addText(A.Username, username)
    .addU32(A.Priority, 1_862_270_975)
    .add(role, new Uint8Array(8).fill(tieBreaker));
  if (nominates) writer.add(A.UseCandidate);
  if (pwd !== undefined) writer.addIntegrity(nodeCrypto, bytesOf(pwd));
  return writer.addFingerprint().finish();
}

function answerTo(request: StunMessage, pwd: string | undefined = 'remote-pwd', errorCode = 0): Uint8Array {
  const messageClass = errorCode > 0 ? StunClass.Error : StunClass.Success;
  const writer = new StunWriter(StunMethod.Binding, messageClass, request.transactionId);
  if (errorCode > 0) writer.addError(errorCode, 'No');
  else writer.addAddress(A.XorMappedAddress, { address: '192.0.2.1', port: 5_000 });
  if (pwd !== '') writer.addIntegrity(nodeCrypto, bytesOf(pwd));
  return writer.addFingerprint().finish();
}

/** Data comes from there every 50 ms, and every check is answered: how many of these were nominations? */
function nominationsIn(stage: Stage, durationUs: number, from: NetAddress): number {
  let count = 0;
  for (const endUs = stage.nowUs + durationUs; stage.nowUs < endUs; stage.runUntil(stage.nowUs + 50 * MS)) {
    stage.agent.noteDataReceived(from, undefined, stage.nowUs);
    for (const { message } of stage.sent()) {
      if (message.has(A.UseCandidate)) count++;
      stage.receive(answerTo(message));
    }
  }
  return count;
}

function stateOf({ agent }: Stage): string | undefined {
  return agent.checkTable()[0]?.state;
}

describe('an ICE agent that is asked', () => {
  it('answers as GNS does: with the user name, signed with its own password', () => {
    const stage = new Stage();
    stage.withPeer();
    stage.receive(requestOf(), PEER);
    const answer = stage.sent().find(({ message }) => message.class === StunClass.Success)!;
    expect(answer.to).to.deep.equal(PEER);
    expect(answer.message.attributeTypes).to.deep.equal([A.XorMappedAddress, A.Username]);
    expect(answer.message.address(A.XorMappedAddress)).to.deep.equal(PEER);
    expect(answer.message.text(A.Username)).to.equal('LOCAL:REMOTE');
    expect(answer.message.isGenuine(nodeCrypto, bytesOf('local-pwd'))).to.equal(true);
    expect(answer.message.fingerprint).to.equal('right');
  });

  const bad: Readonly<Record<string, RequestOptions>> = {
    'is not signed': { pwd: undefined },
    'is signed with another password': { pwd: 'guess' },
    'is for another agent': { username: 'OTHER:REMOTE' },
    'is from another agent': { username: 'LOCAL:OTHER' },
    'has no user name': { username: '' },
  };
  for (const [why, options] of Object.entries(bad)) {
    it(`says nothing to a request that ${why}`, () => {
      const stage = new Stage();
      stage.withPeer();
      stage.receive(requestOf(options), STRANGER);
      expect(stage.sent()).to.deep.equal([]);
      expect(stage.agent.candidateTable()).to.have.length(2);
    });
  }

  it('answers before it knows the peer, if the request is signed, and checks back when it does', () => {
    const stage = new Stage();
    stage.receive(requestOf());
    expect(stage.sent().map(({ message }) => message.class)).to.deep.equal([StunClass.Success]);
    stage.agent.setRemoteCredentials('REMOTE', 'remote-pwd', stage.nowUs);
    const [check] = stage.sent();
    expect(check!.to).to.deep.equal(PEER);
    expect(check!.message.text(A.Username)).to.equal('REMOTE:LOCAL');
  });

  it('does not answer a stranger before it knows the peer', () => {
    const stage = new Stage();
    stage.receive(requestOf({ pwd: 'guess' }), STRANGER);
    expect(stage.sent()).to.deep.equal([]);
  });

  it('learns at most 16 addresses from requests', () => {
    const stage = new Stage();
    stage.withPeer();
    for (let port = 1; port <= 100; port++) stage.receive(requestOf({ id: port }), { ...STRANGER, port });
    expect(stage.agent.candidateTable().filter(({ type }) => type === 'prflx')).to.have.length(16);
  });

  it('is nominated once by a nomination that comes twice', () => {
    const stage = new Stage({ isControlling: false });
    const check = stage.withPeer();
    stage.receive(answerTo(check.message));
    const nomination = requestOf({ role: A.IceControlling, nominates: true, id: 7 });
    stage.receive(nomination);
    stage.receive(nomination);
    expect(stage.events()).to.deep.equal(['routeSelected']);
  });

  it('takes a nominated pair only when its own check has succeeded', () => {
    const stage = new Stage({ isControlling: false });
    const check = stage.withPeer();
    stage.receive(requestOf({ role: A.IceControlling, nominates: true }));
    expect(stage.events()).to.deep.equal([]);
    stage.receive(answerTo(check.message));
    expect(stage.events()).to.deep.equal(['routeSelected']);
  });

  it('keeps the role with the larger tie-breaker, and says so', () => {
    const stage = new Stage();
    stage.withPeer();
    stage.receive(requestOf({ role: A.IceControlling, tieBreaker: 0 }));
    const errors = stage.sent().filter(({ message }) => message.class === StunClass.Error);
    expect(errors.map(({ message }) => message.errorCode)).to.deep.equal([487]);
    expect(stage.agent.isControlling).to.equal(true);
  });

  it('gives the role up to a larger tie-breaker', () => {
    const stage = new Stage();
    stage.withPeer();
    stage.receive(requestOf({ role: A.IceControlling, tieBreaker: 0xff }));
    expect(stage.agent.isControlling).to.equal(false);
  });
});

describe('an ICE agent that asks', () => {
  it('nominates the first pair that works, at once', () => {
    const stage = new Stage();
    const check = stage.withPeer();
    expect(check.message.has(A.UseCandidate)).to.equal(false);
    stage.receive(answerTo(check.message));
    const [nomination] = stage.sent();
    expect(nomination!.message.has(A.UseCandidate)).to.equal(true);
    stage.receive(answerTo(nomination!.message));
    expect(stage.events()).to.deep.equal(['routeSelected']);
    expect(stage.agent.selectedRoute!.remote).to.deep.equal(PEER);
    expect(stage.agent.selectedRoute!.kind).to.equal('host');
  });

  it('nominates its path again when data keeps coming another way, every two seconds', () => {
    const stage = new Stage();
    stage.receive(answerTo(stage.withPeer().message));
    expect(nominationsIn(stage, 1_900 * MS, STRANGER)).to.equal(1);
    expect(nominationsIn(stage, 200 * MS, STRANGER)).to.equal(1);
    expect(nominationsIn(stage, 10_000 * MS, STRANGER)).to.be.within(4, 5);
    expect(nominationsIn(stage, 10_000 * MS, PEER)).to.equal(0);
    expect(stage.events()).to.deep.equal(['routeSelected']);
    expect(stage.agent.selectedRoute!.remote).to.deep.equal(PEER);
  });

  it('sends the attributes that GNS sends, in its order', () => {
    const { message } = new Stage().withPeer();
    expect(message.attributeTypes).to.deep.equal([A.Username, A.Priority, A.IceControlling]);
    expect(message.u32(A.Priority)).to.equal(1_862_270_975);
    expect(message.isGenuine(nodeCrypto, bytesOf('remote-pwd'))).to.equal(true);
    expect(message.fingerprint).to.equal('right');
  });

  const forgeries: Readonly<Record<string, (request: StunMessage) => [Uint8Array, NetAddress]>> = {
    'is not signed': (request) => [answerTo(request, ''), PEER],
    'is signed with another password': (request) => [answerTo(request, 'guess'), PEER],
    'comes from elsewhere': (request) => [answerTo(request), STRANGER],
    'is an unsigned error': (request) => [answerTo(request, '', 400), PEER],
  };
  for (const [why, forge] of Object.entries(forgeries)) {
    it(`goes on waiting when an answer ${why}, and takes the right one`, () => {
      const stage = new Stage();
      const check = stage.withPeer();
      const [bytes, from] = forge(check.message);
      stage.receive(bytes, from);
      expect(stateOf(stage)).to.equal('inProgress');
      stage.receive(answerTo(check.message));
      expect(stateOf(stage)).to.equal('succeeded');
    });
  }

  it('does not take an error for success', () => {
    const stage = new Stage();
    const check = stage.withPeer();
    stage.receive(answerTo(check.message, 'remote-pwd', 400));
    expect(stateOf(stage)).to.equal('failed');
  });

  it('changes its role when the peer says that both have the same, and asks again', () => {
    const stage = new Stage();
    const check = stage.withPeer();
    stage.receive(answerTo(check.message, 'remote-pwd', 487));
    stage.runUntil(stage.nowUs + 50 * MS);
    expect(stage.agent.isControlling).to.equal(false);
    expect(stage.sent()[0]!.message.has(A.IceControlled)).to.equal(true);
  });

  it('sends at most one check in 20 ms to addresses that nobody vouches for, and six to each', () => {
    const stage = new Stage();
    stage.agent.setRemoteCredentials('REMOTE', 'remote-pwd', stage.nowUs);
    for (let i = 1; i <= 50; i++) {
      stage.agent.addRemoteCandidate(CANDIDATE.replace('100.7', `100.${i}`), stage.nowUs);
    }
    const first = stage.sent().length;
    stage.runUntil(START_US + 200 * MS);
    expect(first).to.equal(1);
    expect(stage.sent()).to.have.length(10);
    stage.runUntil(START_US + 5_000 * MS);
    const counts = new Map<string, number>();
    for (const { to } of stage.sent()) counts.set(to.address, (counts.get(to.address) ?? 0) + 1);
    expect(Math.max(...counts.values())).to.be.at.most(6);
  });

  it('stops when it is closed', () => {
    const stage = new Stage();
    const check = stage.withPeer();
    stage.agent.close();
    stage.runUntil(START_US + 60_000 * MS);
    stage.receive(answerTo(check.message));
    stage.receive(requestOf());
    expect(stage.sent()).to.deep.equal([]);
    expect(stage.agent.addRemoteCandidate(CANDIDATE, stage.nowUs)).to.equal(false);
  });
});

describe('the candidates of the peer', () => {
  it('are at most 64', () => {
    const { agent } = new Stage();
    const add = (i: number) => agent.addRemoteCandidate(CANDIDATE.replace('4000', String(4_000 + i)), START_US);
    const results = Array.from({ length: 100 }, (_, i) => add(i));
    expect(results.filter((isTaken) => isTaken)).to.have.length(64);
    expect(add(0), 'a known one again').to.equal(true);
  });

  for (const host of ['127.0.0.1', '0.0.0.0', '224.0.0.5', '::1', 'fe80::1', 'abc.local']) {
    it(`cannot be ${host}`, () => {
      const stage = new Stage();
      expect(stage.agent.addRemoteCandidate(CANDIDATE.replace('198.51.100.7', host), START_US)).to.equal(false);
      expect(stage.agent.checkTable()).to.deep.equal([]);
    });
  }

  it('replace what was learned from a request', () => {
    const stage = new Stage();
    stage.agent.setRemoteCredentials('REMOTE', 'remote-pwd', stage.nowUs);
    stage.receive(requestOf());
    stage.agent.addRemoteCandidate(CANDIDATE, stage.nowUs);
    const remotes = stage.agent.candidateTable().filter(({ side }) => side === 'remote');
    expect(remotes.map(({ type }) => type)).to.deep.equal(['host']);
    expect(stage.agent.checkTable()).to.have.length(1);
  });
});

describe('a port with ICE', () => {
  it('leaves data and control packets to its owner', () => {
    const { port } = new Stage();
    for (const lead of [0x80, 0x81, 0x20, 0x25, 0x40]) {
      const packet = new Uint8Array(100).fill(lead);
      expect(port.handleDatagram(packet, packet.length, STRANGER, START_US), `0x${lead.toString(16)}`).to.equal(
        undefined,
      );
    }
    expect(port.handleDatagram(new Uint8Array(0), 0, STRANGER, START_US)).to.equal(undefined);
  });

  it('writes addresses as a dual-stack socket does, and understands them', () => {
    const env = { crypto: nodeCrypto, random: new SeededRandom(SEED) };
    const port = new IcePort(env, { port: 5_000, stun: [PEER], turn: [], mapsIPv4: true });
    port.setLocalAddresses([{ address: '192.0.2.1' }], START_US);
    const allowed = { relay: false, privateHost: true, publicHost: true };
    port.newAgent({ localUfrag: 'L', localPwd: 'p', isControlling: true, allowed }, START_US);
    const slot = { bytes: new Uint8Array(1500), length: 0, to: undefined as NetAddress | undefined };
    port.pollTransmit(slot);
    expect(slot.to).to.deep.equal({ address: '::ffff:198.51.100.7', port: 4_000 });
    const request = decodeStun(slot.bytes, 0, slot.length)!;
    const answer = new StunWriter(StunMethod.Binding, StunClass.Success, request.transactionId)
      .addAddress(A.XorMappedAddress, { address: '203.0.113.1', port: 999 })
      .finish();
    port.handleDatagram(answer, answer.length, slot.to!, START_US + 10 * MS);
    expect(port.mappings[0]!.mapped).to.deep.equal({ address: '203.0.113.1', port: 999 });
  });

  it('survives whatever comes', () => {
    const stage = new Stage();
    const check = stage.withPeer();
    const genuine = [requestOf(), answerTo(check.message), requestOf({ nominates: true, role: A.IceControlling })];
    fc.assert(
      fc.property(
        fc.constantFrom(...genuine),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        (bytes, edits) => {
          const spoilt = bytes.slice();
          for (const [at, value] of edits) spoilt[at % spoilt.length] = value;
          stage.nowUs += MS;
          stage.receive(spoilt);
          stage.runUntil(stage.nowUs + MS);
          for (const { to } of stage.sent()) expect(to).to.deep.equal(PEER);
        },
      ),
      { seed: SEED },
    );
  });
});

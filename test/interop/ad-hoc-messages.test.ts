// Ad-hoc messages with the real library, in both roles: requests, channels, failures, restarts. The test carries the
// signals. Needs an address that is not a loopback one: GNS offers no others.

import { networkInterfaces } from 'node:os';
import { expect } from 'chai';
import { type Parameters, PeerProcess, type PeerProgram, type Report } from '../support/peer-process.ts';
import { describeInterop, isOurs, pause, type Roles } from './pair.ts';
import { carrySignals } from './signals.ts';

const HAS_NETWORK = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ internal, address }) => !internal && !address.startsWith('fe80:')),
);
const PATIENCE_MS = 20_000;
/** Idle sessions take three minutes: only on request. */
const IS_LONG_RUN = process.env['LONG'] !== undefined;

/** A peer, and the other one's name. */
class Talker {
  readonly peer: PeerProcess;
  readonly program: PeerProgram;
  readonly other: string;

  constructor(program: PeerProgram, other: string) {
    this.peer = new PeerProcess(program);
    this.program = program;
    this.other = `str:${other}`;
  }

  async prepare(name: string, config: Parameters, autoAccept: boolean): Promise<void> {
    await this.peer.ask('identity', { str: name });
    await this.peer.ask('init', config);
    await this.peer.ask(`messages autoaccept ${autoAccept ? 'on' : 'off'}`);
    await this.peer.ask('messages recv', { channels: '0,5,-7' });
  }

  ask(verb: string, parameters: Parameters = {}): Promise<Report> {
    return this.peer.ask(`messages ${verb}`, { identity: this.other, ...parameters });
  }

  async state(): Promise<unknown> {
    return (await this.ask('info'))['state'];
  }

  async untilState(state: string): Promise<void> {
    for (let i = 0; i < 200 && (await this.state()) !== state; i++) await pause(50);
    expect(await this.state()).to.equal(state);
  }

  of(kind: string): readonly Report[] {
    return this.peer.events.filter(({ ev }) => ev === kind);
  }

  until(kind: string, count: number, timeoutMs = PATIENCE_MS): Promise<readonly Report[]> {
    const find = () => (this.of(kind).length >= count ? this.of(kind) : undefined);
    return this.peer.until(`${count} times '${kind}'`, find, timeoutMs);
  }
}

interface TalkOptions {
  readonly config?: Parameters;
  readonly autoAccept?: boolean;
}

/** The one that calls is named after the role that connects. */
class Talk implements AsyncDisposable {
  caller: Talker;
  callee: Talker;

  private constructor({ listener, connector }: Roles) {
    this.caller = new Talker(connector, 'callee');
    this.callee = new Talker(listener, 'caller');
  }

  static async start(roles: Roles, { config = {}, autoAccept = true }: TalkOptions = {}): Promise<Talk> {
    const talk = new Talk(roles);
    await talk.caller.prepare('caller', config, autoAccept);
    await talk.callee.prepare('callee', config, autoAccept);
    carrySignals(talk.caller.peer, talk.callee.peer);
    return talk;
  }

  /** The callee is killed, and started again. */
  async restartCallee(): Promise<void> {
    await this.callee.peer.kill();
    this.callee = new Talker(this.callee.program, 'caller');
    await this.callee.prepare('callee', {}, true);
    carrySignals(this.caller.peer, this.callee.peer);
  }

  /** Each has had a message of the other. */
  async establish(): Promise<this> {
    await this.caller.ask('send', { text: 'hello' });
    await this.callee.until('mmsg', 1);
    await this.callee.ask('send', { text: 'hello' });
    await this.caller.until('mmsg', 1);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.caller.peer[Symbol.asyncDispose](), this.callee.peer[Symbol.asyncDispose]()]);
  }
}

function summary({ identity, channel, size, flags, msgnum }: Report): readonly unknown[] {
  return [identity, channel, size, flags, msgnum];
}

/** GNS tells of a close when it hears something, ours at once. */
async function noticeClose(closing: Talker, other: Talker): Promise<void> {
  if (!isOurs(closing.program)) await other.ask('send', { size: 1 });
  await other.untilState('None');
}

describeInterop('ad-hoc messages', (roles) => {
  before(function () {
    if (!HAS_NETWORK) this.skip();
  });

  it('wait for consent, and arrive on their channels, reliably as long as there is no connection', async () => {
    await using talk = await Talk.start(roles, { autoAccept: false });
    const { caller, callee } = talk;
    await caller.ask('send', { size: 10, channel: 5, flags: 'unreliable' });
    await caller.ask('send', { size: 11, channel: -7 });
    const [request] = await callee.until('msgsession', 1);
    expect(request!['identity']).to.equal('str:caller');
    expect(await callee.state()).to.equal('Connecting');
    await callee.ask('accept');
    const messages = await callee.until('mmsg', 2);
    // The peers read one channel after the other.
    const inOrder = [...messages].sort((a, b) => Number(a['msgnum']) - Number(b['msgnum']));
    expect(inOrder.map(summary)).to.deep.equal([
      ['str:caller', 5, 10, 'reliable', 1],
      ['str:caller', -7, 11, 'reliable', 2],
    ]);
    // GNS takes reliable messages a little before it is Connected, and drops the others until then.
    await callee.untilState('Connected');
    await caller.ask('send', { size: 12, flags: 'unreliable' });
    expect(summary((await callee.until('mmsg', 3))[2]!)).to.deep.equal(['str:caller', 0, 12, 'unreliable', 3]);
    expect(callee.of('msgsession')).to.have.length(1);
  });

  it('are consent in themselves', async () => {
    await using talk = await Talk.start(roles, { autoAccept: false });
    const { caller, callee } = talk;
    await caller.ask('send', { size: 1 });
    await callee.until('msgsession', 1);
    await callee.ask('send', { size: 2 });
    await Promise.all([caller.until('mmsg', 1), callee.until('mmsg', 1)]);
  });

  it('that both send at the same time need one session, and no request', async () => {
    await using talk = await Talk.start(roles, { autoAccept: false });
    const { caller, callee } = talk;
    await Promise.all([caller.ask('send', { size: 1 }), callee.ask('send', { size: 2 })]);
    await Promise.all([caller.until('mmsg', 1), callee.until('mmsg', 1)]);
    expect([...caller.of('msgsession'), ...callee.of('msgsession')]).to.have.length(0);
  });

  it('have up to 524,283 bytes, both ways', async () => {
    await using talk = await Talk.start(roles, { config: { SendRateMin: 10_000_000, SendRateMax: 10_000_000 } });
    await talk.establish();
    const { caller, callee } = talk;
    for (const [from, to] of [
      [caller, callee],
      [callee, caller],
    ] as const) {
      await from.ask('send', { pattern: 1, size: 524_283 });
      const message = (await to.until('mmsg', 2))[1]!;
      expect(message['size']).to.equal(524_283);
    }
  });

  it('come in order on all channels together', async () => {
    await using talk = await Talk.start(roles);
    await talk.establish();
    const { caller, callee } = talk;
    for (const [from, to] of [
      [caller, callee],
      [callee, caller],
    ] as const) {
      for (let i = 0; i < 50; i++) await from.ask('send', { size: i, channel: [0, 5, -7][i % 3]! });
      const messages = await to.until('mmsg', 51);
      const numbers = messages.slice(1).map(({ msgnum }) => msgnum as number);
      expect(numbers.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 50 }, (_, i) => i + 2));
      const sizes = messages
        .slice(1)
        .filter(({ channel }) => channel === 5)
        .map(({ size }) => size);
      expect(sizes).to.deep.equal(Array.from({ length: 17 }, (_, i) => 3 * i + 1));
    }
  });

  it('fail on both sides when nobody consents; the session is broken until it is restarted', async () => {
    await using talk = await Talk.start(roles, { autoAccept: false, config: { TimeoutInitial: 1_000 } });
    const { caller, callee } = talk;
    await caller.ask('send', { size: 1 });
    const [atCaller] = await caller.until('msgsessionfailed', 1);
    const [atCallee] = await callee.until('msgsessionfailed', 1);
    expect([atCaller!['reason'], atCallee!['reason']]).to.deep.equal([5003, 5003]);
    const refusal = await caller.ask('send', { size: 1 }).catch((error) => error.answer);
    expect(refusal).to.include({ ev: 'error', result: 'ConnectFailed', code: 35 });
    await caller.ask('send', { size: 2, flags: 'reliable,autorestart' });
    await callee.until('msgsession', 2);
    await callee.ask('accept');
    const [message] = await callee.until('mmsg', 1);
    expect(message!['size']).to.equal(2);
  });

  it('are turned down by closing the session', async () => {
    await using talk = await Talk.start(roles, { autoAccept: false });
    const { caller, callee } = talk;
    await caller.ask('send', { size: 1 });
    await callee.until('msgsession', 1);
    await callee.ask('close');
    const [failure] = await caller.until('msgsessionfailed', 1);
    expect(failure).to.include({ state: 'ClosedByPeer', reason: 1001 });
  });

  for (const closer of ['caller', 'callee'] as const) {
    it(`open another session after the ${closer} has closed one`, async () => {
      await using talk = await Talk.start(roles);
      await talk.establish();
      const closing = talk[closer];
      const other = closer === 'caller' ? talk.callee : talk.caller;
      await closing.ask('close');
      expect(await closing.state()).to.equal('None');
      await noticeClose(closing, other);
      const requests = closing.of('msgsession').length;
      await other.ask('send', { size: 2 });
      await closing.until('msgsession', requests + 1);
      expect(summary((await closing.until('mmsg', 2))[1]!)[2]).to.equal(2);
      expect([...closing.of('msgsessionfailed'), ...other.of('msgsessionfailed')]).to.have.length(0);
    });
  }

  it('end with the last channel on which something came', async () => {
    await using talk = await Talk.start(roles);
    await talk.establish();
    const { caller, callee } = talk;
    await caller.ask('send', { size: 1, channel: 5 });
    await callee.until('mmsg', 2);
    await callee.ask('close', { channel: 5 });
    expect(await callee.state()).to.equal('Connected');
    await callee.ask('close', { channel: 0 });
    expect(await callee.state()).to.equal('None');
    await noticeClose(callee, caller);
  });

  it('reach a peer that was killed and started again', async () => {
    await using talk = await Talk.start(roles, { config: { TimeoutConnected: 2_000 } });
    await talk.establish();
    await talk.restartCallee();
    const { caller, callee } = talk;
    await caller.ask('send', { size: 1 });
    await caller.untilState('None');
    await caller.ask('send', { size: 2, flags: 'reliable,autorestart' });
    const [message] = await callee.until('mmsg', 1);
    expect(message!['size']).to.equal(2);
  });

  it('are soon taken from a peer that was killed and started again, if ours is the one that survived', async function () {
    await using talk = await Talk.start(roles);
    if (!isOurs(talk.caller.program)) this.skip();
    await talk.establish();
    await talk.restartCallee();
    const { caller, callee } = talk;
    await callee.ask('send', { size: 1 });
    expect((await caller.until('mmsg', 2, 6_000))[1]!['size']).to.equal(1);
    expect(caller.of('msgsessionclosed')[0]).to.include({ reason: 5010 });
  });

  it('keep a session to which ours only listens for longer than three minutes', async function () {
    if (!IS_LONG_RUN) this.skip();
    this.timeout(300_000);
    await using talk = await Talk.start(roles);
    await talk.establish();
    const { ours, gns } = sides(talk);
    for (let i = 0; i < 20; i++) {
      await gns.ask('send', { size: i });
      await pause(10_000);
    }
    expect(ours.of('mmsg')).to.have.length(21);
    expect(ours.of('msgsessionclosed')).to.have.length(0);
    expect([...ours.of('msgsession'), ...gns.of('msgsession')]).to.have.length(1);
  });

  it('lose a session to which GNS only listened for three minutes, and ours is told what got lost', async function () {
    if (!IS_LONG_RUN) this.skip();
    this.timeout(300_000);
    await using talk = await Talk.start(roles);
    await talk.establish();
    const { ours, gns } = sides(talk);
    let sent = 0;
    for (; ours.of('msgsessionclosed').length === 0 && sent < 26; sent++) {
      await ours.ask('send', { size: sent });
      await pause(10_000);
    }
    const lost = sent - (gns.of('mmsg').length - 1);
    const [end] = ours.of('msgsessionclosed');
    expect(end?.['undelivered'], JSON.stringify({ end, sent, lost })).to.be.greaterThan(0);
    expect(lost).to.be.within(1, 3);
    await ours.ask('send', { size: 99 });
    expect((await gns.until('mmsg', sent - lost + 2)).at(-1)!['size']).to.equal(99);
  });
});

function sides({ caller, callee }: Talk): { readonly ours: Talker; readonly gns: Talker } {
  return isOurs(caller.program) ? { ours: caller, gns: callee } : { ours: callee, gns: caller };
}

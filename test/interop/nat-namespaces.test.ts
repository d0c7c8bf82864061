// Who meets whom, on real sockets: the table of docs/nat.md with routers made of nftables and coturn in the middle. Runs
// with NAT_LAB=1 as root, since it makes network namespaces.

import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { SurveyReport } from '../../src/cli/doctor/survey.ts';
import { commandIn, NamespaceLab, obstacle, SERVERS } from '../support/nat-namespaces.ts';
import { KINDS, type KindName, NAMES, TABLE } from '../support/nat-table.ts';
import { type Parameters, PeerProcess } from '../support/peer-process.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const STUN = SERVERS.map((address) => `${address}:3478`).join(',');
const TURN = { P2P_TURN_ServerList: `${SERVERS[0]}:3478`, P2P_TURN_UserList: 'user', P2P_TURN_PassList: 'secret' };
const GIVE_UP_MS = 4_000;
const SETTLE_MS = 8_000;
const CARRY_MS = 60_000;

/** One end of a connection, and the process it is in. */
interface End {
  readonly peer: PeerProcess;
  readonly id: string;
}

/** Hands the signals of one to the other, for as long as both are there. */
async function carry(from: PeerProcess, to: PeerProcess): Promise<void> {
  try {
    for (let next = 0; ; next++) {
      const find = () => from.events.filter(({ ev }) => ev === 'signal')[next];
      const { hex } = await from.until('a signal', find, CARRY_MS);
      void to.ask('signal', { hex: String(hex) }).catch(() => {});
    }
  } catch {
    // One is gone.
  }
}

async function startPeer(name: string, namespace: string, config: Parameters): Promise<PeerProcess> {
  const peer = new PeerProcess({ name, ...commandIn(namespace, process.execPath, MAIN, 'peer') });
  await peer.ask('identity', { str: name });
  await peer.ask('init', { P2P_STUN_ServerList: STUN, TimeoutInitial: GIVE_UP_MS, ...config });
  await peer.ask('autoaccept on');
  return peer;
}

/** How the call ended: the last state of each side that is Connected or over. */
async function outcomeOf({ peer, id }: End): Promise<{ readonly state: string; readonly debug: string }> {
  const isDecided = (state: string) => ['Connected', 'ClosedByPeer', 'ProblemDetectedLocally'].includes(state);
  const find = () => peer.states(id).find((report) => isDecided(report.new));
  const { new: state, debug } = await peer.until(`an outcome of ${id}`, find, 2 * GIVE_UP_MS + 5_000);
  return { state, debug };
}

async function isRelayed({ peer, id }: End): Promise<boolean> {
  const { flagNames } = await peer.ask('info', { id });
  return (flagNames as readonly string[]).includes('Relayed');
}

describe('peers behind real NATs', function () {
  this.timeout(60_000);
  this.slow(60_000);
  const why = obstacle();
  if (why !== undefined) {
    it(`need a laboratory: ${why}`, function () {
      this.skip();
    });
    return;
  }
  let lab: NamespaceLab;

  before(async () => {
    lab = await NamespaceLab.start();
  });
  afterEach(() => lab?.removePeers());
  after(() => lab?.[Symbol.asyncDispose]());

  /** Calls, and leaves it to `check` what to think of it. */
  async function call(a: KindName, b: KindName, config: Parameters, check: (ends: End[]) => Promise<void>) {
    const [first, second] = [lab.addPeer(1, KINDS[a]), lab.addPeer(2, KINDS[b])];
    await using alice = await startPeer('alice', first, config);
    await using bob = await startPeer('bob', second, config);
    void carry(alice, bob);
    void carry(bob, alice);
    await bob.ask('listenp2p', { id: 'L', vport: 7 });
    await alice.ask('connectp2p', { id: 'C', identity: 'str:bob', vport: 7 });
    await check([
      { peer: alice, id: 'C' },
      { peer: bob, id: 'L.1' },
    ]);
  }

  NAMES.forEach((a, i) => {
    for (const b of NAMES.slice(i)) {
      const expected = TABLE.get(`${a} ${b}`)!;
      it(`meet as documented: ${a}, ${b} (${expected})`, async () => {
        await call(a, b, TURN, async (ends) => {
          const outcomes = await Promise.all(ends.map(outcomeOf));
          const isUp = outcomes.every(({ state }) => state === 'Connected');
          expect(isUp, JSON.stringify(outcomes)).to.equal(expected !== 'never');
          if (isUp) await checkWay(ends, expected === 'relay');
        });
      });
    }
  });

  /** It is, or becomes, the way that it should be, and messages go both ways. */
  async function checkWay(ends: readonly End[], shouldRelay: boolean): Promise<void> {
    // A better way than a relay may take a moment; none may come where none should be.
    if (shouldRelay) await sleep(2_000);
    const endMs = Date.now() + SETTLE_MS;
    const relayed = () => Promise.all(ends.map(isRelayed));
    while (!shouldRelay && (await relayed()).includes(true) && Date.now() < endMs) await sleep(100);
    expect(await relayed()).to.deep.equal([shouldRelay, shouldRelay]);
    for (const { peer, id } of ends) await peer.ask('send', { id, flags: 'reliable', size: 20_000 });
    for (const { peer, id } of ends) await peer.until('a message', () => peer.messages(id)[0], 5_000);
  }

  it('are told that both are behind symmetric NATs, where there is no relay', async () => {
    await call('symmetric', 'symmetric', {}, async (ends) => {
      for (const { debug } of await Promise.all(ends.map(outcomeOf))) expect(debug).to.contain('both NATs');
    });
  });

  for (const [name, nat, udp] of [
    ['none', 'none', 'works'],
    ['full cone', 'endpointIndependent', 'works'],
    ['restricted cone', 'endpointIndependent', 'works'],
    ['port restricted', 'endpointIndependent', 'works'],
    ['symmetric', 'symmetric', 'works'],
    ['UDP blocked', 'unknown', 'blocked'],
  ] as const) {
    it(`are told by gns doctor what they are behind: ${name}`, async () => {
      const namespace = lab.addPeer(1, KINDS[name]);
      const turn = ['--turn', SERVERS[0], '--user', 'user', '--pass', 'secret'];
      const report = await doctor(namespace, '--stun', STUN, ...turn);
      expect(report).to.include({ nat, udp });
      expect(report.turn[0]!.relayed === null).to.equal(udp === 'blocked');
    });
  }
});

function doctor(namespace: string, ...args: string[]): Promise<SurveyReport> {
  const { command, args: words } = commandIn(namespace, process.execPath, MAIN, 'doctor', '--json', ...args);
  return new Promise((resolve, reject) => {
    execFile(command, words, (_, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as SurveyReport);
      } catch {
        reject(new Error(`gns doctor said: ${stdout} ${stderr}`));
      }
    });
  });
}

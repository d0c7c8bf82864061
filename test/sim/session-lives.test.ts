// Sessions of several peers through partitions, losses, closes and crashes, at random: what must hold whatever happens.

import { expect } from 'chai';
import { SeededRandom } from '../../src/core/base/random.ts';
import { type Messenger, MessengerScene } from '../support/messenger.ts';
import { itSeeded } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;
const NAMES = ['ann', 'ben', 'cleo', 'dan', 'eve'];
const STEPS = 400;
const RUNS = 2;

interface Troubles {
  readonly partitions: boolean;
  readonly closes: boolean;
  readonly crashes: boolean;
}

/** Peers that send each other numbered messages. */
class Village {
  readonly scene: MessengerScene;
  readonly peers: Messenger[];
  /** Crashed ones, too. */
  readonly all: Messenger[];
  readonly #random: SeededRandom;
  readonly #sent = new Map<string, number>();
  #count = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.scene = new MessengerScene(seed);
    this.scene.network.setConditions({ delayUs: 20 * MS, jitterUs: 10 * MS, lossRatio: 0.02 });
    this.scene.signaling.conditions = { delayUs: 30 * MS, jitterUs: 100 * MS, lossRatio: 0.1, duplicateRatio: 0.05 };
    this.peers = NAMES.map((name) => this.scene.join(name));
    this.all = [...this.peers];
  }

  #below(limit: number): number {
    return Math.floor(this.#random.float() * limit);
  }

  live(troubles: Troubles): void {
    for (let step = 0; step < STEPS; step++) {
      const [from, to] = this.#pair();
      this.send(from, to);
      if (troubles.partitions && this.#below(60) === 0) this.#partition(from, to);
      if (troubles.closes && this.#below(20) === 0) from.messages.closeSessionWithUser(`str:${to.host.name}`);
      if (troubles.crashes && this.#below(80) === 0) this.#crash(from);
      this.scene.run(this.#below(400) * MS);
    }
    this.scene.run(60 * SECOND);
  }

  #pair(): readonly [Messenger, Messenger] {
    const from = this.#below(NAMES.length);
    const to = (from + 1 + this.#below(NAMES.length - 1)) % NAMES.length;
    return [this.peers[from]!, this.peers[to]!];
  }

  send(from: Messenger, to: Messenger): void {
    const way = `str:${from.host.name} str:${to.host.name}`;
    from.messages.sendMessageToUser(`str:${to.host.name}`, `${this.#count++}`, {
      channel: this.#below(3),
      autoRestart: true,
    });
    this.#sent.set(way, (this.#sent.get(way) ?? 0) + 1);
  }

  #partition({ host: a }: Messenger, { host: b }: Messenger): void {
    const { network } = this.scene;
    network.partition(a, b);
    const { platform } = network.host(`timer ${this.#count++}`);
    platform.newAlarm(() => network.heal(a, b)).set(platform.nowUs() + this.#below(25) * SECOND);
  }

  #crash(peer: Messenger): void {
    const risen = this.scene.restart(peer);
    this.peers[this.peers.indexOf(peer)] = risen;
    this.all.push(risen);
  }

  /** How many of the messages from the one to the other did not arrive. */
  lost(from: Messenger, to: Messenger): number {
    const name = `str:${from.host.name}`;
    const arrived = to.received.filter(({ identity }) => String(identity) === name).length;
    return (this.#sent.get(`${name} str:${to.host.name}`) ?? 0) - arrived;
  }

  *pairs(): Generator<readonly [Messenger, Messenger]> {
    for (const from of this.peers) for (const to of this.peers) if (from !== to) yield [from, to];
  }

  /** Nobody got anything twice, or out of order. */
  checkOrder(): void {
    for (const { host, received } of this.all) {
      const newest = new Map<string, number>();
      for (const { identity, data } of received) {
        const number = Number(new TextDecoder().decode(data));
        expect(number, `${host.name} from ${identity}`).to.be.greaterThan(newest.get(`${identity}`) ?? -1);
        newest.set(`${identity}`, number);
      }
    }
  }

  /** Everybody can reach everybody again. */
  checkReunion(): void {
    for (const [from, to] of this.pairs()) {
      const before = to.received.length;
      this.send(from, to);
      this.scene.until(() => to.received.length > before, 60 * SECOND);
    }
  }
}

function toldOf(from: Messenger, to: Messenger): boolean {
  return [...from.closed, ...from.failed].some(
    ({ identity, undeliveredBytes }) => String(identity) === `str:${to.host.name}` && undeliveredBytes > 0,
  );
}

describe('the lives of sessions', () => {
  itSeeded('lose nothing when nothing but packets and signals gets lost', (seed) => {
    for (let run = 0; run < RUNS; run++) {
      const village = new Village(seed + run);
      village.live({ partitions: false, closes: false, crashes: false });
      village.checkOrder();
      for (const [from, to] of village.pairs()) expect(village.lost(from, to), `run ${run}`).to.equal(0);
      for (const { failed, closed } of village.all) expect([...failed, ...closed], `run ${run}`).to.have.length(0);
    }
  });

  itSeeded('lose nothing silently when the network is torn apart', (seed) => {
    let lost = 0;
    for (let run = 0; run < RUNS; run++) {
      const village = new Village(seed + run);
      village.live({ partitions: true, closes: false, crashes: false });
      village.checkOrder();
      for (const [from, to] of village.pairs()) {
        lost += village.lost(from, to);
        if (village.lost(from, to) > 0) {
          expect(toldOf(from, to), `run ${run}: ${from.host.name} to ${to.host.name}`).to.equal(true);
        }
      }
      village.checkReunion();
    }
    expect(lost, 'messages that were lost, so that there was something to tell').to.be.greaterThan(0);
  });

  itSeeded('go on after any number of closes and crashes', (seed) => {
    for (let run = 0; run < RUNS; run++) {
      const village = new Village(seed + run);
      village.live({ partitions: true, closes: true, crashes: true });
      village.checkOrder();
      village.checkReunion();
    }
  });
});

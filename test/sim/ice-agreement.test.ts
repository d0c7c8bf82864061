// Whatever happens on the way: when the network is whole again, both agents end up on one path, and on the best one.
// Spec: 7.11.
import { env } from 'node:process';
import { expect } from 'chai';
import { SeededRandom } from '../../src/core/base/random.ts';
import type { LinkConditions } from '../../src/netsim/conditions.ts';
import type { NatKind } from '../../src/netsim/nat.ts';
import { IceStage, type IceStageOptions, WAYS } from '../support/ice-stage.ts';
import { itSeeded, SEED } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;
/** How many ordeals; each has a seed of its own, counted up from that of the run. */
const RUNS = Number(env['RUNS'] ?? 12);
const OUTAGES_US = [1_250, 1_750, 2_000, 2_500, 3_000, 4_000, 6_000].map((ms) => ms * MS);
const CONES = [
  { client: 'restrictedCone', server: 'portRestrictedCone' },
  { client: 'portRestrictedCone', server: 'restrictedCone' },
] as const;
const NATS: readonly NatKind[] = ['fullCone', 'restrictedCone', 'portRestrictedCone', 'symmetric'];

/** Runs for twice as long as allowed; returns when they last were not on one path, of this kind and the best of it. */
function settle(stage: IceStage, kind: 'srflx' | 'relay', limitUs: number): number {
  const startUs = stage.network.nowUs;
  let restlessUs = 0;
  while (stage.network.nowUs < startUs + 2 * limitUs) {
    stage.play(20 * MS);
    const isBest = stage.hasServerTheBest && stage.kinds.every((each) => each === kind);
    if (!stage.isAgreed || !isBest) restlessUs = stage.network.nowUs - startUs;
  }
  return restlessUs;
}

describe('two ICE agents with a bad network between them', function () {
  this.timeout(20_000);

  for (const [way, title] of [
    ['clientToServer', 'client to server'],
    ['serverToClient', 'server to client'],
  ] as const) {
    for (const isServerDeaf of [false, true]) {
      const how = isServerDeaf ? 'although the server never learns where its client is' : 'both playing';
      itSeeded(`are back on the direct path after an outage from ${title}, ${how}`, (seed) => {
        for (const places of CONES) {
          for (const outageUs of OUTAGES_US) {
            const stage = new IceStage({ ...places, seed, isServerDeaf });
            stage.play(5 * SECOND);
            expect(stage.kinds).to.deep.equal(['srflx', 'srflx']);
            stage.spoil(way, { lossRatio: 1 });
            stage.play(outageUs);
            stage.heal();
            const why = `${places.client}, ${outageUs / MS} ms\n${stage.describe()}`;
            expect(settle(stage, 'srflx', 10 * SECOND), why).to.be.below(10 * SECOND);
          }
        }
      });
    }
  }

  itSeeded('are both on the relay within three seconds when one direction of the direct path dies', (seed) => {
    for (const way of ['clientToServer', 'serverToClient'] as const) {
      for (let untilUs = 5 * SECOND; untilUs < 7 * SECOND; untilUs += 300 * MS) {
        const stage = new IceStage({ ...CONES[0], seed });
        stage.play(untilUs);
        stage.spoil(way, { lossRatio: 1 });
        stage.play(3 * SECOND);
        expect(stage.kinds, `${way} from ${untilUs / MS} ms on`).to.deep.equal(['relay', 'relay']);
      }
    }
  });

  for (let run = 0; run < RUNS; run++) {
    const seed = (SEED + run) >>> 0;
    it(`are on the best path half a minute after an ordeal (SEED=${seed})`, () => {
      const { stage, kind, story } = ordeal(seed);
      stage.heal();
      const restlessUs = settle(stage, kind, 30 * SECOND);
      expect(restlessUs, `${story.join('\n')}\n${stage.describe()}`).to.be.below(30 * SECOND);
    });
  }
});

interface Ordeal {
  readonly stage: IceStage;
  /** Of the best path. */
  readonly kind: 'srflx' | 'relay';
  readonly story: readonly string[];
}

/** Up to eight phases: ways that lose or delay, routers that forget, processes that stand still. */
function ordeal(seed: number): Ordeal {
  const random = new SeededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;
  const sometimes = (ratio: number) => (random.float() < ratio ? pick(['client', 'server'] as const) : undefined);
  const options: IceStageOptions = {
    client: pick(NATS),
    server: pick(NATS),
    seed,
    frameUs: random.float() < 0.7 ? 20 * MS : 3 * SECOND,
  };
  const stage = new IceStage(options);
  const story = [JSON.stringify(options)];
  if (random.float() < 0.7) stage.play(3 * SECOND);
  for (let phases = 1 + random.below(8); phases > 0; phases--) {
    const mishaps = WAYS.map((way) => ({ way, ...mishap(random) }));
    for (const { way, ...conditions } of mishaps) stage.spoil(way, conditions);
    const sleeper = sometimes(0.15);
    const forgetter = sometimes(0.1);
    const durationUs = Math.round(100 * MS * 80 ** random.float());
    story.push(JSON.stringify({ durationUs, sleeper, forgetter, mishaps }));
    if (forgetter !== undefined) stage.nats[forgetter].forget();
    if (sleeper !== undefined) stage.hosts[sleeper].freeze();
    stage.play(durationUs);
    if (sleeper !== undefined) stage.hosts[sleeper].thaw();
  }
  return { stage, kind: meetsDirectly(options) ? 'srflx' : 'relay', story };
}

function mishap(random: SeededRandom): LinkConditions {
  const roll = random.float();
  if (roll < 0.55) return {};
  if (roll < 0.75) return { lossRatio: 1 };
  return roll < 0.9 ? { lossRatio: random.float() } : { delayUs: random.below(1_500) * MS };
}

function meetsDirectly({ client, server }: IceStageOptions): boolean {
  const kinds = [client, server];
  return !kinds.includes('symmetric') || kinds.includes('fullCone') || kinds.includes('restrictedCone');
}

// A little of the fuzzer with every build: what it found before, and some new inputs. The whole of it: `npm run fuzz`.

import { expect } from 'chai';
import { decoderTargets } from '../../fuzz/decoders.ts';
import { type LiveTarget, LyingPeer, MeddledPath } from '../../fuzz/live.ts';
import { ForgedStun, rendezvousTargets } from '../../fuzz/rendezvous.ts';
import { fuzz, lookClosely } from '../../fuzz/run.ts';
import { loadCorpus, loadSeeds } from '../../fuzz/seeds.ts';
import { MeddledSignals } from '../../fuzz/signals.ts';
import { SeededRandom } from '../../src/core/base/random.ts';
import { hex } from '../support/hex.ts';
import { itSeeded } from '../support/seed.ts';

const seeds = loadSeeds();
const targets = [...decoderTargets(seeds), ...rendezvousTargets(seeds)];
const INPUTS = 20_000;
const PACKETS = 20_000;
const TEST_MS = 60_000;

describe('fuzzing', () => {
  for (const target of targets) {
    itSeeded(
      `${target.name} bear ${INPUTS} spoilt inputs: nothing thrown, nothing read behind the end`,
      function (seed) {
        this.timeout(TEST_MS);
        this.slow(TEST_MS);
        fuzz(target, seed, INPUTS);
        expect(target.seeds).not.to.be.empty;
      },
    );
  }

  for (const make of [
    (random: SeededRandom): LiveTarget => new MeddledPath(random, seeds),
    (random: SeededRandom): LiveTarget => new LyingPeer(random, seeds),
    (random: SeededRandom): LiveTarget => new ForgedStun(random),
    (random: SeededRandom): LiveTarget => new MeddledSignals(random),
  ]) {
    const { name } = make(new SeededRandom(0));
    itSeeded(`living connections bear ${PACKETS} packets of ${name}, and leave nothing behind`, function (seed) {
      this.timeout(TEST_MS);
      this.slow(TEST_MS);
      const target = make(new SeededRandom(seed));
      while (target.packets < PACKETS) target.step();
      expect(target.end()).to.deep.equal([]);
    });
  }

  it('finds nothing in what it once kept', () => {
    const byName = new Map(targets.map((target) => [target.name, target]));
    for (const [name, inputs] of Object.entries(loadCorpus())) {
      const target = byName.get(name);
      expect(target, name).not.to.equal(undefined);
      for (const input of inputs.map((digits) => hex(digits))) lookClosely(target!, input, input.length);
    }
  });
});

// Who meets whom: every kind of NAT against every other, as docs/nat.md has it. RFC 5128, RFC 8445.

import { expect } from 'chai';
import { type LabOptions, NatLab, type Place } from '../support/nat-lab.ts';
import { KINDS, type KindName, NAMES, type Outcome, TABLE } from '../support/nat-table.ts';
import { itSeeded } from '../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;

const HOMES = NAMES.filter((name) => name !== 'none' && name !== 'UDP blocked');
const CARRIERS = ['port restricted', 'symmetric'] as const;

/** Which kind two devices in a row are like. */
function strictest(home: KindName, carrier: KindName): KindName {
  return NAMES[Math.max(NAMES.indexOf(home), NAMES.indexOf(carrier))]!;
}

function placeOf(home: KindName, carrier?: KindName): Place {
  return { home: KINDS[home], carrier: carrier && (KINDS[carrier] as Place['carrier']) };
}

/** What becomes of a call; the way is that on which they are in the end. */
function outcomeOf(options: LabOptions): { readonly outcome: Outcome; readonly tookUs: number } {
  const lab = new NatLab(options);
  const { client, isConnected, tookUs } = lab.meet();
  if (!isConnected) {
    expect(client.info.endReason).to.equal(5008);
    return { outcome: 'never', tookUs };
  }
  // Time enough for a better way than the first one.
  lab.network.run(3 * SECOND);
  expect(client.state).to.equal('Connected');
  expect(client.info.flags.relayed).to.equal(lab.server!.info.flags.relayed);
  return { outcome: client.info.flags.relayed ? 'relay' : 'direct', tookUs };
}

/** Without and with a TURN server, in both directions. */
function check(options: LabOptions, expected: Outcome): void {
  for (const usesTurn of [false, true]) {
    const should = expected === 'relay' && !usesTurn ? 'never' : expected;
    for (const turned of [options, { ...options, alice: options.bob, bob: options.alice }]) {
      const { outcome, tookUs } = outcomeOf({ ...turned, usesTurn });
      const who = `${JSON.stringify(turned.alice)} calls ${JSON.stringify(turned.bob)}, TURN ${usesTurn}`;
      expect(outcome, who).to.equal(should);
      if (should !== 'never') expect(tookUs, who).to.be.below(500 * MS);
    }
  }
}

describe('peers behind NATs', function () {
  this.timeout(20_000);

  it('are all in the table of the documentation', () => {
    expect(TABLE.size).to.equal(NAMES.length ** 2);
    for (const a of NAMES) {
      for (const b of NAMES) {
        expect(TABLE.get(`${a} ${b}`), `${a}, ${b}`).to.be.oneOf(['direct', 'relay', 'never']);
        expect(TABLE.get(`${a} ${b}`)).to.equal(TABLE.get(`${b} ${a}`));
      }
    }
  });

  NAMES.forEach((a, i) => {
    for (const b of NAMES.slice(i)) {
      const expected = TABLE.get(`${a} ${b}`)!;
      itSeeded(`meet as documented: ${a}, ${b} (${expected})`, () => {
        check({ alice: placeOf(a), bob: placeOf(b) }, expected);
      });
    }
  });

  for (const carrier of CARRIERS) {
    for (const home of ['none', ...HOMES] as const) {
      const like = strictest(home, carrier);
      itSeeded(`count as ${like} with ${home} at home and ${carrier} at the carrier`, () => {
        for (const other of NAMES) {
          check({ alice: placeOf(home, carrier), bob: placeOf(other) }, TABLE.get(`${like} ${other}`)!);
        }
      });
    }
  }

  itSeeded('meet from one carrier to another', () => {
    for (const a of CARRIERS) {
      for (const b of CARRIERS) {
        const options = { alice: placeOf('port restricted', a), bob: placeOf('full cone', b) };
        check(options, TABLE.get(`${a} ${b}`)!);
      }
    }
  });

  for (const home of [...HOMES, 'UDP blocked'] as const) {
    itSeeded(`meet directly in one network behind ${home}, without any server`, () => {
      for (const hairpin of [false, true]) {
        const options: LabOptions = { alice: placeOf(home), bob: placeOf(home), shares: 'home', hairpin };
        for (const usesStun of [false, true]) {
          expect(outcomeOf({ ...options, usesStun, usesTurn: usesStun }).outcome).to.equal('direct');
        }
      }
    });
  }

  for (const carrier of ['full cone', ...CARRIERS] as const) {
    for (const hairpin of [false, true]) {
      const like = strictest('port restricted', carrier);
      const expected = hairpin ? TABLE.get(`${like} ${like}`)! : 'relay';
      const how = hairpin ? 'with' : 'without';
      itSeeded(`meet from two homes behind one carrier (${carrier}) ${how} hairpin: ${expected}`, () => {
        const place = placeOf('port restricted', carrier);
        check({ alice: place, bob: place, shares: 'carrier', hairpin }, expected);
      });
    }
  }
});

// Each condition of a link, measured over many datagrams with a fixed seed.

import { expect } from 'chai';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { SeededRandom } from '../../../src/core/base/random.ts';
import { US_PER_SECOND } from '../../../src/core/base/time.ts';
import { type LinkConditions, LinkSimulator, type Passage, presets } from '../../../src/netsim/conditions.ts';

const { SEED = '20250101' } = process.env;
const COUNT = 20_000;
// Far enough apart that a late datagram does not hold up the next.
const APART_US = 1_000_000;

interface Sent {
  readonly sentAtUs: number;
  readonly passage: Passage;
}

function makeLink(conditions: LinkConditions, seed = Number(SEED)): LinkSimulator {
  return new LinkSimulator(new SeededRandom(seed), conditions);
}

function send(link: LinkSimulator, count: number, intervalUs: number, lengthBytes = 100): Sent[] {
  return Array.from({ length: count }, (_, i) => {
    const sentAtUs = 1_000_000 + i * intervalUs;
    return { sentAtUs, passage: link.transmit(lengthBytes, sentAtUs) };
  });
}

function dropOf({ passage }: Sent): string | undefined {
  return 'drop' in passage ? passage.drop : undefined;
}

function arrivalsOf({ passage }: Sent): readonly number[] {
  return 'drop' in passage ? [] : passage.arrivalsUs;
}

/** How long the first copy took. */
function delaysOf(sent: readonly Sent[]): number[] {
  return sent.flatMap((one) =>
    arrivalsOf(one)
      .slice(0, 1)
      .map((atUs) => atUs - one.sentAtUs),
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function shareOf(sent: readonly Sent[], isCounted: (one: Sent) => boolean): number {
  return sent.filter(isCounted).length / sent.length;
}

describe(`LinkSimulator (SEED=${SEED})`, () => {
  it('is perfect without conditions', () => {
    const sent = send(makeLink({}), 100, 10);
    expect(sent.every((one) => arrivalsOf(one).length === 1 && arrivalsOf(one)[0] === one.sentAtUs)).to.equal(true);
  });

  it('loses the share it is told to', () => {
    const sent = send(makeLink({ lossRatio: 0.1 }), COUNT, 10);
    expect(shareOf(sent, (one) => dropOf(one) === 'lost')).to.be.closeTo(0.1, 0.01);
  });

  it('loses in bursts of the asked length and frequency', () => {
    const sent = send(makeLink({ burst: { enterRatio: 0.01, leaveRatio: 0.2 } }), 5 * COUNT, 10);
    const isLost = sent.map((one) => dropOf(one) === 'lost');
    const bursts = isLost.filter((lost, i) => lost && !isLost[i - 1]).length;
    const lost = isLost.filter(Boolean).length;
    expect(lost / bursts, 'mean length').to.be.closeTo(1 / 0.2, 0.5);
    expect(lost / sent.length, 'share').to.be.closeTo(0.01 / (0.01 + 0.2), 0.008);
  });

  it('delays by the same time without jitter', () => {
    expect(new Set(delaysOf(send(makeLink({ delayUs: 25_000 }), 100, 10)))).to.deep.equal(new Set([25_000]));
  });

  const jitters = [
    { jitterDistribution: 'uniform', meanUs: 5_000 },
    { jitterDistribution: 'exponential', meanUs: 10_000 },
    { jitterDistribution: 'normal', meanUs: 10_000 * Math.sqrt(2 / Math.PI) },
  ] as const;
  for (const { jitterDistribution, meanUs } of jitters) {
    it(`adds ${jitterDistribution} jitter to the delay`, () => {
      const link = makeLink({ delayUs: 20_000, jitterUs: 10_000, jitterDistribution });
      const delays = delaysOf(send(link, COUNT, APART_US));
      expect(Math.min(...delays)).to.be.within(20_000, 20_100);
      expect(mean(delays) - 20_000).to.be.closeTo(meanUs, 300);
    });
  }

  it('keeps the order in spite of jitter', () => {
    const sent = send(makeLink({ jitterUs: 50_000, jitterDistribution: 'exponential' }), 1_000, 100);
    const arrivals = sent.flatMap(arrivalsOf);
    expect(arrivals).to.deep.equal(arrivals.toSorted((a, b) => a - b));
  });

  it('holds back the share it is told to, so that later ones overtake it', () => {
    const link = makeLink({ delayUs: 1_000, reorderRatio: 0.05, reorderDelayUs: 7_000 });
    const delays = delaysOf(send(link, COUNT, 100));
    expect(delays.filter((delayUs) => delayUs === 8_000).length / COUNT).to.be.closeTo(0.05, 0.006);
    expect(delays.every((delayUs) => delayUs === 1_000 || delayUs === 8_000)).to.equal(true);
  });

  it('delivers the share it is told to twice', () => {
    const sent = send(makeLink({ duplicateRatio: 0.05, duplicateDelayUs: 300 }), COUNT, 10);
    const twins = sent.map(arrivalsOf).filter((arrivals) => arrivals.length === 2);
    expect(twins.length / COUNT).to.be.closeTo(0.05, 0.006);
    expect(twins.every(([first, second]) => second! - first! === 300)).to.equal(true);
  });

  it('passes no more than the rate, and drops what the queue cannot hold', () => {
    // 100 bytes every 500 us are 200 000 bytes/s: twice what passes.
    const sent = send(makeLink({ rateBytesPerSec: 100_000, queueBytes: 5_000 }), COUNT, 500);
    const arrivals = sent.flatMap(arrivalsOf);
    const seconds = (arrivals.at(-1)! - arrivals[0]!) / US_PER_SECOND;
    expect(((arrivals.length - 1) * 100) / seconds).to.be.closeTo(100_000, 100);
    expect(shareOf(sent, (one) => dropOf(one) === 'queueFull')).to.be.closeTo(0.5, 0.01);
    expect(Math.max(...delaysOf(sent)), 'a full queue of 5000 bytes takes 50 ms').to.be.within(49_000, 50_000);
  });

  it('takes only the time of transmission when the bottleneck is idle, however small its queue', () => {
    const sent = send(makeLink({ rateBytesPerSec: 1_000_000, queueBytes: 0 }), 10, 10_000, 1_000);
    expect(delaysOf(sent)).to.deep.equal(new Array(10).fill(1_000));
  });

  it('drops what is longer than the MTU', () => {
    const link = makeLink({ mtuBytes: 1_200 });
    expect(link.transmit(1_200, 1)).to.have.property('arrivalsUs');
    expect(link.transmit(1_201, 1)).to.deep.equal({ drop: 'tooLarge' });
  });

  it('follows conditions that change while it runs', () => {
    const link = makeLink({ delayUs: 1_000 });
    expect(link.transmit(10, 5_000)).to.deep.equal({ arrivalsUs: [6_000] });
    link.set({ lossRatio: 1 });
    expect(link.transmit(10, 6_000)).to.deep.equal({ drop: 'lost' });
    link.set({ delayUs: 9_000 });
    expect(link.transmit(10, 7_000)).to.deep.equal({ arrivalsUs: [16_000] });
    expect(link.conditions).to.deep.equal({ delayUs: 9_000 });
  });

  it('does the same for the same seed, and something else for another', () => {
    const trace = (seed: number) => send(makeLink(presets.lossyWifi, seed), 1_000, 5_000);
    expect(trace(Number(SEED))).to.deep.equal(trace(Number(SEED)));
    expect(trace(Number(SEED))).to.not.deep.equal(trace(Number(SEED) + 1));
  });

  it('loses the same datagrams when other conditions are added', () => {
    const lost = (conditions: LinkConditions) => send(makeLink(conditions), 1_000, 5_000).map(dropOf);
    const more = { jitterUs: 5_000, jitterDistribution: 'normal', duplicateRatio: 0.1, reorderRatio: 0.1 } as const;
    expect(lost({ lossRatio: 0.1, ...more })).to.deep.equal(lost({ lossRatio: 0.1 }));
  });

  for (const [name, conditions] of Object.entries(presets)) {
    it(`accepts the preset ${name}, which lets most of 20 kB/s through`, () => {
      const sent = send(makeLink(conditions), 1_000, 5_000);
      expect(shareOf(sent, (one) => arrivalsOf(one).length > 0)).to.be.above(0.9);
    });
  }

  it('refuses values out of range and names them', () => {
    const wrong: readonly [string, LinkConditions][] = [
      ['lossRatio', { lossRatio: 5 }],
      ['duplicateRatio', { duplicateRatio: -0.1 }],
      ['delayUs', { delayUs: Number.NaN }],
      ['jitterUs', { jitterUs: Number.POSITIVE_INFINITY }],
      ['rateBytesPerSec', { rateBytesPerSec: 0 }],
      ['burst.leaveRatio', { burst: { enterRatio: 0.1, leaveRatio: 2 } }],
    ];
    const link = makeLink({ delayUs: 1 });
    for (const [name, conditions] of wrong) {
      expect(() => link.set(conditions), name).to.throw(NetworkingError, name);
    }
    expect(link.conditions).to.deep.equal({ delayUs: 1 });
  });
});

// When the peer is asked whether it is still there, and what its silence means.
import { expect } from 'chai';
import { SeededRandom } from '../../../src/core/base/random.ts';
import { type PathVerdict, PathWatch } from '../../../src/core/ice/path-watch.ts';
import { SEED } from '../../support/seed.ts';

const MS = 1_000;
const SECOND = 1_000_000;
const RTT_US = 50 * MS;

interface Course {
  readonly untilUs: number;
  /** Whether a question asked at this time is answered. */
  answers?(atUs: number): boolean;
  /** Every 20 ms, whether data comes. */
  data?(atUs: number): boolean;
  readonly rttUs?: number;
}

/** Runs a path from time 0; returns when questions were asked and when each verdict was first given. */
function run({ untilUs, answers = () => true, data = () => false, rttUs = RTT_US }: Course) {
  const watch = new PathWatch(new SeededRandom(SEED), rttUs, 0);
  const asked: number[] = [];
  const verdicts = new Map<PathVerdict, number>();
  const answersDue: number[] = [];
  for (let nowUs = 0; nowUs <= untilUs; nowUs += 10 * MS) {
    while (answersDue[0] !== undefined && answersDue[0] <= nowUs) {
      answersDue.shift();
      watch.noteAnswer(rttUs, nowUs);
    }
    if (nowUs % (20 * MS) === 0 && data(nowUs)) watch.noteData(nowUs);
    if (watch.nextQuestionUs() <= nowUs) {
      watch.noteAsked(nowUs);
      asked.push(nowUs);
      if (answers(nowUs)) answersDue.push(nowUs + rttUs);
    }
    const verdict = watch.verdict(nowUs);
    if (!verdicts.has(verdict)) verdicts.set(verdict, nowUs);
  }
  return { asked, verdicts };
}

describe('the watch over a path', () => {
  it('asks every four to six seconds while data flows', () => {
    const { asked } = run({ untilUs: 60 * SECOND, data: () => true });
    expect(asked.length).to.be.within(9, 15);
  });

  it('asks an idle peer every four seconds in the end', () => {
    const { asked } = run({ untilUs: 120 * SECOND });
    const late = asked.filter((atUs) => atUs > 60 * SECOND);
    expect(late.length).to.be.within(13, 16);
  });

  it('gives a path up within a second and a half after the last data', () => {
    const isAlive = (atUs: number) => atUs < 10 * SECOND;
    const { verdicts } = run({ untilUs: 20 * SECOND, data: isAlive, answers: isAlive });
    expect(verdicts.get('uneasy')! - 10 * SECOND).to.be.below(900 * MS);
    expect(verdicts.get('suspect')! - 10 * SECOND).to.be.below(1_500 * MS);
    expect(verdicts.get('lost')! - 10 * SECOND).to.be.within(3 * SECOND, 6 * SECOND);
  });

  it('gives a path up later while data still arrives, because answers alone may be lost', () => {
    const { verdicts } = run({ untilUs: 20 * SECOND, data: () => true, answers: () => false });
    const firstQuestionUs = 4 * SECOND;
    expect(verdicts.get('suspect')! - firstQuestionUs).to.be.within(3 * SECOND, 5_500 * MS);
  });

  it('has more patience with a path of long round trips', () => {
    const { verdicts } = run({ untilUs: 60 * SECOND, rttUs: 900 * MS });
    expect([...verdicts.keys()]).to.not.include.members(['suspect', 'lost']);
  });

  it('forgives as soon as there is an answer', () => {
    const { asked, verdicts } = run({
      untilUs: 60 * SECOND,
      answers: (atUs) => atUs < 5 * SECOND || atUs > 6 * SECOND,
    });
    expect([...verdicts.keys()]).to.not.include('lost');
    expect(asked.filter((atUs) => atUs > 50 * SECOND).length).to.be.at.most(4);
  });
});

// Virtual time: order, cancelling, deferred tasks, and that nothing is left behind.

import { expect } from 'chai';
import fc from 'fast-check';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { CLOCK_START_US, type ScheduledEvent, VirtualClock } from '../../../src/netsim/clock.ts';

const { SEED } = process.env;
const runs = SEED === undefined ? {} : { seed: Number(SEED) };

describe('VirtualClock', () => {
  it('starts at a time that is not 0', () => {
    expect(new VirtualClock().nowUs).to.equal(CLOCK_START_US).and.to.be.above(0);
  });

  it('runs events at their time, earliest first', () => {
    const clock = new VirtualClock(0);
    const seen: [string, number][] = [];
    clock.schedule(30, () => seen.push(['c', clock.nowUs]));
    clock.schedule(10, () => seen.push(['a', clock.nowUs]));
    clock.schedule(20, () => seen.push(['b', clock.nowUs]));
    clock.runUntil(100);
    expect(seen).to.deep.equal([
      ['a', 10],
      ['b', 20],
      ['c', 30],
    ]);
    expect(clock.nowUs).to.equal(100);
  });

  it('runs what is due exactly at the end, and nothing later', () => {
    const clock = new VirtualClock(0);
    const seen: number[] = [];
    for (const atUs of [9, 10, 11]) clock.schedule(atUs, () => seen.push(atUs));
    clock.runUntil(10);
    expect(seen).to.deep.equal([9, 10]);
    expect(clock.nextEventAtUs).to.equal(11);
  });

  it('treats a time that has passed as now, and never goes back', () => {
    const clock = new VirtualClock(50);
    const seen: number[] = [];
    clock.schedule(10, () => seen.push(clock.nowUs));
    clock.runUntil(20);
    clock.runFor(0);
    expect(seen).to.deep.equal([50]);
    expect(clock.nowUs).to.equal(50);
  });

  it('runs deferred tasks at the same instant, before the next event', () => {
    const clock = new VirtualClock(0);
    const seen: string[] = [];
    clock.schedule(5, () => {
      clock.defer(() => {
        seen.push(`first deferred at ${clock.nowUs}`);
        clock.defer(() => seen.push('deferred by the deferred'));
      });
      clock.defer(() => seen.push('second deferred'));
      seen.push('event');
    });
    clock.schedule(5, () => seen.push('next event'));
    clock.runUntil(5);
    expect(seen).to.deep.equal([
      'event',
      'first deferred at 5',
      'second deferred',
      'deferred by the deferred',
      'next event',
    ]);
  });

  it('runs tasks deferred from outside before the first event', () => {
    const clock = new VirtualClock(0);
    const seen: string[] = [];
    clock.schedule(0, () => seen.push('event'));
    clock.defer(() => seen.push('deferred'));
    clock.runFor(0);
    expect(seen).to.deep.equal(['deferred', 'event']);
  });

  it('does not run a cancelled event, and counts only what is left', () => {
    const clock = new VirtualClock(0);
    const event = clock.schedule(5, () => expect.fail('it was cancelled'));
    clock.defer(() => {});
    expect(clock.pendingEvents).to.equal(2);
    event.cancel();
    event.cancel();
    expect(event.isPending).to.equal(false);
    expect(clock.pendingEvents).to.equal(1);
    clock.runUntil(10);
    expect(clock.pendingEvents).to.equal(0);
    expect(clock.step()).to.equal(false);
  });

  it('goes on after a task that throws, with what that task had deferred', () => {
    const clock = new VirtualClock(0);
    const seen: string[] = [];
    clock.schedule(1, () => {
      clock.defer(() => seen.push('deferred'));
      throw new Error('test');
    });
    clock.schedule(2, () => seen.push('event'));
    expect(() => clock.runUntil(5)).to.throw('test');
    clock.runUntil(5);
    expect(seen).to.deep.equal(['deferred', 'event']);
  });

  it('refuses to be run by its own tasks', () => {
    const clock = new VirtualClock(0);
    clock.schedule(1, () => clock.runFor(1));
    expect(() => clock.runUntil(1)).to.throw(NetworkingError, 'already running');
  });

  it('refuses times that never come', () => {
    const clock = new VirtualClock(0);
    for (const atUs of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => clock.schedule(atUs, () => {})).to.throw(NetworkingError, String(atUs));
      expect(() => clock.runUntil(atUs)).to.throw(NetworkingError, String(atUs));
    }
  });

  it('fails rather than hangs when a task schedules itself for now for ever', () => {
    const clock = new VirtualClock(0);
    const again = () => void clock.schedule(0, again);
    again();
    expect(() => clock.runFor(0)).to.throw('stands still');
  });

  it('runs any mix of scheduled and cancelled events in order of time, then of scheduling', () => {
    const plan = fc.array(fc.record({ atUs: fc.nat(20), cancels: fc.option(fc.nat(60)) }), { maxLength: 60 });
    fc.assert(
      fc.property(plan, (steps) => {
        const clock = new VirtualClock(0);
        const events: ScheduledEvent[] = [];
        const seen: number[] = [];
        const cancelled = new Set<number>();
        steps.forEach(({ atUs, cancels }, i) => {
          events.push(clock.schedule(atUs, () => seen.push(i)));
          if (cancels === null || cancels > i) return;
          cancelled.add(cancels);
          events[cancels]!.cancel();
        });
        const expected = steps.map((step, i) => ({ ...step, i })).filter(({ i }) => !cancelled.has(i));
        expect(clock.pendingEvents).to.equal(expected.length);
        clock.runUntil(20);
        expect(seen).to.deep.equal(expected.sort((a, b) => a.atUs - b.atUs || a.i - b.i).map(({ i }) => i));
      }),
      runs,
    );
  });
});

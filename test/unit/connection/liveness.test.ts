// Is the peer still there? Spec: 04 §4.4.
import { expect } from 'chai';
import { NEVER } from '../../../src/core/base/time.ts';
import { Liveness } from '../../../src/core/connection/liveness.ts';

const START_US = 1_000_000;
const MS = 1_000;
const TIMEOUT_US = 10_000 * MS;
const URGENT = 6;

function started(): Liveness {
  const liveness = new Liveness();
  liveness.start(START_US);
  return liveness;
}

/** How long after the start a reply is overdue, in ms. */
function replyDueMs(isDelayedOk: boolean, worstPingMs: number): number {
  const liveness = started();
  liveness.expectReply(isDelayedOk, worstPingMs, START_US);
  return (liveness.nextTimeoutUs(TIMEOUT_US) - START_US) / MS;
}

describe('Liveness', () => {
  it('waits for a reply by what round trips take, and longer where the peer may be slow to acknowledge', () => {
    expect(replyDueMs(false, 100)).to.equal(450);
    expect(replyDueMs(true, 100)).to.equal(650);
    expect(replyDueMs(false, 0)).to.equal(250);
    expect(replyDueMs(false, 600)).to.equal(1250);
    expect(replyDueMs(true, -1)).to.equal(1450);
  });

  it('does not put the time off with a further packet', () => {
    const liveness = started();
    liveness.expectReply(false, 0, START_US);
    liveness.expectReply(false, 1000, START_US + 100 * MS);
    expect(liveness.nextTimeoutUs(TIMEOUT_US)).to.equal(START_US + 250 * MS);
  });

  it('is content with anything that comes from the peer', () => {
    const liveness = started();
    liveness.expectReply(false, 0, START_US);
    liveness.onTime(START_US + 250 * MS);
    expect(liveness.unanswered).to.equal(1);
    liveness.onReceived(START_US + 300 * MS);
    expect(liveness.unanswered).to.equal(0);
    expect(liveness.nextTimeoutUs(TIMEOUT_US)).to.equal(NEVER);
    expect(liveness.packetDueUs()).to.equal(START_US + 300 * MS + TIMEOUT_US);
  });

  it('asks urgently once a reply is overdue, and again every 200 ms', () => {
    const liveness = started();
    liveness.expectReply(true, 0, START_US);
    const overdueUs = START_US + 450 * MS;
    liveness.onTime(overdueUs);
    expect(liveness.packetDueUs()).to.be.at.most(overdueUs);
    expect(liveness.flags(START_US, false, overdueUs)).to.equal(URGENT);
    liveness.onFlagsSent(URGENT, 0, overdueUs);
    expect(liveness.packetDueUs()).to.equal(overdueUs + 200 * MS);
    expect(liveness.flags(START_US, false, overdueUs + 100 * MS)).to.equal(0);
  });

  it('does not count time in which nobody listened, and believes nothing of the future', () => {
    const liveness = started();
    liveness.expectReply(false, 0, START_US);
    const awakeAtUs = START_US + 30_000 * MS;
    liveness.excuse(30_000 * MS, awakeAtUs);
    expect(liveness.nextTimeoutUs(TIMEOUT_US)).to.equal(awakeAtUs + 250 * MS);
    expect(liveness.lastReceivedUs).to.equal(awakeAtUs);
    // What waited in the socket was read first, and an answer is expected to what was said then.
    liveness.onReceived(awakeAtUs);
    liveness.expectReply(false, 0, awakeAtUs);
    liveness.excuse(30_000 * MS, awakeAtUs);
    expect(liveness.nextTimeoutUs(TIMEOUT_US)).to.equal(awakeAtUs + 250 * MS);
    expect(liveness.lastReceivedUs).to.equal(awakeAtUs);
  });

  it('gives up after four unanswered questions, and no sooner than the time-out after the first', () => {
    const liveness = started();
    liveness.expectReply(false, 0, START_US);
    let nowUs = START_US;
    for (let i = 1; i <= 4; i++) {
      nowUs = liveness.nextTimeoutUs(TIMEOUT_US);
      liveness.onTime(nowUs);
      expect(liveness.unanswered).to.equal(i);
      expect(liveness.isTimedOut(0, nowUs)).to.equal(i === 4);
      liveness.onFlagsSent(URGENT, 0, nowUs);
    }
    const firstOverdueUs = START_US + 250 * MS;
    expect(liveness.isTimedOut(TIMEOUT_US, firstOverdueUs + TIMEOUT_US - 1)).to.equal(false);
    expect(liveness.isTimedOut(TIMEOUT_US, firstOverdueUs + TIMEOUT_US)).to.equal(true);
  });

  it('asks a peer that was silent for ten seconds, unless a reply is awaited anyway', () => {
    const liveness = started();
    expect(liveness.packetDueUs()).to.equal(START_US + TIMEOUT_US);
    expect(liveness.flags(START_US + TIMEOUT_US, false, START_US + TIMEOUT_US)).to.equal(2);
    liveness.expectReply(true, 0, START_US);
    expect(liveness.packetDueUs()).to.equal(NEVER);
    // A packet that goes for another reason asks all the same.
    expect(liveness.flags(START_US + TIMEOUT_US, false, START_US + TIMEOUT_US)).to.equal(2);
  });

  it('asks along with other data when the round trip was not measured for seven seconds, or five with statistics', () => {
    const liveness = started();
    const sampleAtUs = START_US;
    expect(liveness.flags(sampleAtUs, false, START_US + 7_000 * MS)).to.equal(0);
    expect(liveness.flags(sampleAtUs, false, START_US + 7_000 * MS + 1)).to.equal(2);
    expect(liveness.flags(sampleAtUs, true, START_US + 5_000 * MS + 1)).to.equal(2);
    liveness.onFlagsSent(2, 0, START_US + 6_000 * MS);
    expect(liveness.flags(sampleAtUs, false, START_US + 9_000 * MS)).to.equal(0);
  });
});

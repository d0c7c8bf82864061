// Telling the peer that it is over, until it knows. Spec: 01 §1.10.
import { expect } from 'chai';
import { NEVER } from '../../../src/core/base/time.ts';
import { CloseNotice } from '../../../src/core/connection/close-notice.ts';

const START_US = 1_000_000;

/** When the notice is said, in ms after the start. */
function saidAtMs(notice: CloseNotice): readonly number[] {
  const times: number[] = [];
  while (notice.dueUs !== NEVER) {
    const atUs = notice.dueUs;
    expect(notice.isDue(atUs - 1)).to.equal(false);
    expect(notice.isDue(atUs)).to.equal(true);
    times.push((atUs - START_US) / 1000);
  }
  return times;
}

describe('CloseNotice', () => {
  it('is said at once, and four times more with growing pauses', () => {
    const notice = new CloseNotice();
    notice.start(-1, START_US);
    expect(saidAtMs(notice)).to.deep.equal([0, 200, 600, 1400, 3000]);
  });

  it('gives a slow peer time to answer', () => {
    const notice = new CloseNotice();
    notice.start(200, START_US);
    expect(saidAtMs(notice).slice(0, 3)).to.deep.equal([0, 500, 1500]);
  });

  it('is not due before it has begun', () => {
    expect(new CloseNotice().isDue(START_US)).to.equal(false);
  });

  it('ends when the peer knows', () => {
    const notice = new CloseNotice();
    notice.start(-1, START_US);
    expect(notice.isDue(START_US)).to.equal(true);
    notice.confirm();
    expect([notice.isConfirmed, notice.dueUs]).to.deep.equal([true, NEVER]);
    notice.start(-1, START_US);
    expect(notice.dueUs).to.equal(NEVER);
  });

  it('is never said once it was muted', () => {
    const notice = new CloseNotice();
    notice.mute();
    notice.start(-1, START_US);
    expect([notice.isMuted, notice.dueUs]).to.deep.equal([true, NEVER]);
  });

  it('names the reason where we closed, and only denies the connection where the peer did', () => {
    const notice = new CloseNotice();
    notice.reason = 1001;
    notice.debug = 'bye';
    const ids = { fromConnectionId: 7, toConnectionId: 9 };
    expect(notice.packet(7, 9)).to.deep.equal({ kind: 'connectionClosed', ...ids, reason: 1001, debug: 'bye' });
    notice.isByPeer = true;
    expect(notice.packet(7, 9)).to.deep.equal({ kind: 'noConnection', ...ids });
  });
});

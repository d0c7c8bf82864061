// What happened to a connection so far, for those who ask why it failed: moments and counts. It decides nothing.

import { LONG_AGO, NEVER } from '../base/time.ts';
import type { ControlPacket } from '../wire/control-packets.ts';
import { type ConnectionState, FACTS } from './state-table.ts';

export class History {
  stateSinceUs = 0;
  /** Time since then that does not count against anybody: our own event loop stood still. */
  excusedUs = 0;
  /** NEVER: it did not happen. */
  connectedAtUs = NEVER;
  endedAtUs = NEVER;
  /** The state in which it ended, which says who ended it; undefined before. Linger is the beginning of our own end. */
  endedAs: ConnectionState | undefined;
  challengesSent = 0;
  challengeRepliesReceived = 0;
  requestsSent = 0;
  /** Of our event loop, as far as it was noticed: how much later than it should it came to us. */
  longestStallUs = 0;
  longestStallAtUs = LONG_AGO;

  /** Since when the time in this state counts. */
  get countedSinceUs(): number {
    return this.stateSinceUs + this.excusedUs;
  }

  onState(to: ConnectionState, nowUs: number): void {
    this.stateSinceUs = nowUs;
    this.excusedUs = 0;
    if (to === 'Connected') this.connectedAtUs = nowUs;
    const isEnd = !FACTS[to].isActive || !FACTS[to].isVisible;
    if (!isEnd || this.endedAs !== undefined) return;
    this.endedAs = to;
    this.endedAtUs = nowUs;
  }

  onSent(kind: ControlPacket['kind']): void {
    if (kind === 'challengeRequest') this.challengesSent++;
    else if (kind === 'connectRequest') this.requestsSent++;
  }

  onReceived(kind: ControlPacket['kind']): void {
    if (kind === 'challengeReply') this.challengeRepliesReceived++;
  }

  /** Our event loop stood still for `stallUs` at least and `deafUs` at most, until now. */
  onStall(stallUs: number, deafUs: number, nowUs: number): void {
    this.excusedUs += Math.min(deafUs, nowUs - this.stateSinceUs);
    if (stallUs < this.longestStallUs) return;
    this.longestStallUs = stallUs;
    this.longestStallAtUs = nowUs;
  }
}

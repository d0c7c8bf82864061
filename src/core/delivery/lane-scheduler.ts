// HOT PATH
// Which lane goes next: strict priority (a lower number first), and among lanes of equal priority weighted fair queueing
// by virtual time. Spec: 03 §3.11 "Lanes".
//
// Each queued message has a finish: when it would be done if its lane got its share of the line all the time. The
// message with the smallest finish goes first. A class's virtual time follows what it was served.

import type { OutgoingMessage } from './message.ts';
import type { SendLane } from './send-lane.ts';

/** How a lane is served. */
export interface LaneOptions {
  /** Lower numbers are served first, strictly. Default: 0. */
  readonly priority?: number;
  /** Share among lanes of equal priority, 1 … 65,535. Default: 1. */
  readonly weight?: number;
}

/** Lanes of equal priority. */
class PriorityClass {
  readonly priority: number;
  lanes: readonly SendLane[] = [];
  virtualTime = 0;

  constructor(priority: number) {
    this.priority = priority;
  }
}

const WEIGHT_SCALE = 65_536;

export class LaneScheduler {
  /** Highest priority (lowest number) first. */
  #classes: readonly PriorityClass[] = [];
  /** By lane: its class, and virtual time per byte. */
  #classOf: readonly PriorityClass[] = [];
  #costPerByte: readonly number[] = [];
  /** All lanes, those of the highest priority first. */
  byPriority: readonly SendLane[] = [];

  /** Takes effect for what is queued already, too. `options[i]` is for `lanes[i]`. */
  configure(lanes: readonly SendLane[], options: readonly LaneOptions[]): void {
    // Arrays of just the right length: every connection has a scheduler, and most have one lane.
    let classes: readonly PriorityClass[] = [];
    this.#classOf = lanes.map((lane, i) => {
      const priority = options[i]?.priority ?? 0;
      let found = classes.find((each) => each.priority === priority);
      if (found === undefined) {
        found = new PriorityClass(priority);
        classes = classes.concat(found);
      }
      found.lanes = found.lanes.concat(lane);
      return found;
    });
    const weightOf = (lane: SendLane) => options[lane.index]?.weight ?? 1;
    this.#costPerByte = lanes.map((lane, i) => {
      const total = this.#classOf[i]!.lanes.reduce((sum, each) => sum + weightOf(each), 0);
      return (WEIGHT_SCALE * total) / weightOf(lane);
    });
    this.#classes = classes.length === 1 ? classes : [...classes].sort((a, b) => a.priority - b.priority);
    this.byPriority = classes.length === 1 ? classes[0]!.lanes : this.#classes.flatMap((each) => each.lanes);
    for (const lane of lanes) {
      let before = 0;
      for (let at = lane.queue.head; at < lane.queue.tail; at++) before = this.#stamp(lane, lane.queue.at(at)!, before);
    }
  }

  /** A message was queued at the end of its lane. */
  onQueued(lane: SendLane, message: OutgoingMessage): void {
    const before = lane.queue.at(lane.queue.tail - 2);
    this.#stamp(lane, message, before === undefined ? this.#classOf[lane.index]!.virtualTime : before.finish);
  }

  #stamp(lane: SendLane, message: OutgoingMessage, start: number): number {
    const rest = message.totalBytes - message.sentBytes;
    message.finish = start + rest * this.#costPerByte[lane.index]!;
    return message.finish;
  }

  /** `bytes` of a message were put into a packet. */
  onServed(lane: SendLane, message: OutgoingMessage, bytes: number): void {
    const served = this.#classOf[lane.index]!;
    if (message.sentBytes === message.totalBytes) served.virtualTime = message.finish;
    else served.virtualTime += bytes * this.#costPerByte[lane.index]!;
  }

  /** The lane to serve next, of those whose first unplanned message `firstOf` gives; undefined if none has one. */
  next(firstOf: (lane: SendLane) => OutgoingMessage | undefined): SendLane | undefined {
    for (let c = 0; c < this.#classes.length; c++) {
      const { lanes } = this.#classes[c]!;
      let best: SendLane | undefined;
      let bestFinish = 0;
      for (let i = 0; i < lanes.length; i++) {
        const lane = lanes[i]!;
        const first = firstOf(lane);
        if (first === undefined || (best !== undefined && first.finish >= bestFinish)) continue;
        best = lane;
        bestFinish = first.finish;
      }
      if (best !== undefined) return best;
    }
    return undefined;
  }
}

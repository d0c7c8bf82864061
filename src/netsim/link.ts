// One direction between two places of a simulated network, and what stands in the way there.

import type { LinkConditions, LinkDrop, LinkSimulator, Passage } from './conditions.ts';
import type { NetworkNode } from './nat.ts';

/** One direction between two hosts. */
export interface SimulatedLink {
  readonly conditions: LinkConditions;
  /** Replaces the conditions; those of the network no longer apply. Throws `InvalidParam` for a value out of range. */
  set(conditions: LinkConditions): void;
}

export class Link implements SimulatedLink {
  readonly from: NetworkNode;
  readonly to: NetworkNode;
  readonly simulator: LinkSimulator;
  /** Whether it has conditions of its own. */
  isOwn: boolean;
  isCut = false;

  constructor(from: NetworkNode, to: NetworkNode, simulator: LinkSimulator) {
    this.from = from;
    this.to = to;
    this.simulator = simulator;
    this.isOwn = from === to;
  }

  get conditions(): LinkConditions {
    return this.simulator.conditions;
  }

  set(conditions: LinkConditions): void {
    this.simulator.set(conditions);
    this.isOwn = true;
  }
}

export function passageOn(
  link: Link,
  lengthBytes: number,
  nowUs: number,
): Passage | { readonly drop: LinkDrop | 'partitioned' | 'unplugged' } {
  const obstacle = obstacleOn(link);
  return obstacle ? { drop: obstacle } : link.simulator.transmit(lengthBytes, nowUs);
}

/** Asked when a datagram leaves and again when it arrives. */
export function obstacleOn({ from, to, isCut }: Link): LinkDrop | 'partitioned' | 'unplugged' | undefined {
  if (isCut) return 'partitioned';
  return from === to || (from.isPlugged && to.isPlugged) ? undefined : 'unplugged';
}

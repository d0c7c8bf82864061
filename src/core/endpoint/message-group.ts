// Which of many connections has the message that came first. Messages stay in the queues of their connections; a group
// keeps the connections in the order of their first messages. Spec: 04 §4.5 "Poll groups".

import { DeadlineHeap, type Scheduled } from '../base/deadline-heap.ts';
import { NEVER } from '../base/time.ts';
import type { Member } from './member.ts';

/** A connection's place in a group. What the heap calls a deadline is the turn of its first message. */
export class GroupPlace implements Scheduled {
  readonly group: MessageGroup;
  readonly member: Member;
  deadlineUs = NEVER;
  heapIndex = -1;

  constructor(group: MessageGroup, member: Member) {
    this.group = group;
    this.member = member;
  }
}

export class MessageGroup {
  readonly #places = new DeadlineHeap<GroupPlace>();

  /** Unread messages are part of the group at once. A connection is in one group at most: it leaves the other. */
  add(member: Member): void {
    member.groupPlace?.group.delete(member);
    member.groupPlace = new GroupPlace(this, member);
    this.update(member);
  }

  delete(member: Member): void {
    if (member.groupPlace?.group !== this) return;
    this.#places.set(member.groupPlace, NEVER);
    member.groupPlace = undefined;
  }

  /** The connection has got a first message, or another one than before. */
  update(member: Member): void {
    if (member.groupPlace?.group !== this) return;
    this.#places.set(member.groupPlace, member.connection.data.delivery.receiver.nextArrival);
  }

  /** The connection whose first message came before those of the others. `update` it when that has been taken. */
  first(): Member | undefined {
    for (;;) {
      const turn = this.#places.nextUs;
      const place = this.#places.popDue(Number.MAX_VALUE);
      if (place === undefined) return undefined;
      // Messages may have been taken from the connection, or dropped with it: then it has to go back in the order.
      this.update(place.member);
      if (place.deadlineUs === turn) return place.member;
    }
  }
}

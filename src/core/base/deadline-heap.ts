// HOT PATH
// Who is due first among very many: a binary heap whose items know their place, so that a deadline moves in O(log n).

import { NEVER } from './time.ts';

/** Something with a deadline. Only the heap writes these fields. */
export interface Scheduled {
  deadlineUs: number;
  /** Place in the heap; -1 while it has no deadline. */
  heapIndex: number;
}

export class DeadlineHeap<T extends Scheduled> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The earliest deadline, `NEVER` if there is none. */
  get nextUs(): number {
    return this.#items.length === 0 ? NEVER : this.#items[0]!.deadlineUs;
  }

  /** Sets, moves or (with `NEVER`) removes the deadline of `item`. */
  set(item: T, deadlineUs: number): void {
    const before = item.deadlineUs;
    item.deadlineUs = deadlineUs;
    if (item.heapIndex < 0) {
      if (deadlineUs === NEVER) return;
      item.heapIndex = this.#items.push(item) - 1;
      this.#rise(item);
    } else if (deadlineUs === NEVER) this.#remove(item);
    else if (deadlineUs < before) this.#rise(item);
    else if (deadlineUs > before) this.#sink(item);
  }

  /** Takes out an item that is due. */
  popDue(nowUs: number): T | undefined {
    const first = this.#items[0];
    if (first === undefined || first.deadlineUs > nowUs) return undefined;
    this.set(first, NEVER);
    return first;
  }

  #remove(item: T): void {
    const at = item.heapIndex;
    const last = this.#items.pop()!;
    item.heapIndex = -1;
    if (last === item) return;
    this.#place(last, at);
    this.#rise(last);
    this.#sink(last);
  }

  #place(item: T, at: number): void {
    this.#items[at] = item;
    item.heapIndex = at;
  }

  #rise(item: T): void {
    let at = item.heapIndex;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#items[parentAt]!;
      if (parent.deadlineUs <= item.deadlineUs) break;
      this.#place(parent, at);
      at = parentAt;
    }
    this.#place(item, at);
  }

  #sink(item: T): void {
    let at = item.heapIndex;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = this.#items[childAt];
      const right = this.#items[childAt + 1];
      if (child === undefined) break;
      if (right !== undefined && right.deadlineUs < child.deadlineUs) {
        child = right;
        childAt++;
      }
      if (child.deadlineUs >= item.deadlineUs) break;
      this.#place(child, at);
      at = childAt;
    }
    this.#place(item, at);
  }
}

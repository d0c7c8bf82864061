// HOT PATH
// A queue on a ring that grows: constant time at both ends, whatever its length (Array.shift is not). Items are also
// reachable by their absolute sequence number, which never changes while they are in the queue.

export class Fifo<T> {
  #ring: (T | undefined)[] = [];
  #mask = -1;
  /** Sequence number of the first item. */
  head = 0;
  /** Sequence number that the next pushed item gets. */
  tail = 0;

  get length(): number {
    return this.tail - this.head;
  }

  /** Returns the sequence number of the item. */
  push(item: T): number {
    if (this.tail - this.head > this.#mask) this.#grow();
    this.#ring[this.tail & this.#mask] = item;
    return this.tail++;
  }

  peek(): T | undefined {
    return this.head === this.tail ? undefined : this.#ring[this.head & this.#mask];
  }

  /** The item with this sequence number, if it is in the queue. */
  at(sequence: number): T | undefined {
    return sequence >= this.head && sequence < this.tail ? this.#ring[sequence & this.#mask] : undefined;
  }

  shift(): T | undefined {
    if (this.head === this.tail) return undefined;
    const slot = this.head++ & this.#mask;
    const item = this.#ring[slot];
    this.#ring[slot] = undefined;
    return item;
  }

  /** Puts `item` before the one at `sequence`; those behind move back by one. */
  insertAt(sequence: number, item: T): void {
    this.push(item);
    for (let i = this.tail - 1; i > sequence; i--) this.#ring[i & this.#mask] = this.#ring[(i - 1) & this.#mask];
    this.#ring[sequence & this.#mask] = item;
  }

  clear(): void {
    this.#ring = [];
    this.#mask = -1;
    this.head = this.tail = 0;
  }

  #grow(): void {
    const ring = new Array<T | undefined>(Math.max(4, (this.#mask + 1) * 2)).fill(undefined);
    const mask = ring.length - 1;
    for (let i = this.head; i < this.tail; i++) ring[i & mask] = this.#ring[i & this.#mask];
    this.#ring = ring;
    this.#mask = mask;
  }
}

/** Lists that are filled and emptied all the time keep their memory this way, which `length = 0` gives back. */
export function empty(list: unknown[]): void {
  while (list.length > 0) list.pop();
}

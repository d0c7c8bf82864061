// Virtual time: it stands still while code runs and jumps from one event to the next. An hour passes as fast as its
// events can be handled, and the same program sees the same times on every run.

import { NetworkingError } from '../core/base/errors.ts';
import { Fifo } from '../core/base/fifo.ts';

export type Task = () => void;

/** One task that waits for its time. */
export interface ScheduledEvent {
  readonly atUs: number;
  /** False once it has started or was cancelled. */
  readonly isPending: boolean;
  /** Takes it out of the queue; does nothing if it is no longer in there. */
  cancel(): void;
}

/** Where a clock starts: a `Platform` never tells time 0, and tests may use small times for "long before". */
export const CLOCK_START_US = 1_000_000;

// Far above what any real traffic does at one instant. A task that always schedules itself for "now" (an alarm set
// again and again to a time in the past) would otherwise hang the test instead of failing it.
const MAX_TASKS_PER_INSTANT = 1_000_000;

/** An event queue: earliest first, and first scheduled first among equal times. */
export class VirtualClock {
  #nowUs: number;
  readonly #queue = new EventHeap();
  readonly #deferred = new Fifo<Task>();
  #isRunning = false;
  #tasksThisInstant = 0;

  constructor(startUs: number = CLOCK_START_US) {
    this.#nowUs = startUs;
  }

  get nowUs(): number {
    return this.#nowUs;
  }

  /** Events and deferred tasks that have not run: 0 proves that nothing was left behind. */
  get pendingEvents(): number {
    return this.#queue.size + this.#deferred.length;
  }

  /** When `step` would run something next; `Infinity` if there is nothing. */
  get nextEventAtUs(): number {
    return this.#deferred.length > 0 ? this.#nowUs : this.#queue.firstAtUs;
  }

  /** Runs `task` at `atUs`, or as the last event of the present instant if that is past. Throws unless it is finite. */
  schedule(atUs: number, task: Task): ScheduledEvent {
    if (!Number.isFinite(atUs)) throw new NetworkingError('InvalidParam', `cannot schedule a task at ${atUs} us`);
    return this.#queue.add(Math.max(atUs, this.#nowUs), task);
  }

  /** Runs `task` at this instant: after the running task, before the next event. */
  defer(task: Task): void {
    this.#deferred.push(task);
  }

  /** Runs the next event and all that it defers. False if there was nothing to run. */
  step(): boolean {
    this.#checkStopped();
    this.#isRunning = true;
    try {
      // Deferred from outside any task, or left by a task that threw: still to be done before the next event.
      if (this.#deferred.length > 0) {
        this.#runDeferred();
        return true;
      }
      const event = this.#queue.takeFirst();
      if (!event) return false;
      if (event.atUs > this.#nowUs) this.#moveTo(event.atUs);
      this.#run(event.task);
      this.#runDeferred();
      return true;
    } finally {
      this.#isRunning = false;
    }
  }

  /** Runs everything due up to and including `atUs`, then stands at `atUs`. */
  runUntil(atUs: number): void {
    if (!Number.isFinite(atUs)) throw new NetworkingError('InvalidParam', `cannot run the clock until ${atUs} us`);
    this.#checkStopped();
    while (this.nextEventAtUs <= atUs) this.step();
    if (atUs > this.#nowUs) this.#moveTo(atUs);
  }

  runFor(durationUs: number): void {
    this.runUntil(this.#nowUs + durationUs);
  }

  #checkStopped(): void {
    if (this.#isRunning) throw new NetworkingError('InvalidState', 'the virtual clock is already running');
  }

  #runDeferred(): void {
    for (let task = this.#deferred.shift(); task; task = this.#deferred.shift()) this.#run(task);
  }

  #run(task: Task): void {
    if (++this.#tasksThisInstant > MAX_TASKS_PER_INSTANT) {
      throw new Error(`virtual time stands still at ${this.#nowUs} us: over ${MAX_TASKS_PER_INSTANT} tasks ran there`);
    }
    task();
  }

  #moveTo(atUs: number): void {
    this.#nowUs = atUs;
    this.#tasksThisInstant = 0;
  }
}

const NOT_QUEUED = -1;

class QueuedEvent implements ScheduledEvent {
  readonly atUs: number;
  readonly order: number;
  readonly task: Task;
  readonly #heap: EventHeap;
  /** Index in the heap, kept up to date by it. */
  slot = NOT_QUEUED;

  constructor(heap: EventHeap, atUs: number, order: number, task: Task) {
    this.#heap = heap;
    this.atUs = atUs;
    this.order = order;
    this.task = task;
  }

  get isPending(): boolean {
    return this.slot !== NOT_QUEUED;
  }

  cancel(): void {
    if (this.isPending) this.#heap.remove(this);
  }

  isBefore(other: QueuedEvent): boolean {
    return this.atUs < other.atUs || (this.atUs === other.atUs && this.order < other.order);
  }
}

/**
 * A binary heap whose entries know their slot. Cancelling therefore removes at once: timers are mostly moved, rarely
 * fired, and would otherwise fill the queue with corpses.
 */
class EventHeap {
  readonly #events: QueuedEvent[] = [];
  #nextOrder = 0;

  get size(): number {
    return this.#events.length;
  }

  get firstAtUs(): number {
    return this.#events[0]?.atUs ?? Number.POSITIVE_INFINITY;
  }

  add(atUs: number, task: Task): ScheduledEvent {
    const event = new QueuedEvent(this, atUs, this.#nextOrder++, task);
    this.#events.push(event);
    this.#moveUp(event, this.#events.length - 1);
    return event;
  }

  takeFirst(): QueuedEvent | undefined {
    const first = this.#events[0];
    if (first) this.remove(first);
    return first;
  }

  remove(event: QueuedEvent): void {
    const hole = event.slot;
    const last = this.#events.pop()!;
    event.slot = NOT_QUEUED;
    if (last === event) return;
    // The last entry fills the hole; it may belong above it or below it.
    this.#moveUp(last, hole);
    this.#moveDown(last, last.slot);
  }

  #moveUp(event: QueuedEvent, from: number): void {
    let slot = from;
    while (slot > 0) {
      const parent = this.#events[(slot - 1) >> 1]!;
      if (!event.isBefore(parent)) break;
      this.#place(parent, slot);
      slot = (slot - 1) >> 1;
    }
    this.#place(event, slot);
  }

  #moveDown(event: QueuedEvent, from: number): void {
    const count = this.#events.length;
    let slot = from;
    for (;;) {
      const left = 2 * slot + 1;
      if (left >= count) break;
      const right = left + 1;
      const child = right < count && this.#events[right]!.isBefore(this.#events[left]!) ? right : left;
      if (event.isBefore(this.#events[child]!)) break;
      this.#place(this.#events[child]!, slot);
      slot = child;
    }
    this.#place(event, slot);
  }

  #place(event: QueuedEvent, slot: number): void {
    this.#events[slot] = event;
    event.slot = slot;
  }
}

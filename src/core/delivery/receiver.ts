// HOT PATH
// The receiving half of delivery: the lanes, and the queue of messages that the application has not taken yet.
// Spec: 03 §3.7.

import { Fifo } from '../base/fifo.ts';
import { NEVER } from '../base/time.ts';
import { Outcome } from '../wire/frames.ts';
import { IncomingMessage } from './message.ts';
import { type MessageSink, ReceiveLane, type ReceiveSettings } from './receive-lane.ts';

/** Messages received so far by all connections: what came first, clocks are too coarse to tell. */
let arrivals = 0;

/** Pieces of unreliable messages that all lanes together keep: those of about ten lanes. */
const MAX_STORED_SEGMENTS = 200;

export class Receiver implements MessageSink {
  readonly settings: ReceiveSettings;
  /** While lingering nobody can read: reliable data is acknowledged and thrown away, unreliable data is refused. */
  isDiscarding = false;
  queuedBytes = 0;
  /** Complete messages so far. */
  deliveredMessages = 0;
  readonly #queue = new Fifo<IncomingMessage>();
  /** Lanes whose reliable messages are read as a stream, apart from the queue. */
  #streams: Map<number, Fifo<IncomingMessage>> | undefined;
  #streamMessages = 0;
  /** Of all lanes: bytes of unfinished reliable messages or behind gaps, and pieces of unreliable ones. */
  #streamBytes = 0;
  #storedSegments = 0;
  /** A stream has something new. */
  hasStreamNews = false;
  #lane = new ReceiveLane(0);
  /** By index; with holes. */
  #lanes: (ReceiveLane | undefined)[] = [this.#lane];
  #nowUs = 0;
  /** Some lane holds a whole message that the queue had no room for. */
  #isHeldBack = false;

  constructor(settings: ReceiveSettings) {
    this.settings = settings;
  }

  /** Those for streams not counted. */
  get queuedMessages(): number {
    return this.#queue.length;
  }

  /** The turn of the next message in the queue; `NEVER` if there is none. */
  get nextArrival(): number {
    return this.#queue.peek()?.arrival ?? NEVER;
  }

  /** From now on reliable messages of this lane, unread ones included, are for a stream. */
  openStream(lane: number): void {
    const stream = new Fifo<IncomingMessage>();
    this.#streams ??= new Map();
    this.#streams.set(lane, stream);
    for (let left = this.#queue.length; left > 0; left--) {
      const message = this.#queue.shift()!;
      (message.lane === lane && message.reliable ? stream : this.#queue).push(message);
    }
    this.#streamMessages += stream.length;
  }

  /** Whether there is something to read for the stream of this lane. */
  hasStreamMessages(lane: number): boolean {
    return (this.#streams?.get(lane)?.length ?? 0) > 0;
  }

  /** What the stream has not read is dropped. */
  closeStream(lane: number): void {
    while (this.take(lane) !== undefined);
    this.#streams?.delete(lane);
  }

  /** The selected lane, for expanding the numbers on the wire. */
  get highestMessage(): number {
    return this.#lane.highestMessage;
  }
  get streamEnd(): number {
    return this.#lane.streamEnd;
  }

  /** A reliable message that arrived waits for room in the queue. */
  get isHoldingBack(): boolean {
    return this.#isHeldBack;
  }

  /** A reliable message has begun to arrive and is not complete. */
  get hasPartialMessage(): boolean {
    return this.#lanes.some((lane) => lane !== undefined && lane.bufferedBytes > 0);
  }

  get violation(): string {
    return this.#lane.violation;
  }

  /** On this lane, unreliable messages older than the newest delivered one are thrown away. */
  dropLate(lane: number, drops: boolean): void {
    this.#laneOf(lane).dropsLate = drops;
  }

  beginPacket(nowUs: number): void {
    this.#nowUs = nowUs;
  }

  selectLane(index: number): void {
    this.#lane = this.#laneOf(index);
  }

  #laneOf(index: number): ReceiveLane {
    let lane = this.#lanes[index];
    if (lane === undefined) {
      lane = new ReceiveLane(index);
      this.#lanes[index] = lane;
    }
    return lane;
  }

  onUnreliable(
    message: number,
    offset: number,
    isLast: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Outcome {
    if (this.isDiscarding) return Outcome.Refused;
    const before = this.#lane.storedSegments;
    const outcome = this.#lane.onUnreliable(message, offset, isLast, bytes, start, end, this);
    this.#storedSegments += this.#lane.storedSegments - before;
    if (this.#storedSegments > MAX_STORED_SEGMENTS) this.#dropSegments();
    return outcome;
  }

  /** Too many lanes hold pieces of messages: all but the lane at hand give theirs up. */
  #dropSegments(): void {
    for (const lane of this.#lanes) if (lane !== this.#lane) lane?.dropSegments();
    this.#storedSegments = this.#lane.storedSegments;
  }

  onReliable(position: number, bytes: Uint8Array, start: number, end: number): Outcome {
    if (this.isDiscarding) return Outcome.Ok;
    const before = this.#lane.bufferedBytes;
    const outcome = this.#lane.onReliable(position, bytes, start, end, this);
    this.#streamBytes += this.#lane.bufferedBytes - before;
    return outcome;
  }

  /**
   * GNS bounds each lane by `recvBufferSize`, of which a peer can fill 256. Here all together may keep twice that much;
   * beyond it only the first lane that keeps anything may go on, so that at least one always gets to its end.
   */
  streamLimitBytes(lane: ReceiveLane): number {
    const { recvBufferBytes } = this.settings;
    const leftBytes = 2 * recvBufferBytes - (this.#streamBytes - lane.bufferedBytes);
    if (leftBytes >= recvBufferBytes || this.#isFirstToKeep(lane)) return recvBufferBytes;
    // What fills gaps takes no more room.
    return Math.max(leftBytes, lane.bufferedBytes);
  }

  #isFirstToKeep(lane: ReceiveLane): boolean {
    for (const other of this.#lanes) {
      if (other === lane) return true;
      if (other !== undefined && other.bufferedBytes > 0) return false;
    }
    return true;
  }

  deliver(payload: Uint8Array, number: number, lane: number, isReliable: boolean): boolean {
    const { recvBufferMessages, recvBufferBytes } = this.settings;
    const unread = this.#queue.length + this.#streamMessages;
    if (unread >= recvBufferMessages || this.queuedBytes + payload.length > recvBufferBytes) {
      if (isReliable) this.#isHeldBack = true;
      return false;
    }
    const message = new IncomingMessage(payload, number, lane, isReliable, this.#nowUs);
    this.queuedBytes += payload.length;
    this.deliveredMessages++;
    const stream = isReliable ? this.#streams?.get(lane) : undefined;
    if (stream === undefined) this.#enqueue(message);
    else {
      stream.push(message);
      this.#streamMessages++;
      this.hasStreamNews = true;
    }
    return true;
  }

  #enqueue(message: IncomingMessage): void {
    const place = this.#placeOf(message);
    message.arrival = this.#queue.at(place)?.arrival ?? ++arrivals;
    this.#queue.insertAt(place, message);
  }

  /** At the end, unless a higher number of the same lane is still unread: then before the first such. */
  #placeOf(message: IncomingMessage): number {
    let place = this.#queue.tail;
    for (let at = this.#queue.tail - 1; at >= this.#queue.head; at--) {
      const queued = this.#queue.at(at)!;
      if (queued.lane !== message.lane) continue;
      if (queued.messageNumber <= message.messageNumber) break;
      place = at;
    }
    return place;
  }

  /** The next message of the queue, or of the stream of this lane. */
  take(streamLane?: number): IncomingMessage | undefined {
    const message = streamLane === undefined ? this.#queue.shift() : this.#streams?.get(streamLane)?.shift();
    if (message === undefined) return undefined;
    this.queuedBytes -= message.data.length;
    if (streamLane !== undefined) this.#streamMessages--;
    return message;
  }

  /** Fetches into the queue what had no room before. Not Ok if the stream turns out to be broken. */
  resume(nowUs: number): Outcome {
    if (!this.#isHeldBack) return Outcome.Ok;
    this.#isHeldBack = false;
    this.#nowUs = nowUs;
    for (const lane of this.#lanes) {
      if (lane === undefined) continue;
      this.#lane = lane;
      const before = lane.bufferedBytes;
      const outcome = lane.resume(this);
      this.#streamBytes += lane.bufferedBytes - before;
      if (outcome === Outcome.Fatal) return Outcome.Fatal;
    }
    return Outcome.Ok;
  }

  /** The connection is over: pieces are of no use, whole messages may still be read. */
  dropPartial(): void {
    this.#isHeldBack = false;
    this.#lane = new ReceiveLane(0);
    this.#lanes = [this.#lane];
    this.#streamBytes = this.#storedSegments = 0;
  }

  dropUnread(): void {
    this.#queue.clear();
    for (const stream of this.#streams?.values() ?? []) stream.clear();
    this.#streamMessages = 0;
    this.queuedBytes = 0;
  }
}

// HOT PATH
// What every packet carried that the peer may still acknowledge, keyed by packet number. Spec: 03 §3.10.

import { empty } from '../base/fifo.ts';
import type { OutgoingMessage } from './message.ts';
import type { SendLane, SentSegment } from './send-lane.ts';

/** One packet sent. Taken from a pool, so that a connection has only those that it waits for. */
export class PacketRecord {
  number = -1;
  sentAtUs = 0;
  /** Neither acknowledged nor counted as lost, and something in it is worth sending again. */
  isInFlight = false;
  /** Statistics that it carried (the connection's own marks, 0 for none). */
  statsMark = 0;
  /** Of the whole datagram. */
  datagramBytes = 0;
  /** It was sent only to learn whether it arrives. */
  isProbe = false;
  readonly segments: SentSegment[] = [];
  /** Unreliable messages that it carried a piece of and that want a receipt, each with its lane. */
  readonly tracked: { readonly lane: SendLane; readonly message: OutgoingMessage }[] = [];
}

export class SentPackets {
  #ring: PacketRecord[] = [];
  #mask = -1;
  /** Lowest number that may have a record. */
  oldest = 0;
  /** Number of the packet sent next. */
  next = 0;

  /** Packets before `next` have no record. */
  start(next: number): void {
    this.oldest = this.next = next;
  }

  /** The record for the packet sent now, empty. Numbers go up by one. */
  add(nowUs: number): PacketRecord {
    if (this.next - this.oldest > this.#mask) this.#grow();
    const record = POOL.pop() ?? new PacketRecord();
    this.#ring[this.next & this.#mask] = record;
    record.number = this.next++;
    record.sentAtUs = nowUs;
    record.isInFlight = false;
    record.statsMark = 0;
    record.isProbe = false;
    return record;
  }

  get(number: number): PacketRecord | undefined {
    if (number < this.oldest || number >= this.next) return undefined;
    const record = this.#ring[number & this.#mask]!;
    return record.number === number ? record : undefined;
  }

  /** After an acknowledgement. The caller has let go of the segments. */
  remove(record: PacketRecord): void {
    this.#ring[record.number & this.#mask] = NO_RECORD;
    record.number = -1;
    record.isInFlight = false;
    empty(record.segments);
    empty(record.tracked);
    if (POOL.length < MAX_POOLED) POOL.push(record);
    this.skipRemoved();
  }

  /** Moves `oldest` up to a record that exists. */
  skipRemoved(): void {
    while (this.oldest < this.next && this.#ring[this.oldest & this.#mask]!.number !== this.oldest) this.oldest++;
  }

  clear(): void {
    this.#ring = [];
    this.#mask = -1;
    this.oldest = this.next;
  }

  #grow(): void {
    const size = Math.max(4, (this.#mask + 1) * 2);
    const ring = new Array<PacketRecord>(size).fill(NO_RECORD);
    for (let number = this.oldest; number < this.next; number++) {
      ring[number & (size - 1)] = this.#ring[number & this.#mask]!;
    }
    this.#ring = ring;
    this.#mask = size - 1;
  }
}

const NO_RECORD = new PacketRecord();

/** Records that nobody uses, of all connections; enough for the busiest of them. */
const POOL: PacketRecord[] = [];
const MAX_POOLED = 4096;

// HOT PATH
// One lane's incoming side: segments in, messages out. Spec: 03 §3.3, §3.5, §3.6.

import { copyBytes } from '../base/bytes.ts';
import { Outcome } from '../wire/frames.ts';
import { StreamHeader } from '../wire/stream-header.ts';
import { StreamBuffer } from './stream-buffer.ts';

export interface ReceiveSettings {
  recvBufferBytes: number;
  recvBufferMessages: number;
  recvMaxMessageBytes: number;
  recvMaxSegmentsPerPacket: number;
}

/** Where complete messages go. False: no room now; the message is not taken. */
export interface MessageSink {
  readonly settings: ReceiveSettings;
  /** How many bytes of its stream this lane may keep, given what others keep. */
  streamLimitBytes(lane: ReceiveLane): number;
  deliver(payload: Uint8Array, number: number, lane: number, isReliable: boolean): boolean;
}

const MAX_UNRELIABLE_SEGMENT_BYTES = 1300;
const MAX_UNRELIABLE_TOTAL_BYTES = 26_000;
const MAX_STORED_SEGMENTS = 20;
/** A reliable message may not be numbered further ahead than this. */
const MAX_NUMBER_LEAP = 10_000;

/** A piece of an unreliable message that waits for the others. */
interface UnreliableSegment {
  readonly message: number;
  readonly offset: number;
  readonly isLast: boolean;
  readonly bytes: Uint8Array;
}

export class ReceiveLane {
  readonly index: number;
  /** Highest message number seen. */
  highestMessage = 0;
  /** Unreliable messages older than the newest that was delivered are not worth having. */
  dropsLate = false;
  #newestDelivered = 0;
  #stream: StreamBuffer | undefined;
  /** Why the stream is broken. */
  violation = '';
  #lastReliable = 0;
  /** By message, then offset. */
  #segments: UnreliableSegment[] | undefined;

  constructor(index: number) {
    this.index = index;
  }

  get streamEnd(): number {
    return this.#stream === undefined ? 1 : this.#stream.end;
  }

  /** Bytes of an unfinished reliable message or behind a gap. */
  get bufferedBytes(): number {
    return this.#stream === undefined ? 0 : this.#stream.end - this.#stream.start;
  }

  /** Pieces of unreliable messages that wait for others. */
  get storedSegments(): number {
    return this.#segments === undefined ? 0 : this.#segments.length;
  }

  dropSegments(): void {
    this.#segments = undefined;
  }

  onUnreliable(
    message: number,
    offset: number,
    isLast: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: MessageSink,
  ): Outcome {
    const size = end - start;
    if (message > this.highestMessage) this.highestMessage = message;
    if (size > MAX_UNRELIABLE_SEGMENT_BYTES || offset + size > MAX_UNRELIABLE_TOTAL_BYTES) return Outcome.Ok;
    if (offset === 0 && isLast) {
      if (size > sink.settings.recvMaxMessageBytes) return this.#tooLarge(size, sink);
      return this.#hand(view(bytes, start, end), message, false, sink) ? Outcome.Ok : Outcome.Refused;
    }
    return this.#store({ message, offset, isLast, bytes: view(bytes, start, end) }, sink);
  }

  #store(segment: UnreliableSegment, sink: MessageSink): Outcome {
    this.#segments ??= [];
    const segments = this.#segments;
    if (segments.length > MAX_STORED_SEGMENTS) {
      const lowest = segments[0]!.message;
      const kept = segments.findIndex((each) => each.message !== lowest);
      segments.splice(0, kept < 0 ? segments.length : kept);
    }
    let at = segments.length;
    for (; at > 0; at--) {
      const before = segments[at - 1]!;
      if (before.message === segment.message && before.offset === segment.offset) return Outcome.Ok;
      if (before.message < segment.message || (before.message === segment.message && before.offset < segment.offset))
        break;
    }
    segments.splice(at, 0, segment);
    return this.#assemble(segment.message, sink);
  }

  /** Delivers the message if its pieces reach from 0 to its last one. Overlaps are allowed. */
  #assemble(message: number, sink: MessageSink): Outcome {
    const segments = this.#segments!;
    const first = segments.findIndex((each) => each.message === message);
    let total = 0;
    let last = first;
    for (; ; last++) {
      const segment = segments[last];
      if (segment === undefined || segment.message !== message || segment.offset > total) return Outcome.Ok;
      total = Math.max(total, segment.offset + segment.bytes.length);
      if (segment.isLast) break;
    }
    if (total > sink.settings.recvMaxMessageBytes) return this.#tooLarge(total, sink);
    const payload = new Uint8Array(total);
    for (let i = first; i <= last; i++) payload.set(segments[i]!.bytes, segments[i]!.offset);
    let next = last + 1;
    while (next < segments.length && segments[next]!.message === message) next++;
    segments.splice(first, next - first);
    return this.#hand(payload, message, false, sink) ? Outcome.Ok : Outcome.Refused;
  }

  onReliable(position: number, bytes: Uint8Array, start: number, end: number, sink: MessageSink): Outcome {
    const size = end - start;
    this.#stream ??= new StreamBuffer();
    const stream = this.#stream;
    const { recvBufferBytes } = sink.settings;
    if (size === 0 || position + size <= stream.start) return Outcome.Ok;
    if (position > stream.start || stream.start < stream.end || position + size - stream.start > recvBufferBytes) {
      const limit = sink.streamLimitBytes(this);
      return stream.store(position, bytes, start, end, limit) ? this.resume(sink) : Outcome.Refused;
    }
    // Nothing is buffered and this comes next: whole messages are delivered without a detour, the rest is kept.
    const from = start + stream.start - position;
    const outcome = this.#deliverMessages(bytes, from, end, sink);
    stream.advance(this.#taken);
    if (outcome === Outcome.Fatal) return outcome;
    const limit = sink.streamLimitBytes(this);
    return stream.store(stream.start, bytes, from + this.#taken, end, limit) ? outcome : Outcome.Refused;
  }

  /** Delivers what is complete in the buffer; called again when the application made room. */
  resume(sink: MessageSink): Outcome {
    const stream = this.#stream;
    if (stream === undefined || stream.contiguousEnd === stream.start) return Outcome.Ok;
    const { bytes, offset } = stream;
    const outcome = this.#deliverMessages(bytes, offset, offset + stream.contiguousEnd - stream.start, sink, stream);
    stream.consume(this.#taken);
    return outcome;
  }

  /** Bytes that the last `#deliverMessages` was done with. */
  #taken = 0;

  /** Takes messages from contiguous stream bytes: of `buffer`, or of a packet. */
  #deliverMessages(bytes: Uint8Array, start: number, end: number, sink: MessageSink, buffer?: StreamBuffer): Outcome {
    const header = HEADER;
    const { recvBufferBytes, recvMaxMessageBytes } = sink.settings;
    this.#taken = 0;
    for (let at = start; at < end; ) {
      const status = header.read(bytes, at, end);
      if (status === 'incomplete') return Outcome.Ok;
      if (status === 'invalid') return this.#break('header');
      const number = this.#lastReliable + header.gap;
      if (number > this.highestMessage + MAX_NUMBER_LEAP) return this.#break('message number');
      if (header.size > recvBufferBytes || header.size > recvMaxMessageBytes) return this.#break('message size');
      if (number > this.highestMessage) this.highestMessage = number;
      const body = at + header.bytes;
      const stop = body + header.size;
      if (stop > end) return Outcome.Ok;
      const payload = buffer === undefined ? view(bytes, body, stop) : buffer.take(body, stop);
      if (!this.#hand(payload, number, true, sink)) return Outcome.Refused;
      this.#lastReliable = number;
      at = stop;
      this.#taken = at - start;
    }
    return Outcome.Ok;
  }

  /** False if the application's queue has no room. */
  #hand(payload: Uint8Array, number: number, isReliable: boolean, sink: MessageSink): boolean {
    if (this.dropsLate && !isReliable && number < this.#newestDelivered) return true;
    if (!sink.deliver(payload, number, this.index, isReliable)) return false;
    if (number > this.#newestDelivered) this.#newestDelivered = number;
    return true;
  }

  #tooLarge(bytes: number, { settings }: MessageSink): Outcome {
    this.violation = `an unreliable message has ${bytes} bytes; recvMaxMessageSize is ${settings.recvMaxMessageBytes}`;
    return Outcome.Fatal;
  }

  #break(what: string): Outcome {
    this.violation = `${what} in the reliable stream of lane ${this.index} is out of range`;
    return Outcome.Fatal;
  }
}

/** Used within one call only. */
const HEADER = new StreamHeader();

/**
 * A message of its own kind: a plain Uint8Array, even where the packet is a Node Buffer. What is small, or a small part
 * of its packet, is copied: kept by the application it would keep all of it.
 */
function view(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (end - start > VIEW_BYTES && (end - start) * VIEW_PARTS >= bytes.length)
    return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
  const copy = new Uint8Array(end - start);
  copyBytes(copy, 0, bytes, start, end);
  return copy;
}

const VIEW_BYTES = 64;
const VIEW_PARTS = 20;

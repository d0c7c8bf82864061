// Frames as values: a sink that notes what the decoder tells it, their notation in the recordings, and writing them
// again.
import type { FrameWriter } from '../../src/core/wire/frame-writer.ts';
import { type AckBlocks, type FrameSink, Outcome } from '../../src/core/wire/frames.ts';

export type Frame =
  | { readonly kind: 'stopWaiting'; readonly oldestWanted: number }
  | {
      readonly kind: 'ack';
      readonly latest: number;
      /** In units of 32 us; undefined if not measured. */
      readonly delayUnits: number | undefined;
      /** [acks, nacks], newest first. */
      readonly blocks: readonly (readonly [number, number])[];
    }
  | { readonly kind: 'selectLane'; readonly lane: number }
  | { readonly kind: 'reliable'; readonly position: number; readonly data: Uint8Array }
  | {
      readonly kind: 'unreliable';
      readonly message: number;
      readonly offset: number;
      readonly isLast: boolean;
      readonly data: Uint8Array;
    };

/** What the decoder may ask of a lane. */
export interface LaneModel {
  highestMessage: number;
  /** The first byte of a stream has position 1. */
  streamEnd: number;
}

/** Notes the frames of one packet after the other, and keeps the contexts that outlast a packet per lane. */
export class FrameLog implements FrameSink {
  nextPacketNumber = 2;
  maxSegmentsPerPacket = 1300;
  /** What the sink answers to segments, stop waiting and acks. */
  answer: Outcome = Outcome.Ok;
  readonly lanes = new Map<number, LaneModel>();
  frames: Frame[] = [];
  #lane: LaneModel = { highestMessage: 0, streamEnd: 1 };
  #isStarted = false;

  /** To be called before each packet. */
  begin(): void {
    this.frames = [];
    this.#isStarted = false;
  }

  lane(number: number): LaneModel {
    const lane = this.lanes.get(number) ?? { highestMessage: 0, streamEnd: 1 };
    this.lanes.set(number, lane);
    return lane;
  }

  onSelectLane(lane: number): void {
    this.#lane = this.lane(lane);
    // The first call is the start of the packet, which no frame stands for.
    if (this.#isStarted) this.frames.push({ kind: 'selectLane', lane });
    this.#isStarted = true;
  }

  highestMessageNumber(): number {
    return this.#lane.highestMessage;
  }

  streamEnd(): number {
    return this.#lane.streamEnd;
  }

  onUnreliableSegment(
    message: number,
    offset: number,
    isLast: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Outcome {
    this.#lane.highestMessage = Math.max(this.#lane.highestMessage, message);
    this.frames.push({ kind: 'unreliable', message, offset, isLast, data: dataOf(bytes, start, end) });
    return this.answer;
  }

  onReliableSegment(position: number, bytes: Uint8Array, start: number, end: number): Outcome {
    this.#lane.streamEnd = Math.max(this.#lane.streamEnd, position + end - start);
    this.frames.push({ kind: 'reliable', position, data: dataOf(bytes, start, end) });
    return this.answer;
  }

  onStopWaiting(oldestWanted: number): Outcome {
    this.frames.push({ kind: 'stopWaiting', oldestWanted });
    return this.answer;
  }

  onAck(latest: number, delayUs: number, blocks: AckBlocks): Outcome {
    const pairs = Array.from({ length: blocks.count }, (_, i) => [blocks.acks[i]!, blocks.nacks[i]!] as const);
    this.frames.push({ kind: 'ack', latest, delayUnits: delayUs < 0 ? undefined : delayUs / 32, blocks: pairs });
    return this.answer;
  }
}

function dataOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (start < 0 || end < start || end > bytes.length) throw new Error(`segment [${start}, ${end}) lies outside`);
  return bytes.subarray(start, end);
}

/** The notation of the recordings, see README.md. */
export function describeFrames(frames: readonly Frame[]): string {
  return frames.map(describeFrame).join(' ');
}

function describeFrame(frame: Frame): string {
  switch (frame.kind) {
    case 'stopWaiting':
      return `w${frame.oldestWanted}`;
    case 'ack':
      return [
        `a${frame.latest}/${frame.delayUnits ?? '?'}`,
        ...frame.blocks.map(([acks, nacks]) => `${acks}-${nacks}`),
      ].join(',');
    case 'selectLane':
      return `l${frame.lane}`;
    case 'reliable':
      return `r${frame.position}+${frame.data.length}`;
    case 'unreliable':
      return `u${frame.message}@${frame.offset}+${frame.data.length}${frame.isLast ? '.' : ''}`;
  }
}

/** Writes the frames as packet `packetNumber`; nothing follows the last one. */
export function writeFrames(writer: FrameWriter, packetNumber: number, frames: readonly Frame[]): Uint8Array {
  writer.begin();
  for (const [i, frame] of frames.entries()) writeFrame(writer, packetNumber, frame, i === frames.length - 1);
  return writer.bytes.slice(0, writer.pos);
}

/** `isFinal` as in `FrameWriter`. */
export function writeFrame(writer: FrameWriter, packetNumber: number, frame: Frame, isFinal: boolean): void {
  switch (frame.kind) {
    case 'stopWaiting':
      writer.stopWaiting(packetNumber - frame.oldestWanted - 1);
      break;
    case 'ack':
      writer.ackHeader(frame.latest, frame.delayUnits ?? 0xffff, frame.blocks.length);
      for (const [acks, nacks] of frame.blocks) writer.ackBlock(acks, nacks);
      break;
    case 'selectLane':
      writer.selectLane(frame.lane);
      break;
    case 'reliable':
      writer.reliableSegment(frame.position, frame.data.length, isFinal);
      writer.append(frame.data, 0, frame.data.length);
      break;
    case 'unreliable': {
      const { message, offset, isLast, data } = frame;
      writer.unreliableSegment(message, offset, isLast, data, 0, data.length, isFinal);
      break;
    }
  }
}

// Frames written and read back, the predicted sizes, and the decoder on hostile bytes.
import { expect } from 'chai';
import fc from 'fast-check';
import { ByteReader } from '../../../src/core/base/bytes.ts';
import {
  ACK_HEADER_BYTES,
  ackBlockBytes,
  FrameWriter,
  reliableHeaderBytes,
  selectLaneBytes,
  stopWaitingBytes,
  unreliableHeaderBytes,
} from '../../../src/core/wire/frame-writer.ts';
import { FrameDecoder, Outcome } from '../../../src/core/wire/frames.ts';
import { toHex } from '../../support/hex.ts';
import { describeFrames, type Frame, FrameLog, writeFrame, writeFrames } from '../../vectors/frame-log.ts';

const { SEED } = process.env;
const RUN = SEED ? { seed: Number(SEED) } : {};
const PACKET_NUMBER = 2 ** 40;

/** A segment before its place in the lane is known. */
interface Step {
  readonly isReliable: boolean;
  /** How far it lies beyond the one before. */
  readonly gap: number;
  readonly offset: number;
  readonly isLast: boolean;
  readonly data: Uint8Array;
}

interface LaneSteps {
  readonly lane: number;
  readonly firstMessage: number;
  readonly firstPosition: number;
  /** How far the receiver is behind, within what the short forms can bridge. */
  readonly receiverLag: number;
  readonly steps: readonly Step[];
}

/** Small numbers, and those around the limits of the encodings. */
function anyNumber(max: number): fc.Arbitrary<number> {
  const edges = [0, 1, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x3fff, 0x4000, 0xffff, 0x10000, 0xff_ffff, 0x100_0000];
  return fc.oneof(fc.constantFrom(...edges.filter((edge) => edge <= max)), fc.nat(max));
}

const anyStep: fc.Arbitrary<Step> = fc.record({
  isReliable: fc.boolean(),
  gap: fc.oneof(fc.constant(0), anyNumber(0xffff_ffff)),
  offset: fc.oneof(fc.constant(0), anyNumber(0xffff_ffff)),
  isLast: fc.boolean(),
  data: fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    anyNumber(1279).map((size) => new Uint8Array(size).fill(0x5a)),
  ),
});

const anyLane: fc.Arbitrary<LaneSteps> = fc.record({
  lane: fc.oneof(fc.nat(9), fc.nat(255)),
  firstMessage: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 2 ** 40 })),
  firstPosition: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 2 ** 51 })),
  receiverLag: anyNumber(2 ** 29),
  steps: fc.array(anyStep, { maxLength: 6 }),
});

const anyAck: fc.Arbitrary<Frame> = fc.record({
  kind: fc.constant('ack' as const),
  latest: fc.integer({ min: PACKET_NUMBER - 0x8000, max: PACKET_NUMBER - 1 }),
  delayUnits: fc.option(fc.nat(0xfffe), { nil: undefined }),
  blocks: fc.array(fc.tuple(anyNumber(800_007), anyNumber(800_007)), { maxLength: 64 }),
});

const anyStopWaiting: fc.Arbitrary<Frame> = fc.record({
  kind: fc.constant('stopWaiting' as const),
  oldestWanted: fc.oneof(anyNumber(2 ** 30), fc.nat(PACKET_NUMBER - 1)).map((offset) => PACKET_NUMBER - 1 - offset),
});

/** Distinct lanes: a lane has one context in a packet that GNS or we write. */
const anyLanes = fc.uniqueArray(anyLane, { maxLength: 5, selector: ({ lane }) => lane });

function framesOf({ lane, firstMessage, firstPosition, steps }: LaneSteps): Frame[] {
  const frames: Frame[] = [{ kind: 'selectLane', lane }];
  let message = firstMessage;
  let position = firstPosition;
  for (const { isReliable, gap, offset, isLast, data } of steps) {
    if (isReliable) {
      position += gap;
      frames.push({ kind: 'reliable', position, data });
      position += data.length;
      message++; // a reliable segment stands for a message of its own
    } else {
      message += gap % 2 ** 30; // within reach of 32 bits, the lag included
      frames.push({ kind: 'unreliable', message, offset, isLast, data });
    }
  }
  return frames;
}

/** A sink whose lanes have received all but the last few messages and bytes. */
function receiverOf(lanes: readonly LaneSteps[]): FrameLog {
  const log = new FrameLog();
  log.nextPacketNumber = PACKET_NUMBER;
  for (const { lane, firstMessage, firstPosition, receiverLag } of lanes) {
    log.lane(lane).highestMessage = Math.max(0, firstMessage - receiverLag);
    log.lane(lane).streamEnd = Math.max(1, firstPosition - receiverLag);
  }
  log.begin();
  return log;
}

function decode(bytes: Uint8Array, start: number, end: number, log: FrameLog): Outcome {
  const reader = new ByteReader();
  reader.reset(bytes, start, end);
  return new FrameDecoder().decode(reader, PACKET_NUMBER, log);
}

describe('FrameWriter', () => {
  it('writes what the decoder reads', () => {
    const anyControl = fc.array(fc.oneof(anyAck, anyStopWaiting), { maxLength: 3 });
    fc.assert(
      fc.property(anyControl, anyLanes, (control, lanes) => {
        const frames = [...control, ...lanes.flatMap(framesOf)];
        const payload = writeFrames(new FrameWriter(new Uint8Array(65_536)), PACKET_NUMBER, frames);
        const log = receiverOf(lanes);
        expect(decode(payload, 0, payload.length, log)).to.equal(Outcome.Ok);
        expect(describeFrames(log.frames)).to.equal(describeFrames(frames));
        expect(contentsOf(log.frames)).to.deep.equal(contentsOf(frames));
      }),
      RUN,
    );
  });

  it('writes frames of exactly the predicted size', () => {
    const anyFrames = fc.oneof(anyLane.map(framesOf), fc.tuple(anyAck), fc.tuple(anyStopWaiting));
    fc.assert(
      fc.property(anyFrames, (frames) => {
        const writer = new FrameWriter(new Uint8Array(65_536));
        writer.begin();
        const context = { message: -1, position: -1 };
        for (const [i, frame] of frames.entries()) {
          const before = writer.pos;
          const isFinal = i === frames.length - 1;
          writeFrame(writer, PACKET_NUMBER, frame, isFinal);
          expect(writer.pos - before).to.equal(predictedBytes(frame, context, isFinal), describeFrames([frame]));
        }
      }),
      { ...RUN, numRuns: 1000 },
    );
  });
});

function contentsOf(frames: readonly Frame[]): readonly string[] {
  return frames.map((frame) => ('data' in frame ? toHex(frame.data) : ''));
}

/** Moves `context` on as the writer does. */
function predictedBytes(frame: Frame, context: { message: number; position: number }, isFinal: boolean): number {
  switch (frame.kind) {
    case 'stopWaiting':
      return stopWaitingBytes(PACKET_NUMBER - frame.oldestWanted - 1);
    case 'ack': {
      const blockBytes = frame.blocks.map(([acks, nacks]) => ackBlockBytes(acks, nacks));
      return blockBytes.reduce((sum, bytes) => sum + bytes, ACK_HEADER_BYTES + (frame.blocks.length >= 7 ? 1 : 0));
    }
    case 'selectLane':
      context.message = context.position = -1;
      return selectLaneBytes(frame.lane);
    case 'reliable': {
      const header = reliableHeaderBytes(context.position, frame.position);
      context.position = frame.position + frame.data.length;
      if (context.message >= 0) context.message++;
      return header + (isFinal ? 0 : 1) + frame.data.length;
    }
    case 'unreliable': {
      const header = unreliableHeaderBytes(context.message, frame.message, frame.offset);
      context.message = frame.message;
      return header + (isFinal ? 0 : 1) + frame.data.length;
    }
  }
}

describe('FrameDecoder on hostile bytes', () => {
  /** Pieces that look like the start of a frame lead deeper than bytes that are merely random. */
  const anyLead = fc.constantFrom(
    0x07,
    0x20,
    0x37,
    0x2f,
    0x40,
    0x48,
    0x50,
    0x57,
    0x80,
    0x83,
    0x88,
    0x8f,
    0x98,
    0x9f,
    0x91,
  );
  const anyPiece = fc.tuple(anyLead, fc.uint8Array({ maxLength: 10 })).map(([lead, rest]) => [lead, ...rest]);
  const anyPayload = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => [...bytes]),
    fc.array(anyPiece, { maxLength: 8 }).map((pieces) => pieces.flat()),
  );

  it('neither throws nor sees a byte before or behind the payload', () => {
    fc.assert(
      fc.property(anyPayload, fc.constantFrom(...Object.values(Outcome)), (payload, answer) => {
        const readings = [0x00, 0xff, 0x57].map((surroundings) => {
          const bytes = new Uint8Array(payload.length + 40).fill(surroundings);
          bytes.set(payload, 20);
          const log = receiverOf([]);
          log.answer = answer;
          const outcome = decode(bytes, 20, 20 + payload.length, log);
          expect(outcome).to.be.within(Outcome.Ok, Outcome.Fatal);
          return [outcome, describeFrames(log.frames), ...contentsOf(log.frames)];
        });
        expect(readings[1]).to.deep.equal(readings[0]);
        expect(readings[2]).to.deep.equal(readings[0]);
      }),
      { ...RUN, numRuns: 1000 },
    );
  });

  it('refuses a packet that was cut, or sees only its first frames', () => {
    fc.assert(
      fc.property(anyLanes, fc.nat(), (lanes, cut) => {
        const frames = lanes.flatMap(framesOf);
        const payload = writeFrames(new FrameWriter(new Uint8Array(65_536)), PACKET_NUMBER, frames);
        const log = receiverOf(lanes);
        const outcome = decode(payload, 0, cut % (payload.length + 1), log);
        expect(outcome).to.be.oneOf([Outcome.Ok, Outcome.Fatal]);
        // A last frame whose size is the rest of the packet may have lost some of its data.
        const whole = log.frames.slice(0, -1);
        expect(describeFrames(whole)).to.equal(describeFrames(frames.slice(0, whole.length)));
      }),
      RUN,
    );
  });
});

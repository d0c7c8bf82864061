// Received frames, row by row. Spec: 03 §3.1, §3.2, §3.9. The notation of frames: test/vectors/README.md.
import { expect } from 'chai';
import { ByteReader } from '../../../src/core/base/bytes.ts';
import { FrameDecoder, Outcome } from '../../../src/core/wire/frames.ts';
import { hex } from '../../support/hex.ts';
import { describeFrames, FrameLog } from '../../vectors/frame-log.ts';

interface Context {
  readonly packetNumber?: number;
  readonly nextPacketNumber?: number;
  readonly highestMessage?: number;
  readonly streamEnd?: number;
  readonly maxSegments?: number;
  readonly answer?: Outcome;
}

interface Decoded {
  readonly outcome: Outcome;
  readonly frames: string;
  readonly violation: string;
}

/** Decodes one packet; the context of a lane is that of lane 0, other lanes are fresh. */
function decode(payload: Uint8Array, context: Context = {}): Decoded {
  const log = new FrameLog();
  const lane = log.lane(0);
  lane.highestMessage = context.highestMessage ?? 0;
  lane.streamEnd = context.streamEnd ?? 1;
  log.nextPacketNumber = context.nextPacketNumber ?? 100;
  log.maxSegmentsPerPacket = context.maxSegments ?? 1300;
  log.answer = context.answer ?? Outcome.Ok;
  log.begin();
  const reader = new ByteReader();
  reader.reset(payload, 0, payload.length);
  const decoder = new FrameDecoder();
  const outcome = decoder.decode(reader, context.packetNumber ?? 100, log);
  return { outcome, frames: describeFrames(log.frames), violation: decoder.violation };
}

function expectFrames(payload: Uint8Array, frames: string, context?: Context): void {
  expect(decode(payload, context)).to.include({ outcome: Outcome.Ok, frames });
}

/** The frames before the violation take effect. */
function expectFatal(payload: Uint8Array, violation: string, context?: Context, framesBefore = ''): void {
  expect(decode(payload, context)).to.deep.equal({ outcome: Outcome.Fatal, frames: framesBefore, violation });
}

describe('a packet of frames', () => {
  it('may be empty', () => {
    expectFrames(hex(), '');
  });

  it('is taken in order, starting with lane 0', () => {
    const payload = hex('80 00', '98 0100 ffff', '50 010000000000 02 aaaa', '89', '37 01000000 bb');
    expectFrames(payload, 'w99 a1/? r1+2 l2 u1@0+1.');
  });

  for (const lead of ['60', '7f', '84', '87', 'a0', 'ff']) {
    it(`is fatal with the reserved lead byte ${lead}, after the frames before it`, () => {
      expectFatal(hex('80 00', lead, '0000000000'), 'reserved frame', {}, 'w99');
    });
  }

  for (const [what, payload] of [
    ['a 16-bit message number', '20 01'],
    ['a 32-bit message number', '30 010000'],
    ['an offset', '2f 0100 80'],
    ['an unreliable size', '20 0100'],
    ['a 24-bit position', '40 0100'],
    ['a 32-bit position', '48 010000'],
    ['a 48-bit position', '50 0100000000'],
    ['a reliable size', '40 010000'],
    ['an 8-bit stop waiting', '80'],
    ['a 16-bit stop waiting', '81 00'],
    ['a 24-bit stop waiting', '82 0000'],
    ['a 64-bit stop waiting', '83 00000000000000'],
    ['a lane number', '8f 80'],
    ['a 16-bit ack number', '98 01'],
    ['a 32-bit ack number', '90 010000'],
    ['an ack delay', '98 0100 ff'],
    ['a block count', '9f 0100 ffff'],
    ['an ack block', '99 0100 ffff'],
    ['a run of acks', '99 0100 ffff 80 80'],
    ['a run of nacks', '99 0100 ffff 08 80'],
  ] as const) {
    it(`is fatal when it ends within ${what}`, () => {
      expectFatal(hex(payload), 'a frame runs past the end of its packet');
    });
  }
});

describe('unreliable segment', () => {
  it('ends its message with bit 0x20', () => {
    expectFrames(hex('07 0100 6869'), 'u1@0+2');
    expectFrames(hex('27 0100 6869'), 'u1@0+2.');
  });

  for (const [highest, wire, message] of [
    [0, '0100', 1],
    [0xfffa, '0500', 0x1_0005],
    [0x1_0005, 'faff', 0xfffa],
    [0x1_0000, '0080', 0x8000], // halfway goes down
    [0x1_0000, 'ff7f', 0x1_7fff],
  ] as const) {
    it(`takes a 16-bit number ${wire} after message ${highest} for ${message}`, () => {
      expectFrames(hex('27', wire, 'aa'), `u${message}@0+1.`, { highestMessage: highest });
    });
  }

  for (const [highest, wire, message] of [
    [0, '01000000', 1],
    [0, '00000040', 2 ** 30],
    [2 ** 32 - 3, '02000000', 2 ** 32 + 2],
    [2 ** 32 + 2, 'fdffffff', 2 ** 32 - 3],
    [2 ** 32, '00000080', 2 ** 31], // halfway goes down
  ] as const) {
    it(`takes a 32-bit number ${wire} after message ${highest} for ${message}`, () => {
      expectFrames(hex('37', wire, 'aa'), `u${message}@0+1.`, { highestMessage: highest });
    });
  }

  for (const [what, payload] of [
    ['0 in 16 bits', '27 0000 aa'],
    ['0 in 32 bits', '37 00000000 aa'],
    ['-1 in 16 bits', '27 ffff aa'],
    ['-1 in 32 bits', '37 ffffffff aa'],
  ] as const) {
    it(`is fatal with message number ${what}`, () => {
      expectFatal(hex(payload), 'message number out of range');
    });
  }

  it('has the number after the one before it, or a number relative to that', () => {
    // 5, then 6 without a field, then 300 further
    expectFrames(hex('20 0500 01 aa', '20 01 aa', '37 ac02 aa'), 'u5@0+1. u6@0+1. u306@0+1.');
  });

  it('may repeat the number before it, for the next part of the message', () => {
    expectFrames(hex('00 0500 01 aa', '3f 00 01 aa'), 'u5@0+1 u5@1+1.');
  });

  it('is fatal when a relative number leaves the safe range', () => {
    expectFatal(hex('20 0500 00', '37 ffffffffffffffffff01'), 'message number out of range', {}, 'u5@0+0.');
  });

  it('says where in the message it lies, with bit 0x08', () => {
    expectFrames(hex('2f 0100 ac02 aa'), 'u1@300+1.');
  });

  it('counts reliable segments as messages, but only behind an unreliable segment of the context', () => {
    expectFrames(
      hex('50 010000000000 01 aa', '20 0500 01 aa', '40 01 aa', '40 00', '27 aa'),
      'r1+1 u5@0+1. r2+1 r3+0 u8@0+1.',
    );
  });
});

describe('segment size', () => {
  for (const [code, sizeByte, size] of [
    ['0', '00', 0],
    ['0', 'ff', 255],
    ['1', '05', 261],
    ['2', '00', 512],
    ['3', '01', 769],
    ['4', 'ff', 1279],
  ] as const) {
    it(`is ${size} for code ${code} and byte ${sizeByte}, for both kinds of segment`, () => {
      const data = new Uint8Array(size).fill(0xaa);
      const stopWaiting = hex('80 00');
      expectFrames(join(hex(`2${code} 0100`, sizeByte), data, stopWaiting), `u1@0+${size}. w99`);
      expectFrames(join(hex(`5${code} 010000000000`, sizeByte), data, stopWaiting), `r1+${size} w99`);
    });
  }

  it('is the rest of the packet for code 7, which may be nothing', () => {
    expectFrames(hex('27 0100 aabbcc'), 'u1@0+3.');
    expectFrames(hex('27 0100'), 'u1@0+0.');
    expectFrames(hex('57 010000000000 aabbcc'), 'r1+3');
    expectFrames(hex('57 010000000000'), 'r1+0');
  });

  it('may reach exactly to the end of the packet', () => {
    expectFrames(hex('20 0100 02 aabb'), 'u1@0+2.');
  });

  for (const [what, payload] of [
    ['unreliable code 5', '25 0100 00'],
    ['unreliable code 6', '26 0100 00'],
    ['reliable code 5', '55 010000000000 00'],
    ['reliable code 6', '56 010000000000 00'],
    ['unreliable code 5 with as many bytes', `25 0100 00 ${'aa'.repeat(1280)}`],
    ['an unreliable size beyond the packet', '20 0100 03 aabb'],
    ['a reliable size beyond the packet', '51 010000000000 00 aabb'],
  ] as const) {
    it(`is fatal: ${what}`, () => {
      expectFatal(hex(payload), 'segment size out of range');
    });
  }
});

describe('reliable segment', () => {
  for (const [what, payload, streamEnd, position] of [
    ['24 bits', '47 010000 aa', 1, 1],
    ['24 bits beyond a wrap', '47 020000 aa', 2 ** 24, 2 ** 24 + 2],
    ['24 bits just not corrected', '47 010000 aa', 2 ** 23, 1],
    ['24 bits just corrected', '47 010000 aa', 2 ** 23 + 1, 2 ** 24 + 1],
    ['24 bits, never downward', '47 ffffff aa', 2 ** 24 + 1, 2 ** 25 - 1],
    ['32 bits', '4f 01000080 aa', 1, 2 ** 31 + 1],
    ['32 bits beyond a wrap', '4f 02000000 aa', 2 ** 32 - 1, 2 ** 32 + 2],
    ['48 bits', '57 010000000000 aa', 1, 1],
    ['48 bits, all set', '57 ffffffffffff aa', 1, 2 ** 48 - 1],
    ['48 bits beyond a wrap', '57 020000000000 aa', 2 ** 48 - 1, 2 ** 48 + 2],
  ] as const) {
    it(`starts a context with an absolute position: ${what}`, () => {
      expectFrames(hex(payload), `r${position}+1`, { streamEnd });
    });
  }

  it('is fatal at position 0', () => {
    for (const payload of ['47 000000 aa', '4f 00000000 aa', '57 000000000000 aa']) {
      expectFatal(hex(payload), 'stream position out of range');
    }
  });

  it('is fatal when a context starts with a relative position of 32 bits', () => {
    expectFatal(hex('5f 01000000 aa'), 'stream position out of range');
  });

  it('follows the segment before it, or leaves a gap of 8, 16 or 32 bits', () => {
    expectFrames(
      hex('50 0a0000000000 01 aa', '40 02 aabb', '48 05 01 aa', '50 0001 01 aa', '5f 00000100 aa'),
      `r10+1 r11+2 r18+1 r${19 + 256}+1 r${276 + 65536}+1`,
    );
  });

  it('may be empty and still sets the position', () => {
    expectFrames(hex('50 0a0000000000 00', '48 05 00', '47 aa'), 'r10+0 r15+0 r15+1');
  });
});

describe('select lane frame', () => {
  it('names lanes 1 to 7 in the lead byte', () => {
    expectFrames(hex('88', '89', '8a', '8b', '8c', '8d', '8e'), 'l1 l2 l3 l4 l5 l6 l7');
  });

  it('names any lane up to 255 in a field of its own', () => {
    expectFrames(hex('8f 00', '8f 08', '8f c801', '8f ff01'), 'l0 l8 l200 l255');
  });

  it('is fatal for lane 256 and above', () => {
    expectFatal(hex('8f 8002'), 'lane number out of range');
    expectFatal(hex('8f ffffffff0f'), 'lane number out of range');
  });

  it('starts new contexts, even when it selects the lane that is selected', () => {
    const segments = ['20 0500 01 aa', '40 010000 01 aa'] as const;
    expectFrames(
      hex(...segments, '88', ...segments, '88', ...segments),
      'u5@0+1. r1+1 l1 u5@0+1. r1+1 l1 u5@0+1. r1+1',
    );
  });

  it('completes numbers from what its lane has seen', () => {
    // On lane 1 message 5 is near nothing but 5; on lane 0 it is near 65541.
    const payload = hex('20 0500 00', '88', '20 0500 00');
    expectFrames(payload, 'u65541@0+0. l1 u5@0+0.', { highestMessage: 0x1_0000 });
  });
});

describe('stop waiting frame', () => {
  for (const [width, payload, packetNumber, oldestWanted] of [
    ['8', '80 05', 100, 94],
    ['16', '81 e803', 2000, 999],
    ['24', '82 010001', 0x2_0000, 0xfffe],
    ['64', '83 0100000001000000', 0x2_0000_0000, 0xffff_fffe],
  ] as const) {
    it(`counts back from its packet in ${width} bits`, () => {
      expectFrames(hex(payload), `w${oldestWanted}`, { packetNumber });
    });
  }

  it('may reach back to packet 0 but not below', () => {
    expectFrames(hex('80 01'), 'w0', { packetNumber: 2 });
    expectFatal(hex('80 02'), 'stop waiting below zero', { packetNumber: 2 });
    expectFatal(hex('83 ffffffffffffffff'), 'stop waiting below zero');
  });
});

describe('ack frame', () => {
  it('names the latest packet in 16 or 32 bits, near the next one to send', () => {
    expectFrames(hex('98 feff 0000'), 'a65534/0', { nextPacketNumber: 0x1_0005 });
    expectFrames(hex('98 0400 0000'), 'a65540/0', { nextPacketNumber: 0x1_0005 });
    expectFrames(hex('90 feffffff 0000'), `a${2 ** 32 - 2}/0`, { nextPacketNumber: 2 ** 32 + 5 });
  });

  it('measures the delay in units of 32 us, or not at all', () => {
    expectFrames(hex('98 0100 2d01'), 'a1/301');
    expectFrames(hex('98 0100 ffff'), 'a1/?');
  });

  it('lists runs of acks and nacks, short ones in one byte', () => {
    // 3 acks 1 nack · 0 acks 7 nacks
    expectFrames(hex('9a 6300 0000', '31 07'), 'a99/0,3-1,0-7');
  });

  it('continues long runs in fields of their own, acks first', () => {
    // 8+2 acks, 16+1 nacks · 7+8*16 acks
    expectFrames(hex('9a 6303 0000', 'a9 01 02', 'f0 10'), 'a867/0,10-17,135-0', { nextPacketNumber: 1000 });
  });

  it('has its block count in a byte, which may be below 7', () => {
    expectFrames(hex('9f 6300 0000 00'), 'a99/0');
    expectFrames(hex('9f 6300 0000 02 11 11'), 'a99/0,1-1,1-1');
    const blocks = Array.from({ length: 255 }, () => '11');
    const payload = hex('9f e703 0000 ff', ...blocks);
    expectFrames(payload, `a999/0${',1-1'.repeat(255)}`, { nextPacketNumber: 1000 });
  });

  it('may reach down to packet 0 but not below', () => {
    expectFrames(hex('99 0300 0000', '22'), 'a3/0,2-2');
    expectFatal(hex('99 0300 0000', '23'), 'ack blocks out of range');
  });

  it('may have a run with 100000 in its own field, but no more', () => {
    const far = { nextPacketNumber: 2_000_000 };
    expectFrames(hex('91 40420f00 0000', '80 a08d06'), 'a1000000/0,800000-0', far);
    expectFatal(hex('91 40420f00 0000', '80 a18d06'), 'ack blocks out of range', far);
    expectFatal(hex('91 40420f00 0000', '08 a18d06'), 'ack blocks out of range', far);
  });

  it('is fatal when it names a packet below 0', () => {
    expectFatal(hex('98 ffff 0000'), 'ack below zero', { nextPacketNumber: 2 });
    expectFatal(hex('90 ffffffff 0000'), 'ack below zero', { nextPacketNumber: 2 });
  });

  it('discards the rest of the packet when it names one not sent yet', () => {
    const decoded = decode(hex('80 00', '98 6400 0000', '27 0100 aa'), { nextPacketNumber: 100 });
    expect(decoded).to.include({ outcome: Outcome.Discarded, frames: 'w99' });
  });
});

describe('outcome of a packet', () => {
  const twoSegments = hex('20 0100 01 aa', '50 010000000000 01 aa');

  it('is refused when the sink refuses a segment, and the rest is decoded', () => {
    const decoded = decode(twoSegments, { answer: Outcome.Refused });
    expect(decoded).to.include({ outcome: Outcome.Refused, frames: 'u1@0+1. r1+1' });
  });

  it('is refused with more segments than wanted, and the rest is not decoded', () => {
    const payload = hex('20 0100 00', '20 00', '20 00', '80 00');
    expect(decode(payload, { maxSegments: 3 })).to.include({
      outcome: Outcome.Ok,
      frames: 'u1@0+0. u2@0+0. u3@0+0. w99',
    });
    expect(decode(payload, { maxSegments: 2 })).to.include({ outcome: Outcome.Refused, frames: 'u1@0+0. u2@0+0.' });
  });

  it('counts reliable and unreliable segments together', () => {
    expect(decode(twoSegments, { maxSegments: 1 })).to.include({ outcome: Outcome.Refused, frames: 'u1@0+1.' });
  });

  for (const answer of [Outcome.Discarded, Outcome.Fatal]) {
    it(`is ${answer === Outcome.Fatal ? 'fatal' : 'discarded'} as soon as the sink says so`, () => {
      expect(decode(twoSegments, { answer })).to.include({ outcome: answer, frames: 'u1@0+1.' });
    });
  }

  for (const [payload, violation] of [
    ['80 00', 'stop waiting'],
    ['98 0100 0000', 'ack'],
    ['27 0100', 'unreliable segment'],
    ['57 010000000000', 'reliable stream'],
  ] as const) {
    it(`names the ${violation} that the sink found fatal`, () => {
      expect(decode(hex(payload), { answer: Outcome.Fatal }).violation).to.equal(violation);
    });
  }
});

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

// What a packet is filled with, and when one is due. Spec: 03 §3.8, §3.11.
import { expect } from 'chai';
import { ByteReader } from '../../../src/core/base/bytes.ts';
import { NEVER } from '../../../src/core/base/time.ts';
import { Delivery } from '../../../src/core/delivery/delivery.ts';
import { FrameWriter } from '../../../src/core/wire/frame-writer.ts';
import { FrameDecoder, Outcome } from '../../../src/core/wire/frames.ts';
import { hex } from '../../support/hex.ts';
import { describeFrames, FrameLog } from '../../vectors/frame-log.ts';

const START_US = 1_000_000;
const MS = 1_000;
const FULL_PACKET_BYTES = 1232;

class Harness {
  nowUs = START_US;
  readonly delivery: Delivery;
  readonly #writer = new FrameWriter(new Uint8Array(1500));

  constructor(receive: { recvBufferMessages?: number; recvMaxSegmentsPerPacket?: number } = {}) {
    const limits = { recvBufferBytes: 1_048_576, recvBufferMessages: 1000, recvMaxMessageBytes: 524_288 };
    this.delivery = new Delivery(
      { sendBufferBytes: 524_288, nagleUs: 5 * MS, redundantSends: 0 },
      { ...limits, recvMaxSegmentsPerPacket: 1300, ...receive },
    );
    this.delivery.fullPacketBytes = FULL_PACKET_BYTES;
    this.delivery.start(2, this.nowUs);
  }

  send(bytes: number, { isReliable = true, noNagle = true } = {}): unknown {
    return this.delivery.enqueue(new Uint8Array(bytes).fill(97), isReliable, noNagle, 0, this.nowUs);
  }

  get dueInMs(): number {
    return (this.delivery.packetDueUs(this.nowUs) - this.nowUs) / MS;
  }

  /** The frames of the packet sent now, but for stop waiting and ack. */
  packet(): string {
    return this.frames().split(' ').slice(2).join(' ');
  }

  /** In the notation of the recordings. */
  frames(): string {
    const { number } = this.delivery.fillPacket(this.#writer, FULL_PACKET_BYTES, this.nowUs);
    const { pos } = this.#writer;
    this.delivery.bucket.spend(pos + 23);
    const log = new FrameLog();
    log.nextPacketNumber = this.delivery.acks.latest + 1;
    const reader = new ByteReader();
    reader.reset(this.#writer.bytes.slice(), 0, pos);
    expect(new FrameDecoder().decode(reader, number, log)).to.equal(Outcome.Ok);
    return describeFrames(log.frames);
  }

  receive(number: number, ...frames: readonly string[]): Outcome {
    const bytes = hex(...frames);
    const reader = new ByteReader();
    reader.reset(bytes, 0, bytes.length);
    return this.delivery.receive(reader, number, this.nowUs);
  }
}

describe('filling packets', () => {
  it('begins with stop waiting and an ack, even if there is nothing else', () => {
    expect(new Harness().frames()).to.equal('w0 a1/?');
  });

  it('puts small reliable messages into one segment', () => {
    const harness = new Harness();
    for (let i = 0; i < 5; i++) harness.send(10);
    expect(harness.packet()).to.equal('r1+55');
    harness.send(10);
    expect(harness.packet()).to.equal('r56+11');
  });

  it('puts reliable data before unreliable', () => {
    const harness = new Harness();
    harness.send(10, { isReliable: false });
    harness.send(10);
    harness.send(20, { isReliable: false });
    expect(harness.packet()).to.equal('r1+12 u1@0+10. u3@0+20.');
  });

  it('splits what is larger than a packet', () => {
    const harness = new Harness();
    harness.delivery.bucket.rateBytesPerSec = 1e9;
    harness.send(3000, { isReliable: false });
    const packets = [harness.packet(), '', ''];
    for (const i of [1, 2]) {
      harness.nowUs += MS;
      harness.delivery.packetDueUs(harness.nowUs);
      packets[i] = harness.packet();
    }
    expect(packets).to.deep.equal(['u1@0+1220', 'u1@1220+1218', 'u1@2438+562.']);
  });

  it('limits reliable segments, so that they can go again beside acks', () => {
    const harness = new Harness();
    harness.send(3000);
    expect(harness.packet()).to.equal('r1+1192');
  });

  it('repeats a lost segment as it was, before anything new', () => {
    const harness = new Harness();
    harness.send(10);
    harness.packet();
    harness.nowUs += 1_000 * MS;
    harness.delivery.onTime(harness.nowUs);
    harness.delivery.packetDueUs(harness.nowUs);
    harness.send(20);
    expect(harness.packet()).to.equal('r1+11 r12+21');
  });

  it('sends no data in debt, but acks', () => {
    const harness = new Harness();
    harness.send(5000);
    expect(harness.packet()).to.equal('r1+1192');
    expect(harness.packet()).to.match(/^r1193/);
    expect(harness.frames()).to.equal('w0 a1/?');
  });
});

describe('when a packet is due', () => {
  it('is never without a reason', () => {
    expect(new Harness().dueInMs).to.equal(NEVER);
  });

  it('is soon for a message that may wait for company, and at once for one that may not', () => {
    const harness = new Harness();
    harness.send(10, { noNagle: false });
    expect(harness.dueInMs).to.equal(5);
    harness.send(10);
    expect(harness.dueInMs).to.be.at.most(0);
  });

  it('is at once when a packet is full, or everything is flushed', () => {
    const full = new Harness();
    full.send(1300, { noNagle: false });
    expect(full.dueInMs).to.be.at.most(0);
    const flushed = new Harness();
    flushed.send(10, { noNagle: false });
    flushed.delivery.flush(flushed.nowUs);
    expect(flushed.dueInMs).to.be.at.most(0);
  });

  it('is within 50 ms after reliable data, and not for unreliable data', () => {
    const harness = new Harness();
    harness.receive(2, '27 0100 61');
    expect(harness.dueInMs).to.equal(NEVER);
    harness.receive(3, '50 010000000000 02 01 61');
    expect(harness.dueInMs).to.equal(50);
  });

  it('is after 3 ms when packets are missing', () => {
    const harness = new Harness();
    harness.receive(2);
    harness.receive(4);
    expect(harness.dueInMs).to.equal(3);
  });

  it('is soon when the peer reports losses, so that it learns what we no longer wait for', () => {
    const harness = new Harness();
    for (let i = 0; i < 5; i++) harness.frames();
    expect(harness.receive(2, '9a 0600 ffff 11 11')).to.equal(Outcome.Ok);
    expect(harness.dueInMs).to.equal(125);
  });

  it('is soon when a packet was refused', () => {
    const harness = new Harness({ recvMaxSegmentsPerPacket: 1 });
    expect(harness.receive(2, '20 0100 01 61', '27 62')).to.equal(Outcome.Refused);
    expect(harness.dueInMs).to.equal(210);
    expect(harness.delivery.acks.latest).to.equal(1);
  });

  it('is only now and then while the peer takes nothing', () => {
    const harness = new Harness();
    harness.delivery.bucket.rateBytesPerSec = 1e9;
    for (let i = 0; i < 100; i++) {
      harness.send(1000);
      if (harness.dueInMs <= 0) harness.packet();
      harness.nowUs += MS;
    }
    // Without an estimate of the round trip a packet counts as lost after one second.
    const packetsIn = (ms: number) => {
      let packets = 0;
      for (let i = 0; i < ms; i++) {
        harness.nowUs += MS;
        harness.delivery.onTime(harness.nowUs);
        if (harness.dueInMs > 0) continue;
        harness.packet();
        packets++;
      }
      return packets;
    };
    packetsIn(2_500);
    expect(packetsIn(10_000)).to.be.within(15, 45);
  });

  it('is made up for what an application had no room for, as soon as it reads', () => {
    const harness = new Harness({ recvBufferMessages: 2 });
    expect(harness.receive(2, '57 010000000000 01 61 01 62 01 63')).to.equal(Outcome.Refused);
    const { receiver } = harness.delivery;
    expect(receiver.queuedMessages).to.equal(2);
    receiver.take();
    expect(receiver.resume(harness.nowUs)).to.equal(Outcome.Ok);
    expect(receiver.queuedMessages).to.equal(2);
  });
});

// The recorded packets, handed to our receiving side as they arrived: it delivers what the application of GNS got, and
// where GNS acknowledged, it would have said the same. Recordings: README.md.
import { expect } from 'chai';
import { ByteReader } from '../../src/core/base/bytes.ts';
import { ConfigScope } from '../../src/core/config/scope.ts';
import { DataPath } from '../../src/core/connection/data-path.ts';
import { gcmCipher, nullCipher, type PacketCipher } from '../../src/core/crypto/packet-cipher.ts';
import { DataHeader, MAX_DATAGRAM_BYTES, MAX_SENT_CHUNK_BYTES } from '../../src/core/wire/data-packet.ts';
import { ACK_HEADER_BYTES, ackBlockBytes, FrameWriter, stopWaitingBytes } from '../../src/core/wire/frame-writer.ts';
import { FrameDecoder } from '../../src/core/wire/frames.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { describeFrames, FrameLog } from './frame-log.ts';
import {
  type Direction,
  fnv1a32,
  loadRecording,
  type RecordedDelivery,
  type RecordedPacket,
  type Recording,
  recordingNames,
} from './load.ts';

const PEER_VERSION = 13;
/** GNS encoded a packet up to this long before its sending was noted; whether a deadline had come then is not known. */
const ENCODE_US = 150;
/** The share of ack frames that may be on such an edge. */
const MAX_EDGE_SHARE = 0.03;
/** So that no time is 0. */
const START_US = 1_000_000;

/** Here the applications did not look. */
const UNREAD = ['closing-closedbypeer-api'];

const recordings = recordingNames()
  .map(loadRecording)
  .filter(({ excerpt, packets }) => !excerpt && packets.every(({ frames }) => frames !== '!'));

/** One side of a recorded connection: it receives what arrived there, and sends a packet whenever it did. */
class Replay {
  readonly delivered: RecordedDelivery[] = [];
  /** Ack frames that we would have written differently; and how many of those at the edge of a deadline. */
  readonly otherAcks: string[] = [];
  acksOnTheEdge = 0;
  readonly #recording: Recording;
  readonly #side: 'client' | 'server';
  readonly #sends: Direction;
  readonly #path = new DataPath(new ConfigScope('global'));
  readonly #writer = new FrameWriter(new Uint8Array(MAX_DATAGRAM_BYTES));

  constructor(recording: Recording, side: 'client' | 'server') {
    this.#recording = recording;
    this.#side = side;
    this.#sends = side === 'client' ? 'c2s' : 's2c';
  }

  run(): void {
    const { packets } = this.#recording;
    const [out, into] = this.#sends === 'c2s' ? (['c2s', 's2c'] as const) : (['s2c', 'c2s'] as const);
    const ciphers = { sealer: this.#cipher(out), opener: this.#cipher(into), isEncrypted: true, peerDatagramBytes: 0 };
    this.#path.start(ciphers, PEER_VERSION, START_US);
    const events = packets.flatMap((packet) =>
      packet.direction === this.#sends
        ? [{ atUs: packet.sentAtUs, packet, isSent: true }]
        : packet.arrivedAtUs.map((atUs) => ({ atUs, packet, isSent: false })),
    );
    events.sort((a, b) => a.atUs - b.atUs);
    for (const { atUs, packet, isSent } of events) {
      if (isSent) this.#send(packet, START_US + atUs);
      else this.#receive(packet, START_US + atUs);
    }
  }

  #cipher(direction: Direction): PacketCipher {
    const { cipher, [direction]: keys } = this.#recording.keys;
    return cipher === 'NULL' ? nullCipher() : gcmCipher(nodeCrypto.aead(keys.key), keys.iv);
  }

  #receive({ datagram }: RecordedPacket, nowUs: number): void {
    expect(this.#path.receive(datagram, datagram.length, nowUs)).to.equal(undefined);
    const { receiver } = this.#path.delivery;
    for (let message = receiver.take(); message !== undefined; message = receiver.take()) {
      const { lane, messageNumber, reliable, data } = message;
      const hash = fnv1a32(data);
      this.delivered.push({ at: this.#side, lane, messageNumber, isReliable: reliable, size: data.length, hash });
    }
  }

  /** Predicts the ack frame of a recorded packet, given the room that its data left. */
  #send(packet: RecordedPacket, nowUs: number): void {
    const recorded = ackOf(packet.frames);
    const { delivery } = this.#path;
    const space = roomForAcks(packet, this.#recording.keys.cipher === 'NULL' ? 0 : 16);
    const isOnTheEdge = Math.abs(nowUs - delivery.acks.nextDueUs()) < ENCODE_US;
    delivery.fillPacket(this.#writer, space, nowUs);
    const log = new FrameLog();
    log.nextPacketNumber = Number.parseInt(recorded.slice(1), 10) + 1000;
    const reader = new ByteReader();
    reader.reset(this.#writer.bytes, 0, this.#writer.pos);
    log.begin();
    new FrameDecoder().decode(reader, packet.packetNumber, log);
    const ours = ackOf(describeFrames(log.frames));
    if (blocksOf(ours) === blocksOf(recorded)) return;
    if (isOnTheEdge) this.acksOnTheEdge++;
    else this.otherAcks.push(`${packet.packetNumber}: ${ours}, recorded ${recorded}`);
  }
}

function ackOf(frames: string): string {
  return frames.split(' ').find((frame) => frame.startsWith('a')) ?? 'no ack';
}

/** Plaintext bytes that a recorded packet did not need for its data. */
function roomForAcks({ datagram, packetNumber, frames }: RecordedPacket, overheadBytes: number): number {
  const reader = new ByteReader();
  reader.reset(datagram, 0, datagram.length);
  const header = new DataHeader();
  header.read(reader);
  const plaintextBytes = datagram.length - header.chunkStart - overheadBytes;
  const oldestWanted = Number.parseInt(frames.slice(1), 10);
  const blocks = ackOf(frames).split(',').slice(1);
  let ackBytes = ACK_HEADER_BYTES + (blocks.length > 6 ? 1 : 0);
  for (const block of blocks) {
    const [acks, nacks] = block.split('-').map(Number);
    ackBytes += ackBlockBytes(acks!, nacks!);
  }
  const dataBytes = plaintextBytes - stopWaitingBytes(packetNumber - oldestWanted - 1) - ackBytes;
  const capacity = Math.min(MAX_SENT_CHUNK_BYTES, MAX_DATAGRAM_BYTES - header.chunkStart) - overheadBytes;
  return capacity - dataBytes;
}

/** An ack without its delay. */
function blocksOf(ack: string): string {
  return ack.replace(/\/[^,]*/, '');
}

/**
 * Unreliable messages that overtook each other come in an order that depends on when the application looked. Reliable
 * ones do not, nor does what comes at all.
 */
function inComparableOrder(messages: readonly RecordedDelivery[]): readonly RecordedDelivery[] {
  const reliable = messages.filter(({ isReliable }) => isReliable);
  const others = messages.filter(({ isReliable }) => !isReliable);
  return [...reliable, ...others.sort((a, b) => a.lane - b.lane || a.messageNumber - b.messageNumber)];
}

describe(`${recordings.length} recorded connections, received by us`, () => {
  for (const recording of recordings) {
    const { name, delivered, packets } = recording;
    for (const side of ['client', 'server'] as const) {
      const expected = delivered.filter(({ at }) => at === side);
      const acks = packets.filter(({ direction }) => (direction === 'c2s') === (side === 'client'));

      it(`${name}: the ${side} gets the ${expected.length} messages that its application got, and no others`, () => {
        const replay = new Replay(recording, side);
        replay.run();
        if (UNREAD.includes(name)) expect(expected).to.deep.equal([]);
        else expect(inComparableOrder(replay.delivered)).to.deep.equal(inComparableOrder(expected));
      });

      it(`${name}: the ${side} would have sent the same ${acks.length} ack frames`, () => {
        const replay = new Replay(recording, side);
        replay.run();
        expect(replay.otherAcks).to.deep.equal([]);
        expect(replay.acksOnTheEdge).to.be.at.most(acks.length * MAX_EDGE_SHARE);
      });
    }
  }
});

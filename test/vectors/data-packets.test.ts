// Every recorded data packet of GNS, taken apart and put together again down to the same bytes. Recordings: README.md.
import { expect } from 'chai';
import { ByteReader } from '../../src/core/base/bytes.ts';
import { gcmCipher, nullCipher, type PacketCipher } from '../../src/core/crypto/packet-cipher.ts';
import {
  DataHeader,
  expandU16,
  isDataPacket,
  MAX_DATAGRAM_BYTES,
  recipientOf,
  writeDataHeader,
} from '../../src/core/wire/data-packet.ts';
import { FrameWriter } from '../../src/core/wire/frame-writer.ts';
import { FrameDecoder, Outcome } from '../../src/core/wire/frames.ts';
import { decodeStatsBlob, encodeStatsBlob } from '../../src/core/wire/stats-messages.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { toHex } from '../support/hex.ts';
import { describeFrames, type Frame, FrameLog, writeFrames } from './frame-log.ts';
import { type Direction, fnv1a32, loadRecording, type RecordedPacket, type Recording, recordingNames } from './load.ts';

const DIRECTIONS: readonly Direction[] = ['c2s', 's2c'];
/** What takes the place of the frames of a packet that breaks the protocol. */
const MALFORMED = '!';
/** The handshake counts as packet 1. */
const HANDSHAKE_NUMBER = 1;

const recordings = recordingNames().map(loadRecording);
const total = recordings.reduce((sum, { packets }) => sum + packets.length, 0);

describe(`${total} recorded data packets of ${recordings.length} connections with GNS`, () => {
  for (const recording of recordings) {
    const { name, packets } = recording;
    const blobs = packets.filter((packet) => headerOf(packet).blobEnd > 0);

    describe(`${name}, ${packets.length} packets`, () => {
      it('have a header that names the recipient and leaves a chunk', () => {
        for (const packet of packets) checkHeader(recording, packet);
      });

      it('get the number they were sent with, in the order in which they arrived', () => {
        for (const direction of DIRECTIONS) checkNumbers(recording, direction);
      });

      it('are decrypted with the recorded keys', () => {
        for (const packet of packets) checkPlaintext(recording, packet);
      });

      it('hold the recorded frames', () => {
        for (const { packet, outcome, frames } of decodeAll(recording)) {
          const where = `packet ${packet.packetNumber} ${packet.direction}`;
          if (packet.frames === MALFORMED) {
            expect(outcome).to.equal(Outcome.Fatal, where);
          } else {
            expect(describeFrames(frames)).to.equal(packet.frames, where);
            expect(outcome).to.equal(Outcome.Ok, where);
          }
        }
      });

      it('are the same datagram when their frames are written and sealed again', () => {
        for (const { packet, frames, plaintext } of decodeAll(recording)) {
          const written = packet.frames === MALFORMED ? plaintext : rewrite(packet, frames);
          expect(toHex(written)).to.equal(toHex(plaintext));
          expect(toHex(reseal(recording, packet, written))).to.equal(toHex(packet.datagram));
        }
      });

      if (blobs.length === 0) return;
      it(`carry ${blobs.length} statistics blobs that are the same when written again`, () => {
        for (const packet of blobs) checkBlob(packet);
      });
    });
  }
});

function headerOf({ datagram }: RecordedPacket): DataHeader {
  const reader = new ByteReader();
  reader.reset(datagram, 0, datagram.length);
  const header = new DataHeader();
  if (!header.read(reader)) throw new Error('the header is cut short');
  return header;
}

function checkHeader({ keys }: Recording, packet: RecordedPacket): void {
  const { datagram, direction } = packet;
  expect(isDataPacket(datagram)).to.equal(true);
  expect(recipientOf(datagram)).to.equal(direction === 'c2s' ? keys.server.id : keys.client.id);
  expect(datagram.length).to.be.within(headerOf(packet).chunkStart, MAX_DATAGRAM_BYTES);
}

/** Duplicates included. A packet that never arrived is numbered as the next of its sender. */
function checkNumbers({ packets, excerpt }: Recording, direction: Direction): void {
  const sent = packets.filter((packet) => packet.direction === direction);
  const arrivals = sent.flatMap((packet) => packet.arrivedAtUs.map((atUs) => ({ packet, atUs })));
  arrivals.sort((a, b) => a.atUs - b.atUs);
  let highest = excerpt ? (sent[0]?.packetNumber ?? 0) - 1 : HANDSHAKE_NUMBER;
  for (const { packet } of arrivals) {
    expect(expandU16(headerOf(packet).wireNumber, highest)).to.equal(packet.packetNumber);
    highest = Math.max(highest, packet.packetNumber);
  }
  for (const packet of sent) {
    expect(expandU16(headerOf(packet).wireNumber, packet.packetNumber - 1)).to.equal(packet.packetNumber);
  }
}

function checkPlaintext(recording: Recording, packet: RecordedPacket): void {
  const plaintext = open(recording, packet);
  const hash = plaintext && fnv1a32(plaintext);
  expect(hash, `packet ${packet.packetNumber}`).to.equal(packet.plaintextHash);
}

interface DecodedPacket {
  readonly packet: RecordedPacket;
  readonly plaintext: Uint8Array;
  readonly outcome: Outcome;
  readonly frames: readonly Frame[];
}

/** In the order of sending, where every packet arrives: so the contexts are those that the sender had in mind. */
function decodeAll(recording: Recording): readonly DecodedPacket[] {
  const logs: Record<Direction, FrameLog> = { c2s: new FrameLog(), s2c: new FrameLog() };
  const highestSent: Record<Direction, number> = { c2s: HANDSHAKE_NUMBER, s2c: HANDSHAKE_NUMBER };
  const decoder = new FrameDecoder();
  const reader = new ByteReader();
  return recording.packets.map((packet) => {
    const { direction, packetNumber } = packet;
    const log = logs[direction];
    highestSent[direction] = packetNumber;
    log.nextPacketNumber = (packet.highestOfPeer ?? highestSent[direction === 'c2s' ? 's2c' : 'c2s']) + 1;
    log.begin();
    const plaintext = open(recording, packet)!;
    reader.reset(plaintext, 0, plaintext.length);
    return { packet, plaintext, outcome: decoder.decode(reader, packetNumber, log), frames: log.frames };
  });
}

function rewrite({ packetNumber }: RecordedPacket, frames: readonly Frame[]): Uint8Array {
  return writeFrames(new FrameWriter(new Uint8Array(MAX_DATAGRAM_BYTES)), packetNumber, frames);
}

function cipherOf({ keys }: Recording, direction: Direction): PacketCipher {
  return keys.cipher === 'NULL' ? nullCipher() : gcmCipher(nodeCrypto.aead(keys[direction].key), keys[direction].iv);
}

function open(recording: Recording, packet: RecordedPacket): Uint8Array | undefined {
  const { datagram, packetNumber, direction } = packet;
  return cipherOf(recording, direction).open(packetNumber, datagram, headerOf(packet).chunkStart, datagram.length);
}

function reseal(recording: Recording, packet: RecordedPacket, plaintext: Uint8Array): Uint8Array {
  const { datagram, packetNumber, direction } = packet;
  const { blobStart, blobEnd, gapUs } = headerOf(packet);
  const blob = datagram.subarray(blobStart, blobEnd);
  const out = new Uint8Array(MAX_DATAGRAM_BYTES);
  const at = writeDataHeader(out, recipientOf(datagram), packetNumber, blob, blob.length, gapUs);
  const length = cipherOf(recording, direction).seal(packetNumber, plaintext, plaintext.length, out, at);
  return out.subarray(0, at + length);
}

function checkBlob(packet: RecordedPacket): void {
  const { blobStart, blobEnd } = headerOf(packet);
  const blob = decodeStatsBlob(packet.datagram, blobStart, blobEnd);
  expect(blob).to.not.equal(undefined);
  const out = new Uint8Array(512);
  const end = encodeStatsBlob(blob!, out, 0);
  expect(toHex(out.subarray(0, end))).to.equal(toHex(packet.datagram.subarray(blobStart, blobEnd)));
}

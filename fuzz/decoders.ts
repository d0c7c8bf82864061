// Every decoder that reads what a stranger sent, each with its seeds and with what must hold for whatever it is given:
// it never throws, it never reads behind the end, and what it took for valid it can write and read again.

import { deepStrictEqual } from 'node:assert';
import { IpAddress } from '../src/core/base/address.ts';
import { ByteReader } from '../src/core/base/bytes.ts';
import { invariant } from '../src/core/base/errors.ts';
import { Identity } from '../src/core/base/identity.ts';
import {
  readBlocks,
  readPrivateKeyBlob,
  readPublicKeys,
  TextType,
  writeBlock,
  writePrivateKey,
  writePublicKey,
} from '../src/core/certs/text.ts';
import { ConfigScope } from '../src/core/config/scope.ts';
import { dataPathSettings } from '../src/core/connection/settings.ts';
import { Delivery } from '../src/core/delivery/delivery.ts';
import {
  decodeControlPacket,
  encodeControlPacket,
  MAX_CONTROL_PACKET_BYTES,
} from '../src/core/wire/control-packets.ts';
import {
  decodeCertificate,
  decodeCryptInfo,
  decodeSignedCertificate,
  encodeCertificate,
  encodeCryptInfo,
  encodeSignedCertificate,
} from '../src/core/wire/crypt-messages.ts';
import { DataHeader, isDataPacket, recipientOf } from '../src/core/wire/data-packet.ts';
import { FrameWriter } from '../src/core/wire/frame-writer.ts';
import { FrameDecoder, type FrameSink, MAX_LANES, Outcome } from '../src/core/wire/frames.ts';
import { readIdentity } from '../src/core/wire/identity-fields.ts';
import { decodeStatsBlob, encodeStatsBlob } from '../src/core/wire/stats-messages.ts';
import { StreamHeader } from '../src/core/wire/stream-header.ts';
import { nodeCrypto } from '../src/node/crypto.ts';
import type { Seeds } from './seeds.ts';

/** Something that is given bytes. */
export interface Target {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** Throws if anything is wrong. What it returns must not depend on what lies behind `length`. */
  run(bytes: Uint8Array, length: number): unknown;
  /** Also writes what was read, and reads that again: for some of the inputs, since it is slow. */
  runThoroughly?(bytes: Uint8Array, length: number): void;
}

export function decoderTargets(seeds: Seeds): readonly Target[] {
  return [
    controlPackets(seeds),
    dataHeaders(seeds),
    frames(seeds),
    delivery(seeds),
    streamHeaders(seeds),
    message('stats blobs', seeds.statsBlobs, (bytes, length) => decodeStatsBlob(bytes, 0, length), encodeBlob),
    message('certificates', seeds.certificates, whole(decodeCertificate), encodeCertificate),
    message('signed certificates', seeds.certificates.map(wrapped), whole(decodeSignedCertificate), (signed) =>
      encodeSignedCertificate(signed),
    ),
    message('key exchanges', seeds.cryptInfos, whole(decodeCryptInfo), encodeCryptInfo),
    certificateIdentities(seeds),
    keyFiles(seeds),
    texts(
      'identities',
      [
        'str:somebody',
        'ip:[fe80::1]:27015',
        'steamid:76561197960287930',
        'gen:00ff',
        'xbox:a',
        'ip:1.2.3.4',
        'invalid',
      ],
      (text) => Identity.parse(text),
    ),
    texts('addresses', ['[2001:db8::1.2.3.4]:80', '127.0.0.1:27015', '::ffff:1.2.3.4', '[::]:1', 'fe80::1%2'], (text) =>
      IpAddress.parse(text),
    ),
  ];
}

function whole<T>(decode: (bytes: Uint8Array) => T): (bytes: Uint8Array, length: number) => T {
  return (bytes, length) => decode(bytes.subarray(0, length));
}

function wrapped(cert: Uint8Array): Uint8Array {
  return encodeSignedCertificate({ cert, caKeyId: 0x1234_5678_9abc_def0n, caSignature: new Uint8Array(64).fill(7) });
}

/** What is read means the same when it is written and read again. */
export function message<T>(
  name: string,
  seeds: readonly Uint8Array[],
  decode: (bytes: Uint8Array, length: number) => T | undefined,
  encode: (value: T) => Uint8Array,
): Target {
  return {
    name,
    seeds,
    run: decode,
    runThoroughly(bytes, length) {
      const value = decode(bytes, length);
      if (value === undefined) return;
      const written = encode(value);
      deepStrictEqual(decode(written, written.length), value);
    },
  };
}

function encodeBlob(blob: NonNullable<ReturnType<typeof decodeStatsBlob>>): Uint8Array {
  const out = new Uint8Array(4096);
  return out.slice(0, encodeStatsBlob(blob, out, 0));
}

function controlPackets(seeds: Seeds): Target {
  const out = new Uint8Array(MAX_CONTROL_PACKET_BYTES);
  return {
    name: 'control packets',
    seeds: seeds.controlPackets,
    run: decodeControlPacket,
    runThoroughly(bytes, length) {
      const packet = decodeControlPacket(bytes, length);
      // What only others write may be longer than what we do; and we cut long texts.
      if (packet === undefined || length > MAX_CONTROL_PACKET_BYTES / 2 || packet.kind === 'connectionClosed') return;
      const writtenBytes = encodeControlPacket(packet, out);
      if (packet.kind === 'connectOk' || writtenBytes < 5) return;
      deepStrictEqual(decodeControlPacket(out, writtenBytes), packet);
    },
  };
}

function dataHeaders(seeds: Seeds): Target {
  const header = new DataHeader();
  const reader = new ByteReader();
  return {
    name: 'data packet headers',
    seeds: seeds.dataPackets,
    run(bytes, length) {
      if (length < 5 || !isDataPacket(bytes)) return undefined;
      reader.reset(bytes, 0, length);
      if (!header.read(reader)) return recipientOf(bytes);
      const { blobStart, blobEnd, chunkStart, wireNumber, gapUs } = header;
      invariant(blobStart <= blobEnd && blobEnd <= chunkStart && chunkStart <= length, 'the parts lie in the packet');
      invariant(wireNumber >= 0 && wireNumber <= 0xffff && gapUs >= -1, 'the numbers are in range');
      return blobEnd > blobStart ? decodeStatsBlob(bytes, blobStart, blobEnd) : chunkStart;
    },
  };
}

/** Checks what the frame decoder hands on. */
class StrictSink implements FrameSink {
  readonly maxSegmentsPerPacket = 300;
  nextPacketNumber = 70_000;
  limit = 0;
  /** What was handed on: compared between runs. */
  digest = 0;

  #note(...values: readonly number[]): void {
    for (const value of values) {
      invariant(Number.isSafeInteger(value) && value >= -1, 'every number is a whole one, and exact');
      this.digest = (Math.imul(this.digest, 31) + value) | 0;
    }
  }

  onSelectLane(lane: number): void {
    invariant(lane >= 0 && lane < MAX_LANES, 'there is such a lane');
    this.#note(lane);
  }
  highestMessageNumber(): number {
    return 65_000;
  }
  streamEnd(): number {
    return 16_777_000;
  }
  onUnreliableSegment(number: number, offset: number, isLast: boolean, _: Uint8Array, start: number, end: number) {
    return this.#segment(number, offset, Number(isLast), start, end);
  }
  onReliableSegment(position: number, _: Uint8Array, start: number, end: number) {
    return this.#segment(position, 0, 0, start, end);
  }
  #segment(number: number, offset: number, flag: number, start: number, end: number): Outcome {
    invariant(number > 0, 'numbers and positions begin at 1');
    invariant(start >= 0 && start <= end && end <= this.limit, 'a segment lies in its packet');
    this.#note(number, offset, flag, start, end);
    return Outcome.Ok;
  }
  onStopWaiting(oldestWanted: number): Outcome {
    this.#note(oldestWanted);
    return Outcome.Ok;
  }
  onAck(latest: number, delayUs: number, blocks: { count: number; acks: Uint32Array; nacks: Uint32Array }): Outcome {
    invariant(latest < this.nextPacketNumber, 'nothing is acknowledged that was not sent');
    let oldest = latest;
    for (let i = 0; i < blocks.count; i++) oldest -= blocks.acks[i]! + blocks.nacks[i]!;
    this.#note(latest, delayUs, blocks.count, oldest);
    return Outcome.Ok;
  }
}

function frames(seeds: Seeds): Target {
  const decoder = new FrameDecoder();
  const reader = new ByteReader();
  const sink = new StrictSink();
  return {
    name: 'frames',
    seeds: seeds.plaintexts,
    run(bytes, length) {
      sink.limit = length;
      sink.digest = 0;
      reader.reset(bytes, 0, length);
      const outcome = decoder.decode(reader, 80_000, sink);
      invariant(reader.pos <= length, 'nothing is read behind the end');
      return outcome === Outcome.Fatal ? decoder.violation : sink.digest;
    },
  };
}

const PACKETS_PER_LIFE = 64;
const START_US = 1_000_000;

/** One end of a connection that sends and receives: its memory stays bounded, its books stay balanced. */
function delivery(seeds: Seeds): Target {
  const settings = dataPathSettings(new ConfigScope('global'));
  const reader = new ByteReader();
  const writer = new FrameWriter(new Uint8Array(1300));
  const message = new Uint8Array(700);
  let subject: Delivery | undefined;
  let nowUs = START_US;
  let packets = 0;

  function begin(): Delivery {
    const fresh = new Delivery(settings, settings);
    nowUs = START_US;
    packets = 0;
    fresh.bucket.rateBytesPerSec = 1e6;
    fresh.start(2, nowUs);
    return fresh;
  }

  function runOnce(bytes: Uint8Array, length: number): void {
    subject ??= begin();
    nowUs += 7_000;
    if (packets % 4 === 0) subject.enqueue(message, packets % 8 === 0, true, 0, nowUs);
    subject.onTime(nowUs);
    if (subject.packetDueUs(nowUs) <= nowUs) subject.fillPacket(writer, 1_200, nowUs);
    reader.reset(bytes, 0, length);
    const outcome = subject.receive(reader, 2 + packets++, nowUs);
    const { receiver } = subject;
    invariant(receiver.queuedBytes <= settings.recvBufferBytes, 'unread messages fit the receive buffer');
    invariant(subject.undeliveredBytes >= 0 && subject.pendingBytes >= 0, 'no count falls below zero');
    for (let got = receiver.take(); got !== undefined; got = receiver.take()) {
      invariant(got.data.length <= settings.recvMaxMessageBytes, 'no message is larger than allowed');
    }
    if (outcome !== Outcome.Fatal && packets < PACKETS_PER_LIFE) return;
    subject.stop();
    subject = undefined;
  }

  return {
    name: 'delivery',
    seeds: seeds.plaintexts,
    run(bytes, length) {
      runOnce(bytes, length);
      // It has a memory: two runs in a row may differ.
      return undefined;
    },
  };
}

function streamHeaders(seeds: Seeds): Target {
  const header = new StreamHeader();
  return {
    name: 'stream headers',
    seeds: [
      Uint8Array.of(5),
      Uint8Array.of(0x40, 2),
      Uint8Array.of(0x7f, 0x83, 0x01, 0xff, 0x7f),
      seeds.plaintexts[0]!,
    ],
    run(bytes, length) {
      const result = header.read(bytes, 0, length);
      if (result !== 'ok') return result;
      invariant(header.bytes <= length, 'a header ends in what has arrived');
      invariant(Number.isSafeInteger(header.size) && header.gap >= 0, 'its numbers are exact');
      return [header.size, header.gap, header.bytes];
    },
  };
}

function certificateIdentities(seeds: Seeds): Target {
  return {
    name: 'identities of certificates',
    seeds: seeds.certificates,
    run(bytes, length) {
      const certificate = decodeCertificate(bytes.subarray(0, length));
      const identity = certificate === undefined ? undefined : readIdentity(certificate.identity);
      if (identity === undefined || identity === 'malformed') return identity;
      invariant(identity.isValid, 'an identity that was read is valid');
      return identity.toString();
    },
  };
}

export function texts<T extends { toString(): string }>(
  name: string,
  examples: readonly string[],
  parse: (text: string) => T | undefined,
): Target {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  return {
    name,
    seeds: examples.map((text) => encoder.encode(text)),
    run(bytes, length) {
      const parsed = parse(decoder.decode(bytes.subarray(0, length)));
      if (parsed === undefined) return undefined;
      const shown = parsed.toString();
      invariant(parse(shown)?.toString() === shown, 'what is shown is read as the same');
      return shown;
    },
  };
}

/** Files with keys and certificates: in clear text as people paste them, in part binary within. */
function keyFiles(seeds: Seeds): Target {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const { publicKey } = nodeCrypto.signingKey(new Uint8Array(32).fill(5));
  const privateKey = writePrivateKey({ seed: new Uint8Array(32).fill(5), publicKey }, 'somebody');
  const files = [
    privateKey,
    writePublicKey(publicKey, 'somebody'),
    writeBlock('STEAMDATAGRAM CERT', seeds.certificates[0]!),
  ];
  const [blob] = readBlocks(privateKey, TextType.PrivateKey);
  return {
    name: 'key files',
    seeds: [...files.map((text) => encoder.encode(text)), blob!],
    run(bytes, length) {
      const text = decoder.decode(bytes.subarray(0, length));
      const blocks = Object.values(TextType).flatMap((type) => readBlocks(text, type));
      for (const block of blocks) if (block !== undefined) readPrivateKeyBlob(block);
      return [readPublicKeys(text), blocks, readPrivateKeyBlob(bytes.slice(0, length))];
    },
  };
}

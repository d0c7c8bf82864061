// What the inputs are made from: everything that was recorded of GNS, in clear where it was encrypted; and what was found
// to hurt once.

import { readFileSync, writeFileSync } from 'node:fs';
import { ByteReader } from '../src/core/base/bytes.ts';
import { gcmCipher, nullCipher } from '../src/core/crypto/packet-cipher.ts';
import { DataHeader } from '../src/core/wire/data-packet.ts';
import { nodeCrypto } from '../src/node/crypto.ts';
import { hex } from '../test/support/hex.ts';
import { handshakeNames, loadHandshake } from '../test/vectors/handshake/load.ts';
import { loadBehaviour, loadRecording, recordingNames } from '../test/vectors/load.ts';

export interface Seeds {
  readonly controlPackets: readonly Uint8Array[];
  /** Encrypted as they were. */
  readonly dataPackets: readonly Uint8Array[];
  /** Frames of data packets. */
  readonly plaintexts: readonly Uint8Array[];
  readonly statsBlobs: readonly Uint8Array[];
  readonly certificates: readonly Uint8Array[];
  readonly cryptInfos: readonly Uint8Array[];
  readonly signals: readonly Uint8Array[];
}

/** Of each recording so many data packets, evenly spread: the rest is much the same. */
const PACKETS_PER_RECORDING = 60;

export function loadSeeds(): Seeds {
  const seeds = {
    controlPackets: [] as Uint8Array[],
    dataPackets: [] as Uint8Array[],
    plaintexts: [] as Uint8Array[],
    statsBlobs: [] as Uint8Array[],
    certificates: [] as Uint8Array[],
    cryptInfos: [] as Uint8Array[],
    signals: loadSignals(),
  };
  for (const { keys, packets } of handshakeNames().map(loadHandshake)) {
    for (const { datagram } of packets) seeds.controlPackets.push(datagram);
    for (const side of keys === undefined ? [] : [keys.client, keys.server]) {
      seeds.certificates.push(side.cert);
      seeds.cryptInfos.push(side.info);
    }
  }
  for (const { packets } of loadBehaviour()) {
    for (const { plaintext } of packets) seeds.plaintexts.push(hex(plaintext));
  }
  for (const name of recordingNames()) addDataPackets(seeds, name);
  return seeds;
}

function addDataPackets(seeds: { [K in keyof Seeds]: Uint8Array[] }, name: string): void {
  const { keys, packets } = loadRecording(name);
  const step = Math.max(1, Math.floor(packets.length / PACKETS_PER_RECORDING));
  const ciphers = { c2s: cipherOf(keys.cipher, keys.c2s), s2c: cipherOf(keys.cipher, keys.s2c) };
  const header = new DataHeader();
  const reader = new ByteReader();
  for (let i = 0; i < packets.length; i += step) {
    const { datagram, direction, packetNumber } = packets[i]!;
    reader.reset(datagram, 0, datagram.length);
    if (!header.read(reader)) continue;
    seeds.dataPackets.push(datagram);
    if (header.blobEnd > header.blobStart) seeds.statsBlobs.push(datagram.slice(header.blobStart, header.blobEnd));
    const plaintext = ciphers[direction].open(packetNumber, datagram, header.chunkStart, datagram.length);
    if (plaintext !== undefined) seeds.plaintexts.push(plaintext);
  }
}

function cipherOf(cipher: 'AES_256_GCM' | 'NULL', { key, iv }: { readonly key: Uint8Array; readonly iv: Uint8Array }) {
  return cipher === 'NULL' ? nullCipher() : gcmCipher(nodeCrypto.aead(key), iv);
}

function loadSignals(): Uint8Array[] {
  const { signals } = JSON.parse(readFileSync(SIGNALS, 'utf8')) as { signals: { hex: string }[] };
  return signals.map((signal) => hex(signal.hex));
}

/** By target: inputs, in hex, that hurt once or led to where nothing else did. */
export type Corpus = Readonly<Record<string, readonly string[]>>;

/** Compiled, this file lies in `<build>/fuzz`. */
const CORPUS = new URL('../../fuzz/corpus.json', import.meta.url);
const SIGNALS = new URL('../../test/vectors/signals.json', import.meta.url);

export function loadCorpus(): Corpus {
  return JSON.parse(readFileSync(CORPUS, 'utf8')) as Corpus;
}

export function addToCorpus(target: string, inputs: readonly string[]): void {
  const corpus = loadCorpus();
  const all = new Set([...(corpus[target] ?? []), ...inputs]);
  writeFileSync(CORPUS, `${JSON.stringify({ ...corpus, [target]: [...all] }, undefined, 1)}\n`);
}

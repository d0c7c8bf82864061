// Living connections that are fed spoilt packets: by somebody on the path, who has no keys, and by the peer itself, who
// has them and so reaches what lies behind the encryption. Nothing may be thrown, and nothing delivered that nobody sent.

import { EMPTY_BYTES } from '../src/core/base/bytes.ts';
import { invariant } from '../src/core/base/errors.ts';
import { Identity } from '../src/core/base/identity.ts';
import type { SeededRandom } from '../src/core/base/random.ts';
import { ConfigScope } from '../src/core/config/scope.ts';
import { Connection } from '../src/core/connection/connection.ts';
import { PROTOCOL_VERSION, TransmitSlot } from '../src/core/connection/environment.ts';
import { FACTS } from '../src/core/connection/state-table.ts';
import { nullCipher } from '../src/core/crypto/packet-cipher.ts';
import type { OutgoingOptions } from '../src/core/delivery/message.ts';
import type { Member } from '../src/core/endpoint/member.ts';
import type { NetAddress, UdpPort } from '../src/core/platform.ts';
import { decodeControlPacket } from '../src/core/wire/control-packets.ts';
import { MAX_DATAGRAM_BYTES, writeDataHeader } from '../src/core/wire/data-packet.ts';
import { BENCH_ADDRESS, Bench } from '../test/support/crafted-peer.ts';
import { Mutator } from './mutator.ts';
import type { Seeds } from './seeds.ts';

/** A situation that goes on, packet by packet. */
export interface LiveTarget {
  readonly name: string;
  /** So many packets have been fed so far. */
  readonly packets: number;
  /** Feeds some more. Throws if anything is wrong. */
  step(): void;
  /** Ends everything; returns what was left behind. */
  end(): readonly string[];
}

const TICK_US = 16_667;
const RELIABLE: OutgoingOptions = { isReliable: true, noNagle: true, noDelay: false, lane: 0, freshness: undefined };
const UNRELIABLE: OutgoingOptions = { ...RELIABLE, isReliable: false };
const MAX_MESSAGE_BYTES = 400;
/** Whoever is refused tries again after this long. */
const PAUSE_US = 2_000_000;
const PATIENCE_US = 60_000_000;

/** What the two ends say to each other: the number of the message, then bytes that follow from it. */
function writeMessage(number: number, bytes: number): Uint8Array {
  const message = new Uint8Array(bytes);
  new DataView(message.buffer).setUint32(0, number);
  for (let i = 4; i < bytes; i++) message[i] = number * 31 + i * 7;
  return message;
}

function numberOf(message: Uint8Array): number {
  const number = new DataView(message.buffer, message.byteOffset).getUint32(0);
  invariant(Buffer.compare(message, writeMessage(number, message.length)) === 0, 'a message arrives as it was sent');
  return number;
}

/** One application: sends numbered messages, and checks those that it gets. */
class Talker {
  #sentReliable = 0;
  #sentUnreliable = 0;
  #receivedReliable = 0;
  readonly #seenUnreliable = new Set<number>();

  speak(bench: Bench, member: Member, random: SeededRandom): void {
    const bytes = 4 + random.below(MAX_MESSAGE_BYTES);
    bench.act(member, (connection, nowUs) => {
      if (typeof connection.send(writeMessage(this.#sentReliable, bytes), RELIABLE, nowUs) === 'number') {
        this.#sentReliable++;
      }
      if (typeof connection.send(writeMessage(this.#sentUnreliable, bytes), UNRELIABLE, nowUs) === 'number') {
        this.#sentUnreliable++;
      }
    });
  }

  /** Takes what arrived from `other`. */
  listen(bench: Bench, member: Member, other: Talker): void {
    bench.act(member, (connection, nowUs) => {
      for (let got = connection.receive(nowUs); got !== undefined; got = connection.receive(nowUs)) {
        const number = numberOf(got.data);
        if (got.reliable) {
          invariant(number === this.#receivedReliable++, 'reliable messages arrive once and in order');
          invariant(number < other.#sentReliable, 'nothing arrives that was not sent');
        } else {
          invariant(number < other.#sentUnreliable, 'nothing arrives that was not sent');
          invariant(!this.#seenUnreliable.has(number), 'unreliable messages arrive once at most');
          this.#seenUnreliable.add(number);
        }
      }
    });
  }
}

const CLIENT_ADDRESS: NetAddress = { address: '127.0.0.1', port: 4_000 };

/** Client and server of ours; on the path sits somebody who spoils, repeats and makes up what passes. */
export class MeddledPath implements LiveTarget {
  readonly name = 'a meddler on the path';
  packets = 0;
  readonly #random: SeededRandom;
  readonly #mutator: Mutator;
  readonly #seeds: Seeds;
  readonly #server = new Bench({ config: { ipAllowWithoutAuth: 2 } });
  readonly #client = new Bench({ config: { ipAllowWithoutAuth: 2 } });
  #member: Member | undefined;
  #talkers: readonly [Talker, Talker] = [new Talker(), new Talker()];
  /** Overheard lately. */
  readonly #heard: Uint8Array[] = [];

  constructor(random: SeededRandom, seeds: Seeds) {
    this.#random = random;
    this.#mutator = new Mutator(random.fork());
    this.#seeds = seeds;
    this.#server.listen();
  }

  step(): void {
    if (this.#member === undefined) this.#begin();
    const client = this.#member!;
    const server = this.#serverSide(client.connection);
    if (server !== undefined) {
      const [mine, theirs] = this.#talkers;
      if (this.#random.float() < 0.5) mine.speak(this.#client, client, this.#random);
      if (this.#random.float() < 0.5) theirs.speak(this.#server, server, this.#random);
      mine.listen(this.#client, client, theirs);
      theirs.listen(this.#server, server, mine);
    }
    this.#carry();
    for (const bench of [this.#client, this.#server]) bench.advance(TICK_US);
    this.#carry();
    const { state } = client.connection;
    if (state === 'Connecting' || FACTS[state].carriesData) return;
    this.#finish();
  }

  #begin(): void {
    this.#member = this.#client.connect(BENCH_ADDRESS);
    this.#talkers = [new Talker(), new Talker()];
    // A repeated old packet is worth more than an older one; both are tried.
    if (this.#heard.length > 200) this.#heard.splice(0, 100);
  }

  #serverSide(client: Connection): Member | undefined {
    if (client.state !== 'Connected') return undefined;
    for (const member of this.#server.endpoint.members) {
      if (member.connection.id === client.remoteId && member.connection.state === 'Connected') return member;
    }
    return undefined;
  }

  #finish(): void {
    const { connection } = this.#member!;
    for (const bench of [this.#client, this.#server]) {
      for (const member of bench.endpoint.members) {
        bench.act(member, (each, nowUs) => each.close(1_000, 'over', false, nowUs));
        if (member.connection !== connection) bench.act(member, (each, nowUs) => each.destroy(nowUs));
      }
      bench.advance(PAUSE_US);
    }
    this.#client.act(this.#member!, (each, nowUs) => each.destroy(nowUs));
    this.#member = undefined;
  }

  /** Takes everything to the other side, and meddles with some of it. */
  #carry(): void {
    for (let round = 0; round < 3; round++) {
      const fromClient = this.#client.sent.splice(0);
      const fromServer = this.#server.sent.splice(0);
      for (const { bytes } of fromClient) this.#pass(bytes, this.#server, CLIENT_ADDRESS);
      for (const { bytes } of fromServer) this.#pass(bytes, this.#client, BENCH_ADDRESS);
    }
    this.#client.events.length = 0;
    this.#server.events.length = 0;
  }

  #pass(bytes: Uint8Array, to: Bench, from: NetAddress): void {
    this.#heard[this.#random.below(256)] = bytes;
    while (this.#random.float() < 0.8) this.#meddle(bytes, to, from);
    this.packets++;
    to.deliver(bytes, from);
  }

  #meddle(bytes: Uint8Array, to: Bench, from: NetAddress): void {
    const random = this.#random;
    const { controlPackets } = this.#seeds;
    const other = this.#heard[random.below(256)] ?? controlPackets[random.below(controlPackets.length)]!;
    const isRepeat = random.float() < 0.1;
    const length = isRepeat ? 0 : this.#mutator.spoil(random.float() < 0.7 ? bytes : other, other);
    const forged = isRepeat ? other.slice() : this.#mutator.bytes.slice(0, length);
    this.packets++;
    // What is not protected may end the connection: that is the protocol. It must not do so in every second packet.
    if (endsConnections(forged) && random.float() < 0.99) return;
    to.deliver(forged, random.float() < 0.9 ? from : { ...from, port: 1 + random.below(65_535) });
  }

  end(): readonly string[] {
    if (this.#member !== undefined) this.#finish();
    return [...leftovers(this.#client), ...leftovers(this.#server)];
  }
}

function endsConnections(datagram: Uint8Array): boolean {
  return datagram[0] === 0x24 || datagram[0] === 0x25;
}

function leftovers(bench: Bench): string[] {
  for (const member of bench.endpoint.members) {
    bench.act(member, (connection, nowUs) => connection.close(1_000, 'over', false, nowUs));
  }
  bench.advance(PATIENCE_US);
  const { connectionCount } = bench.endpoint;
  return connectionCount === 0 ? [] : [`${connectionCount} connections are left`];
}

const PEER_ID = 0x1234_5678;
const MAX_LIFE_PACKETS = 2_000;
const NOBODY: UdpPort = { local: BENCH_ADDRESS, send: () => true, setRef: () => {}, close: () => {} };

/**
 * A peer with valid keys that sends spoilt frames, headers and statistics to a connection in each of its states. Keys
 * that leave everything in clear are as valid as others, and a thousand times as fast to agree on.
 */
export class LyingPeer implements LiveTarget {
  readonly name = 'a peer that lies';
  packets = 0;
  readonly #random: SeededRandom;
  readonly #mutator: Mutator;
  readonly #seeds: Seeds;
  readonly #env = new Bench().endpoint.env;
  readonly #config = new ConfigScope('connection', new ConfigScope('global'));
  readonly #datagram = new Uint8Array(MAX_DATAGRAM_BYTES);
  readonly #slot = new TransmitSlot();
  #connection: Connection | undefined;
  #nowUs = 1_000_000;
  #nextNumber = 2;
  #lifePackets = 0;

  constructor(random: SeededRandom, seeds: Seeds) {
    this.#random = random;
    this.#mutator = new Mutator(random.fork());
    this.#seeds = seeds;
  }

  step(): void {
    this.#connection ??= this.#connect();
    const connection = this.#connection;
    const random = this.#random;
    this.#send(connection);
    const { receiver } = connection.data.delivery;
    invariant(receiver.queuedBytes <= connection.data.settings.recvBufferBytes, 'unread messages fit the buffer');
    invariant(connection.data.delivery.undeliveredBytes >= 0, 'no count falls below zero');
    if (random.float() < 0.5) while (connection.receive(this.#nowUs) !== undefined);
    if (random.float() < 0.2) connection.send(writeMessage(1, 300), RELIABLE, this.#nowUs);
    if (random.float() < 0.001) connection.close(1_000, 'over', random.float() < 0.5, this.#nowUs);
    this.#settle(connection);
    if (random.float() < 0.1) this.#nowUs += random.below(100_000);
    if (connection.state !== 'Dead' && this.#lifePackets < MAX_LIFE_PACKETS) return;
    connection.destroy(this.#nowUs);
    this.#connection = undefined;
  }

  #connect(): Connection {
    const path = { port: NOBODY, remote: CLIENT_ADDRESS };
    const connection = new Connection(this.#env, this.#config, 0x0101_0101, true, path);
    const ciphers = { sealer: nullCipher(), opener: nullCipher(), isEncrypted: false, peerDatagramBytes: 8192 };
    const session = { remoteId: PEER_ID, identity: Identity.string('liar'), isAuthenticated: false, ciphers };
    connection.establish({ ...session, protocolVersion: PROTOCOL_VERSION }, this.#nowUs);
    this.#nextNumber = 2;
    this.#lifePackets = 0;
    return connection;
  }

  #settle(connection: Connection): void {
    if (connection.nextTimeoutUs(this.#nowUs) <= this.#nowUs) connection.handleTimeout(this.#nowUs);
    while (connection.pollTransmit(this.#slot, this.#nowUs)) {
      invariant(this.#slot.length > 0 && this.#slot.length <= MAX_DATAGRAM_BYTES, 'what is sent fits a datagram');
    }
    while (connection.pollEvent() !== undefined);
    if (!FACTS[connection.state].isActive) connection.close(0, '', false, this.#nowUs);
  }

  #send(connection: Connection): void {
    const random = this.#random;
    this.packets++;
    this.#lifePackets++;
    if (random.float() < 0.02) {
      const length = this.#mutator.spoil(pick(this.#seeds.controlPackets, random), EMPTY_BYTES);
      const packet = decodeControlPacket(this.#mutator.bytes, length);
      connection.handleControl(packet, length, this.#nowUs);
      return;
    }
    const length = this.#write(connection.id);
    connection.handleData(this.#datagram.slice(0, length), length, this.#nowUs);
  }

  /** A data packet in `#datagram`; most of it is valid most of the time. */
  #write(recipient: number): number {
    const random = this.#random;
    const { plaintexts, statsBlobs } = this.#seeds;
    const dice = random.float();
    const skips = dice < 0.05 ? random.below(2_000) - 1_000 : 0;
    const number = Math.max(1, this.#nextNumber + skips);
    this.#nextNumber = Math.max(this.#nextNumber, number) + 1;
    const blobBytes = dice > 0.9 ? Math.min(this.#mutator.spoil(pick(statsBlobs, random), EMPTY_BYTES), 400) : 0;
    const gapUs = dice > 0.8 && dice < 0.85 ? random.below(250_000) : -1;
    const at = writeDataHeader(this.#datagram, recipient, number, this.#mutator.bytes, blobBytes, gapUs);
    if (dice > 0.6 && dice < 0.62) this.#datagram[0]! ^= 1 << random.below(7);
    const original = pick(plaintexts, random);
    const isWhole = random.float() < 0.3;
    const spoiltBytes = isWhole ? 0 : this.#mutator.spoil(original, pick(plaintexts, random));
    const plaintext = isWhole ? original : this.#mutator.bytes.subarray(0, spoiltBytes);
    const fits = Math.min(plaintext.length, MAX_DATAGRAM_BYTES - at);
    this.#datagram.set(plaintext.subarray(0, fits), at);
    return at + fits;
  }

  end(): readonly string[] {
    this.#connection?.destroy(this.#nowUs);
    return [];
  }
}

function pick<T>(list: readonly T[], random: SeededRandom): T {
  return list[random.below(list.length)]!;
}

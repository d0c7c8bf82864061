// How large the datagrams to the peer may be. GNS sends and takes 1300 bytes and never more, so this is between ours
// only: a peer says in the signed part of the handshake what it takes. What the path carries is found out by trying, as
// in RFC 8899: padded packets that carry nothing else, while there is enough to send that larger ones would pay. A size
// holds once such a packet was acknowledged, until large packets stop arriving. Node cannot forbid fragmentation, so
// nobody tries more than the path is said to carry whole: by the application, or because it never leaves the machine.

import { US_PER_MS, US_PER_SECOND } from '../base/time.ts';
import { MAX_DATAGRAM_BYTES } from '../wire/data-packet.ts';

/** What is tried where the largest size does not arrive: jumbo frames, Ethernet over IPv4 and IPv6, tunnels. */
const SIZES_BYTES = [8972, 4352, 1472, 1452, 1400];
const TRIES = 3;
/** No large packet arrived for this long, though some were sent. */
const BLACK_HOLE_US = US_PER_SECOND;
/** Then the path is tried again after this long, doubled each time. */
const MIN_PAUSE_US = US_PER_SECOND;
const MAX_PAUSE_US = 600 * US_PER_SECOND;

export class PathMtu {
  /** Datagrams of this size arrive; 0: nothing is known beyond what GNS sends. */
  currentBytes = 0;
  /** The most that may be tried. */
  limitBytes = 0;
  /** Packets before this one went another way. */
  #fromPacket = 0;
  /** The size to try next; 0 for none. */
  #nextBytes = 0;
  #tries = 0;
  #dueUs = 0;
  #pauseUs = MIN_PAUSE_US;
  /** When large packets began to be lost without one arriving in between. */
  #lostSinceUs = 0;

  /** Another path, or another opinion of it: nothing is known any more. Nothing is tried up to 1300 bytes. */
  begin(limitBytes: number, nextPacketNumber: number): void {
    this.limitBytes = limitBytes;
    this.#fromPacket = nextPacketNumber;
    this.#pauseUs = MIN_PAUSE_US;
    this.#forget(0);
  }

  #forget(dueUs: number): void {
    this.currentBytes = this.#lostSinceUs = this.#tries = 0;
    this.#nextBytes = this.limitBytes > MAX_DATAGRAM_BYTES ? this.limitBytes : 0;
    this.#dueUs = dueUs;
  }

  /** The size that a packet should try now; 0 for none. */
  probeBytes(nowUs: number): number {
    return nowUs >= this.#dueUs ? this.#nextBytes : 0;
  }

  /** A packet of `probeBytes` was sent, and will be acknowledged within `timeoutUs` if it arrives. */
  onProbeSent(nowUs: number, timeoutUs: number): void {
    this.#dueUs = nowUs + timeoutUs;
    if (++this.#tries < TRIES) return;
    this.#tries = 0;
    this.#nextBytes = SIZES_BYTES.find((bytes) => bytes < this.#nextBytes && bytes > this.currentBytes) ?? 0;
    if (this.#nextBytes === 0) this.#tryLater(nowUs);
  }

  #tryLater(nowUs: number): void {
    this.#nextBytes = this.currentBytes < this.limitBytes ? this.limitBytes : 0;
    this.#dueUs = nowUs + MAX_PAUSE_US;
  }

  /** The peer has a packet of more than 1300 bytes. */
  onLargeArrived(packetNumber: number, bytes: number, nowUs: number): void {
    if (packetNumber < this.#fromPacket) return;
    this.#lostSinceUs = 0;
    if (bytes <= this.currentBytes) return;
    this.currentBytes = bytes;
    this.#tries = 0;
    this.#tryLater(nowUs);
  }

  /** A packet of more than 1300 bytes counts as lost. */
  onLargeLost(packetNumber: number, nowUs: number): void {
    if (packetNumber < this.#fromPacket || this.currentBytes === 0) return;
    if (this.#lostSinceUs === 0) this.#lostSinceUs = nowUs;
    if (nowUs - this.#lostSinceUs < BLACK_HOLE_US) return;
    this.#forget(nowUs + this.#pauseUs);
    this.#pauseUs = Math.min(2 * this.#pauseUs, MAX_PAUSE_US);
  }
}

/** Packets in which nothing else can be seen to have arrived are answered within this. */
export function probeTimeoutUs(pingMs: number): number {
  return (pingMs < 0 ? 1_000 : 3 * pingMs + 100) * US_PER_MS;
}

// Where the datagrams of a connection go, and how that may change. Routers forget who sent what and give out a new port:
// to us the peer then speaks from elsewhere. GNS drops that, and the connection times out. We follow, carefully: a packet
// that is the peer's and newer than all before makes its source a candidate. The candidate is asked for an answer with
// packets that go nowhere else, and few; everything else goes on where it went. When the answer comes from there, the
// connection moves. Copies of old packets make no candidate, and a sign of the peer at the old place ends the candidate.
// After QUIC: RFC 9000, 9.3.

import { IpAddress } from '../base/address.ts';
import { Allowance } from '../base/allowance.ts';
import { NEVER, US_PER_MS } from '../base/time.ts';
import type { NetAddress } from '../platform.ts';
import { wireNumberOf } from '../wire/data-packet.ts';
import type { DataPath } from './data-path.ts';
import type { End } from './end-reason.ts';
import { NOWHERE, type Path, type TransmitSlot } from './environment.ts';

/** Bytes that may go to a candidate for each that came from there. RFC 9000, 8.1. */
const BYTES_PER_BYTE = 3;
/** Pauses between probes: two round trips, within these limits. */
const MIN_PROBE_PAUSE_US = 50 * US_PER_MS;
const MAX_PROBE_PAUSE_US = 1_000 * US_PER_MS;
/** Without anything new from the candidate. */
const MAX_PROBES = 5;
/** Packets from elsewhere that turn out not to be the peer's cost a decryption each. */
const FORGERIES_PER_SEC = 20;
const FORGERIES_AT_ONCE = 50;

interface Candidate {
  readonly remote: NetAddress;
  /** Packets from this number on that are probes went to the candidate and nowhere else. */
  readonly probesFrom: number;
  /** The newest packet that came from there. */
  newest: number;
  /** Bytes that may still go there. */
  creditBytes: number;
  probesLeft: number;
  probeDueUs: number;
}

export class Route {
  #path: Path;
  #address: IpAddress;
  /** Nothing went this way yet. */
  #isNew = true;
  #candidate: Candidate | undefined;
  readonly #forgeries = new Allowance(FORGERIES_PER_SEC, FORGERIES_AT_ONCE);

  constructor(path: Path) {
    this.#path = path;
    this.#address = addressOf(path);
  }

  get path(): Path {
    return this.#path;
  }
  /** The peer's; `::` if it is not known, which a relay is for. */
  get address(): IpAddress {
    return this.#address;
  }

  /** From now on everything goes this way. Who keeps tables of addresses has to change them. */
  set(path: Path): void {
    this.#path = path;
    this.#address = addressOf(path);
    this.#isNew = true;
    this.#candidate = undefined;
  }

  /** Processes a data packet that came from the peer's address. */
  receive(data: DataPath, bytes: Uint8Array, length: number, nowUs: number): End | undefined {
    const candidate = this.#candidate;
    if (candidate === undefined) return data.receive(bytes, length, nowUs);
    const { window } = data.stats;
    const highestBefore = window.highest;
    const end = data.receive(bytes, length, nowUs);
    // Newer than what came from the candidate, or the original of which the candidate sent a copy.
    const isStillHere = window.highest > highestBefore || window.expand(wireNumberOf(bytes)) === candidate.newest;
    if (isStillHere) this.#candidate = undefined;
    return end;
  }

  /** Processes a data packet with our id that came from elsewhere, and moves there if that is proven to be the peer. */
  receiveElsewhere(
    data: DataPath,
    bytes: Uint8Array,
    length: number,
    from: NetAddress,
    nowUs: number,
  ): End | undefined {
    if (!this.#forgeries.hasAny(nowUs) || !this.#mayMoveTo(from)) return undefined;
    data.stats.received.note(length);
    const { window } = data.stats;
    const [highestBefore, forgedBefore] = [window.highest, data.forgedPackets];
    const end = data.receive(bytes, length, nowUs);
    if (data.forgedPackets > forgedBefore) this.#forgeries.spend();
    if (end !== undefined) return end;
    if (window.highest > highestBefore) this.#onNewest(data, from, length, nowUs);
    const candidate = this.#candidate;
    if (candidate === undefined || !isSame(candidate.remote, from)) return undefined;
    if (data.delivery.ackedProbe < candidate.probesFrom) return undefined;
    this.set({ port: this.#path.port, remote: candidate.remote });
    // Acks went to the old place meanwhile.
    data.delivery.acks.requestBy(nowUs);
    return undefined;
  }

  /** What a peer on this machine may do is not for others. */
  #mayMoveTo(from: NetAddress): boolean {
    return IpAddress.fromNet(from).isLoopback === this.#address.isLoopback;
  }

  #onNewest(data: DataPath, from: NetAddress, length: number, nowUs: number): void {
    const newest = data.stats.window.highest;
    const creditBytes = BYTES_PER_BYTE * length;
    const candidate = this.#candidate;
    if (candidate !== undefined && isSame(candidate.remote, from)) {
      candidate.newest = newest;
      candidate.creditBytes += creditBytes;
      candidate.probesLeft = MAX_PROBES;
      return;
    }
    const remote = { address: from.address, port: from.port };
    const probesFrom = data.delivery.nextPacketNumber;
    this.#candidate = { remote, probesFrom, newest, creditBytes, probesLeft: MAX_PROBES, probeDueUs: nowUs };
  }

  /** When a candidate must be asked. */
  probeDueUs(): number {
    const candidate = this.#candidate;
    if (candidate === undefined || candidate.probesLeft === 0) return NEVER;
    return candidate.creditBytes >= MAX_PROBE_BYTES ? candidate.probeDueUs : NEVER;
  }

  /** Fills `slot` with the next data packet that is due, for the peer or a candidate; else its length becomes 0. */
  transmit(data: DataPath, slot: TransmitSlot, recipient: number, nowUs: number): void {
    if (this.#isNew) {
      this.#isNew = false;
      data.onNewPath(this.#path.kind === 'memory' || this.#address.isLoopback);
    }
    const candidate = this.#candidate;
    if (candidate !== undefined && nowUs >= this.probeDueUs()) this.#probe(candidate, data, slot, recipient, nowUs);
    else slot.length = data.transmit(slot.bytes, recipient, nowUs);
  }

  #probe(candidate: Candidate, data: DataPath, slot: TransmitSlot, recipient: number, nowUs: number): void {
    slot.length = data.writeProbe(slot.bytes, recipient, nowUs);
    slot.path = { port: this.#path.port, remote: candidate.remote };
    const pauseUs = 2 * data.stats.roundTrip.smoothedMs * US_PER_MS;
    candidate.probeDueUs = nowUs + Math.min(Math.max(pauseUs, MIN_PROBE_PAUSE_US), MAX_PROBE_PAUSE_US);
    candidate.probesLeft--;
    candidate.creditBytes -= slot.length;
  }
}

/** Header, statistics flags, a stop-waiting frame, the cipher's tag. */
const MAX_PROBE_BYTES = 48;

function addressOf({ remote, kind }: Path): IpAddress {
  return IpAddress.fromNet(kind === 'relay' ? NOWHERE.remote : remote);
}

function isSame(a: NetAddress, b: NetAddress): boolean {
  return a.port === b.port && a.address === b.address;
}

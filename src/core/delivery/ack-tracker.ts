// Which packets arrived and which are missing; what to tell the peer of it, and when. Spec: 03 §3.8.

import { NEVER } from '../base/time.ts';
import { MAX_DATAGRAM_BYTES } from '../wire/data-packet.ts';
import { ACK_HEADER_BYTES, ackBlockBytes, type FrameWriter } from '../wire/frame-writer.ts';
import { Outcome } from '../wire/frames.ts';

/** Longest wait before reliable data is acknowledged. */
export const MAX_ACK_DELAY_US = 50_000;
/**
 * So many packets with reliable data are acknowledged without waiting: the peer must remember less, and learns sooner
 * what is lost. GNS waits in any case, and takes acks as they come.
 */
const PACKETS_PER_ACK = 64;
/** As many bytes as 64 packets to or from GNS have. */
const BYTES_PER_ACK = PACKETS_PER_ACK * MAX_DATAGRAM_BYTES;
/** A gap is often only reordering: it is reported as lost after this long. */
const NACK_DELAY_US = 3_000;
/** With this many gaps two are merged. */
const MAX_GAPS = 61;
const MERGE_CANDIDATES = 10;
const MAX_BLOCKS = 64;
const MIN_RESERVED_BLOCKS = 3;
const DELAY_UNIT_US = 32;
const DELAY_UNKNOWN = 0xffff;
/** Up to here the block count fits into the lead byte. */
const MAX_INLINE_BLOCKS = 6;

/** Packets [start, end) are missing. */
interface Gap {
  start: number;
  end: number;
  /** When the packet before `start` arrived. */
  readonly beforeAtUs: number;
  readonly nackAtUs: number;
}

export class AckTracker {
  /** Packets before this one need no account; the newest stop-waiting value. */
  oldestWanted = 0;
  /** Highest packet that can be acknowledged. The handshake was packet 1. */
  latest = 1;
  #latestAtUs = Number.NEGATIVE_INFINITY;
  #oldestWantedBy = 0;
  /** Ascending. The first `#reported` of them have been reported as lost. */
  readonly #gaps: Gap[] = [];
  #reported = 0;
  /** By when everything received must be acknowledged. */
  #dueUs = NEVER;
  /** Packets with reliable data since the last ack. */
  #unackedPackets = 0;
  #unackedBytes = 0;
  /** The plan of `plan`: how many gaps (oldest first) have a block. */
  #plannedGaps = 0;

  get gapCount(): number {
    return this.#gaps.length;
  }

  /** A packet was processed and none of it refused. */
  onPacket(number: number, nowUs: number): void {
    if (number > this.latest) {
      if (number > this.latest + 1) {
        const start = this.latest + 1;
        this.#gaps.push({ start, end: number, beforeAtUs: this.#latestAtUs, nackAtUs: nowUs + NACK_DELAY_US });
        if (this.#gaps.length >= MAX_GAPS) this.#mergeTwo();
      }
      this.latest = number;
      this.#latestAtUs = nowUs;
    } else {
      this.#fill(number, nowUs);
    }
  }

  /** Acknowledge everything by then. */
  requestBy(atUs: number): void {
    if (atUs < this.#dueUs) this.#dueUs = atUs;
  }

  /** A packet of this size brought reliable data. */
  onReliable(bytes: number, nowUs: number): void {
    this.#unackedPackets++;
    this.#unackedBytes += bytes;
    this.requestBy(nowUs + MAX_ACK_DELAY_US);
  }

  /** When a packet must go out for our sake; 0 for at once. */
  nextDueUs(): number {
    if (this.#unackedPackets >= PACKETS_PER_ACK || this.#unackedBytes >= BYTES_PER_ACK) return 0;
    const unreported = this.#gaps[this.#reported];
    return unreported === undefined ? this.#dueUs : Math.min(this.#dueUs, unreported.nackAtUs);
  }

  onStopWaiting(oldestWanted: number, packetNumber: number): Outcome {
    const wanted = Math.min(oldestWanted, this.latest);
    if (wanted === this.oldestWanted) return Outcome.Ok;
    if (wanted < this.oldestWanted) {
      // An older packet says less; a newer one that takes it back breaks the protocol.
      return packetNumber >= this.#oldestWantedBy ? Outcome.Fatal : Outcome.Ok;
    }
    this.oldestWanted = wanted;
    this.#oldestWantedBy = packetNumber;
    let forgotten = 0;
    while (forgotten < this.#gaps.length && this.#gaps[forgotten]!.end <= wanted) forgotten++;
    if (forgotten > 0) {
      this.#gaps.splice(0, forgotten);
      this.#reported = Math.max(0, this.#reported - forgotten);
    }
    const first = this.#gaps[0];
    if (first !== undefined && first.start < wanted) first.start = wanted;
    return Outcome.Ok;
  }

  /** A missing packet came late. */
  #fill(number: number, nowUs: number): void {
    for (let i = this.#gaps.length - 1; i >= 0; i--) {
      const gap = this.#gaps[i]!;
      if (number >= gap.end) return;
      if (number < gap.start) continue;
      const { end, nackAtUs } = gap;
      const isSplit = number > gap.start && number + 1 < end;
      if (number + 1 === end) {
        gap.end = number;
        if (gap.start === gap.end) this.#remove(i);
      } else {
        const above = { start: number + 1, end, beforeAtUs: nowUs, nackAtUs };
        if (isSplit) {
          gap.end = number;
          this.#gaps.splice(i + 1, 0, above);
          if (i < this.#reported) this.#reported++;
          if (this.#gaps.length >= MAX_GAPS) this.#mergeTwo();
        } else {
          this.#gaps[i] = above;
        }
      }
      return;
    }
  }

  #remove(index: number): void {
    this.#gaps.splice(index, 1);
    if (index < this.#reported) this.#reported--;
  }

  /** Joins the neighbours with the fewest packets between them: those packets will be reported as missing. */
  #mergeTwo(): void {
    let best = 0;
    let fewest = NEVER;
    for (let i = 0; i < MERGE_CANDIDATES && i + 1 < this.#gaps.length; i++) {
      const between = this.#gaps[i + 1]!.start - this.#gaps[i]!.end;
      if (between >= fewest) continue;
      best = i;
      fewest = between;
    }
    const [lower, upper] = [this.#gaps[best]!, this.#gaps[best + 1]!];
    lower.end = upper.end;
    this.#remove(best + 1);
  }

  /**
   * Chooses how many of the oldest gaps to report in `spaceBytes`, at least the ack header; returns the bytes to
   * reserve. `isGreedy` takes all that fit, otherwise only those that cannot wait.
   */
  plan(nowUs: number, spaceBytes: number, isGreedy: boolean): number {
    const reportable = this.#reportable(nowUs);
    const wanted = isGreedy ? reportable : Math.min(reportable, Math.max(MIN_RESERVED_BLOCKS, this.#dueBlocks(nowUs)));
    let bytes = ACK_HEADER_BYTES;
    let gaps = 0;
    while (gaps < wanted && gaps < MAX_BLOCKS) {
      // The acks of the oldest block reach up to the next gap, or to the packet acknowledged last.
      const next = gaps + 1 < this.#gaps.length ? this.#gaps[gaps + 1]!.start : this.latest + 1;
      const gap = this.#gaps[gaps]!;
      const more = ackBlockBytes(next - gap.end, gap.end - gap.start) + (gaps === MAX_INLINE_BLOCKS ? 1 : 0);
      if (bytes + more > spaceBytes) break;
      bytes += more;
      gaps++;
    }
    this.#plannedGaps = gaps;
    return bytes;
  }

  /** Writes what `plan` chose last, and takes note of what it settles. */
  write(writer: FrameWriter, nowUs: number): void {
    const gaps = this.#plannedGaps;
    const above = this.#gaps[gaps];
    const latest = above === undefined ? this.latest : above.start - 1;
    const receivedAtUs = above === undefined ? this.#latestAtUs : above.beforeAtUs;
    const delayUnits = Math.floor(Math.max(0, nowUs - receivedAtUs) / DELAY_UNIT_US);
    this.#unackedPackets = this.#unackedBytes = 0;
    writer.ackHeader(latest, Math.min(delayUnits, DELAY_UNKNOWN), gaps);
    let top = latest + 1;
    for (let i = gaps - 1; i >= 0; i--) {
      const gap = this.#gaps[i]!;
      writer.ackBlock(top - gap.end, gap.end - gap.start);
      top = gap.start;
    }
    if (gaps > this.#reported) this.#reported = gaps;
    if (above === undefined) this.#dueUs = NEVER;
    // What kept us from saying all is a lack of space or a gap that is too young; say it soon, not at once.
    else if (this.#dueUs <= nowUs) this.#dueUs = nowUs + NACK_DELAY_US;
  }

  /** Gaps that may be reported now: all when the deadline has come, else those that are old enough. */
  #reportable(nowUs: number): number {
    if (this.#dueUs <= nowUs) return this.#gaps.length;
    let count = this.#reported;
    while (count < this.#gaps.length && this.#gaps[count]!.nackAtUs <= nowUs) count++;
    return count;
  }

  /** Blocks that must go now: up to the youngest gap that is due and not yet reported. */
  #dueBlocks(nowUs: number): number {
    const reportable = this.#reportable(nowUs);
    return reportable > this.#reported ? reportable : 0;
  }
}

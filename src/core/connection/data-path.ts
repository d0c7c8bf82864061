// HOT PATH
// The way of a data packet through a connection: in, from the datagram to the delivered frames; out, from what is due to
// the sealed datagram. Knows no state: its owner says when packets flow. Spec: 01 §1.9, 03 §3.9, 04 §4.4, §4.10.

import { ByteReader } from '../base/bytes.ts';
import { NEVER } from '../base/time.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { PacketCipher } from '../crypto/packet-cipher.ts';
import { Delivery } from '../delivery/delivery.ts';
import { NO_SAMPLE } from '../delivery/in-flight.ts';
import type { LaneOptions } from '../delivery/lane-scheduler.ts';
import { probeTimeoutUs } from '../delivery/path-mtu.ts';
import { LinkStats } from '../stats/link-stats.ts';
import {
  DataHeader,
  MAX_DATAGRAM_BYTES,
  MAX_GAP_US,
  MAX_LARGE_DATAGRAM_BYTES,
  MAX_PLAINTEXT_BYTES,
  MTU_TO_CHUNK_BYTES,
  writeDataHeader,
} from '../wire/data-packet.ts';
import { FrameWriter } from '../wire/frame-writer.ts';
import { Outcome } from '../wire/frames.ts';
import { decodeStatsBlob, encodeStatsBlob, StatsFlag } from '../wire/stats-messages.ts';
import { type End, EndReason } from './end-reason.ts';
import type { SessionCiphers } from './key-exchange.ts';
import { Liveness } from './liveness.ts';
import { RateWatch } from './rate-watch.ts';
import { type DataPathSettings, dataPathSettings } from './settings.ts';
import { StatsExchange, StatsMark } from './stats-exchange.ts';

const MAX_FORWARD_JUMP = 0x4000;
const REPLY_DELAY_US = 50_000;
/** Spec: 03 §3.11 "Rate". */
const INITIAL_WINDOW_BYTES = 4380;
const MAX_RATE_BYTES_PER_SEC = 100 * 1024 * 1024;
const MIN_RATE_BYTES_PER_SEC = 1024;
/** A small message waits no longer than this for a large packet before it, where the rate is what holds things up. */
const MAX_LARGE_PACKET_US = 1_000;
/** Beyond a blob of this size the payload shrinks. */
const FREE_BLOB_BYTES = 45;
const GAP_FIELD_BYTES = 2;
/** Peers before this version do not count the handshake as packet 1. */
const HANDSHAKE_IS_PACKET_VERSION = 10;
/** Peers before this version do not know the select-lane frame. */
const LANES_VERSION = 11;
/** Peers before this version do not know the gap field. */
const GAP_FIELD_VERSION = 12;

// Working space for the packet at hand, used within one call: shared, since an idle connection has no use for it.
const READER = new ByteReader();
const HEADER = new DataHeader();
const PAYLOAD = new Uint8Array(MAX_LARGE_DATAGRAM_BYTES);
const WRITER = new FrameWriter(PAYLOAD);
const BLOB = new Uint8Array(512);

export class DataPath {
  readonly delivery: Delivery;
  readonly stats = new LinkStats();
  readonly exchange = new StatsExchange();
  readonly liveness = new Liveness();
  readonly rateWatch = new RateWatch();
  readonly settings: DataPathSettings;
  readonly #config: ConfigScope;
  #configRevision: number;
  #sealer: PacketCipher | undefined;
  #opener: PacketCipher | undefined;
  /** Protocol version; 0 before the peer has told. */
  #peerVersion = 0;
  /** What is used of the configured size: smaller packets must wait until larger segments have arrived. */
  #mtuBytes = 0;
  /** The largest datagram that the peer takes. */
  #peerDatagramBytes = 0;
  /** The path never leaves this machine. */
  #isPathLocal = false;
  /** Packets with our id that were not the peer's, or were damaged. */
  forgedPackets = 0;
  /** The peer has sent something that is genuine. */
  hasHeardPeer = false;
  #isReplyDue = false;
  #isProbeDue = false;
  #lastReceivedDataUs = 0;
  #lastSentDataUs = 0;

  constructor(config: ConfigScope) {
    this.#config = config;
    this.#configRevision = config.revision;
    this.settings = dataPathSettings(config);
    this.delivery = new Delivery(this.settings, this.settings);
  }

  /** Keys are there. */
  start(ciphers: SessionCiphers, peerVersion: number, nowUs: number): void {
    const firstNumber = peerVersion >= HANDSHAKE_IS_PACKET_VERSION ? 2 : 1;
    this.#peerVersion = peerVersion;
    this.#sealer = ciphers.sealer;
    this.#opener = ciphers.opener;
    this.#peerDatagramBytes = Math.min(ciphers.peerDatagramBytes, MAX_LARGE_DATAGRAM_BYTES);
    this.stats.window.start(firstNumber - 1);
    this.stats.start(nowUs);
    this.exchange.start(nowUs, this.stats.sent.packets, this.stats.received.packets);
    this.liveness.start(nowUs);
    this.delivery.start(firstNumber, nowUs);
    this.#setRate();
    this.#applySettings();
    this.#updateRoundTrip(nowUs);
  }

  /** A packet that asks for an answer goes out next, whatever else there is. */
  probe(): void {
    this.#isProbeDue = true;
  }

  /** Takes over what was changed in the configuration. */
  refreshSettings(): void {
    if (this.#config.revision === this.#configRevision) return;
    this.#configRevision = this.#config.revision;
    Object.assign(this.settings, dataPathSettings(this.#config));
    this.#applySettings();
  }

  #applySettings(): void {
    if (this.#sealer === undefined) return;
    if (this.#mtuBytes === 0 || this.settings.mtuBytes > this.#mtuBytes) this.#setMtu(this.#sealer);
    this.#clampRate(this.delivery.bucket.rateBytesPerSec);
    const { mtu, nextPacketNumber } = this.delivery;
    if (mtu.limitBytes !== this.#mtuLimitBytes) mtu.begin(this.#mtuLimitBytes, nextPacketNumber);
  }

  /** Packets go another way from now on. */
  onNewPath(isLocal: boolean): void {
    this.#isPathLocal = isLocal;
    this.delivery.mtu.begin(this.#mtuLimitBytes, this.delivery.nextPacketNumber);
  }

  /** How large datagrams may be tried. Who wants packets smaller than GNS's gets them. */
  get #mtuLimitBytes(): number {
    const { mtuBytes, mtuDiscoveryMaxBytes: maxBytes } = this.settings;
    if (mtuBytes < MAX_DATAGRAM_BYTES) return 0;
    return Math.min(maxBytes === 0 && this.#isPathLocal ? MAX_LARGE_DATAGRAM_BYTES : maxBytes, this.#peerDatagramBytes);
  }

  /** How large a datagram may be. */
  get mtuBytes(): number {
    return Math.max(this.#mtuBytes, this.delivery.mtu.currentBytes) || this.settings.mtuBytes;
  }

  /** Of the next packet. */
  get #datagramBytes(): number {
    const { mtu, bucket } = this.delivery;
    if (mtu.currentBytes === 0) return this.#mtuBytes;
    return Math.max(this.#mtuBytes, Math.min(mtu.currentBytes, (bucket.rateBytesPerSec * MAX_LARGE_PACKET_US) / 1e6));
  }

  #setMtu(sealer: PacketCipher): void {
    this.#mtuBytes = this.settings.mtuBytes;
    this.delivery.fullPacketBytes = chunkBytes(this.#mtuBytes, 0) - sealer.overheadBytes;
  }

  #setRate(): void {
    const pingMs = this.stats.roundTrip.smoothedMs;
    const pingUs = pingMs < 0 ? 200_000 : Math.max(pingMs * 1000, 500);
    this.#clampRate((INITIAL_WINDOW_BYTES * 1e6) / pingUs);
  }

  #clampRate(rate: number): void {
    const { sendRateMinBytesPerSec: min, sendRateMaxBytesPerSec: max } = this.settings;
    const clamped = Math.max(min, Math.min(rate, Math.max(min, max)));
    this.delivery.bucket.rateBytesPerSec = Math.min(Math.max(clamped, MIN_RATE_BYTES_PER_SEC), MAX_RATE_BYTES_PER_SEC);
  }

  /** False if that would be fewer lanes than there are. */
  configureLanes(options: readonly LaneOptions[]): boolean {
    if (options.length < this.delivery.laneOptions.length) return false;
    this.delivery.configureLanes(options);
    return true;
  }

  /** The peer cannot receive on the lanes that are configured. */
  get laneViolation(): End | undefined {
    const isTooOld = this.#peerVersion > 0 && this.#peerVersion < LANES_VERSION;
    if (!isTooOld || this.delivery.laneOptions.length <= 1) return undefined;
    const debug = `the peer speaks protocol version ${this.#peerVersion}, which knows only one lane`;
    return { reason: EndReason.Remote_BadProtocolVersion, debug };
  }

  // ---- in

  /** Processes a data datagram that is addressed to us. A violation ends the connection; all else is counted. */
  receive(bytes: Uint8Array, length: number, nowUs: number): End | undefined {
    const { window } = this.stats;
    const reader = READER;
    const header = HEADER;
    reader.reset(bytes, 0, length);
    if (!header.read(reader)) return undefined;
    const blob =
      header.blobEnd > header.blobStart ? decodeStatsBlob(bytes, header.blobStart, header.blobEnd) : undefined;
    if (blob === undefined && header.blobEnd > header.blobStart) return undefined;
    this.settleStats(nowUs);
    const number = window.expand(header.wireNumber);
    this.stats.sequencedReceived++;
    if (window.check(number) !== 'new') return undefined;
    // GNS decrypts into a buffer of this size, and drops what does not fit. A peer of ours was told otherwise.
    const opener = this.#opener!;
    const maxBytes = this.#peerDatagramBytes > 0 ? MAX_LARGE_DATAGRAM_BYTES : MAX_PLAINTEXT_BYTES;
    if (length - header.chunkStart - opener.overheadBytes > maxBytes) return undefined;
    const payload = opener.open(number, bytes, header.chunkStart, length);
    if (payload === undefined) {
      this.forgedPackets++;
      return undefined;
    }
    this.liveness.onReceived(nowUs);
    this.liveness.lastReceivedDataUs = nowUs;
    this.hasHeardPeer = true;
    const expected = window.highest + 1;
    if (number - window.highest > MAX_FORWARD_JUMP) {
      return { reason: EndReason.Misc_Generic, debug: `packet number jumped from ${window.highest} to ${number}` };
    }
    this.#noteJitter(number === expected, header.gapUs, nowUs);
    reader.reset(payload, 0, payload.length);
    const outcome = this.delivery.receive(reader, number, nowUs);
    this.#takeAckReport(nowUs);
    if (outcome === Outcome.Fatal) return { reason: EndReason.Misc_InternalError, debug: this.delivery.violation };
    if (outcome === Outcome.Discarded) return undefined;
    window.mark(number);
    if (blob !== undefined) {
      this.exchange.onReceived(blob);
      if ((blob.flags & StatsFlag.ReplyNow) !== 0) this.#isReplyDue = true;
      else if ((blob.flags & StatsFlag.AckRequested) !== 0) this.delivery.acks.requestBy(nowUs + REPLY_DELAY_US);
    }
    return undefined;
  }

  #noteJitter(isNext: boolean, gapUs: number, nowUs: number): void {
    const receivedGapUs = nowUs - this.#lastReceivedDataUs;
    if (isNext && gapUs >= 0 && gapUs < MAX_GAP_US && receivedGapUs < MAX_GAP_US) {
      this.stats.noteJitter(Math.abs(receivedGapUs - gapUs));
    }
    this.#lastReceivedDataUs = nowUs;
  }

  #takeAckReport(nowUs: number): void {
    const report = this.delivery.ackReport;
    if (report.rttUs !== NO_SAMPLE) {
      this.stats.roundTrip.addAckSample(report.rttUs, nowUs);
      this.#updateRoundTrip(nowUs);
    }
    report.rttUs = NO_SAMPLE;
    if (report.ackedMarks !== 0) {
      this.exchange.onAcked(report.ackedMarks, nowUs, this.stats.sent.packets, this.stats.received.packets);
    }
    if (report.lostMarks !== 0) this.exchange.onLost(report.lostMarks);
    report.ackedMarks = report.lostMarks = 0;
  }

  #updateRoundTrip(nowUs: number): void {
    const { roundTrip } = this.stats;
    this.delivery.setRoundTrip(roundTrip.smoothedMs, nowUs - roundTrip.newestAtUs);
  }

  // ---- time

  /** Losses, overdue replies and statistics intervals. True if the peer must be given up. */
  onTime(nowUs: number): boolean {
    this.delivery.onTime(nowUs);
    this.#takeAckReport(nowUs);
    this.liveness.onTime(nowUs);
    this.settleStats(nowUs);
    return this.liveness.isTimedOut(this.settings.timeoutConnectedUs, nowUs);
  }

  /** `patienceUs`: after so long a silence `onTime` gives the peer up; `NEVER` where nobody listens to that. */
  nextTimeoutUs(nowUs: number, patienceUs: number = this.settings.timeoutConnectedUs): number {
    const livenessUs = this.liveness.nextTimeoutUs(patienceUs);
    return Math.min(this.#packetDueUs(nowUs), this.delivery.lossDueUs(), livenessUs);
  }

  /**
   * Ends a statistics interval that is over, and drops statistics that are due but not worth a packet. Done when
   * something happens or somebody looks, so that an idle connection needs no timer for it.
   */
  settleStats(nowUs: number): void {
    const { stats } = this;
    if (nowUs >= stats.intervalEndUs()) stats.endInterval(nowUs, this.liveness.unanswered);
    if (nowUs >= this.exchange.dueUs()) this.exchange.ready(nowUs, stats.sent.packets, stats.received.packets);
  }

  #packetDueUs(nowUs: number): number {
    const due = Math.min(
      this.#isReplyDue || this.#isProbeDue ? nowUs : NEVER,
      this.delivery.packetDueUs(nowUs),
      this.liveness.packetDueUs(),
      this.exchange.dueUs(),
    );
    return Math.max(due, this.delivery.bucket.pauseEndUs);
  }

  // ---- out

  /** Writes one data packet, if one is due, into `out`; returns its length or 0. */
  transmit(out: Uint8Array, recipient: number, nowUs: number): number {
    this.settleStats(nowUs);
    if (this.#packetDueUs(nowUs) > nowUs) return 0;
    const probeBytes = this.#mtuProbeBytes(nowUs);
    if (probeBytes > 0) return this.#tryLarge(probeBytes, out, recipient, nowUs);
    const { stats, settings } = this;
    const marks = this.exchange.ready(nowUs, stats.sent.packets, stats.received.packets);
    const wantedFlags = this.delivery.wantsAck ? StatsFlag.AckRequested : 0;
    const probeFlags = this.#isProbeDue ? StatsFlag.AckRequested | StatsFlag.ReplyNow : 0;
    const flags = wantedFlags | probeFlags | this.liveness.flags(stats.roundTrip.newestAtUs, marks !== 0, nowUs);
    const blobBytes = this.#writeBlob(marks, flags, nowUs);
    const gapUs =
      settings.sendsGapField && this.#peerVersion >= GAP_FIELD_VERSION && blobBytes <= FREE_BLOB_BYTES - GAP_FIELD_BYTES
        ? this.#gapUs(nowUs)
        : -1;
    const at = writeDataHeader(out, recipient, this.delivery.nextPacketNumber, BLOB, blobBytes, gapUs);
    const sealer = this.#sealer!;
    if (settings.mtuBytes < this.#mtuBytes && !this.delivery.hasUnackedSegments) this.#setMtu(sealer);
    const space = chunkBytes(this.#datagramBytes, at) - sealer.overheadBytes;
    const record = this.delivery.fillPacket(WRITER, space, nowUs);
    const length = at + sealer.seal(record.number, PAYLOAD, WRITER.pos, out, at);
    if (marks !== 0) {
      record.statsMark = marks;
      record.isInFlight = true;
      this.exchange.onSent(marks);
    }
    const worstPingMs = stats.roundTrip.worstMs;
    this.liveness.onFlagsSent(marks !== 0 ? flags | StatsFlag.AckRequested : flags, worstPingMs, nowUs);
    if (record.segments.length > 0) this.liveness.expectReply(true, worstPingMs, nowUs);
    record.datagramBytes = length;
    this.delivery.bucket.spend(length);
    this.#isReplyDue = this.#isProbeDue = false;
    this.#lastSentDataUs = nowUs;
    return length;
  }

  /** Worth it only where there is more to send than fits into a packet. */
  #mtuProbeBytes(nowUs: number): number {
    const bytes = this.delivery.mtu.probeBytes(nowUs);
    return bytes > 0 && this.delivery.pendingBytes > this.delivery.fullPacketBytes ? bytes : 0;
  }

  #tryLarge(bytes: number, out: Uint8Array, recipient: number, nowUs: number): number {
    this.delivery.mtu.onProbeSent(nowUs, probeTimeoutUs(this.stats.roundTrip.smoothedMs));
    return this.writeProbe(out, recipient, nowUs, bytes);
  }

  /** Writes a packet that asks for an answer and carries nothing, as small as can be or padded; returns its length. */
  writeProbe(out: Uint8Array, recipient: number, nowUs: number, paddedBytes = 0): number {
    const flags = StatsFlag.AckRequested | StatsFlag.ReplyNow;
    const blobBytes = encodeStatsBlob({ flags, instantaneous: undefined, lifetime: undefined }, BLOB, 0);
    const at = writeDataHeader(out, recipient, this.delivery.nextPacketNumber, BLOB, blobBytes, -1);
    const sealer = this.#sealer!;
    const record = this.delivery.fillProbe(WRITER, paddedBytes - at - sealer.overheadBytes, nowUs);
    const length = at + sealer.seal(record.number, PAYLOAD, WRITER.pos, out, at);
    record.datagramBytes = length;
    this.delivery.bucket.spend(length);
    this.#lastSentDataUs = nowUs;
    return length;
  }

  #writeBlob(marks: number, flags: number, nowUs: number): number {
    if (marks === 0 && flags === 0) return 0;
    const instantaneous = (marks & StatsMark.Instantaneous) !== 0 ? this.stats.instantaneous() : undefined;
    const lifetime = (marks & StatsMark.Lifetime) !== 0 ? this.stats.lifetime(nowUs) : undefined;
    return encodeStatsBlob({ flags, instantaneous, lifetime }, BLOB, 0);
  }

  #gapUs(nowUs: number): number {
    const gapUs = nowUs - this.#lastSentDataUs;
    return this.#lastSentDataUs > 0 && gapUs <= MAX_GAP_US ? gapUs : -1;
  }
}

/** What is left of a datagram behind its header for payload and tag. Statistics may take a little before it costs. */
function chunkBytes(datagramBytes: number, headerBytes: number): number {
  return datagramBytes - Math.max(MTU_TO_CHUNK_BYTES, headerBytes);
}

// What two peers tell each other about the quality of their connection: the blob beside the payload of a data packet,
// outside the encryption. Spec: "Stats messages" (4.10), "UDP Stats blob" (1.3).
import * as pb from './generated/messages_pb.ts';
import { optional, parseMessage, serializeMessage } from './protobuf.ts';

/** Bits of `StatsBlob.flags`. */
export const StatsFlag = {
  /** The sender wants to know that this packet arrived. Implied by statistics. */
  AckRequested: 2,
  /** ... at once. */
  ReplyNow: 4,
} as const;

export interface StatsBlob {
  /** Of `StatsFlag`. A blob with statistics reads as if it had `AckRequested`. */
  readonly flags: number;
  readonly instantaneous: InstantaneousStats | undefined;
  readonly lifetime: LifetimeStats | undefined;
}

/** The last seconds, as the sender of the blob sees them. Undefined: not known. */
export interface InstantaneousStats {
  readonly sentPacketsPerSecX10: number;
  readonly sentBytesPerSec: number;
  readonly receivedPacketsPerSecX10: number;
  readonly receivedBytesPerSec: number;
  readonly pingMs: number | undefined;
  readonly droppedPercent: number | undefined;
  readonly weirdPercent: number | undefined;
  readonly peakJitterUs: number | undefined;
}

/** Totals since the connection began, as the sender of the blob sees them. */
export interface LifetimeStats extends LifetimeTotals {
  /** Intervals by quality: 100, 99, 97, 95, 90, 75, 50, 1 percent, dead. */
  readonly qualityHistogram: readonly number[];
  /** Quality in percent at percentiles 2, 5, 25, 50; undefined where there are too few samples. */
  readonly qualityNtiles: readonly (number | undefined)[];
  /** Samples up to 25, 50, 75, 100, 125, 150, 200, 300 ms, and above. */
  readonly pingHistogram: readonly number[];
  /** Milliseconds at percentiles 5, 50, 75, 95, 98; undefined where there are too few samples. */
  readonly pingNtiles: readonly (number | undefined)[];
  /** Samples below 1, 2, 5, 10, 20 ms, and the rest. */
  readonly jitterHistogram: readonly number[];
}

/** Counts are exact up to 2^53. */
interface LifetimeTotals {
  readonly connectedS: number;
  readonly packetsSent: number;
  readonly kibSent: number;
  readonly packetsReceived: number;
  readonly kibReceived: number;
  readonly sequencedPacketsReceived: number;
  readonly packetsLost: number;
  readonly packetsOutOfOrder: number;
  readonly packetsDuplicate: number;
  readonly packetsLurch: number;
  readonly packetsOutOfOrderCorrected: number;
}

/** Reads `bytes[start..end)`; undefined if it is malformed. */
export function decodeStatsBlob(bytes: Uint8Array, start: number, end: number): StatsBlob | undefined {
  if (end - start === 2 && bytes[start] === FLAGS_TAG && bytes[start + 1]! < 0x80) return flagsOnly(bytes[start + 1]!);
  const message = parseMessage(pb.StatsBlobSchema, bytes.subarray(start, end));
  if (!message?.stats) return message && flagsOnly(message.flags);
  const { instantaneous, lifetime } = message.stats;
  return {
    flags: message.flags | StatsFlag.AckRequested,
    instantaneous: instantaneous && readInstantaneous(instantaneous),
    lifetime: lifetime && readLifetime(lifetime),
  };
}

/** Writes to `out` from `at`; returns the position behind. A blob with all there is has less than 400 bytes. */
export function encodeStatsBlob(blob: StatsBlob, out: Uint8Array, at: number): number {
  const { flags, instantaneous, lifetime } = blob;
  if (!instantaneous && !lifetime && flags < 0x80) {
    out[at] = FLAGS_TAG;
    out[at + 1] = flags;
    return at + 2;
  }
  const hasStats = instantaneous !== undefined || lifetime !== undefined;
  const bytes = serializeMessage(pb.StatsBlobSchema, {
    stats: hasStats ? { instantaneous, lifetime: lifetime && lifetimeFields(lifetime) } : undefined,
    flags: hasStats ? flags & ~StatsFlag.AckRequested || undefined : flags,
  });
  out.set(bytes, at);
  return at + bytes.length;
}

/** Field 3 of the blob, a varint. */
const FLAGS_TAG = 0x18;

// The fields of each list, in the order of the list.
const QUALITY_HISTOGRAM = [
  'quality100',
  'quality99',
  'quality97',
  'quality95',
  'quality90',
  'quality75',
  'quality50',
  'quality1',
  'qualityDead',
] as const;
const QUALITY_NTILES = ['qualityNtile2', 'qualityNtile5', 'qualityNtile25', 'qualityNtile50'] as const;
const PING_HISTOGRAM = [
  'ping25',
  'ping50',
  'ping75',
  'ping100',
  'ping125',
  'ping150',
  'ping200',
  'ping300',
  'pingMax',
] as const;
const PING_NTILES = ['pingNtile5', 'pingNtile50', 'pingNtile75', 'pingNtile95', 'pingNtile98'] as const;
const JITTER_HISTOGRAM = ['jitter1', 'jitter2', 'jitter5', 'jitter10', 'jitter20', 'jitterMax'] as const;

function flagsOnly(flags: number): StatsBlob {
  return { flags, instantaneous: undefined, lifetime: undefined };
}

function readInstantaneous(message: pb.InstantaneousStats): InstantaneousStats {
  return {
    sentPacketsPerSecX10: message.sentPacketsPerSecX10,
    sentBytesPerSec: message.sentBytesPerSec,
    receivedPacketsPerSecX10: message.receivedPacketsPerSecX10,
    receivedBytesPerSec: message.receivedBytesPerSec,
    pingMs: optional(message, 'pingMs'),
    droppedPercent: optional(message, 'droppedPercent'),
    weirdPercent: optional(message, 'weirdPercent'),
    peakJitterUs: optional(message, 'peakJitterUs'),
  };
}

function readLifetime(message: pb.LifetimeStats): LifetimeStats {
  return {
    connectedS: message.connectedS,
    packetsSent: Number(message.packetsSent),
    kibSent: Number(message.kibSent),
    packetsReceived: Number(message.packetsReceived),
    kibReceived: Number(message.kibReceived),
    sequencedPacketsReceived: Number(message.sequencedPacketsReceived),
    packetsLost: Number(message.packetsLost),
    packetsOutOfOrder: Number(message.packetsOutOfOrder),
    packetsDuplicate: Number(message.packetsDuplicate),
    packetsLurch: Number(message.packetsLurch),
    packetsOutOfOrderCorrected: Number(message.packetsOutOfOrderCorrected),
    qualityHistogram: QUALITY_HISTOGRAM.map((name) => message[name]),
    qualityNtiles: QUALITY_NTILES.map((name) => optional(message, name)),
    pingHistogram: PING_HISTOGRAM.map((name) => message[name]),
    pingNtiles: PING_NTILES.map((name) => optional(message, name)),
    jitterHistogram: JITTER_HISTOGRAM.map((name) => message[name]),
  };
}

function lifetimeFields(stats: LifetimeStats) {
  return {
    connectedS: stats.connectedS,
    packetsSent: BigInt(stats.packetsSent),
    kibSent: BigInt(stats.kibSent),
    packetsReceived: BigInt(stats.packetsReceived),
    kibReceived: BigInt(stats.kibReceived),
    sequencedPacketsReceived: BigInt(stats.sequencedPacketsReceived),
    packetsLost: BigInt(stats.packetsLost),
    packetsOutOfOrder: BigInt(stats.packetsOutOfOrder),
    packetsDuplicate: BigInt(stats.packetsDuplicate),
    packetsLurch: BigInt(stats.packetsLurch),
    packetsOutOfOrderCorrected: BigInt(stats.packetsOutOfOrderCorrected),
    ...nonZeroFields(QUALITY_HISTOGRAM, stats.qualityHistogram),
    ...fields(QUALITY_NTILES, stats.qualityNtiles),
    ...nonZeroFields(PING_HISTOGRAM, stats.pingHistogram),
    ...fields(PING_NTILES, stats.pingNtiles),
    ...nonZeroFields(JITTER_HISTOGRAM, stats.jitterHistogram),
  };
}

type NumberFields<Name extends string> = { readonly [N in Name]?: number | undefined };

function fields<Name extends string>(
  names: readonly Name[],
  values: readonly (number | undefined)[],
): NumberFields<Name> {
  return Object.fromEntries(names.map((name, i) => [name, values[i]])) as NumberFields<Name>;
}

/** Empty bars of a histogram are not sent. */
function nonZeroFields<Name extends string>(names: readonly Name[], values: readonly number[]): NumberFields<Name> {
  return fields(
    names,
    values.map((value) => value || undefined),
  );
}

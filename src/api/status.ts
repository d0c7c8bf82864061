// How a connection is doing, as a snapshot. Spec: 05 §5.8 "SteamNetConnectionRealTimeStatus_t".

import { US_PER_SECOND } from '../core/base/time.ts';
import type { Connection } from '../core/connection/connection.ts';
import { type ConnectionState, visibleState } from '../core/connection/state-table.ts';
import type { Delivery } from '../core/delivery/delivery.ts';

/** One lane's share of what waits. */
export interface LaneStatus {
  readonly pendingReliableBytes: number;
  readonly pendingUnreliableBytes: number;
  readonly sentUnackedReliableBytes: number;
  /** How long a message queued on it now would wait, by priorities and weights; Infinity while not connected. */
  readonly queueTimeUs: number;
}

/** Bytes are those of UDP payload, rates are of the last five seconds. */
export interface ConnectionStatus {
  readonly state: ConnectionState;
  /** Smoothed round trip in whole ms; -1 if unknown. */
  readonly pingMs: number;
  /** Share (0 – 1) of packets that arrived in order, ours and as the peer tells; -1 if unknown. */
  readonly qualityLocal: number;
  readonly qualityRemote: number;
  readonly outPacketsPerSec: number;
  readonly outBytesPerSec: number;
  readonly inPacketsPerSec: number;
  readonly inBytesPerSec: number;
  /** What the connection allows itself to send. */
  readonly sendRateBytesPerSec: number;
  /** How large datagrams to the peer are now at most: `mtuPacketSize`, or more where the peer and the path take it. */
  readonly mtuBytes: number;
  /** Queued and not yet sent; reliable: what was lost and must be sent again included. */
  readonly pendingUnreliableBytes: number;
  readonly pendingReliableBytes: number;
  readonly sentUnackedReliableBytes: number;
  /** How long a message queued now would wait; Infinity while not connected. */
  readonly queueTimeUs: number;
  /** Largest since the last call of `status`; -1 without a measurement, for which the peer must send time stamps. */
  readonly maxJitterUs: number;
  /** Datagrams and bytes of UDP payload since the beginning. */
  readonly packetsSent: number;
  readonly bytesSent: number;
  readonly packetsReceived: number;
  readonly bytesReceived: number;
  /** Data packets among them, and what their numbers tell of the others. */
  readonly sequencedPacketsReceived: number;
  readonly packetsLost: number;
  readonly packetsOutOfOrder: number;
  readonly packetsDuplicate: number;
  /** Reliable segments sent again before their fate was known, and their bytes; see `redundantSends`. */
  readonly redundantSegmentsSent: number;
  readonly redundantBytesSent: number;
  /** The lanes of our sending side, by number. */
  readonly lanes: readonly LaneStatus[];
}

/** As `statusOf`; the largest jitter counts from now on. */
export function connectionStatus(connection: Connection, nowUs: number): ConnectionStatus {
  const status = statusOf(connection, nowUs);
  connection.data.stats.unreadJitterUs = -1;
  return status;
}

export function statusOf(connection: Connection, nowUs: number): ConnectionStatus {
  const { data } = connection;
  const { stats, delivery, exchange } = data;
  const isConnected = connection.state === 'Connected';
  if (isConnected) data.settleStats(nowUs);
  const sendRateBytesPerSec = delivery.bucket.rateBytesPerSec;
  const lanes = laneStatuses(delivery, isConnected ? sendRateBytesPerSec : 0);
  const pendingReliableBytes = sum(lanes, (lane) => lane.pendingReliableBytes);
  const pendingUnreliableBytes = sum(lanes, (lane) => lane.pendingUnreliableBytes);
  const remote = exchange.remoteInstantaneous;
  const isRemoteKnown = remote?.droppedPercent !== undefined && remote.weirdPercent !== undefined;
  return {
    state: visibleState(connection.state),
    pingMs: stats.roundTrip.smoothedMs,
    qualityLocal: stats.quality,
    qualityRemote: isRemoteKnown ? Math.max(0, 1 - (remote.droppedPercent! + remote.weirdPercent!) / 100) : -1,
    outPacketsPerSec: stats.sent.packetsPerSec,
    outBytesPerSec: stats.sent.bytesPerSec,
    inPacketsPerSec: stats.received.packetsPerSec,
    inBytesPerSec: stats.received.bytesPerSec,
    sendRateBytesPerSec,
    mtuBytes: data.mtuBytes,
    pendingUnreliableBytes,
    pendingReliableBytes,
    sentUnackedReliableBytes: sum(lanes, (lane) => lane.sentUnackedReliableBytes),
    queueTimeUs: isConnected
      ? ((pendingReliableBytes + pendingUnreliableBytes) / sendRateBytesPerSec) * 1e6
      : Number.POSITIVE_INFINITY,
    maxJitterUs: stats.unreadJitterUs,
    packetsSent: stats.sent.packets,
    bytesSent: stats.sent.bytes,
    packetsReceived: stats.received.packets,
    bytesReceived: stats.received.bytes,
    sequencedPacketsReceived: stats.sequencedReceived,
    packetsLost: stats.window.lost,
    packetsOutOfOrder: stats.window.outOfOrder,
    packetsDuplicate: stats.window.duplicates,
    redundantSegmentsSent: delivery.redundantSegments,
    redundantBytesSent: delivery.redundantBytes,
    lanes,
  };
}

/** With a rate of 0 nothing ever leaves. */
function laneStatuses({ sendLanes, laneOptions }: Delivery, rateBytesPerSec: number): readonly LaneStatus[] {
  const lanes = sendLanes.map((lane, i) => {
    const { priority = 0, weight = 1 } = laneOptions[i] ?? {};
    const pendingReliableBytes = lane.pendingReliableBytes + lane.lostBytes;
    const { pendingUnreliableBytes, inFlightBytes } = lane;
    const pendingBytes = pendingReliableBytes + pendingUnreliableBytes;
    return { priority, weight, pendingBytes, pendingReliableBytes, pendingUnreliableBytes, inFlightBytes };
  });
  return lanes.map(({ priority, weight, pendingBytes, ...lane }) => {
    const before = lanes.filter((each) => each.priority < priority);
    const equals = lanes.filter((each) => each.priority === priority && each.pendingBytes > 0);
    // Its share of the line, as long as the others of its class have something to send.
    const inTurn = (pendingBytes * sum(equals, (each) => each.weight)) / weight;
    const ahead =
      sum(before, (each) => each.pendingBytes) +
      Math.min(
        inTurn,
        sum(equals, (each) => each.pendingBytes),
      );
    return {
      pendingReliableBytes: lane.pendingReliableBytes,
      pendingUnreliableBytes: lane.pendingUnreliableBytes,
      sentUnackedReliableBytes: lane.inFlightBytes,
      queueTimeUs: rateBytesPerSec === 0 ? Number.POSITIVE_INFINITY : (ahead / rateBytesPerSec) * US_PER_SECOND,
    };
  });
}

function sum<T>(items: readonly T[], numberOf: (item: T) => number): number {
  return items.reduce((total, item) => total + numberOf(item), 0);
}

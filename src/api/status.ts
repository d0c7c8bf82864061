// How a connection is doing, as a snapshot. Spec: 05 §5.8 "SteamNetConnectionRealTimeStatus_t".

import type { Connection } from '../core/connection/connection.ts';
import { type ConnectionState, visibleState } from '../core/connection/state-table.ts';

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
}

export function connectionStatus(connection: Connection, nowUs: number): ConnectionStatus {
  const { data } = connection;
  const { stats, delivery, exchange } = data;
  const isConnected = connection.state === 'Connected';
  if (isConnected) data.settleStats(nowUs);
  let pendingReliableBytes = 0;
  let pendingUnreliableBytes = 0;
  let sentUnackedReliableBytes = 0;
  for (const lane of delivery.sendLanes) {
    pendingReliableBytes += lane.pendingReliableBytes + lane.lostBytes;
    pendingUnreliableBytes += lane.pendingUnreliableBytes;
    sentUnackedReliableBytes += lane.inFlightBytes;
  }
  const remote = exchange.remoteInstantaneous;
  const isRemoteKnown = remote?.droppedPercent !== undefined && remote.weirdPercent !== undefined;
  const sendRateBytesPerSec = delivery.bucket.rateBytesPerSec;
  const maxJitterUs = stats.unreadJitterUs;
  stats.unreadJitterUs = -1;
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
    pendingUnreliableBytes,
    pendingReliableBytes,
    sentUnackedReliableBytes,
    queueTimeUs: isConnected
      ? ((pendingReliableBytes + pendingUnreliableBytes) / sendRateBytesPerSec) * 1e6
      : Number.POSITIVE_INFINITY,
    maxJitterUs,
    packetsSent: stats.sent.packets,
    bytesSent: stats.sent.bytes,
    packetsReceived: stats.received.packets,
    bytesReceived: stats.received.bytes,
    sequencedPacketsReceived: stats.sequencedReceived,
    packetsLost: stats.window.lost,
    packetsOutOfOrder: stats.window.outOfOrder,
    packetsDuplicate: stats.window.duplicates,
  };
}

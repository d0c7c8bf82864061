// Numbers and records of the library as the words of the peer's reports.

import {
  type Connection,
  type ConnectionInfo,
  type ConnectionStatus,
  EndReason,
  flagBits,
  type LaneStatus,
} from '../../index.ts';
import type { Fields } from './report.ts';

/** GNS's numbers of those results that occur here. */
export const EResult = {
  None: 0,
  OK: 1,
  Fail: 2,
  NoConnection: 3,
  InvalidParam: 8,
  Busy: 10,
  InvalidState: 11,
  Timeout: 16,
  Pending: 22,
  LimitExceeded: 25,
  DuplicateRequest: 29,
  IPNotFound: 31,
  ConnectFailed: 35,
  HandshakeFailed: 36,
  Ignored: 41,
  NotSupported: 128,
} as const;

/** Name of an EResult; its number for others. */
export function resultName(result: number): string {
  for (const [name, number] of Object.entries(EResult)) if (number === result) return name;
  return String(result);
}

const REASONS = new Map<number, string>(Object.entries(EndReason).map(([name, reason]) => [reason, name]));
REASONS.set(EndReason.None, 'Invalid');
REASONS.delete(EndReason.App_Max);
REASONS.delete(EndReason.AppException_Max);

/** GNS's name of an end reason; `App` and `AppException` for the application's own, a number for the rest. */
export function reasonName(reason: number): string {
  const name = REASONS.get(reason);
  if (name !== undefined) return name;
  if (reason >= EndReason.App_Generic && reason <= EndReason.App_Max) return 'App';
  if (reason >= EndReason.AppException_Generic && reason <= EndReason.AppException_Max) return 'AppException';
  return String(reason);
}

/** As GNS describes a connection in its logs. */
export function description(connection: Connection, info: ConnectionInfo): string {
  const { remoteIdentity, remoteAddress } = info;
  // There is no address that could have changed since.
  const short = String(connection);
  if (short.startsWith(`#${connection.id} P2P`)) return short;
  // An identity that is only an address says nothing more than the address.
  const who = remoteIdentity?.kind === 'ip' ? '' : `${remoteIdentity ?? 'invalid'}@`;
  const name = connection.name === '' ? '' : ` '${connection.name}'`;
  const route = info.flags.loopbackBuffers ? 'pipe' : `UDP ${who}${remoteAddress}`;
  return `#${connection.id} ${route}${name}`;
}

export function flagFields({ flags }: ConnectionInfo): Fields {
  const names = Object.entries(flags).filter(([, isSet]) => isSet);
  return {
    flags: flagBits(flags),
    flagNames: names.map(([name]) => name.charAt(0).toUpperCase() + name.slice(1)),
  };
}

/** All about the end of a connection, or that it has none. */
export function endFields({ endReason, endDebug }: ConnectionInfo): Fields {
  return { reason: endReason, reasonName: reasonName(endReason), debug: endDebug };
}

/** With its port, even where it has none. */
export function addressText({ remoteAddress }: ConnectionInfo): string {
  return remoteAddress.isAny ? `[${remoteAddress.host}]:0` : String(remoteAddress);
}

export function identityText({ remoteIdentity }: ConnectionInfo): string {
  return String(remoteIdentity ?? 'invalid');
}

/** What GNS reports where a wait has no end. */
const FOREVER_US = 2n ** 63n - 1n;

/** The fields of the `status` command. */
export function statusFields(status: ConnectionStatus): Fields {
  return {
    state: status.state,
    ping_ms: status.pingMs,
    quality_local: status.qualityLocal,
    quality_remote: status.qualityRemote,
    out_pkts_per_s: status.outPacketsPerSec,
    out_bytes_per_s: status.outBytesPerSec,
    in_pkts_per_s: status.inPacketsPerSec,
    in_bytes_per_s: status.inBytesPerSec,
    send_rate: status.sendRateBytesPerSec,
    ...queueFields(status),
    max_jitter_us: status.maxJitterUs,
    lanes: status.lanes.map(queueFields),
    packets: {
      sent_pkts: status.packetsSent,
      sent_bytes: status.bytesSent,
      recv_pkts: status.packetsReceived,
      recv_bytes: status.bytesReceived,
      recv_sequenced: status.sequencedPacketsReceived,
      recv_dropped: status.packetsLost,
      recv_out_of_order: status.packetsOutOfOrder,
      recv_duplicate: status.packetsDuplicate,
    },
  };
}

/** What waits, on one lane or all. */
function queueFields(queue: LaneStatus): Fields {
  return {
    pending_unreliable: queue.pendingUnreliableBytes,
    pending_reliable: queue.pendingReliableBytes,
    unacked_reliable: queue.sentUnackedReliableBytes,
    queue_us: Number.isFinite(queue.queueTimeUs) ? Math.trunc(queue.queueTimeUs) : FOREVER_US,
  };
}

/** Where there is nothing to say, null. */
export function orNull(text: string): string | null {
  return text === '' ? null : text;
}

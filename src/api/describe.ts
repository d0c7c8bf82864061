// A connection in words, for people and logs: GNS's short description, and all that is known of it on many lines.
// Spec: 05 §5.4.2 "GetDetailedConnectionStatus", §5.8 "connectionDescription".

import { US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import type { Connection } from '../core/connection/connection.ts';
import { endReasonName } from '../core/connection/end-reason.ts';
import type { InstantaneousStats, LifetimeStats } from '../core/wire/stats-messages.ts';
import { explain } from './explain.ts';
import { routeLines } from './explain-route.ts';
import { type ConnectionStatus, statusOf } from './status.ts';

/** `#<id> UDP str:x@1.2.3.4:5678 'name'`; without the identity where it is the address or not known. */
export function shortDescription(connection: Connection, name: string): string {
  const { remoteIdentity: identity, remoteAddress: address, flags } = connection.info;
  const suffix = name === '' ? '' : ` '${name}'`;
  if (connection.link !== undefined) {
    const { local, remote } = connection.link.talk.ports;
    const transport = connection.link.path === undefined ? 'P2P' : 'P2P ICE';
    const virtualPort = connection.isIncoming ? local : remote;
    return `#${connection.id} ${transport} ${identity ?? 'unknown'} vport ${virtualPort}${suffix}`;
  }
  const who = identity === undefined || identity.kind === 'ip' ? '' : `${identity}@`;
  const route = flags.loopbackBuffers ? 'pipe' : `UDP ${who}${address}`;
  return `#${connection.id} ${route}${suffix}`;
}

/** Many lines for a person to read; their form may change with any version. */
export function describe(connection: Connection, name: string, nowUs: number): string {
  const { kind, summary, hint, route } = explain(connection, nowUs);
  const status = statusOf(connection, nowUs);
  const { stats, exchange } = connection.data;
  const { remoteInstantaneous: theirs, remoteLifetime: theirLife } = exchange;
  return [
    shortDescription(connection, name),
    ...stateLines(connection, nowUs),
    line('diagnosis', `${kind}: ${summary}`),
    ...(hint === '' ? [] : [line('', hint)]),
    ...currentLines(status),
    ...laneLines(connection, status),
    ...unreadLines(connection),
    ...(route === undefined ? [] : routeLines(route)),
    'Since the beginning:',
    ...lifetimeLines(stats.lifetime(nowUs)),
    ...(theirs === undefined ? [] : ['As the peer told last, of the last seconds:', ...theirLines(theirs)]),
    ...(theirLife === undefined ? [] : ['As the peer told last, since the beginning:', ...lifetimeLines(theirLife)]),
  ].join('\n');
}

function line(title: string, text: string): string {
  return `  ${title.padEnd(12)} ${text}`;
}

function stateLines(connection: Connection, nowUs: number): string[] {
  const { state, history, info } = connection;
  const flags = Object.entries(info.flags).flatMap(([flag, isSet]) => (isSet ? [flag] : []));
  const words = [connection.isIncoming ? 'incoming' : 'outgoing', ...flags];
  const lines = [line('state', `${state} for ${seconds(nowUs - history.stateSinceUs)} (${words.join(', ')})`)];
  const { endReason, endDebug } = info;
  if (endReason !== 0) lines.push(line('ended', `${endReason} ${endReasonName(endReason)}: ${endDebug}`));
  return lines;
}

function currentLines(status: ConnectionStatus): string[] {
  const jitter = status.maxJitterUs < 0 ? 'unknown' : milliseconds(status.maxJitterUs);
  const allowed = `${bytes(status.sendRateBytesPerSec)}/s allowed`;
  return [
    line('ping', `${status.pingMs < 0 ? 'unknown' : `${status.pingMs} ms`}; jitter up to ${jitter}`),
    line('quality', `${share(status.qualityLocal)} here, ${share(status.qualityRemote)} there`),
    line('sending', `${flow(status.outPacketsPerSec, status.outBytesPerSec)}, ${allowed}`),
    line('receiving', flow(status.inPacketsPerSec, status.inBytesPerSec)),
  ];
}

function laneLines(connection: Connection, { lanes }: ConnectionStatus): string[] {
  const { laneOptions } = connection.data.delivery;
  return lanes.map((lane, i) => {
    const { priority = 0, weight = 1 } = laneOptions[i] ?? {};
    const waiting = `${lane.pendingReliableBytes} B reliable and ${lane.pendingUnreliableBytes} B unreliable wait`;
    const wait = Number.isFinite(lane.queueTimeUs) ? milliseconds(lane.queueTimeUs) : 'unknown time';
    const text = `${waiting} (${wait}), ${lane.sentUnackedReliableBytes} B unacknowledged`;
    return line(`lane ${i}`, `${text}; priority ${priority}, weight ${weight}`);
  });
}

function unreadLines({ data }: Connection): string[] {
  const { queuedMessages, queuedBytes } = data.delivery.receiver;
  return [line('unread', `${queuedMessages} messages, ${bytes(queuedBytes)}`)];
}

function theirLines(stats: InstantaneousStats): string[] {
  const { pingMs, droppedPercent: dropped, weirdPercent: weird, peakJitterUs } = stats;
  return [
    line(
      'ping',
      `${pingMs ?? 'unknown'} ms; jitter up to ${peakJitterUs === undefined ? 'unknown' : milliseconds(peakJitterUs)}`,
    ),
    line('quality', `${dropped ?? 'unknown'} % lost, ${weird ?? 'unknown'} % out of order or twice`),
    line('sending', flow(stats.sentPacketsPerSecX10 / 10, stats.sentBytesPerSec)),
    line('receiving', flow(stats.receivedPacketsPerSecX10 / 10, stats.receivedBytesPerSec)),
  ];
}

const QUALITY_TITLES = ['100', '99+', '97+', '95+', '90+', '75+', '50+', '<50', 'dead'] as const;
const PING_TITLES = ['≤25', '≤50', '≤75', '≤100', '≤125', '≤150', '≤200', '≤300', '>300'] as const;
const JITTER_TITLES = ['<1', '<2', '<5', '<10', '<20', '≥20'] as const;

function lifetimeLines(stats: LifetimeStats): string[] {
  const { packetsLost: lost, packetsOutOfOrder: disordered, packetsDuplicate: twice, packetsLurch: jumps } = stats;
  return [
    line('sent', `${stats.packetsSent} packets, ${stats.kibSent} KiB`),
    line('received', `${stats.packetsReceived} packets, ${stats.kibReceived} KiB`),
    line(
      'numbers',
      `${stats.sequencedPacketsReceived} seen, ${lost} lost, ${disordered} out of order, ${twice} twice, ${jumps} jumps`,
    ),
    line('ping, ms', histogram(PING_TITLES, stats.pingHistogram)),
    line('', percentiles([5, 50, 75, 95, 98], stats.pingNtiles)),
    line('jitter, ms', histogram(JITTER_TITLES, stats.jitterHistogram)),
    line('quality, %', histogram(QUALITY_TITLES, stats.qualityHistogram)),
    line('', percentiles([2, 5, 25, 50], stats.qualityNtiles)),
  ].filter((text) => text.trim() !== '');
}

/** Only what occurred. */
function histogram(titles: readonly string[], counts: readonly number[]): string {
  const parts = titles.flatMap((title, i) => ((counts[i] ?? 0) === 0 ? [] : [`${title}: ${counts[i]}`]));
  return parts.length === 0 ? 'no samples' : parts.join('  ');
}

function percentiles(shares: readonly number[], values: readonly (number | undefined)[]): string {
  const parts = shares.flatMap((each, i) => (values[i] === undefined ? [] : [`${each} % below ${values[i]}`]));
  return parts.join(', ');
}

function flow(packetsPerSec: number, bytesPerSec: number): string {
  return `${packetsPerSec.toFixed(1)} packets/s, ${bytes(bytesPerSec)}/s`;
}

function bytes(count: number): string {
  return count < 1024 ? `${Math.round(count)} B` : `${(count / 1024).toFixed(1)} KiB`;
}

function share(ratio: number): string {
  return ratio < 0 ? 'unknown' : `${(ratio * 100).toFixed(1)} %`;
}

function seconds(us: number): string {
  return `${(us / US_PER_SECOND).toFixed(1)} s`;
}

function milliseconds(us: number): string {
  return `${(us / US_PER_MS).toFixed(1)} ms`;
}

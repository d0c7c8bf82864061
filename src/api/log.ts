// What the library has to say to whoever keeps a log: ends and problems by themselves, details of packets where the
// configuration values `logLevel…` ask for them. Spec: 05 §5.5 "SetDebugOutputFunction", 06 §6.2 ids 13 – 17.

import type { IpAddress } from '../core/base/address.ts';
import type { CertificateDetails } from '../core/certs/certificate.ts';
import type { ConfigName } from '../core/config/values.ts';
import { endReasonName } from '../core/connection/end-reason.ts';
import { isVisibleChange, type StateChange } from '../core/connection/info.ts';
import { allowWithoutAuth } from '../core/connection/key-exchange.ts';
import type { Member } from '../core/endpoint/member.ts';
import type { Platform } from '../core/platform.ts';
import type { Connection } from './connection.ts';
import type { Credentials } from './credentials.ts';
import type { ClientRefusal } from './listen-socket.ts';

/** GNS's numbers; a level includes those below. */
export const LOG_LEVELS = {
  none: 0,
  bug: 1,
  error: 2,
  important: 3,
  warning: 4,
  msg: 5,
  verbose: 6,
  debug: 7,
  everything: 8,
} as const;
export type LogLevel = keyof typeof LOG_LEVELS;

export interface LogEntry {
  readonly level: LogLevel;
  /** One line, for people. It begins with the connection that it is about. */
  readonly text: string;
  readonly connection: Connection | undefined;
  /** On the instance's clock. */
  readonly atUs: number;
}

export interface LogOptions {
  /** Nothing beyond this level is told. Default: `msg`. */
  readonly level?: LogLevel;
  /** Told a moment later, when the library is not at work. */
  readonly output: (entry: LogEntry) => void;
}

/** Details of one kind: shown where this configuration value is at least `verbose`. */
interface Detail {
  readonly value: ConfigName;
  /** What happened since the last look, or nothing. `before` is the result of `counts` then. */
  readonly describe: (now: readonly number[], before: readonly number[]) => string | undefined;
  readonly counts: (member: Member) => readonly number[];
}

const DETAILS: readonly Detail[] = [
  {
    value: 'logLevelAckRtt',
    counts: ({ connection: { data } }) => [data.stats.roundTrip.reservoir.count, data.stats.roundTrip.smoothedMs],
    describe: ([samples, pingMs], [before]) => (samples === before ? undefined : `ping is ${pingMs} ms`),
  },
  {
    value: 'logLevelPacketDecode',
    counts: ({ connection: { data } }) => [
      data.stats.received.packets,
      data.stats.received.bytes,
      data.stats.sent.packets,
      data.stats.sent.bytes,
    ],
    describe: (now, before) => {
      const [inPackets, inBytes, outPackets, outBytes] = now.map((count, i) => count - before[i]!);
      return `received ${inPackets} datagrams (${inBytes} bytes), sent ${outPackets} (${outBytes} bytes)`;
    },
  },
  {
    value: 'logLevelMessage',
    counts: ({ connection: { data } }) => [data.delivery.receiver.deliveredMessages, data.delivery.queuedMessages],
    describe: ([received, queued], before) =>
      `received ${received! - before[0]!} messages, sends ${queued! - before[1]!}`,
  },
  {
    value: 'logLevelPacketGaps',
    counts: ({ connection: { data } }) => {
      const { lost, outOfOrder, duplicates, lurches } = data.stats.window;
      return [lost, outOfOrder, duplicates, lurches];
    },
    describe: (now, before) => {
      const [lost, late, twice, lurches] = now.map((count, i) => count - before[i]!);
      return `packets missing: ${lost}, out of order: ${late}, twice: ${twice}, jumps: ${lurches}`;
    },
  },
];

export class Log {
  readonly #options: LogOptions;
  readonly #platform: Platform;
  /** Per connection, the counts of each detail at the last look. */
  readonly #seen = new WeakMap<Member, (readonly number[])[]>();

  constructor(options: LogOptions, platform: Platform) {
    this.#options = options;
    this.#platform = platform;
  }

  #say(level: LogLevel, connection: Connection | undefined, text: string): void {
    if (LOG_LEVELS[level] > LOG_LEVELS[this.#options.level ?? 'msg']) return;
    const line = connection === undefined ? text : `${connection} ${text}`;
    const entry = { level, connection, text: line, atUs: this.#platform.nowUs() };
    this.#platform.defer(() => this.#options.output(entry));
  }

  onStateChange(connection: Connection, change: StateChange): void {
    const { from, to } = change;
    const { endReason, endDebug } = change.info;
    const why = endReason === 0 ? '' : `: ${endReason} ${endReasonName(endReason)}, ${endDebug}`;
    const level = to === 'ProblemDetectedLocally' ? 'warning' : isVisibleChange(change) ? 'msg' : 'verbose';
    this.#say(level, connection, `${from} -> ${to}${why}`);
    const { config, remoteAddress, info } = connection;
    if (to === 'Connected' && info.flags.unauthenticated && allowWithoutAuth(config, remoteAddress) === 1) {
      this.#say('warning', connection, 'no trusted authority vouches for this peer');
    }
  }

  onMoved(connection: Connection, from: IpAddress): void {
    this.#say('msg', connection, `the peer moved here from ${from}`);
  }

  /** From now on it tells when our certificate is about to expire. */
  watch(credentials: Credentials): void {
    const date = ({ expiresS = 0 }: CertificateDetails) => new Date(expiresS * 1000).toISOString();
    const say = (level: LogLevel, text: string) => this.#say(level, undefined, `our certificate ${text}`);
    credentials.on('expiring', (certificate) => say('warning', `expires on ${date(certificate)}`));
    credentials.on('expired', (certificate) => say('error', `expired on ${date(certificate)}`));
  }

  /** A client was ignored, who is not told why. */
  onRefused({ kind, detail, remoteIdentity, remoteAddress, untold }: ClientRefusal): void {
    const who = remoteIdentity === undefined ? remoteAddress : `${remoteIdentity}@${remoteAddress}`;
    const others = untold === 0 ? '' : `; ${untold} others before it were not told of`;
    this.#say('warning', undefined, `refused ${who}: ${detail} (${kind})${others}`);
  }

  /** Something happened to this connection. */
  onSettled(member: Member, connection: Connection): void {
    const { config } = member.connection;
    const seen = this.#seen.get(member) ?? [];
    this.#seen.set(member, seen);
    for (const [i, { value, counts, describe }] of DETAILS.entries()) {
      if (Number(config.get(value)) < LOG_LEVELS.verbose) continue;
      const now = counts(member);
      const before = seen[i] ?? now.map(() => 0);
      seen[i] = now;
      if (now.every((count, k) => count === before[k])) continue;
      const text = describe(now, before);
      if (text !== undefined) this.#say('verbose', connection, text);
    }
  }
}

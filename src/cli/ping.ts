// `gns ping`: is there a server, how far away is it, and what does it tell of itself? Works with any GNS server. It
// connects once, and measures round trips with ChallengeRequests: a server answers these at once and forgets them, so
// its application sees a connection come and go, and no message. Spec: 01 §1.3, §1.9.

import { setTimeout as delay } from 'node:timers/promises';
import { PROTOCOL_VERSION } from '../core/connection/environment.ts';
import type { Platform, UdpPort } from '../core/platform.ts';
import {
  type ChallengeReply,
  decodeControlPacket,
  encodeControlPacket,
  MAX_CONTROL_PACKET_BYTES,
} from '../core/wire/control-packets.ts';
import {
  type Connection,
  ConnectionError,
  type Diagnosis,
  endReasonName,
  type IpAddress,
  Networking,
  NetworkingError,
} from '../index.ts';
import { printable } from './chat/text.ts';
import { CREDENTIAL_OPTIONS, CREDENTIAL_USAGE, credentialOptions } from './credentials.ts';
import { closeSoon } from './farewell.ts';
import { parseArguments, UsageError } from './usage.ts';

const USAGE = `usage: gns ping ADDRESS [--count N] [--json] ${CREDENTIAL_USAGE} [--expect ID]`;
const DEFAULT_COUNT = '4';
const MAX_COUNT = 1_000;
const INTERVAL_MS = 250;
const PATIENCE_MS = 1_000;
const CLOSE = { reason: 1000, debug: 'ping' } as const;

/** All that was found out; times in milliseconds. What is printed with `--json`. */
export interface PingReport {
  readonly address: string;
  readonly connected: boolean;
  /** From the name to the established connection, the application's decision included. */
  readonly handshakeMs?: number;
  readonly identity?: string;
  /** A trusted authority vouches for the identity. */
  readonly authenticated?: boolean;
  readonly encryption?: 'AES-256-GCM' | 'none';
  /** What the server announces. */
  readonly protocolVersion?: number | null;
  /** One per ChallengeRequest; null where no answer came. */
  readonly pingsMs?: readonly (number | null)[];
  readonly lossRatio?: number;
  /** Why the connection did not come about, or ended by itself. */
  readonly reason?: number;
  readonly reasonName?: string;
  readonly text?: string;
  /** What to look at, where the connection did not come about. */
  readonly hint?: string;
}

/** Resolves with the exit status: 0 if the server took the connection and kept it. */
export async function ping(args: readonly string[]): Promise<number> {
  const options = {
    count: { type: 'string', default: DEFAULT_COUNT },
    json: { type: 'boolean' },
    expect: { type: 'string' },
    ...CREDENTIAL_OPTIONS,
  } as const;
  const { values, positionals } = parseArguments({ args: [...args], options, allowPositionals: true }, USAGE);
  const [address, extra] = positionals;
  if (address === undefined) throw new UsageError('ADDRESS is missing', USAGE);
  if (extra !== undefined) throw new UsageError(`'${extra}' is one argument too many`, USAGE);
  const count = Number(values.count);
  if (!Number.isInteger(count) || count < 1 || count > MAX_COUNT) {
    throw new UsageError(`--count ${values.count} is not a number from 1 to ${MAX_COUNT}`, USAGE);
  }
  const tell = (line: string) => {
    if (!values.json) process.stdout.write(`${line}\n`);
  };
  const networking = new Networking(credentialOptions(values, USAGE));
  try {
    const report = await survey(networking, address, count, values.expect, tell);
    if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
    else if (!report.connected) process.stderr.write(`gns: ${report.address}: ${whyNot(report)}\n`);
    return report.connected ? 0 : 1;
  } finally {
    await closeSoon(networking);
  }
}

async function survey(
  networking: Networking,
  address: string,
  count: number,
  expectedIdentity: string | undefined,
  tell: (line: string) => void,
): Promise<PingReport> {
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  const startUs = networking.nowUs();
  let connection: Connection;
  try {
    const expected = expectedIdentity === undefined ? {} : { expectedIdentity };
    connection = await networking.connect(address, { signal: interrupt.signal, ...expected });
  } catch (error) {
    if (!(error instanceof NetworkingError)) throw error;
    if (error.code === 'InvalidParam') throw new UsageError(error.message, USAGE);
    const why =
      error instanceof ConnectionError
        ? { ...endOf(error.info), ...adviceOf(error.diagnosis) }
        : { text: error.message };
    return { address, connected: false, ...why };
  }
  const handshakeMs = toMs(networking.nowUs() - startUs);
  const { flags } = connection.info;
  const identity = String(connection.remoteIdentity);
  const encryption = flags.unencrypted ? 'none' : 'AES-256-GCM';
  const vouched = flags.unauthenticated ? 'nobody vouches for that' : 'a trusted authority vouches for that';
  tell(`${connection.remoteAddress} is ${printable(identity)}; ${vouched}`);
  tell(`handshake ${handshakeMs} ms, encryption ${encryption}`);

  const { pingsMs, protocolVersion } = await measure(networking.platform, connection, count, interrupt.signal, tell);
  const answered = pingsMs.filter((each) => each !== null);
  const lossRatio = pingsMs.length === 0 ? 0 : 1 - answered.length / pingsMs.length;
  tell(`protocol version ${protocolVersion ?? 'unknown'}; ${summary(pingsMs.length, answered)}`);
  const ended = connection.state === 'Connected' ? undefined : endOf(connection.info);
  void connection.close(CLOSE);
  const found = { handshakeMs, identity, authenticated: !flags.unauthenticated, encryption, protocolVersion } as const;
  const connected = ended === undefined;
  return { address: String(connection.remoteAddress), connected, ...found, pingsMs, lossRatio, ...ended };
}

function endOf(info: Connection['info']): { reason: number; reasonName: string; text: string } {
  return { reason: info.endReason, reasonName: endReasonName(info.endReason), text: info.endDebug };
}

/** What the peer's application said needs no comment. */
function adviceOf({ kind, hint }: Diagnosis): { hint?: string } {
  return kind === 'closedByPeer' ? {} : { hint };
}

function whyNot({ reason, reasonName, text = '', hint = '' }: PingReport): string {
  const why = reason === undefined ? printable(text) : `${printable(text)} (${reason} ${reasonName})`;
  return hint === '' ? why : `${why}\n${hint}`;
}

function summary(sent: number, answeredMs: readonly number[]): string {
  const counts = `${sent} sent, ${answeredMs.length} answered`;
  if (answeredMs.length === 0) return counts;
  const lost = Math.round((1 - answeredMs.length / sent) * 100);
  const mean = answeredMs.reduce((sum, each) => sum + each, 0) / answeredMs.length;
  const times = [Math.min(...answeredMs), mean, Math.max(...answeredMs)].map((each) => each.toFixed(3));
  return `${counts}, ${lost} % lost; round trip ${times.join(' / ')} ms (least / mean / most)`;
}

interface Measurement {
  readonly pingsMs: readonly (number | null)[];
  readonly protocolVersion: number | null;
}

/** Asks `count` times, from a port of its own, unless the signal or the end of the connection comes first. */
async function measure(
  platform: Platform,
  connection: Connection,
  count: number,
  signal: AbortSignal,
  tell: (line: string) => void,
): Promise<Measurement> {
  const pingsMs: (number | null)[] = [];
  let protocolVersion: number | null = null;
  const prober = new Prober(platform, connection.remoteAddress);
  while (pingsMs.length < count && !signal.aborted && connection.state === 'Connected') {
    if (pingsMs.length > 0) await delay(INTERVAL_MS);
    const answer = await prober.ask();
    pingsMs.push(answer?.pingMs ?? null);
    protocolVersion = answer?.protocolVersion ?? protocolVersion;
    tell(`${pingsMs.length}: ${answer === undefined ? 'no answer' : `${answer.pingMs.toFixed(3)} ms`}`);
  }
  prober.close();
  return { pingsMs, protocolVersion };
}

/** Sends ChallengeRequests and waits for the replies. */
class Prober {
  readonly #platform: Platform;
  readonly #remote: { readonly address: string; readonly port: number };
  readonly #port: UdpPort;
  /** Of a client that will never go further. */
  readonly #connectionId: number;
  #onReply: (reply: ChallengeReply, nowUs: number) => void = () => {};

  constructor(platform: Platform, remote: IpAddress) {
    this.#platform = platform;
    this.#remote = { address: remote.host, port: remote.port };
    this.#connectionId = (platform.random.u32() | 0x1_0001) >>> 0;
    const local = { address: remote.isIPv4 ? '0.0.0.0' : '::', port: 0 };
    this.#port = platform.openUdp(local, {
      onDatagram: (bytes, _, nowUs) => {
        const packet = decodeControlPacket(bytes, bytes.length);
        if (packet?.kind === 'challengeReply') this.#onReply(packet, nowUs);
      },
    });
  }

  /** Undefined if no answer comes in time. */
  async ask(): Promise<{ readonly pingMs: number; readonly protocolVersion: number } | undefined> {
    const sentAtUs = this.#platform.nowUs();
    const timestamp = BigInt(sentAtUs);
    const answer = new Promise<{ pingMs: number; protocolVersion: number }>((resolve) => {
      this.#onReply = (reply, nowUs) => {
        // An answer to an earlier question comes too late.
        if (reply.connectionId !== this.#connectionId || reply.echoedTimestamp !== timestamp) return;
        resolve({ pingMs: toMs(nowUs - sentAtUs), protocolVersion: reply.protocolVersion });
      };
    });
    const connectionId = this.#connectionId;
    const request = { kind: 'challengeRequest', connectionId, timestamp, protocolVersion: PROTOCOL_VERSION } as const;
    const bytes = new Uint8Array(MAX_CONTROL_PACKET_BYTES);
    this.#port.send(bytes, encodeControlPacket(request, bytes), this.#remote);
    return Promise.race([answer, delay(PATIENCE_MS, undefined)]);
  }

  close(): void {
    this.#port.close();
  }
}

function toMs(us: number): number {
  return Math.round(us) / 1_000;
}

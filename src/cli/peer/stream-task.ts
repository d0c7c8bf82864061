// The `stream` command: sends as much as the connection takes, and measures.

import { type ConnectionStatus, NetworkingError, type SendOptions } from '../../index.ts';
import { monotonicUs, round3 } from './clock.ts';
import { fillPattern } from './pattern.ts';
import { flagsText } from './payload.ts';
import type { Fields } from './report.ts';
import type { PeerConnection, Session } from './session.ts';
import { AT_ONCE, POLL, Stopwatch, type Task, type Turn } from './tasks.ts';

/** How long messages are queued in one go, so that receiving goes on too. */
const BUDGET_US = 2_000;
/** The clock is looked at after so many messages. */
const MESSAGES_PER_LOOK = 64;

export interface StreamOptions {
  readonly sizeBytes: number;
  readonly totalBytes: number;
  /** Most bytes that are queued or unacknowledged. */
  readonly maxHeldBytes: number;
  readonly send: SendOptions;
  /** Undefined: all messages are alike. */
  readonly patternSeed: number | undefined;
}

export class StreamTask implements Task {
  readonly kind = 'stream';
  readonly event = 'stream';
  readonly conn: string;
  readonly tag: string;
  readonly peer: PeerConnection;
  readonly #session: Session;
  readonly #options: StreamOptions;
  readonly #block: Uint8Array;
  readonly #watch = new Stopwatch();
  readonly #before: ConnectionStatus;
  #queuedBytes = 0;
  #queuedMessages = 0;
  /** Undefined until all is queued. */
  #queuedAfterUs: number | undefined;

  constructor(session: Session, peer: PeerConnection, tag: string, options: StreamOptions) {
    this.#session = session;
    this.peer = peer;
    this.conn = peer.id;
    this.tag = tag;
    this.#options = options;
    this.#block = new Uint8Array(options.sizeBytes);
    fillPattern(0, 0, this.#block);
    this.#before = peer.connection.status();
  }

  turn(nowUs: number): Turn {
    if (!this.#session.has(this.peer)) return { error: 'connection is gone' };
    const status = this.peer.connection.status();
    if (status.state !== 'Connected') return { error: 'connection is not connected' };
    const pendingBytes = status.pendingReliableBytes + status.pendingUnreliableBytes;
    const heldBytes = pendingBytes + status.sentUnackedReliableBytes;
    if (this.#queuedAfterUs !== undefined) return heldBytes > 0 ? POLL : 'done';
    try {
      const isOutOfTime = this.#queue(pendingBytes, heldBytes, nowUs + BUDGET_US);
      if (this.#queuedBytes < this.#options.totalBytes) return isOutOfTime ? AT_ONCE : POLL;
      this.#queuedAfterUs = this.#watch.elapsedUs;
      this.peer.connection.flush();
      return POLL;
    } catch (error) {
      if (!(error instanceof NetworkingError)) throw error;
      if (error.code === 'LimitExceeded') return POLL;
      return { error: `send failed: ${error.message}` };
    }
  }

  /** Queues until nothing more may be or the time is up; true if it is. */
  #queue(pendingBytes: number, heldBytes: number, endUs: number): boolean {
    const { sizeBytes, totalBytes, maxHeldBytes, patternSeed, send } = this.#options;
    const { peer } = this;
    const sendBufferBytes = peer.connection.config.get('sendBufferSize');
    const room = Math.min(maxHeldBytes - heldBytes, sendBufferBytes - pendingBytes - sizeBytes + 1);
    let newBytes = 0;
    let newMessages = 0;
    while (newBytes < room && this.#queuedBytes < totalBytes) {
      const left = totalBytes - this.#queuedBytes;
      const message = left < sizeBytes ? this.#block.subarray(0, left) : this.#block;
      if (patternSeed !== undefined) fillPattern(patternSeed, this.#queuedMessages, message);
      peer.send(message, send);
      newBytes += message.length;
      this.#queuedBytes += message.length;
      this.#queuedMessages++;
      if (++newMessages % MESSAGES_PER_LOOK === 0 && monotonicUs() > endUs) return true;
    }
    return false;
  }

  report(hasFailed: boolean): Fields {
    const { elapsedUs, cpuUs } = this.#watch;
    const after = this.peer.connection.status();
    const sentPackets = after.packetsSent - this.#before.packetsSent;
    const queuedUs = this.#queuedAfterUs;
    return {
      flags: flagsText(this.#options.send),
      size: this.#options.sizeBytes,
      bytes: this.#queuedBytes,
      msgs: this.#queuedMessages,
      elapsed_us: round3(elapsedUs),
      queued_us: queuedUs === undefined ? null : round3(queuedUs),
      mb_per_s: hasFailed ? undefined : round3(this.#queuedBytes / elapsedUs),
      msgs_per_s: hasFailed ? undefined : round3((this.#queuedMessages / elapsedUs) * 1e6),
      cpu_us: cpuUs.total,
      cpu_user_us: cpuUs.user,
      cpu_sys_us: cpuUs.system,
      sent_pkts: sentPackets,
      sent_wire_bytes: after.bytesSent - this.#before.bytesSent,
      recv_pkts: after.packetsReceived - this.#before.packetsReceived,
      recv_wire_bytes: after.bytesReceived - this.#before.bytesReceived,
      cpu_us_per_sent_pkt: sentPackets > 0 ? round3(cpuUs.total / sentPackets) : undefined,
    };
  }
}

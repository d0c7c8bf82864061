// One end of a connection in the demo: sends messages whose every byte can be checked, checks those that come, and
// reports states, counts and rates to whoever shows them.

import { createHash } from 'node:crypto';
import type { CloseResult, Connection, ConnectionState, IncomingMessage, StateChange } from '../index.ts';
import { fillPattern, findMismatch } from './peer/pattern.ts';

/** What a message belongs to, and its first byte. */
const CHANNELS = { reliable: 1, unreliable: 2, bulk: 3 } as const;
export type Channel = keyof typeof CHANNELS;
// The channel's byte, then the number of the message (from 0) as big-endian u32, then the pattern that both lead to.
const HEADER_BYTES = 5;

export interface ChannelCounts {
  sent: number;
  sentBytes: number;
  received: number;
  receivedBytes: number;
}

/** Plain data: it travels between processes. */
export type Report =
  | {
      readonly kind: 'state';
      readonly atUs: number;
      readonly from: ConnectionState;
      readonly to: ConnectionState;
      /** What the application was shown. */
      readonly visible: ConnectionState;
      readonly endReason: number;
      readonly endDebug: string;
      readonly undeliveredBytes: number;
    }
  | ({ readonly kind: 'traffic' } & Traffic)
  | { readonly kind: 'closed'; readonly result: CloseResult }
  /** Nothing more will come. */
  | { readonly kind: 'end' };

export interface Traffic {
  /** -1 if unknown. */
  readonly pingMs: number;
  /** UDP payload of the last moment. */
  readonly outBytesPerSec: number;
  readonly inBytesPerSec: number;
  readonly counts: Readonly<Record<Channel, Readonly<ChannelCounts>>>;
  /** Of all bulk payloads, one after the other. */
  readonly bulkSha256: Readonly<Record<'sent' | 'received', string>>;
  /** What was wrong with messages that came. */
  readonly faults: readonly string[];
}

const REPORT_INTERVAL_MS = 250;
const MAX_FAULTS = 10;

export class Party {
  readonly connection: Connection;
  readonly counts: Record<Channel, ChannelCounts> = { reliable: zero(), unreliable: zero(), bulk: zero() };
  readonly #faults: string[] = [];
  readonly #seenUnreliable = new Set<number>();
  readonly #sha256 = { sent: createHash('sha256'), received: createHash('sha256') };
  readonly #nowUs: () => number;
  readonly #report: (report: Report) => void;
  readonly #timer: NodeJS.Timeout;
  #last = { atUs: 0, sentBytes: 0, receivedBytes: 0 };

  /** Create it in the turn in which the connection appeared, so that no state is missed. */
  constructor(connection: Connection, nowUs: () => number, report: (report: Report) => void) {
    this.connection = connection;
    this.#nowUs = nowUs;
    this.#report = report;
    this.#last.atUs = nowUs();
    this.#timer = setInterval(() => this.#reportTraffic(), REPORT_INTERVAL_MS);
    connection.on('internalState', (change) => this.#onState(change));
    if (connection.isIncoming) {
      // It has been through this before anybody could listen.
      this.#onState({ from: 'None', to: 'Connecting', info: connection.info, undeliveredBytes: 0 });
    }
  }

  #onState({ from, to, info, undeliveredBytes }: StateChange): void {
    if (to === 'Dead') {
      clearInterval(this.#timer);
      this.#reportTraffic();
    }
    const { state: visible, endReason, endDebug } = info;
    const atUs = this.#nowUs();
    this.#report({ kind: 'state', atUs, from, to, visible, endReason, endDebug, undeliveredBytes });
  }

  #reportTraffic(): void {
    const { bytesSent, bytesReceived, pingMs } = this.connection.status();
    const last = this.#last;
    const atUs = this.#nowUs();
    const seconds = Math.max(atUs - last.atUs, 1) / 1e6;
    const outBytesPerSec = (bytesSent - last.sentBytes) / seconds;
    const inBytesPerSec = (bytesReceived - last.receivedBytes) / seconds;
    this.#last = { atUs, sentBytes: bytesSent, receivedBytes: bytesReceived };
    const { sent, received } = this.#sha256;
    const bulkSha256 = { sent: sent.copy().digest('hex'), received: received.copy().digest('hex') };
    const { counts } = this;
    this.#report({
      kind: 'traffic',
      ...{ pingMs, outBytesPerSec, inBytesPerSec, counts: structuredClone(counts), bulkSha256 },
      faults: [...this.#faults],
    });
  }

  /** Sends the next message of a channel. */
  say(channel: Channel, messageBytes: number): void {
    const message = newMessage(channel, this.counts[channel].sent, messageBytes);
    if (channel === 'bulk') this.#sha256.sent.update(message);
    this.#send(channel, message);
  }

  /** Sends a message back as it came. */
  echo(channel: Channel, { data }: IncomingMessage): void {
    this.#send(channel, data);
  }

  #send(channel: Channel, message: Uint8Array): void {
    this.connection.send(message, { reliable: channel !== 'unreliable' });
    this.counts[channel].sent++;
    this.counts[channel].sentBytes += message.length;
  }

  /** Checks a message, counts it, and says which channel it is of; undefined if it is none of ours. */
  take({ data, reliable }: IncomingMessage): Channel | undefined {
    const channel = channelOf(data);
    if (channel === undefined || reliable !== (channel !== 'unreliable')) {
      this.#fault(`a message of ${data.length} bytes that nobody sent`);
      return undefined;
    }
    const counts = this.counts[channel];
    const index = numberOf(data);
    if (findMismatch(CHANNELS[channel], index, data.subarray(HEADER_BYTES)) !== -1) {
      this.#fault(`${channel} message ${index} was damaged`);
    }
    if (channel === 'unreliable') {
      if (this.#seenUnreliable.has(index)) this.#fault(`unreliable message ${index} came twice`);
      this.#seenUnreliable.add(index);
    } else if (index !== counts.received) {
      this.#fault(`${channel} message ${index} came where ${counts.received} was due`);
    }
    if (channel === 'bulk') this.#sha256.received.update(data);
    counts.received++;
    counts.receivedBytes += data.length;
    return channel;
  }

  #fault(text: string): void {
    if (this.#faults.length < MAX_FAULTS) this.#faults.push(text);
  }

  /** Closes and reports how that went. */
  async close(options: Parameters<Connection['close']>[0] = {}): Promise<void> {
    this.#report({ kind: 'closed', result: await this.connection.close(options) });
  }
}

function zero(): ChannelCounts {
  return { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0 };
}

function newMessage(channel: Channel, index: number, messageBytes: number): Uint8Array {
  const message = new Uint8Array(messageBytes);
  message[0] = CHANNELS[channel];
  new DataView(message.buffer).setUint32(1, index);
  fillPattern(CHANNELS[channel], index, message, HEADER_BYTES);
  return message;
}

function channelOf(data: Uint8Array): Channel | undefined {
  if (data.length <= HEADER_BYTES) return undefined;
  const names = Object.keys(CHANNELS) as Channel[];
  return names.find((name) => CHANNELS[name] === data[0]);
}

function numberOf(data: Uint8Array): number {
  return new DataView(data.buffer, data.byteOffset).getUint32(1);
}

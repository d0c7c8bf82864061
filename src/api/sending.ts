// What an application may ask of a message it sends, and what it is told when the message is not taken.

import { type ErrorCode, NetworkingError } from '../core/base/errors.ts';
import { NEVER, US_PER_MS } from '../core/base/time.ts';
import type { SendRefusal } from '../core/connection/connection.ts';
import type { LaneOptions } from '../core/delivery/lane-scheduler.ts';
import { MAX_MESSAGE_BYTES, type OutgoingOptions } from '../core/delivery/message.ts';

export interface SendOptions {
  /**
   * Sent again until it arrives, in order with the lane's other reliable messages. Otherwise it arrives once or not at
   * all; but more than 16,500 bytes are sent reliably in any case. Default: true.
   */
  readonly reliable?: boolean;
  /** Does not wait for company (GNS's Nagle time), nor does anything queued before it. Default: false. */
  readonly noNagle?: boolean;
  /** As `noNagle`, and fails with code `Ignored` while the connection is not established. Default: false. */
  readonly noDelay?: boolean;
  /** One of those that `configureLanes` made. Default: 0. */
  readonly lane?: number;
  /** Dropped if nothing of it was sent after so many milliseconds. Default: never. */
  readonly ttlMs?: number;
  /** Takes the place of the message with the same key that still waits on the lane. Default: none. */
  readonly key?: string | number;
  /** May be dropped, oldest first, for a newer `droppable` message of its lane that finds the send buffer full. */
  readonly droppable?: boolean;
  /** The connection's event `receipt` tells what became of it. Default: false. */
  readonly receipt?: boolean;
}

export function outgoingOptions(options: SendOptions, nowUs: number): OutgoingOptions {
  const { reliable = true, noNagle = false, noDelay = false, lane = 0 } = options;
  const { ttlMs, key, droppable = false, receipt = false } = options;
  if (ttlMs === undefined && key === undefined && !droppable && !receipt) {
    return { isReliable: reliable, noNagle, noDelay, lane, freshness: undefined };
  }
  if (ttlMs !== undefined && !(ttlMs >= 0)) {
    throw new NetworkingError('InvalidParam', `cannot send: ttlMs is a number of milliseconds from 0, not ${ttlMs}`);
  }
  const expiresAtUs = ttlMs === undefined ? NEVER : nowUs + ttlMs * US_PER_MS;
  const freshness = { expiresAtUs, key, isDroppable: droppable, wantsReceipt: receipt };
  return { isReliable: reliable, noNagle, noDelay, lane, freshness };
}

/** What is thrown for each reason not to take a message. */
const REFUSALS: Record<
  SendRefusal,
  { readonly code: ErrorCode; readonly text: (size: number, lane: number) => string }
> = {
  messageTooLarge: {
    code: 'MessageTooLarge',
    text: (size) => `a message has at most ${MAX_MESSAGE_BYTES} bytes, not ${size}`,
  },
  noSuchLane: { code: 'InvalidParam', text: (_, lane) => `lane ${lane} is not configured` },
  sendBufferFull: {
    code: 'LimitExceeded',
    text: (size) => `${size} more bytes exceed sendBufferSize; wait until less is pending, or raise it`,
  },
  closed: { code: 'InvalidParam', text: () => 'the connection was closed by this side' },
  ended: { code: 'NoConnection', text: () => 'the connection has ended; close it' },
  notConnected: { code: 'Ignored', text: () => 'the connection is not established yet' },
};

/** `action` is what was attempted. */
export function refusalError(refusal: SendRefusal, action: string, size: number, lane: number): NetworkingError {
  const { code, text } = REFUSALS[refusal];
  return new NetworkingError(code, `cannot ${action}: ${text(size, lane)}`);
}

const MAX_LANES = 255;
const MAX_WEIGHT = 65_535;

/** Throws `InvalidParam` for lanes that nobody can have. */
export function checkLanes(lanes: readonly LaneOptions[]): void {
  if (lanes.length < 1 || lanes.length > MAX_LANES) {
    throw new NetworkingError('InvalidParam', `cannot configure ${lanes.length} lanes: 1 to ${MAX_LANES} are possible`);
  }
  for (const [index, { priority = 0, weight = 1 }] of lanes.entries()) {
    if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT) {
      const what = `the weight is a whole number from 1 to ${MAX_WEIGHT}`;
      throw new NetworkingError('InvalidParam', `lane ${index}: ${what}, not ${weight}`);
    }
    if (!Number.isInteger(priority)) {
      throw new NetworkingError('InvalidParam', `lane ${index}: the priority is a whole number, not ${priority}`);
    }
  }
}

const utf8 = new TextEncoder();

/** Copies of messages of middling size share memory: small ones are cheap to make, large ones rare. */
const SHARED_BYTES = 8192;
/** One that waits long keeps memory of at most so many times its size. */
const MAX_KEPT_TIMES = 16;
let shared = new ArrayBuffer(0);
let sharedUsed = 0;

/** The bytes of a message, where nobody else writes. */
export function payloadOf(data: Uint8Array | string): Uint8Array {
  if (typeof data === 'string') return utf8.encode(data);
  const size = data.length;
  const isShared = size * MAX_KEPT_TIMES >= SHARED_BYTES && size < SHARED_BYTES / 2;
  if (isShared && sharedUsed + size > shared.byteLength) {
    shared = new ArrayBuffer(SHARED_BYTES);
    sharedUsed = 0;
  }
  const copy = isShared ? new Uint8Array(shared, sharedUsed, size) : new Uint8Array(size);
  if (isShared) sharedUsed += size;
  copy.set(data);
  return copy;
}

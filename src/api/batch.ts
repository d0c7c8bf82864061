// Many messages in one call. Spec: 04 §4.5, 05 "SendMessages".

import { NetworkingError } from '../core/base/errors.ts';
import type { Connection } from './connection.ts';
import { payloadOf, type SendOptions } from './sending.ts';

/** A message of `Networking.sendMessages`. */
export interface OutgoingBatchMessage extends SendOptions {
  readonly connection: Connection;
  /** Strings are sent as UTF-8; bytes are copied. */
  readonly data: Uint8Array | string;
}

/** The message's number, or why it was not taken; 0 if it was not tried, behind one of its connection that failed. */
export type SendResult = number | NetworkingError;

export function sendMessages(messages: readonly OutgoingBatchMessage[]): SendResult[] {
  const failed = new Set<Connection>();
  return messages.map(({ connection, data, ...options }) => {
    if (failed.has(connection)) return 0;
    const result = trySend(connection, payloadOf(data), options);
    if (typeof result !== 'number') failed.add(connection);
    return result;
  });
}

export function broadcast(
  connections: Iterable<Connection>,
  data: Uint8Array | string,
  options: SendOptions,
): SendResult[] {
  // One copy for all: nobody writes to a payload.
  const payload = payloadOf(data);
  return Array.from(connections, (connection) => trySend(connection, payload, options));
}

function trySend(connection: Connection, payload: Uint8Array, options: SendOptions): SendResult {
  try {
    return connection.sendOwned(payload, options);
  } catch (error) {
    if (error instanceof NetworkingError) return error;
    throw error;
  }
}

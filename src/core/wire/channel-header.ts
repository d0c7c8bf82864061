// What stands before each ad-hoc message on its connection: a byte that says nothing, and the channel. Spec: 08 §8.1.

import { readU32, writeU32 } from '../base/bytes.ts';

export const CHANNEL_HEADER_BYTES = 5;
/** Receivers ignore it. */
const FLAGS = 1;

/** A message of our own, with the header before it. `channel` is an int32. */
export function withChannel(channel: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(CHANNEL_HEADER_BYTES + payload.length);
  bytes[0] = FLAGS;
  bytes.set(payload, writeU32(bytes, 1, channel >>> 0));
  return bytes;
}

/** The channel of a message that was received; undefined if it is too short to have one. */
export function readChannel(bytes: Uint8Array): number | undefined {
  return bytes.length < CHANNEL_HEADER_BYTES ? undefined : readU32(bytes, 1) | 0;
}

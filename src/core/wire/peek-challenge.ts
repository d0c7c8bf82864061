// HOT PATH
// Finds the challenge cookie in a ConnectRequest without taking the rest apart: whoever has none that is good has not
// shown its address, and is not worth more. Spec: 01 §1.3, §1.4.

import { ByteReader, readU32 } from '../base/bytes.ts';

const CHALLENGE_TAG = (2 << 3) | 1;
const MAX_TAG_BYTES = 5;
const MAX_LENGTH_BYTES = 5;
const MAX_VARINT_BYTES = 10;
const READER = new ByteReader();

/** The first challenge in the protobuf message `bytes[start..end)`; undefined if the message is broken before it. */
export function peekChallenge(bytes: Uint8Array, start: number, end: number): bigint | undefined {
  const reader = READER;
  reader.reset(bytes, start, end);
  while (reader.remaining > 0) {
    const tag = reader.varInt(MAX_TAG_BYTES);
    if (tag === CHALLENGE_TAG) {
      const at = reader.take(8);
      return at < 0 ? undefined : (BigInt(readU32(bytes, at + 4)) << 32n) | BigInt(readU32(bytes, at));
    }
    if (!skipValue(reader, tag & 7) || reader.truncated) return undefined;
  }
  return undefined;
}

/** False for a kind of value that there is not. */
function skipValue(reader: ByteReader, wireType: number): boolean {
  if (wireType === 0) reader.varInt(MAX_VARINT_BYTES);
  else if (wireType === 1) reader.take(8);
  else if (wireType === 2) reader.take(reader.varInt(MAX_LENGTH_BYTES));
  else if (wireType === 5) reader.take(4);
  else return false;
  return true;
}

// HOT PATH
// What strangers send most of all, above all in floods: answers a ChallengeRequest, and finds the cookie in a
// ConnectRequest, without taking the rest apart or making objects. Whoever has no good cookie has not shown its address,
// and is not worth more. Spec: 01 §1.3, §1.4.

import { ByteReader, readU16, readU32, writeU32 } from '../base/bytes.ts';
import { ControlPacketId, PADDED_HEADER_BYTES, PADDED_PACKET_BYTES } from './control-packets.ts';

// Fields as they are on the wire: number and kind of the value. Question and answer have the same numbers.
const CONNECTION_ID_TAG = (1 << 3) | 5;
const CHALLENGE_TAG = (2 << 3) | 1;
const TIMESTAMP_TAG = (3 << 3) | 1;
const VERSION_TAG = (4 << 3) | 0;
const MAX_TAG = 0xffff_ffff;
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

/**
 * Writes the ChallengeReply to the ChallengeRequest `request[0..length)` into `out`, and returns its length: 26. 0 for
 * what cannot be understood or has no connection id. `version` is below 128.
 */
export function answerChallenge(
  request: Uint8Array,
  length: number,
  challenge: bigint,
  version: number,
  out: Uint8Array,
): number {
  const end = PADDED_HEADER_BYTES + readU16(request, 1);
  if (length < PADDED_PACKET_BYTES || end > length || !readQuestion(request, end)) return 0;
  const { connectionIdAt, timestampAt } = question;
  if (connectionIdAt < 0 || readU32(request, connectionIdAt) === 0) return 0;
  out[0] = ControlPacketId.ChallengeReply;
  out[1] = CONNECTION_ID_TAG;
  for (let i = 0; i < 4; i++) out[2 + i] = request[connectionIdAt + i]!;
  out[6] = CHALLENGE_TAG;
  writeU32(out, 7, Number(challenge & 0xffff_ffffn));
  writeU32(out, 11, Number(challenge >> 32n));
  out[15] = TIMESTAMP_TAG;
  for (let i = 0; i < 8; i++) out[16 + i] = timestampAt < 0 ? 0 : request[timestampAt + i]!;
  out[24] = VERSION_TAG;
  out[25] = version;
  return 26;
}

/** Where the values lie of the question that was read last; -1 for one that is absent. */
const question = { connectionIdAt: -1, timestampAt: -1 };

/** False for what is no message, or has values of another kind than the fields that are known. */
function readQuestion(request: Uint8Array, end: number): boolean {
  const reader = READER;
  reader.reset(request, PADDED_HEADER_BYTES, end);
  question.connectionIdAt = question.timestampAt = -1;
  while (reader.remaining > 0) {
    const tag = reader.varInt(MAX_TAG_BYTES);
    const field = tag >>> 3;
    if (tag > MAX_TAG || field === 0) return false;
    if (tag === CONNECTION_ID_TAG) question.connectionIdAt = reader.take(4);
    else if (tag === TIMESTAMP_TAG) question.timestampAt = reader.take(8);
    else if (tag !== VERSION_TAG && (field === 1 || field === 3 || field === 4)) return false;
    else if (!skipValue(reader, tag & 7)) return false;
    if (reader.truncated) return false;
  }
  return true;
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

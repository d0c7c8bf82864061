// The datagrams that open and close a connection, between bytes and values. Spec: "Datagram classes" (1.2), "Control
// messages" (1.3).

import { readU16, writeU16 } from '../base/bytes.ts';
import { invariant, unreachable } from '../base/errors.ts';
import {
  type SignedCertificate,
  type SignedCryptInfo,
  signedCertificateFields,
  signedCertificateOf,
  signedCryptInfoOf,
} from './crypt-messages.ts';
import * as pb from './generated/messages_pb.ts';
import { type IdentityFields, identityFieldsOf } from './identity-fields.ts';
import { optional, parseMessage, serializeMessage } from './protobuf.ts';

/** The first byte of the datagram. */
export const ControlPacketId = {
  ChallengeRequest: 0x20,
  ChallengeReply: 0x21,
  ConnectRequest: 0x22,
  ConnectOk: 0x23,
  ConnectionClosed: 0x24,
  NoConnection: 0x25,
} as const;

/** We understand peers from here on. Spec: "Protocol version" (1.11). */
export const MIN_PROTOCOL_VERSION = 8;
/** Shorter datagrams are dropped, whatever their class. */
export const MIN_DATAGRAM_BYTES = 5;
/** A buffer of this size holds every control packet. */
export const MAX_CONTROL_PACKET_BYTES = 1300;
/** ChallengeRequest and ConnectionClosed are at least this long, so that no answer is longer than its question. */
export const PADDED_PACKET_BYTES = 512;
/** The reference cuts the text of ConnectionClosed at this many bytes of UTF-8. */
export const MAX_DEBUG_BYTES = 127;

/** Client: "are you there?". */
export interface ChallengeRequest {
  readonly kind: 'challengeRequest';
  /** The client's. */
  readonly connectionId: number;
  /** The client's clock in microseconds; opaque to the server. */
  readonly timestamp: bigint;
  readonly protocolVersion: number;
}

/** Server: "come back with this, to show that the address is yours". */
export interface ChallengeReply {
  readonly kind: 'challengeReply';
  /** The client's. */
  readonly connectionId: number;
  readonly challenge: bigint;
  /** Of the ChallengeRequest. */
  readonly echoedTimestamp: bigint;
  readonly protocolVersion: number;
}

export interface ConnectRequest {
  readonly kind: 'connectRequest';
  readonly clientConnectionId: number;
  readonly challenge: bigint;
  /** The client's clock in microseconds; opaque to the server. */
  readonly timestamp: bigint | undefined;
  readonly pingEstimateMs: number | undefined;
  readonly cert: SignedCertificate | undefined;
  readonly crypt: SignedCryptInfo | undefined;
  readonly identity: IdentityFields;
}

export interface ConnectOk {
  readonly kind: 'connectOk';
  readonly clientConnectionId: number;
  readonly serverConnectionId: number;
  /** Of the ConnectRequest. Undefined if that is too long ago to measure the ping with it. */
  readonly echoedTimestamp: bigint | undefined;
  /** From the first ConnectRequest to this packet. Not written without the timestamp. */
  readonly delayUs: number;
  readonly cert: SignedCertificate | undefined;
  readonly crypt: SignedCryptInfo | undefined;
  readonly identity: IdentityFields;
}

/** "It is over"; expects NoConnection for an answer. */
export interface ConnectionClosed {
  readonly kind: 'connectionClosed';
  /** The recipient's; 0 if unknown. */
  readonly toConnectionId: number;
  /** The sender's; 0 if it has none. */
  readonly fromConnectionId: number;
  /** An end reason. Spec: "End reasons" (4). */
  readonly reason: number;
  /** For people. When written, cut to `MAX_DEBUG_BYTES`. */
  readonly debug: string;
}

/** "I have no such connection"; never answered. */
export interface NoConnection {
  readonly kind: 'noConnection';
  /** The recipient's; 0 if unknown. */
  readonly toConnectionId: number;
  /** The sender's, the one it was addressed by; 0 if unknown. */
  readonly fromConnectionId: number;
}

export type ControlPacket =
  | ChallengeRequest
  | ChallengeReply
  | ConnectRequest
  | ConnectOk
  | ConnectionClosed
  | NoConnection;

/**
 * Reads `bytes[0..length)`. Undefined if it is no control packet, or a malformed one. An absent id, version, reason or
 * challenge reads as 0. Certificates and keys in the result are views of `bytes`.
 */
export function decodeControlPacket(bytes: Uint8Array, length: number): ControlPacket | undefined {
  if (length < MIN_DATAGRAM_BYTES) return undefined;
  switch (bytes[0]) {
    case ControlPacketId.ChallengeRequest:
      return readChallengeRequest(paddedPayload(bytes, length));
    case ControlPacketId.ChallengeReply:
      return readChallengeReply(plainPayload(bytes, length));
    case ControlPacketId.ConnectRequest:
      return readConnectRequest(plainPayload(bytes, length));
    case ControlPacketId.ConnectOk:
      return readConnectOk(plainPayload(bytes, length));
    case ControlPacketId.ConnectionClosed:
      return readConnectionClosed(paddedPayload(bytes, length));
    case ControlPacketId.NoConnection:
      return readNoConnection(plainPayload(bytes, length));
    default:
      return undefined;
  }
}

/**
 * Writes into `out`, which has at least `MAX_CONTROL_PACKET_BYTES`; returns the length of the datagram. A NoConnection
 * without ids has one byte: every receiver drops it, as the reference's.
 */
export function encodeControlPacket(packet: ControlPacket, out: Uint8Array): number {
  switch (packet.kind) {
    case 'challengeRequest':
      return writePadded(ControlPacketId.ChallengeRequest, serializeMessage(pb.ChallengeRequestSchema, packet), out);
    case 'challengeReply':
      return writePlain(ControlPacketId.ChallengeReply, serializeMessage(pb.ChallengeReplySchema, packet), out);
    case 'connectRequest':
      return writePlain(ControlPacketId.ConnectRequest, connectRequestPayload(packet), out);
    case 'connectOk':
      return writePlain(ControlPacketId.ConnectOk, connectOkPayload(packet), out);
    case 'connectionClosed':
      return writePadded(ControlPacketId.ConnectionClosed, connectionClosedPayload(packet), out);
    case 'noConnection':
      return writePlain(ControlPacketId.NoConnection, noConnectionPayload(packet), out);
    default:
      return unreachable(packet);
  }
}

// Framing. Plain: id, message. Padded: id, 16-bit length, message, zeros.

/** Before the message of a padded packet. */
export const PADDED_HEADER_BYTES = 3;

function plainPayload(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.subarray(1, length);
}

function paddedPayload(bytes: Uint8Array, length: number): Uint8Array | undefined {
  const payloadBytes = readU16(bytes, 1);
  const end = PADDED_HEADER_BYTES + payloadBytes;
  if (length < PADDED_PACKET_BYTES || payloadBytes < 1 || end > length) return undefined;
  return bytes.subarray(PADDED_HEADER_BYTES, end);
}

function writePlain(id: number, payload: Uint8Array, out: Uint8Array): number {
  const length = 1 + payload.length;
  invariant(length <= MAX_CONTROL_PACKET_BYTES, 'the certificate we send leaves the packet small enough');
  out[0] = id;
  out.set(payload, 1);
  return length;
}

function writePadded(id: number, payload: Uint8Array, out: Uint8Array): number {
  const end = PADDED_HEADER_BYTES + payload.length;
  out[0] = id;
  writeU16(out, 1, payload.length);
  out.set(payload, PADDED_HEADER_BYTES);
  out.fill(0, end, PADDED_PACKET_BYTES);
  return Math.max(PADDED_PACKET_BYTES, end);
}

// One reader per message: an unframed payload that may be missing, to a packet.

function readChallengeRequest(payload: Uint8Array | undefined): ChallengeRequest | undefined {
  const message = payload && parseMessage(pb.ChallengeRequestSchema, payload);
  if (!message) return undefined;
  const { connectionId, timestamp, protocolVersion } = message;
  return { kind: 'challengeRequest', connectionId, timestamp, protocolVersion };
}

function readChallengeReply(payload: Uint8Array): ChallengeReply | undefined {
  const message = parseMessage(pb.ChallengeReplySchema, payload);
  if (!message) return undefined;
  const { connectionId, challenge, echoedTimestamp, protocolVersion } = message;
  return { kind: 'challengeReply', connectionId, challenge, echoedTimestamp, protocolVersion };
}

function readConnectRequest(payload: Uint8Array): ConnectRequest | undefined {
  const message = parseMessage(pb.ConnectRequestSchema, payload);
  if (!message) return undefined;
  return {
    kind: 'connectRequest',
    clientConnectionId: message.clientConnectionId,
    challenge: message.challenge,
    timestamp: optional(message, 'timestamp'),
    pingEstimateMs: optional(message, 'pingEstimateMs'),
    cert: signedCertificateOf(message.cert),
    crypt: signedCryptInfoOf(message.crypt),
    identity: identityFieldsOf(message),
  };
}

function readConnectOk(payload: Uint8Array): ConnectOk | undefined {
  const message = parseMessage(pb.ConnectOkSchema, payload);
  if (!message) return undefined;
  return {
    kind: 'connectOk',
    clientConnectionId: message.clientConnectionId,
    serverConnectionId: message.serverConnectionId,
    echoedTimestamp: optional(message, 'echoedTimestamp'),
    delayUs: message.delayUs,
    cert: signedCertificateOf(message.cert),
    crypt: signedCryptInfoOf(message.crypt),
    identity: identityFieldsOf(message),
  };
}

function readConnectionClosed(payload: Uint8Array | undefined): ConnectionClosed | undefined {
  const message = payload && parseMessage(pb.ConnectionClosedSchema, payload);
  if (!message) return undefined;
  const { toConnectionId, fromConnectionId, reason, debug } = message;
  return { kind: 'connectionClosed', toConnectionId, fromConnectionId, reason, debug };
}

function readNoConnection(payload: Uint8Array): NoConnection | undefined {
  const message = parseMessage(pb.NoConnectionSchema, payload);
  if (!message) return undefined;
  const { toConnectionId, fromConnectionId } = message;
  return { kind: 'noConnection', toConnectionId, fromConnectionId };
}

// One writer per message whose fields are not simply all written.

function connectRequestPayload({ identity, ...packet }: ConnectRequest): Uint8Array {
  const cert = packet.cert && signedCertificateFields(packet.cert);
  return serializeMessage(pb.ConnectRequestSchema, { ...packet, cert, ...identity });
}

function connectOkPayload({ identity, ...packet }: ConnectOk): Uint8Array {
  const delayUs = packet.echoedTimestamp === undefined ? undefined : packet.delayUs;
  const cert = packet.cert && signedCertificateFields(packet.cert);
  return serializeMessage(pb.ConnectOkSchema, { ...packet, delayUs, cert, ...identity });
}

function connectionClosedPayload(packet: ConnectionClosed): Uint8Array {
  return serializeMessage(pb.ConnectionClosedSchema, {
    debug: cutDebug(packet.debug) || undefined,
    reason: packet.reason || undefined,
    toConnectionId: packet.toConnectionId || undefined,
    fromConnectionId: packet.fromConnectionId || undefined,
  });
}

function noConnectionPayload(packet: NoConnection): Uint8Array {
  return serializeMessage(pb.NoConnectionSchema, {
    fromConnectionId: packet.fromConnectionId || undefined,
    toConnectionId: packet.toConnectionId || undefined,
  });
}

const utf8 = new TextEncoder();

/** `encodeInto` stops before the first character that does not fit as a whole. */
function cutDebug(debug: string): string {
  return debug.slice(0, utf8.encodeInto(debug, new Uint8Array(MAX_DEBUG_BYTES)).read);
}

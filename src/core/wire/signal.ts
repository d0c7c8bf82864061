// Signals: the messages by which two peers come to terms before there is a path between them, between bytes and values.
// The application carries them. Spec: 07 §7.2.

import {
  type SignedCertificate,
  type SignedCryptInfo,
  signedCertificateFields,
  signedCertificateOf,
  signedCryptInfoOf,
} from './crypt-messages.ts';
import * as pb from './generated/messages_pb.ts';
import { optional, parseMessage, serializeMessage } from './protobuf.ts';

/** "I would like to talk to you". */
export interface SignalRequest {
  readonly cert: SignedCertificate | undefined;
  readonly crypt: SignedCryptInfo | undefined;
  /** Undefined if not specified. */
  readonly toVirtualPort: number | undefined;
  readonly fromVirtualPort: number | undefined;
}

/** "You may". */
export interface SignalOk {
  readonly cert: SignedCertificate | undefined;
  readonly crypt: SignedCryptInfo | undefined;
}

/** "It is over". Expects the same with `NO_CONNECTION_REASON` for an answer. */
export interface SignalClosed {
  /** An end reason, or `NO_CONNECTION_REASON`. */
  readonly reason: number;
  readonly debug: string;
}

/** The reason that stands for "I have no such connection"; never answered. */
export const NO_CONNECTION_REASON = 9999;

/** What ICE has to tell the peer. The reference puts one of the two into each message. */
export interface IceNews {
  readonly password: string | undefined;
  /** A line as in SDP: `candidate:…`. */
  readonly candidate: string | undefined;
}

export interface Signal {
  /** The recipient's; undefined if unknown, and beside a request. */
  readonly toConnectionId: number | undefined;
  readonly request: SignalRequest | undefined;
  readonly ok: SignalOk | undefined;
  readonly closed: SignalClosed | undefined;
  /** The sender's ICE is alive. */
  readonly isIceEnabled: boolean;
  /** As text; undefined is an error of the sender's, except in the rejections of GNS. */
  readonly fromIdentity: string | undefined;
  readonly fromConnectionId: number | undefined;
  /** For those that carry the signal. */
  readonly toIdentity: string | undefined;
  /** Number of the last reliable message that arrived in order; 0 for none. */
  readonly ackedReliable: number | undefined;
  /** Number of `reliable[0]`; the others follow without a gap. */
  readonly firstReliable: number | undefined;
  readonly reliable: readonly IceNews[];
  /** The sender is a hosted server of Valve's network. */
  readonly isHostedServer: boolean;
}

/** A signal that says nothing yet. */
export const EMPTY_SIGNAL: Signal = {
  toConnectionId: undefined,
  request: undefined,
  ok: undefined,
  closed: undefined,
  isIceEnabled: false,
  fromIdentity: undefined,
  fromConnectionId: undefined,
  toIdentity: undefined,
  ackedReliable: undefined,
  firstReliable: undefined,
  reliable: [],
  isHostedServer: false,
};

/** Undefined if `bytes` are no signal. Certificates and keys in the result are views of `bytes`. */
export function decodeSignal(bytes: Uint8Array): Signal | undefined {
  const message = parseMessage(pb.P2PRendezvousSchema, bytes);
  if (message === undefined) return undefined;
  const { connectRequest, connectOk, connectionClosed } = message;
  return {
    toConnectionId: optional(message, 'toConnectionId'),
    request: connectRequest && {
      cert: signedCertificateOf(connectRequest.cert),
      crypt: signedCryptInfoOf(connectRequest.crypt),
      toVirtualPort: optional(connectRequest, 'toVirtualPort'),
      fromVirtualPort: optional(connectRequest, 'fromVirtualPort'),
    },
    ok: connectOk && { cert: signedCertificateOf(connectOk.cert), crypt: signedCryptInfoOf(connectOk.crypt) },
    closed: connectionClosed && { reason: connectionClosed.reason, debug: connectionClosed.debug },
    isIceEnabled: message.iceEnabled,
    fromIdentity: optional(message, 'fromIdentity'),
    fromConnectionId: optional(message, 'fromConnectionId'),
    toIdentity: optional(message, 'toIdentity'),
    ackedReliable: optional(message, 'ackedReliable'),
    firstReliable: optional(message, 'firstReliable'),
    reliable: message.reliableMessages.map(({ ice }) => ({
      password: ice?.auth && optional(ice.auth, 'password'),
      candidate: ice?.addCandidate && optional(ice.addCandidate, 'candidate'),
    })),
    isHostedServer: optional(message, 'hostedServerTicket') !== undefined,
  };
}

/** The same bytes as the reference writes. Being a hosted server is not written: we are none. */
export function encodeSignal(signal: Signal): Uint8Array {
  const { request, ok, closed } = signal;
  return serializeMessage(pb.P2PRendezvousSchema, {
    toConnectionId: signal.toConnectionId,
    connectRequest: request && { ...request, cert: request.cert && signedCertificateFields(request.cert) },
    connectOk: ok && { ...ok, cert: ok.cert && signedCertificateFields(ok.cert) },
    connectionClosed: closed,
    iceEnabled: signal.isIceEnabled || undefined,
    fromIdentity: signal.fromIdentity,
    fromConnectionId: signal.fromConnectionId,
    toIdentity: signal.toIdentity,
    ackedReliable: signal.ackedReliable,
    firstReliable: signal.firstReliable,
    reliableMessages: signal.reliable.map(reliableFields),
  });
}

function reliableFields({ password, candidate }: IceNews) {
  return {
    ice: {
      addCandidate: candidate === undefined ? undefined : { candidate },
      auth: password === undefined ? undefined : { password },
    },
  };
}

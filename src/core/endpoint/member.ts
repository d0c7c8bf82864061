// A connection as the endpoint keeps it: with its place in the schedules.

import type { IpAddress } from '../base/address.ts';
import type { Scheduled } from '../base/deadline-heap.ts';
import type { Identity } from '../base/identity.ts';
import { NEVER } from '../base/time.ts';
import type { RefusalKind } from '../certs/verify.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { Connection } from '../connection/connection.ts';
import type { StateChange } from '../connection/info.ts';
import type { RateLimit } from '../connection/rate-watch.ts';
import type { Receipt } from '../delivery/message.ts';
import type { NetAddress, UdpPort } from '../platform.ts';
import type { GroupPlace } from './message-group.ts';

export class Member implements Scheduled {
  readonly connection: Connection;
  /** Where it came in; undefined for one that we opened. */
  readonly listener: Door | undefined;
  deadlineUs = NEVER;
  heapIndex = -1;
  /** Something happened: datagrams, events or a new deadline may be waiting. */
  isDirty = false;
  /** The application was told of unread messages. */
  isAnnounced = false;
  /** In the message group that it belongs to, if any. */
  groupPlace: GroupPlace | undefined;
  /** The application wants to be told when no more than this is pending; -1 if it does not. */
  drainBelowBytes = -1;
  /** The application was told that the peer knows of the close. */
  isCloseReported = false;

  constructor(connection: Connection, listener: Door | undefined) {
    this.connection = connection;
    this.listener = listener;
  }
}

/** Where connections come in. */
export interface Door {
  /** If it has one of its own. */
  readonly port?: UdpPort;
  readonly config: ConfigScope;
  readonly members: Set<Member>;
  /** No new connections: it is gone when the last one has said goodbye. */
  isClosing: boolean;
  /** The application accepted this client or turned it away, or it gave up. */
  onAnswered(member: Member): void;
  /** The connection is dead. */
  forget(member: Member): void;
}

/** Something that the application is to be told. */
export type EndpointEvent =
  | { readonly kind: 'stateChanged'; readonly member: Member; readonly change: StateChange }
  | { readonly kind: 'messagesReady'; readonly member: Member }
  /** Some stream can be read on. */
  | { readonly kind: 'streamsReady'; readonly member: Member }
  | { readonly kind: 'receipt'; readonly member: Member; readonly receipt: Receipt }
  /** The configured rate holds data back. */
  | { readonly kind: 'rateLimited'; readonly member: Member; readonly limit: RateLimit }
  /** Something happened; only told while somebody looks that closely. */
  | { readonly kind: 'settled'; readonly member: Member }
  /** The peer answers from another address now; `from` was the one before. */
  | { readonly kind: 'moved'; readonly member: Member; readonly from: IpAddress }
  /** To be carried to the peer by the application's means. */
  | { readonly kind: 'signal'; readonly member: Member; readonly signal: Uint8Array }
  /** There is room in the send buffer again. */
  | { readonly kind: 'drained'; readonly member: Member }
  /** In FinWait: the peer knows now. */
  | { readonly kind: 'closeConfirmed'; readonly member: Member }
  | { readonly kind: 'gone'; readonly member: Member }
  | { readonly kind: 'refused'; readonly listener: Door; readonly refusal: Refusal };

/** A client that was ignored because of its credentials. */
export interface Refusal {
  readonly kind: RefusalKind;
  /** The end reason that a client ends with when it finds the same fault with a server. */
  readonly reason: number;
  /** A sentence without a full stop. */
  readonly detail: string;
  /** Who it says it is; undefined if it may not be that. */
  readonly remoteIdentity: Identity | undefined;
  readonly remoteAddress: IpAddress;
  /** As many went untold before it: no more than ten are told in a second. */
  readonly untold: number;
}

/** Who gets what a port receives. */
export interface DatagramTarget {
  handleDatagram(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): void;
}

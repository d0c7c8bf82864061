// The two records of a message: waiting to be sent, and received. Spec: 03 §3.1, 05 §5.8.

/** GNS's limits. Spec: 03 §3.12. */
export const MAX_MESSAGE_BYTES = 524_288;
export const MAX_UNRELIABLE_BYTES = 16_500;

/** What an application may say of a message's worth. All of it ends with the first byte that is sent. */
export interface Freshness {
  /** Not worth sending any more from here on; `NEVER` for always. */
  readonly expiresAtUs: number;
  /** A newer message with the same key on the same lane takes its place in the queue. */
  readonly key: string | number | undefined;
  /** It may be dropped where the send buffer is too full for a newer one of this kind. */
  readonly isDroppable: boolean;
  /** Its fate is to be reported. */
  readonly wantsReceipt: boolean;
}

/** How a message is to be sent. */
export interface OutgoingOptions {
  readonly isReliable: boolean;
  readonly noNagle: boolean;
  /** Not at all rather than later. */
  readonly noDelay: boolean;
  readonly lane: number;
  readonly freshness: Freshness | undefined;
}

/** What became of a message: the peer has it; it was sent and never confirmed; or it was not sent at all. */
export type Fate = 'acked' | 'lost' | 'expired' | 'replaced';

export interface Receipt {
  readonly lane: number;
  readonly messageNumber: number;
  readonly fate: Fate;
}

/** A message on its way out. Its payload is ours: nobody else writes to it. */
export class OutgoingMessage {
  payload: Uint8Array;
  readonly number: number;
  /** Its place in the lane's queue. */
  sequence = 0;
  /** Taken out of the queue, where it is passed over. */
  isDropped = false;
  readonly isReliable: boolean;
  /** Waits for company until then; 0 goes at once. */
  readonly nagleUntilUs: number;
  /** Reliable: distance to the number of the reliable message before, and length of the stream header. */
  numberGap: number;
  headerBytes: number;
  readonly freshness: Freshness | undefined;
  /** Packets on their way with pieces of it; counted where an unreliable message wants a receipt. */
  openPackets = 0;
  isLost = false;
  /** Reliable: where the header lies in the stream; -1 until the first byte is sent. */
  streamStart = -1;
  /** Bytes put into packets so far, header included. */
  sentBytes = 0;
  /** The lane scheduler's virtual time at which it would be done. */
  finish = 0;

  constructor(
    payload: Uint8Array,
    number: number,
    isReliable: boolean,
    nagleUntilUs: number,
    numberGap: number,
    headerBytes: number,
    freshness: Freshness | undefined,
  ) {
    this.payload = payload;
    this.number = number;
    this.isReliable = isReliable;
    this.nagleUntilUs = nagleUntilUs;
    this.numberGap = numberGap;
    this.headerBytes = headerBytes;
    this.freshness = freshness;
  }

  /** It may still be left unsent. */
  get isDroppable(): boolean {
    return this.freshness?.isDroppable === true && this.sentBytes === 0;
  }

  get totalBytes(): number {
    return this.headerBytes + this.payload.length;
  }
}

/** A received message, as the application gets it. */
export class IncomingMessage {
  /** Yours to keep. */
  readonly data: Uint8Array;
  /** Counts 1, 2, 3 … per lane and direction, reliable and unreliable together. */
  readonly messageNumber: number;
  readonly lane: number;
  readonly reliable: boolean;
  /** When the packet that completed it arrived, on the instance's clock. */
  readonly receivedAtUs: number;
  /** @internal Its turn among the messages of all connections; one put before another of its lane shares that one's. */
  arrival = 0;

  constructor(data: Uint8Array, messageNumber: number, lane: number, reliable: boolean, receivedAtUs: number) {
    this.data = data;
    this.messageNumber = messageNumber;
    this.lane = lane;
    this.reliable = reliable;
    this.receivedAtUs = receivedAtUs;
  }
}

// The reliable messages of a lane as a stream of bytes, both ways, for whatever reads from or writes to Node's streams.
// An empty message says that no more will come: it is what `end` sends.

import { Duplex } from 'node:stream';
import { NetworkingError } from '../core/base/errors.ts';
import { FACTS } from '../core/connection/state-table.ts';
import type { Connection } from './connection.ts';

/** Longer pieces would hold up the other lanes of their priority. */
const MAX_PIECE_BYTES = 65_536;
/** A piece takes a little more of the send buffer than its bytes. */
const FRAMING_BYTES = 16;

type WriteCallback = (error?: Error | null) => void;

/**
 * Made by `Connection.laneStream`. What is written goes out in messages of at most 64 KiB, as the send buffer has room;
 * what is not read fills the connection's receive buffer. When the connection ends, the stream is destroyed without an
 * error, after what had arrived has been read. Destroying it gives the lane back to ordinary receiving.
 */
export class LaneStream extends Duplex {
  readonly lane: number;
  readonly #connection: Connection;
  #wantsMore = false;
  /** The peer said that no more will come. */
  #isAtEnd = false;
  /** A write that the end of the connection has cut off. */
  #cutOff: WriteCallback | undefined;
  readonly #onChange = () => this.#checkOver();

  /** @internal */
  constructor(connection: Connection, lane: number) {
    super();
    this.lane = lane;
    this.#connection = connection;
    connection.on('internalState', this.#onChange);
    this.on('end', this.#onChange);
  }

  // ---- in

  override _read(): void {
    this.#wantsMore = true;
    this.pull();
  }

  /** @internal Messages may have arrived. */
  pull(): void {
    while (this.#wantsMore || this.#isAtEnd) {
      const message = this.#connection.receiveNext(this.lane);
      if (message === undefined) return;
      // Nothing can follow the end.
      if (this.#isAtEnd) continue;
      this.#isAtEnd = message.data.length === 0;
      this.#wantsMore = this.push(this.#isAtEnd ? null : message.data);
    }
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    this.#checkOver();
    return chunk;
  }

  // ---- out

  override _write(chunk: Uint8Array, _encoding: string, callback: WriteCallback): void {
    this.#settle(this.#sendAll(chunk), callback);
  }

  override _final(callback: WriteCallback): void {
    this.#settle(this.#send(new Uint8Array(0)), callback);
  }

  #settle(work: Promise<void>, callback: WriteCallback): void {
    work.then(
      () => callback(),
      (error: Error) => {
        // What a peer did is no error of the application: the stream ends when all that had arrived is read.
        if (this.#isOver && !this.destroyed) this.#cutOff = callback;
        else callback(error);
      },
    );
  }

  async #sendAll(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      const roomBytes = this.#connection.config.get('sendBufferSize') / 2 - FRAMING_BYTES;
      const piece = bytes.subarray(at, at + Math.min(MAX_PIECE_BYTES, Math.floor(roomBytes)));
      await this.#send(piece);
      at += piece.length;
    }
  }

  /** As soon as there is room. */
  async #send(piece: Uint8Array): Promise<void> {
    for (;;) {
      await this.#connection.writable();
      try {
        this.#connection.send(piece, { lane: this.lane });
        return;
      } catch (error) {
        // Somebody else was faster.
        if (!(error instanceof NetworkingError && error.code === 'LimitExceeded')) throw error;
      }
    }
  }

  // ---- the end

  get #isOver(): boolean {
    const facts = FACTS[this.#connection.internalState];
    return !facts.isActive || !facts.isVisible;
  }

  #checkOver(): void {
    if (this.destroyed || !this.#isOver) return;
    const mayRead = this.#connection.state !== 'None';
    const isUnread = this.readableLength > 0 || this.#hasMessages || (this.#isAtEnd && !this.readableEnded);
    if (!mayRead || !isUnread) this.destroy();
  }

  get #hasMessages(): boolean {
    return this.#connection.member.connection.data.delivery.receiver.hasStreamMessages(this.lane);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#connection.off('internalState', this.#onChange);
    this.#connection.streams.release(this.lane);
    this.#cutOff?.(error ?? new NetworkingError('NoConnection', 'the connection ended before all was sent'));
    callback(error);
  }
}

/** The streams of one connection. */
export class LaneStreams {
  readonly #connection: Connection;
  #byLane: Map<number, LaneStream> | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get #delivery() {
    return this.#connection.member.connection.data.delivery;
  }

  open(lane: number): LaneStream {
    const { state } = this.#connection;
    if (state !== 'Connected' && state !== 'Connecting' && state !== 'FindingRoute') {
      throw new NetworkingError('NoConnection', `cannot open a stream on lane ${lane}: the connection has ended`);
    }
    if (this.#delivery.laneOptions[lane] === undefined) {
      throw new NetworkingError('InvalidParam', `cannot open a stream: lane ${lane} is not configured`);
    }
    this.#byLane ??= new Map();
    if (this.#byLane.has(lane)) {
      throw new NetworkingError('DuplicateRequest', `cannot open a stream: lane ${lane} has one already`);
    }
    const stream = new LaneStream(this.#connection, lane);
    this.#byLane.set(lane, stream);
    this.#delivery.receiver.openStream(lane);
    return stream;
  }

  release(lane: number): void {
    if (this.#byLane?.delete(lane) !== true) return;
    // One by one, so that what had no room in the receive buffer gets it.
    while (this.#connection.receiveNext(lane) !== undefined);
    this.#delivery.receiver.closeStream(lane);
  }

  /** Messages have arrived. */
  onReady(): void {
    for (const stream of this.#byLane?.values() ?? []) stream.pull();
  }
}

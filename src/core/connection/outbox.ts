// Control packets of a connection that wait for the network: few, since each answers something that came.

import { Fifo } from '../base/fifo.ts';
import { type ControlPacket, encodeControlPacket } from '../wire/control-packets.ts';
import type { History } from './history.ts';

/** More are dropped: whoever waits for an answer asks again. */
const MAX_WAITING = 8;

export class Outbox {
  readonly #packets = new Fifo<ControlPacket>();
  readonly #history: History;

  constructor(history: History) {
    this.#history = history;
  }

  get isEmpty(): boolean {
    return this.#packets.length === 0;
  }

  push(packet: ControlPacket): void {
    if (this.#packets.length < MAX_WAITING) this.#packets.push(packet);
  }

  /** Writes the next packet into `out`; returns its length, or 0 if there is none. */
  write(out: Uint8Array): number {
    const packet = this.#packets.shift();
    if (packet === undefined) return 0;
    this.#history.onSent(packet.kind);
    return encodeControlPacket(packet, out);
  }

  clear(): void {
    this.#packets.clear();
  }
}

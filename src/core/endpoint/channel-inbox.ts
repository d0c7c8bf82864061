// Ad-hoc messages that nobody has read yet, by channel; in the order in which they came, whoever they are from.
// Spec: 08 §8.1, §8.2.

import { Fifo } from '../base/fifo.ts';
import type { Identity } from '../base/identity.ts';

/** A received ad-hoc message, as the application gets it. */
export interface SessionMessage {
  /** Who sent it. */
  readonly identity: Identity;
  /** As the sender chose it: any 32-bit integer. */
  readonly channel: number;
  /** Yours to keep. */
  readonly data: Uint8Array;
  /** Counts 1, 2, 3 … on each connection that the session had, all channels together. */
  readonly messageNumber: number;
  readonly reliable: boolean;
  /** When the packet that completed it arrived, on the instance's clock. */
  readonly receivedAtUs: number;
}

/** Its turn among those of all channels. */
interface Queued {
  readonly turn: number;
  readonly message: SessionMessage;
}

export class ChannelInbox {
  /** None of them is empty. */
  readonly #channels = new Map<number, Fifo<Queued>>();
  #turns = 0;

  get isEmpty(): boolean {
    return this.#channels.size === 0;
  }

  push(message: SessionMessage): void {
    this.#queueOf(message.channel).push({ turn: this.#turns++, message });
  }

  #queueOf(channel: number): Fifo<Queued> {
    let queue = this.#channels.get(channel);
    if (queue === undefined) {
      queue = new Fifo<Queued>();
      this.#channels.set(channel, queue);
    }
    return queue;
  }

  /** The oldest message of this channel, or of all. */
  take(channel = this.#oldestChannel()): SessionMessage | undefined {
    const queue = this.#channels.get(channel);
    const queued = queue?.shift();
    if (queue?.length === 0) this.#channels.delete(channel);
    return queued?.message;
  }

  #oldestChannel(): number {
    let oldest = Number.POSITIVE_INFINITY;
    let found = 0;
    for (const [channel, queue] of this.#channels) {
      const { turn } = queue.peek()!;
      if (turn >= oldest) continue;
      oldest = turn;
      found = channel;
    }
    return found;
  }

  /** Throws away what this peer sent, on one channel or on all; returns it. */
  discard(identity: Identity, channel?: number): readonly SessionMessage[] {
    const discarded: SessionMessage[] = [];
    for (const each of channel === undefined ? [...this.#channels.keys()] : [channel]) {
      const queue = this.#channels.get(each);
      for (let left = queue?.length ?? 0; left > 0; left--) {
        const queued = queue!.shift()!;
        if (queued.message.identity.equals(identity)) discarded.push(queued.message);
        else queue!.push(queued);
      }
      if (queue?.length === 0) this.#channels.delete(each);
    }
    return discarded;
  }
}

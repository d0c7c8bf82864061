// NATS as the backplane of a fleet of signaling servers: whichever server a peer is on, the others reach it.

import { connect, type NatsConnection } from '@nats-io/transport-node';
import { NetworkingError } from '../core/base/errors.ts';
import type { Backplane } from './switchboard.ts';

/** So that several fleets can share one NATS. */
const DEFAULT_PREFIX = 'gns-signaling';

export interface NatsOptions {
  /** As in `nats://127.0.0.1:4222`. */
  readonly servers: string | readonly string[];
  /** In front of every subject. */
  readonly prefix?: string;
}

/** Connects, and from then on reconnects by itself. Rejects with `ConnectFailed`. */
export async function natsBackplane({ servers, prefix = DEFAULT_PREFIX }: NatsOptions): Promise<Backplane> {
  const list = typeof servers === 'string' ? [servers] : [...servers];
  let connection: NatsConnection;
  try {
    connection = await connect({ servers: list, maxReconnectAttempts: -1, name: prefix });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new NetworkingError('ConnectFailed', `NATS does not answer at ${list.join(', ')}: ${why}`, { cause });
  }
  return {
    publish(subject, message) {
      if (!connection.isClosed()) connection.publish(`${prefix}.${subject}`, message);
    },
    subscribe(subject, onMessage) {
      const subscription = connection.subscribe(`${prefix}.${subject}`, {
        callback: (error, message) => {
          if (error === null) onMessage(message.string());
        },
      });
      return () => {
        if (!connection.isClosed()) subscription.unsubscribe();
      };
    },
    async close() {
      if (!connection.isClosed()) await connection.close();
    },
  };
}

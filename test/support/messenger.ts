// Peers that exchange ad-hoc messages on a simulated network, and all that each of them was told.

import { expect } from 'chai';
import {
  type ConfigOptions,
  type Messages,
  type MessagesOptions,
  Networking,
  type NetworkingError,
  type SessionEnd,
  type SessionMessage,
  type SessionRequest,
} from '../../src/index.ts';
import { LocalSignaling, nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';
import { SEED } from './seed.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;

export interface MessengerOptions extends MessagesOptions {
  readonly config?: ConfigOptions;
  /** Default: that of the host. */
  readonly name?: string;
  /** Whether requests are accepted as they come. Default: true. */
  readonly accepts?: boolean;
  /** Whether messages are taken as they come. Default: true. */
  readonly reads?: boolean;
}

export class Messenger {
  readonly host: SimulatedHost;
  readonly networking: Networking;
  readonly messages: Messages;
  readonly requests: SessionRequest[] = [];
  readonly received: SessionMessage[] = [];
  readonly failed: SessionEnd[] = [];
  readonly closed: SessionEnd[] = [];

  constructor(scene: MessengerScene, host: SimulatedHost, options: MessengerOptions) {
    const { config = {}, name, accepts = true, reads = true, ...messagesOptions } = options;
    const { platform } = host;
    const identity = name ?? `str:${host.name}`;
    this.host = host;
    const signaling = scene.signaling.join(identity, platform);
    this.networking = new Networking({ platform, identity, signaling, config });
    this.messages = this.networking.messages(messagesOptions);
    this.messages.on('request', (request) => {
      this.requests.push(request);
      if (accepts) request.accept();
    });
    if (reads) this.messages.on('message', (message) => this.received.push(message));
    this.messages.on('failed', (end) => this.failed.push(end));
    this.messages.on('closed', (end) => this.closed.push(end));
  }

  get texts(): string[] {
    return this.received.map(textOf);
  }
}

export class MessengerScene {
  readonly network: SimulatedNetwork;
  readonly signaling: LocalSignaling;

  constructor(seed: number, delayUs = 10 * MS) {
    this.network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions: { delayUs } });
    this.signaling = new LocalSignaling({ delayUs: 25 * MS }, seed);
  }

  join(name: string, options: MessengerOptions = {}): Messenger {
    return new Messenger(this, this.network.host(name), options);
  }

  /** The process ends without a word, and another one takes its place. */
  restart({ host }: Messenger, options: MessengerOptions = {}): Messenger {
    host.kill();
    return new Messenger(this, host, options);
  }

  run(durationUs: number): void {
    this.network.run(durationUs);
  }

  until(predicate: () => boolean, limitUs = 20 * SECOND): void {
    expect(this.network.runUntil(predicate, limitUs), `${predicate}`).to.equal(true);
  }
}

export function textOf({ data }: { readonly data: Uint8Array }): string {
  return new TextDecoder().decode(data);
}

/** The code of what is thrown. */
export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as NetworkingError).code;
  }
  return 'nothing was thrown';
}

/** Two peers with a session, in which one message went from alice to bob. */
export function acquainted(options: MessengerOptions = {}) {
  const scene = new MessengerScene(SEED);
  const alice = scene.join('alice', options);
  const bob = scene.join('bob', options);
  alice.messages.sendMessageToUser('str:bob', 'hello');
  scene.until(() => alice.messages.sessionInfo('str:bob')?.state === 'Connected');
  scene.until(() => bob.messages.sessionInfo('str:alice')?.state === 'Connected');
  scene.run(SECOND);
  return { scene, alice, bob };
}

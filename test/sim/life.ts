// One random life of a connection: a plan drawn from a seed, and what becomes of it. Everything that must hold whatever
// happens is checked here; `lives.test.ts` runs many of them.

import type { SeededRandom } from '../../src/core/base/random.ts';
import {
  type CloseResult,
  CONNECTION_STATES,
  type Connection,
  type ConnectionInfo,
  type ConnectionState,
  type IncomingMessage,
  type StateChange,
} from '../../src/index.ts';
import type { LinkConditions, SimulatedHost } from '../../src/testing.ts';
import { Pair, patternOf, SECOND } from '../support/pair.ts';

/** What befalls a life beside its bad link. */
export const MISHAPS = ['none', 'kill', 'freeze', 'partition', 'cut'] as const;
export type Mishap = (typeof MISHAPS)[number];

interface PlannedMessage {
  readonly afterUs: number;
  readonly bytes: number;
  readonly reliable: boolean;
  readonly noNagle: boolean;
}

/** What the application of one side does; times count from when it has its connection. */
interface SidePlan {
  readonly messages: readonly PlannedMessage[];
  /** It closes sooner if the connection ends by itself and it does not wait for this moment. */
  readonly closeAfterUs: number;
  readonly closesWhenEnded: boolean;
  readonly linger: boolean;
  readonly reason: number;
}

export interface LifePlan {
  readonly networkSeed: number;
  readonly there: LinkConditions;
  readonly back: LinkConditions;
  readonly acceptAfterUs: number;
  readonly client: SidePlan;
  readonly server: SidePlan;
  readonly mishap: Mishap;
  readonly victim: 'client' | 'server';
  readonly mishapAtUs: number;
  readonly mishapForUs: number;
}

/** By then everybody has closed, whatever was planned. */
const LAST_CLOSE_US = 30 * SECOND;
/** Time for the slowest end: a time-out found out late, then FinWait. */
const AFTERLIFE_US = 90 * SECOND;
const MAX_MISHAP_US = 15 * SECOND;

export function planLife(random: SeededRandom, mishap: Mishap): LifePlan {
  return {
    networkSeed: random.u32(),
    there: planLink(random),
    back: planLink(random),
    acceptAfterUs: random.float() < 0.85 ? 0 : random.below(12 * SECOND),
    client: planSide(random, 1_100),
    server: planSide(random, 1_200),
    mishap,
    victim: random.float() < 0.5 ? 'client' : 'server',
    mishapAtUs: random.below(8 * SECOND),
    mishapForUs: random.below(MAX_MISHAP_US),
  };
}

function planLink(random: SeededRandom): LinkConditions {
  return {
    lossRatio: random.float() < 0.3 ? 0 : random.float() * 0.4,
    delayUs: random.below(150_000),
    jitterUs: random.below(50_000),
    reorderRatio: random.float() < 0.5 ? 0 : random.float() * 0.3,
    reorderDelayUs: random.below(60_000),
    duplicateRatio: random.float() < 0.5 ? 0 : random.float() * 0.3,
    duplicateDelayUs: random.below(200_000),
  };
}

function planSide(random: SeededRandom, reason: number): SidePlan {
  const messages = Array.from({ length: random.below(25) }, () => ({
    afterUs: random.float() < 0.2 ? 0 : random.below(12 * SECOND),
    bytes: random.float() < 0.1 ? random.below(15_000) : random.below(1_500),
    reliable: random.float() < 0.7,
    noNagle: random.float() < 0.3,
  }));
  return {
    messages,
    closeAfterUs: random.float() < 0.5 ? LAST_CLOSE_US : random.below(12 * SECOND),
    closesWhenEnded: random.float() < 0.5,
    linger: random.float() < 0.75,
    reason: reason + random.below(50),
  };
}

/** An application at work on one connection, and what it has seen. */
class Actor {
  readonly name: string;
  readonly connection: Connection;
  readonly plan: SidePlan;
  readonly #host: SimulatedHost;
  readonly #platform: SimulatedHost['platform'];
  readonly #network: Pair['network'];
  readonly sentReliable: Uint8Array[] = [];
  readonly sentUnreliable = new Map<number, Uint8Array>();
  readonly received: IncomingMessage[] = [];
  readonly changes: StateChange[] = [];
  ended: ConnectionInfo | undefined;
  result: CloseResult | undefined;
  stateAtClose: ConnectionState | undefined;
  /** Network time. */
  closedAtUs = Number.POSITIVE_INFINITY;
  /** When it no longer counted on the peer's acknowledgements. Network time. */
  inactiveAtUs = Number.POSITIVE_INFINITY;

  constructor(name: string, connection: Connection, plan: SidePlan, host: SimulatedHost, network: Pair['network']) {
    this.name = name;
    this.connection = connection;
    this.plan = plan;
    this.#host = host;
    this.#platform = host.platform;
    this.#network = network;
    connection.on('message', (message) => this.received.push(message));
    connection.on('internalState', (change) => this.#onChange(change));
    connection.on('ended', (info) => {
      this.ended = info;
      if (plan.closesWhenEnded) this.#close();
    });
    for (const message of plan.messages) this.#after(message.afterUs, () => this.#send(message));
    this.#after(plan.closeAfterUs, () => this.#close());
  }

  get isKilled(): boolean {
    return this.#host.platform !== this.#platform;
  }

  /** On an alarm of its own process: it does nothing while that is frozen or after it was killed. */
  #after(delayUs: number, task: () => void): void {
    this.#platform.newAlarm(task).set(this.#platform.nowUs() + delayUs);
  }

  after(delayUs: number, task: () => void): void {
    this.#after(delayUs, task);
  }

  #onChange(change: StateChange): void {
    this.changes.push(change);
    if (!CONNECTION_STATES[change.to].isActive) this.inactiveAtUs = Math.min(this.inactiveAtUs, this.#network.nowUs);
  }

  #send({ bytes, reliable, noNagle }: PlannedMessage): void {
    if (!CONNECTION_STATES[this.connection.state].isActive) return;
    const data = patternOf(bytes, this.sentReliable.length + this.sentUnreliable.size);
    const number = this.connection.send(data, { reliable, noNagle });
    if (reliable) this.sentReliable.push(data);
    else this.sentUnreliable.set(number, data);
  }

  #close(): void {
    if (this.stateAtClose !== undefined) return;
    this.stateAtClose = this.connection.state;
    this.closedAtUs = this.#network.nowUs;
    const { linger, reason } = this.plan;
    void this.connection.close({ linger, reason, debug: `${this.name} left` }).then((result) => {
      this.result = result;
    });
  }
}

/** Lives the plan to its end. What it returns should not have happened. */
export async function live(plan: LifePlan): Promise<string[]> {
  const pair = new Pair({
    seed: plan.networkSeed,
    link: plan.there,
    back: plan.back,
    autoAccept: false,
    reads: false,
  });
  const { network, clientHost, serverHost } = pair;
  const client = new Actor('client', pair.open().connection, plan.client, clientHost, network);
  const servers: Actor[] = [];
  pair.socket.on('connection', (arrival) => {
    const server = new Actor('server', arrival.connection, plan.server, serverHost, network);
    servers.push(server);
    server.after(plan.acceptAfterUs, () => {
      if (arrival.connection.state === 'Connecting') arrival.accept();
    });
  });
  befall(plan, pair);
  network.run(LAST_CLOSE_US + MAX_MISHAP_US + AFTERLIFE_US);
  await Promise.resolve();
  const actors = [client, ...servers];
  return [
    ...actors.flatMap(checkEnd),
    ...servers.flatMap((server) => checkReceived(client, server)),
    ...checkReceived(bestOf(servers), client),
    ...checkResult(client, bestOf(servers)),
    ...servers.flatMap((server) => checkResult(server, client)),
    ...(await checkLeftovers(pair)),
  ];
}

/** A client whose first request was answered too late comes twice; it has talked with one of the two at most. */
function bestOf(servers: readonly Actor[]): Actor | undefined {
  const score = (actor: Actor) => actor.received.length + (actor.changes.some(({ to }) => to === 'Connected') ? 1 : 0);
  return [...servers].sort((a, b) => score(b) - score(a))[0];
}

function befall(plan: LifePlan, { network, clientHost, serverHost }: Pair): void {
  const victim = plan.victim === 'client' ? clientHost : serverHost;
  const schedule = (afterUs: number, task: () => void) => network.clock.schedule(network.nowUs + afterUs, task);
  const endAtUs = plan.mishapAtUs + plan.mishapForUs;
  switch (plan.mishap) {
    case 'none':
      return;
    case 'kill':
      schedule(plan.mishapAtUs, () => victim.kill());
      return;
    case 'freeze':
      schedule(plan.mishapAtUs, () => victim.freeze());
      schedule(endAtUs, () => victim.thaw());
      return;
    case 'partition':
      schedule(endAtUs, () => network.heal(clientHost, serverHost));
      schedule(plan.mishapAtUs, () => network.partition(clientHost, serverHost));
      return;
    case 'cut':
      schedule(plan.mishapAtUs, () => network.partition(clientHost, serverHost));
  }
}

/** Everyone who lives ends in Dead, by a chain of changes that never shows what was hidden. */
function checkEnd(actor: Actor): string[] {
  const { name, connection, changes, result } = actor;
  const complaints: string[] = [];
  if (!actor.isKilled && connection.internalState !== 'Dead') {
    complaints.push(`${name} ends in ${connection.internalState}`);
  }
  if (!actor.isKilled && result === undefined) complaints.push(`${name}: close has no result`);
  changes.forEach(({ from, to }, at) => {
    if (at > 0 && changes[at - 1]!.to !== from) complaints.push(`${name}: a change is missing before ${from} -> ${to}`);
    const isUncovered = from !== 'None' && !CONNECTION_STATES[from].isVisible && CONNECTION_STATES[to].isVisible;
    if (isUncovered) complaints.push(`${name}: ${from} -> ${to} uncovers what was hidden`);
  });
  return complaints;
}

/** Reliable messages: each once and in order. Unreliable ones: once at most. All as they were sent. */
function checkReceived(sender: Actor | undefined, receiver: Actor): string[] {
  if (sender === undefined) return receiver.received.length === 0 ? [] : ['messages from nobody'];
  const complaints: string[] = [];
  const seen = new Set<number>();
  let reliable = 0;
  for (const message of receiver.received) {
    const expected = message.reliable
      ? sender.sentReliable[reliable++]
      : sender.sentUnreliable.get(message.messageNumber);
    if (seen.has(message.messageNumber)) complaints.push(`${receiver.name} got ${message.messageNumber} twice`);
    seen.add(message.messageNumber);
    if (expected === undefined || !equal(expected, message.data)) {
      complaints.push(`${receiver.name} got a message ${message.messageNumber} that ${sender.name} did not send so`);
    }
  }
  const { ended } = receiver;
  if (ended !== undefined && ended.endReason >= 1_000 && ended.endReason < 3_000) {
    const isAsSaid = ended.endReason === sender.plan.reason && ended.endDebug === `${sender.name} left`;
    if (!isAsSaid) complaints.push(`${receiver.name} was told ${ended.endReason} ${ended.endDebug}`);
  }
  return complaints;
}

/** What `close` told about delivery is true. */
function checkResult(actor: Actor, peer: Actor | undefined): string[] {
  const { name, result, sentReliable, plan } = actor;
  if (result === undefined) return [];
  const complaints: string[] = [];
  const { delivered, undeliveredBytes, endReason } = result;
  if (delivered !== (undeliveredBytes === 0))
    complaints.push(`${name}: delivered ${delivered}, ${undeliveredBytes} not`);
  if (endReason === 0) complaints.push(`${name}: no reason for the end`);
  // A peer that closed its handle has thrown away what was still on its way to the application.
  const couldPeerRead = peer === undefined || peer.closedAtUs > actor.inactiveAtUs;
  if (!couldPeerRead) return complaints;
  const arrived = peer?.received.filter(({ reliable }) => reliable).length ?? 0;
  if (delivered && arrived < sentReliable.length) {
    complaints.push(`${name}: all delivered, it says, but ${arrived} of ${sentReliable.length} arrived`);
  }
  // Only the peer's end, or a problem (which changes the reason), may cut a flush short.
  const isPeerThere = peer !== undefined && peer.inactiveAtUs > actor.inactiveAtUs;
  const mustBeFlushed = plan.linger && actor.stateAtClose === 'Connected' && endReason === plan.reason && isPeerThere;
  if (mustBeFlushed && !delivered)
    complaints.push(`${name}: the flush ended by itself with ${undeliveredBytes} bytes left`);
  return complaints;
}

/** No timer, port or connection is left; the listen socket goes when it is closed. */
async function checkLeftovers({ network, clientHost, serverHost, server, socket }: Pair): Promise<string[]> {
  const complaints: string[] = [];
  const isServerAlive = serverHost.platform === server.platform;
  if (network.pendingAlarms !== 0) complaints.push(`${network.pendingAlarms} alarms left`);
  if (clientHost.openPorts !== 0) complaints.push(`${clientHost.openPorts} ports left on the client`);
  if (serverHost.openPorts !== (isServerAlive ? 1 : 0)) complaints.push(`${serverHost.openPorts} ports on the server`);
  if (network.clock.pendingEvents !== 0) complaints.push(`${network.clock.pendingEvents} events left`);
  if (isServerAlive) {
    if (socket.connectionCount !== 0) complaints.push(`${socket.connectionCount} connections left on the socket`);
    await network.settle(socket.close(), SECOND);
    if (network.openPorts !== 0) complaints.push('the listen socket keeps its port');
  }
  return complaints;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

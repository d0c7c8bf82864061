// Days of virtual time: twenty connections between four machines and a server, on which everything that can break does.
// What must hold is looked at after every step, not only in the end.

import { SeededRandom } from '../../src/core/base/random.ts';
import {
  type CloseResult,
  CONNECTION_STATES,
  type Connection,
  type ConnectionState,
  type ListenSocket,
  Networking,
} from '../../src/index.ts';
import { nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';
import { SECOND } from '../support/pair.ts';

const PORT = 27_015;
const CLIENT_HOSTS = 4;
const CONNECTIONS_PER_HOST = 5;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** Applications lie idle for so long on average. */
const MEAN_PAUSE_US = 90 * SECOND;
const MEAN_LIFE_US = 40 * MINUTE;
const MEAN_FAULT_PAUSE_US = 10 * MINUTE;
const MAX_MESSAGE_BYTES = 3_000;
/** Time for the last time-outs, and for FinWait. */
const AFTERLIFE_US = 3 * MINUTE;
const ROUNDS_US = 30 * SECOND;

/** What the day came to. */
export interface DayReport {
  /** What should not have happened. */
  readonly complaints: readonly string[];
  readonly connections: number;
  readonly faults: number;
  readonly sent: number;
  readonly received: number;
  /** Connections whose every reliable message had to arrive, and did. */
  readonly complete: number;
}

/** One side of one connection: a stream of numbered messages out, and another one in. */
class Voice {
  readonly connection: Connection;
  readonly host: SimulatedHost;
  readonly platform: SimulatedHost['platform'];
  readonly #day: Day;
  other: Voice | undefined;
  sent = 0;
  received = 0;
  /** As far as we were told. */
  #lastState: ConnectionState | undefined;
  result: CloseResult | undefined;
  stateAtClose: ConnectionState | undefined;
  closedAtUs = Number.POSITIVE_INFINITY;
  inactiveAtUs = Number.POSITIVE_INFINITY;

  constructor(day: Day, connection: Connection, host: SimulatedHost) {
    this.#day = day;
    this.connection = connection;
    this.host = host;
    this.platform = host.platform;
    connection.on('message', ({ data, reliable }) => this.#hear(data, reliable));
    connection.on('internalState', ({ from, to }) => {
      const last = this.#lastState ?? from;
      if (from !== last) day.complain(`a change is missing between ${last} and ${from}`);
      const isUncovered = from !== 'None' && !CONNECTION_STATES[from].isVisible && CONNECTION_STATES[to].isVisible;
      if (isUncovered) day.complain(`${from} -> ${to} uncovers what was hidden`);
      this.#lastState = to;
      if (!CONNECTION_STATES[to].isActive) this.inactiveAtUs = Math.min(this.inactiveAtUs, day.network.nowUs);
    });
    connection.on('ended', () => this.close(false));
  }

  get isKilled(): boolean {
    return this.host.platform !== this.platform;
  }

  /** A message says who speaks, and the how manieth it is; the rest follows from that. */
  speak(speaker: number, bytes: number, reliable: boolean): void {
    if (!CONNECTION_STATES[this.connection.state].isActive) return;
    const data = new Uint8Array(9 + bytes);
    const view = new DataView(data.buffer);
    view.setUint32(0, speaker);
    view.setUint32(4, this.sent);
    data.fill((speaker * 31 + this.sent) & 0xff, 8);
    this.connection.send(data, { reliable });
    if (reliable) this.sent++;
    this.#day.sent++;
  }

  #hear(data: Uint8Array, reliable: boolean): void {
    const view = new DataView(data.buffer, data.byteOffset);
    const speaker = view.getUint32(0);
    const number = view.getUint32(4);
    const filling = (speaker * 31 + number) & 0xff;
    if (data.subarray(8).some((byte) => byte !== filling)) this.#day.complain('a message arrived damaged');
    this.other ??= this.#day.introduce(speaker, this);
    this.#day.received++;
    if (!reliable) return;
    if (number !== this.received) this.#day.complain(`message ${number} came where ${this.received} was due`);
    this.received++;
    if (this.other !== undefined && this.received > this.other.sent) this.#day.complain('heard what nobody said');
  }

  close(linger: boolean): void {
    if (this.stateAtClose !== undefined) return;
    this.stateAtClose = this.connection.state;
    this.closedAtUs = this.#day.network.nowUs;
    void this.connection.close({ linger, reason: 1_000, debug: 'enough' }).then((result) => {
      this.result = result;
    });
  }

  /** What holds of a living connection at any time. */
  check(): void {
    const status = this.connection.status();
    const { pendingReliableBytes, pendingUnreliableBytes, sentUnackedReliableBytes } = status;
    if (!(pendingReliableBytes >= 0 && pendingUnreliableBytes >= 0 && sentUnackedReliableBytes >= 0)) {
      this.#day.complain('a count fell below zero');
    }
  }

  /** After the end: what was promised has arrived. True if everything had to. */
  isComplete(): boolean {
    const { other, result } = this;
    if (result === undefined) {
      if (!this.isKilled) this.#day.complain(`close has no result in ${this.connection.internalState}`);
      return false;
    }
    if (result.delivered !== (result.undeliveredBytes === 0)) this.#day.complain('delivered, and bytes left');
    if (!result.delivered || other === undefined || other.closedAtUs <= this.inactiveAtUs) return false;
    if (other.received !== this.sent && !other.isKilled) {
      this.#day.complain(`${this.sent} were promised to be there, ${other.received} are`);
    }
    return this.sent > 0;
  }
}

/** Fast enough for them. */
const LARGE_PACKETS = { mtuDiscoveryMax: 8_192, sendRateMin: 10 << 20, sendRateMax: 10 << 20 };

/** Some keep to 1300 bytes. */
function openClient({ platform, name }: SimulatedHost): Networking {
  return new Networking({ platform, config: name.endsWith('1') ? {} : LARGE_PACKETS });
}

export class Day {
  readonly network: SimulatedNetwork;
  readonly #random: SeededRandom;
  readonly #server: { readonly host: SimulatedHost; networking: Networking; socket: ListenSocket };
  readonly #clients: { readonly host: SimulatedHost; networking: Networking }[] = [];
  readonly #complaints = new Set<string>();
  readonly #voices: Voice[] = [];
  /** Clients' sides, by what they call themselves. */
  readonly #bySpeaker = new Map<number, Voice>();
  #speakers = 0;
  #turn = 0;
  #isOver = false;
  sent = 0;
  received = 0;
  #faults = 0;
  #connections = 0;
  #complete = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.network = new SimulatedNetwork({ seed, crypto: nodeCrypto });
    this.#setLinks();
    const host = this.network.host('server', { clockOffsetUs: HOUR });
    const networking = new Networking({ platform: host.platform, config: LARGE_PACKETS });
    this.#server = { host, networking, socket: this.#listen(networking, host) };
    for (let number = 0; number < CLIENT_HOSTS; number++) {
      const clientHost = this.network.host(`client ${number}`);
      this.#clients.push({ host: clientHost, networking: openClient(clientHost) });
    }
  }

  complain(what: string): void {
    this.#complaints.add(what);
  }

  /** A message has told who is at the other end. */
  introduce(speaker: number, listener: Voice): Voice | undefined {
    const other = this.#bySpeaker.get(speaker);
    if (other !== undefined) other.other ??= listener;
    return other;
  }

  async run(durationUs: number): Promise<DayReport> {
    for (let slot = 0; slot < CLIENT_HOSTS * CONNECTIONS_PER_HOST; slot++) this.#live(slot);
    this.#later(MEAN_FAULT_PAUSE_US, () => this.#break());
    await this.#advance(durationUs);
    this.#isOver = true;
    this.#setLinks();
    for (const voice of this.#voices) if (!voice.isKilled) voice.close(true);
    await this.#advance(AFTERLIFE_US);
    this.#bury();
    const living = [this.#server, ...this.#clients];
    for (const { networking } of living) await this.network.settle(networking.close(), AFTERLIFE_US);
    const { openPorts, pendingAlarms } = this.network;
    if (openPorts + pendingAlarms > 0) this.complain(`${openPorts} ports and ${pendingAlarms} alarms are left`);
    if (this.#voices.length > 0) this.complain(`${this.#voices.length} connections did not end`);
    const { sent, received } = this;
    const complaints = [...this.#complaints];
    return {
      complaints,
      connections: this.#connections,
      faults: this.#faults,
      sent,
      received,
      complete: this.#complete,
    };
  }

  /** Step by step: after each one, the next connection in turn is looked at. */
  async #advance(durationUs: number): Promise<void> {
    const { network } = this;
    const endUs = network.nowUs + durationUs;
    while (network.nowUs < endUs) {
      const roundEndUs = Math.min(endUs, network.nowUs + ROUNDS_US);
      while (network.clock.nextEventAtUs <= roundEndUs) {
        network.clock.step();
        const voice = this.#voices[this.#turn++ % Math.max(1, this.#voices.length)];
        if (voice !== undefined && !voice.isKilled && voice.stateAtClose === undefined) voice.check();
      }
      network.clock.runUntil(roundEndUs);
      // Promises go on.
      await network.advance(0);
      this.#bury();
    }
  }

  #later(meanUs: number, task: () => void): void {
    const delayUs = Math.round(-Math.log(1 - this.#random.float()) * meanUs) + 1;
    this.network.clock.schedule(this.network.nowUs + delayUs, () => {
      if (!this.#isOver) task();
    });
  }

  #listen(networking: Networking, host: SimulatedHost): ListenSocket {
    const socket = networking.listen({ port: PORT, autoAccept: true });
    socket.on('connection', ({ connection }) => {
      const voice = this.#add(connection, host);
      this.#talk(voice, 0);
    });
    return socket;
  }

  #add(connection: Connection, host: SimulatedHost): Voice {
    const voice = new Voice(this, connection, host);
    this.#voices.push(voice);
    return voice;
  }

  /** A place that always has a connection: when one is over, the next one begins. */
  #live(slot: number): void {
    const client = this.#clients[slot % CLIENT_HOSTS]!;
    const speaker = ++this.#speakers;
    let voice: Voice;
    try {
      voice = this.#add(client.networking.open(`${this.#server.host.address}:${PORT}`), client.host);
    } catch (error) {
      this.complain(String(error));
      return;
    }
    this.#connections++;
    this.#bySpeaker.set(speaker, voice);
    this.#talk(voice, speaker);
    const linger = this.#random.float() < 0.8;
    this.#later(MEAN_LIFE_US, () => {
      if (!voice.isKilled) voice.close(linger);
    });
    const succeed = () => {
      if (voice.isKilled || voice.stateAtClose !== undefined) this.#later(10 * SECOND, () => this.#live(slot));
      else this.#later(30 * SECOND, succeed);
    };
    succeed();
  }

  #talk(voice: Voice, speaker: number): void {
    const random = this.#random;
    const own = speaker === 0 ? ++this.#speakers : speaker;
    this.#bySpeaker.set(own, voice);
    const next = () => {
      if (voice.isKilled || voice.stateAtClose !== undefined) return;
      // A suspended process says nothing.
      if (!voice.host.isFrozen) {
        const count = random.float() < 0.05 ? random.below(40) : 1;
        for (let i = 0; i < count; i++) voice.speak(own, random.below(MAX_MESSAGE_BYTES), random.float() < 0.7);
      }
      this.#later(MEAN_PAUSE_US, next);
    };
    next();
  }

  // ---- faults

  #setLinks(): void {
    const random = this.#random;
    this.network.setConditions({
      delayUs: 5_000 + random.below(80_000),
      jitterUs: random.below(20_000),
      lossRatio: random.float() < 0.5 ? 0 : random.float() * 0.1,
      reorderRatio: random.float() * 0.02,
      duplicateRatio: random.float() * 0.02,
      corruptRatio: random.float() * 0.005,
      mtuBytes: random.float() < 0.5 ? 1_300 + random.below(8_000) : Number.POSITIVE_INFINITY,
    });
  }

  #break(): void {
    this.#faults++;
    const random = this.#random;
    const client = this.#clients[random.below(CLIENT_HOSTS)]!;
    const { host: serverHost } = this.#server;
    const host = random.float() < 0.7 ? client.host : serverHost;
    const faults = [
      () =>
        this.#for(
          20 * SECOND,
          () => host.unplug(),
          () => host.plug(),
        ),
      () =>
        this.#for(
          20 * SECOND,
          () => this.network.partition(client.host, serverHost),
          () => this.network.heal(client.host, serverHost),
        ),
      () =>
        this.#for(
          10 * SECOND,
          () => host.freeze(),
          () => host.thaw(),
        ),
      () =>
        this.#for(
          20 * SECOND,
          () => host.refuseSends(random.float()),
          () => host.refuseSends(0),
        ),
      () => this.#setLinks(),
      () => host.skipTime(random.below(10 * MINUTE)),
      () => host.setWallClock(random.below(2_000_000) - 1_000_000),
      () => client.host.breakPorts(),
      () => this.network.readdress(client.host, [`10.200.${random.below(250)}.${1 + random.below(250)}`]),
      () => this.#kill(client),
    ];
    faults[random.below(faults.length)]!();
    this.#later(MEAN_FAULT_PAUSE_US, () => this.#break());
  }

  #for(meanUs: number, begin: () => void, end: () => void): void {
    begin();
    const delayUs = 1 + this.#random.below(2 * meanUs);
    this.network.clock.schedule(this.network.nowUs + delayUs, end);
  }

  #kill(client: { readonly host: SimulatedHost; networking: Networking }): void {
    client.host.kill();
    client.networking = openClient(client.host);
  }

  /** Takes stock of connections that are over on both sides. */
  #bury(): void {
    for (let at = this.#voices.length - 1; at >= 0; at--) {
      const voice = this.#voices[at]!;
      const isOver = (each: Voice | undefined) =>
        each === undefined || each.isKilled || (each.connection.internalState === 'Dead' && each.result !== undefined);
      if (!isOver(voice) || !isOver(voice.other)) continue;
      if (voice.isComplete()) this.#complete++;
      this.#voices[at] = this.#voices.at(-1)!;
      this.#voices.pop();
    }
  }
}

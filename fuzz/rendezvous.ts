// What peers that look for each other read: signals, candidates, STUN. And two agents on a path where somebody forges
// STUN: whatever he says, their route does not move to where he wants it.

import { invariant } from '../src/core/base/errors.ts';
import type { SeededRandom } from '../src/core/base/random.ts';
import { formatCandidate, parseCandidate } from '../src/core/ice/candidate.ts';
import { decodeStun, isStun, StunAttribute } from '../src/core/ice/stun.ts';
import type { NetAddress } from '../src/core/platform.ts';
import { decodeSignal, encodeSignal, type Signal } from '../src/core/wire/signal.ts';
import { SimulatedNetwork } from '../src/netsim/network.ts';
import { TurnServer } from '../src/netsim/turn-server.ts';
import { nodeCrypto } from '../src/node/crypto.ts';
import { IceHost, join, type Session } from '../test/support/ice-host.ts';
import { message, type Target, texts } from './decoders.ts';
import type { LiveTarget } from './live.ts';
import { Mutator } from './mutator.ts';
import type { Seeds } from './seeds.ts';

export function rendezvousTargets(seeds: Seeds): readonly Target[] {
  return [
    message('signals', seeds.signals, readSignal, encodeSignal),
    stun(),
    texts(
      'candidates',
      [
        'candidate:2130706431 0 udp 2130706431 192.168.1.2 27015 typ host',
        'candidate:1 1 udp 1694498815 2001:db8::1 50000 typ srflx raddr 0.0.0.0 rport 0 generation 0',
        'candidate:7 0 udp 255 203.0.113.7 3478 typ relay',
      ],
      (text) => {
        const candidate = parseCandidate(text);
        return candidate && formatCandidate(candidate);
      },
    ),
  ];
}

/** That somebody is a hosted server is read, and never written. */
function readSignal(bytes: Uint8Array, length: number): Signal | undefined {
  const signal = decodeSignal(bytes.subarray(0, length));
  return signal && { ...signal, isHostedServer: false };
}

function stun(): Target {
  const key = new Uint8Array(16).fill(1);
  return {
    name: 'STUN',
    seeds: stunMessages(),
    run(bytes, length) {
      const read = decodeStun(bytes, 0, length);
      if (read === undefined) return undefined;
      invariant(read.bytes.length === length, 'a message is as long as its datagram');
      for (const type of Object.values(StunAttribute)) {
        invariant((read.value(type)?.length ?? 0) <= length, 'an attribute lies in its message');
        read.text(type);
        read.u32(type);
        read.address(type);
      }
      return [read.method, read.class, read.errorCode, read.fingerprint, read.isGenuine(nodeCrypto, key)];
    },
  };
}

const MS = 1_000;
const SECOND = 1_000_000;
const CREDENTIALS = { username: 'user', password: 'secret' };
const TURN: NetAddress = { address: '10.9.0.1', port: 3478 };

interface Stage {
  readonly network: SimulatedNetwork;
  readonly session: Session;
  readonly hosts: readonly [IceHost, IceHost];
  readonly turn: TurnServer;
}

/** Two agents and a TURN server, about to find each other. */
function stageOf(seed: number): Stage {
  const network = new SimulatedNetwork({ seed, crypto: nodeCrypto, conditions: { delayUs: 10 * MS } });
  const turn = new TurnServer(network.host('turn', { addresses: [TURN.address] }).platform, {
    address: TURN.address,
    credentials: CREDENTIALS,
  });
  const servers = { stun: [turn.address], turn: [{ address: turn.address, ...CREDENTIALS }] };
  const hosts = ['10.1.0.2', '10.2.0.2'].map((address, number) => {
    const { platform } = network.host(`host ${number}`, { addresses: [address] });
    return new IceHost(platform, { addresses: [{ address }], ...servers });
  }) as unknown as [IceHost, IceHost];
  const later = (task: () => void) => {
    network.clock.schedule(network.nowUs + 50 * MS, task);
  };
  return { network, session: join(hosts[0], hosts[1], { later }), hosts, turn };
}

/** All that is said when two agents meet. */
function stunMessages(): readonly Uint8Array[] {
  const { network, hosts } = stageOf(1);
  const messages: Uint8Array[] = [];
  network.tap(({ bytes }) => {
    if (isStun(bytes, 0, bytes.length)) messages.push(bytes);
  });
  network.run(5 * SECOND);
  for (const host of hosts) host.close();
  network.run(SECOND);
  return messages;
}

/** Living agents, and somebody who sends them spoilt and repeated STUN under any address. */
export class ForgedStun implements LiveTarget {
  readonly name = 'forged STUN';
  packets = 0;
  readonly #random: SeededRandom;
  readonly #mutator: Mutator;
  readonly #heard: Uint8Array[] = [];
  #stage: Stage | undefined;
  #steps = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#mutator = new Mutator(random.fork());
  }

  step(): void {
    if (this.#stage === undefined) this.#begin();
    const { network, session, hosts } = this.#stage!;
    for (let number = 0; number < 20; number++) this.#forge();
    network.run(this.#random.below(20 * MS));
    for (const { agent } of [session.client, session.server]) {
      const remote = agent.selectedRoute?.remote.address.replace('::ffff:', '');
      const isTheirs = remote === undefined || ['10.1.0.2', '10.2.0.2', TURN.address].includes(remote);
      invariant(isTheirs, 'a route leads to the peer, or to its relay');
      invariant(agent.candidateTable().length <= 128, 'candidates are not without number');
    }
    if (++this.#steps % 200 !== 0) return;
    invariant(session.client.agent.selectedRoute !== undefined, 'they find each other all the same');
    for (const host of hosts) host.close();
    this.#stage!.turn.close();
    network.run(SECOND);
    invariant(network.openPorts === 0 && network.pendingAlarms === 0, 'nothing is left behind');
    this.#stage = undefined;
  }

  #begin(): void {
    this.#stage = stageOf(this.#random.u32());
    this.#stage.network.tap(({ bytes }) => {
      this.#heard[this.#random.below(256)] = bytes;
    });
  }

  #forge(): void {
    const random = this.#random;
    const host = this.#stage!.hosts[random.below(2)]!;
    const original = this.#heard[random.below(256)];
    const other = this.#heard[random.below(256)];
    if (original === undefined || other === undefined) return;
    this.packets++;
    const isRepeat = random.float() < 0.2;
    const length = isRepeat ? 0 : this.#mutator.spoil(original, other);
    const bytes = isRepeat ? original.slice() : this.#mutator.bytes.slice(0, length);
    host.ice.handleDatagram(bytes, bytes.length, this.#anybody(isRepeat), host.platform.nowUs());
    host.settle();
  }

  /** Repeats come from elsewhere: a genuine message from where it came from is no forgery. */
  #anybody(isRepeat: boolean): NetAddress {
    const random = this.#random;
    const stranger = { address: `::ffff:198.51.100.${random.below(256)}`, port: 1 + random.below(65_535) };
    if (isRepeat || random.float() < 0.5) return stranger;
    const known = ['10.1.0.2', '10.2.0.2', TURN.address][random.below(3)]!;
    return { address: `::ffff:${known}`, port: random.float() < 0.5 ? 3478 : 49_152 + random.below(4) };
  }

  end(): readonly string[] {
    if (this.#stage === undefined) return [];
    for (const host of this.#stage.hosts) host.close();
    this.#stage.turn.close();
    const { network } = this.#stage;
    network.run(SECOND);
    const { openPorts, pendingAlarms } = network;
    return openPorts + pendingAlarms === 0 ? [] : [`${openPorts} ports and ${pendingAlarms} alarms are left`];
  }
}

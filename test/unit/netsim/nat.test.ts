// Devices that rewrite addresses, by what gets through them.

import { expect } from 'chai';
import type { UdpPort } from '../../../src/core/platform.ts';
import type { SimulatedHost } from '../../../src/netsim/host.ts';
import { type NatBehaviour, natKinds, type SimulatedNat } from '../../../src/netsim/nat.ts';
import { SimulatedNetwork } from '../../../src/netsim/network.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';

const SECOND = 1_000_000;

/** A program that remembers who wrote to it. */
class Program {
  readonly heard: string[] = [];
  readonly port: UdpPort;

  constructor(host: SimulatedHost, port: number) {
    const onDatagram = (_: Uint8Array, { address, port: from }: { address: string; port: number }) => {
      this.heard.push(`${address} ${from}`);
    };
    this.port = host.platform.openUdp({ address: '0.0.0.0', port }, { onDatagram });
  }

  write(address: string, port: number): void {
    this.port.send(Uint8Array.of(1), 1, { address, port });
  }
}

function setUp(behaviour: NatBehaviour) {
  const network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
  const nat = network.nat('home', behaviour);
  const inside = new Program(network.host('inside', { behind: nat, addresses: ['192.168.0.2'] }), 5_000);
  const friend = network.host('friend', { addresses: ['198.51.100.1'] });
  const stranger = network.host('stranger', { addresses: ['198.51.100.2'] });
  const settle = () => network.run(SECOND);
  return {
    network,
    nat,
    inside,
    friend: new Program(friend, 7),
    other: new Program(friend, 8),
    stranger: new Program(stranger, 7),
    settle,
  };
}

/** Where the one inside is seen from outside by `program`. */
const seenBy = (program: Program): [string, number] => {
  const [address, port] = program.heard.at(-1)!.split(' ');
  return [address!, Number(port)];
};

describe('a simulated NAT', () => {
  it('shows its own address, and lets answers in', () => {
    const { nat, inside, friend, settle } = setUp(natKinds.portRestrictedCone);
    inside.write('198.51.100.1', 7);
    settle();
    expect(seenBy(friend)[0]).to.equal(nat.address);
    friend.write(...seenBy(friend));
    settle();
    expect(inside.heard).to.deep.equal(['198.51.100.1 7']);
  });

  for (const [kind, expected] of [
    ['fullCone', ['198.51.100.1 8', '198.51.100.2 7']],
    ['restrictedCone', ['198.51.100.1 8']],
    ['portRestrictedCone', []],
    ['symmetric', []],
    ['udpBlocked', []],
  ] as const) {
    it(`of kind ${kind} lets in ${expected.length} of two who were not written to`, () => {
      const { inside, friend, other, stranger, settle } = setUp(natKinds[kind]);
      inside.write('198.51.100.1', 7);
      settle();
      if (friend.heard.length > 0) {
        other.write(...seenBy(friend));
        stranger.write(...seenBy(friend));
      }
      settle();
      expect(inside.heard).to.deep.equal(expected);
    });
  }

  it('has one port for all destinations, unless it is symmetric', () => {
    for (const kind of ['portRestrictedCone', 'symmetric'] as const) {
      const { inside, friend, stranger, settle } = setUp(natKinds[kind]);
      inside.write('198.51.100.1', 7);
      inside.write('198.51.100.2', 7);
      settle();
      expect(seenBy(friend)[1] === seenBy(stranger)[1]).to.equal(kind !== 'symmetric');
    }
  });

  it('closes a hole that was not used, and opens another one', () => {
    const { inside, friend, network, settle } = setUp({ ...natKinds.fullCone, mappingTimeoutUs: 30 * SECOND });
    inside.write('198.51.100.1', 7);
    settle();
    const before = seenBy(friend);
    network.run(31 * SECOND);
    friend.write(...before);
    settle();
    expect(inside.heard).to.deep.equal([]);
    inside.write('198.51.100.1', 7);
    settle();
    expect(seenBy(friend)[1]).not.to.equal(before[1]);
  });

  it('gives other ports after it has forgotten', () => {
    const { nat, inside, friend, settle } = setUp(natKinds.fullCone);
    inside.write('198.51.100.1', 7);
    settle();
    const before = seenBy(friend);
    nat.forget();
    inside.write('198.51.100.1', 7);
    settle();
    expect(seenBy(friend)[1]).not.to.equal(before[1]);
  });

  for (const hairpin of [false, true]) {
    it(`${hairpin ? 'joins' : 'does not join'} those inside by their outside addresses ${hairpin ? 'with' : 'without'} hairpin`, () => {
      const { network, nat, inside, friend, settle } = setUp({ ...natKinds.fullCone, hairpin });
      const neighbour = new Program(network.host('neighbour', { behind: nat, addresses: ['192.168.0.3'] }), 5_000);
      inside.write('198.51.100.1', 7);
      settle();
      neighbour.write(...seenBy(friend));
      settle();
      expect(inside.heard.length).to.equal(hairpin ? 1 : 0);
      if (hairpin) expect(inside.heard[0]).to.contain(nat.address);
    });
  }

  it('leaves those inside alone with each other', () => {
    const { network, nat, inside, settle } = setUp(natKinds.symmetric);
    const neighbour = new Program(network.host('neighbour', { behind: nat, addresses: ['192.168.0.3'] }), 5_000);
    neighbour.write('192.168.0.2', 5_000);
    settle();
    expect(inside.heard).to.deep.equal(['192.168.0.3 5000']);
  });

  it('can be behind that of a carrier', () => {
    const { network, friend, settle } = setUp(natKinds.fullCone);
    const carrier: SimulatedNat = network.nat('carrier', natKinds.portRestrictedCone);
    const home = network.nat('flat', natKinds.portRestrictedCone, { behind: carrier, address: '100.64.0.2' });
    const deep = new Program(network.host('deep', { behind: home, addresses: ['192.168.0.2'] }), 5_000);
    deep.write('198.51.100.1', 7);
    settle();
    expect(seenBy(friend)[0]).to.equal(carrier.address);
    friend.write(...seenBy(friend));
    settle();
    expect(deep.heard).to.deep.equal(['198.51.100.1 7']);
  });

  it('cannot be reached from outside at addresses of the inside', () => {
    const { network, inside, friend, settle } = setUp(natKinds.fullCone);
    friend.write('192.168.0.2', 5_000);
    settle();
    expect(inside.heard).to.deep.equal([]);
    expect(network.stats.droppedBy.noRoute).to.equal(1);
  });

  it('counts what it stops', () => {
    const { network, inside, settle } = setUp(natKinds.udpBlocked);
    inside.write('198.51.100.1', 7);
    settle();
    expect(network.stats.droppedBy.filtered).to.equal(1);
    expect(network.stats.inFlight).to.equal(0);
  });
});

// The platform of a simulated host behaves like a real one: binding, addresses, timers, deferred tasks, names.

import { expect } from 'chai';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { NEVER } from '../../../src/core/base/time.ts';
import type { CryptoProvider, NetAddress, UdpPort } from '../../../src/core/platform.ts';
import type { SimulatedHost } from '../../../src/netsim/host.ts';
import { SimulatedNetwork } from '../../../src/netsim/network.ts';

// Nothing in here encrypts.
const crypto = {} as CryptoProvider;

interface Listener {
  readonly port: UdpPort;
  readonly from: NetAddress[];
}

function listen(host: SimulatedHost, address: string, port = 0): Listener {
  const from: NetAddress[] = [];
  return { from, port: host.platform.openUdp({ address, port }, { onDatagram: (_, sender) => from.push(sender) }) };
}

function makeNetwork() {
  const network = new SimulatedNetwork({ seed: 1, crypto });
  const alice = network.host('alice', { addresses: ['10.0.0.1', 'fd00::1'] });
  const bob = network.host('bob', { addresses: ['10.0.0.2', 'FD00:0:0::2'] });
  const ping = (from: UdpPort, to: NetAddress) => {
    const isSent = from.send(new Uint8Array([1]), 1, to);
    network.run(1);
    return isSent;
  };
  return { network, alice, bob, ping };
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof NetworkingError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

describe('simulated ports', () => {
  it('show the sender as it sent, between IPv4 ports', () => {
    const { alice, bob, ping } = makeNetwork();
    const a = listen(alice, '10.0.0.1', 5_000);
    const b = listen(bob, '0.0.0.0', 6_000);
    expect(ping(a.port, { address: '10.0.0.2', port: 6_000 })).to.equal(true);
    expect(b.from).to.deep.equal([{ address: '10.0.0.1', port: 5_000 }]);
  });

  it('show IPv4 senders in the mapped form on a dual-stack port, which answers to that form', () => {
    const { alice, bob, ping } = makeNetwork();
    const a = listen(alice, '0.0.0.0', 5_000);
    const b = listen(bob, '::', 6_000);
    ping(a.port, { address: '10.0.0.2', port: 6_000 });
    expect(b.from).to.deep.equal([{ address: '::ffff:10.0.0.1', port: 5_000 }]);
    expect(ping(b.port, b.from[0]!)).to.equal(true);
    expect(a.from).to.deep.equal([{ address: '10.0.0.2', port: 6_000 }]);
  });

  it('carry IPv6, whatever way the address is written', () => {
    const { alice, bob, ping } = makeNetwork();
    const a = listen(alice, '::', 5_000);
    const b = listen(bob, 'fd00::2', 6_000);
    ping(a.port, { address: 'fd00:0000::0002', port: 6_000 });
    expect(b.from).to.deep.equal([{ address: 'fd00::1', port: 5_000 }]);
  });

  it('fall back from :: to 0.0.0.0 on a host without IPv6', () => {
    const { network } = makeNetwork();
    const old = network.host('old', { addresses: ['10.0.0.9'] });
    expect(listen(old, '::', 5_000).port.local).to.deep.equal({ address: '0.0.0.0', port: 5_000 });
  });

  it('keep loopback within the host', () => {
    const { alice, bob, ping } = makeNetwork();
    const a = listen(alice, '::', 5_000);
    const b = listen(bob, '::', 5_000);
    const sender = listen(alice, '127.0.0.1', 6_000);
    ping(sender.port, { address: '127.0.0.1', port: 5_000 });
    ping(listen(alice, '::', 7_000).port, { address: '::1', port: 5_000 });
    expect(a.from).to.deep.equal([
      { address: '::ffff:127.0.0.1', port: 6_000 },
      { address: '::1', port: 7_000 },
    ]);
    expect(b.from).to.deep.equal([]);
  });

  it('deliver only what was sent to the address they are bound to', () => {
    const { network, alice, bob, ping } = makeNetwork();
    const b = listen(bob, '127.0.0.1', 6_000);
    ping(listen(alice, '10.0.0.1').port, { address: '10.0.0.2', port: 6_000 });
    expect(b.from).to.deep.equal([]);
    expect(network.stats.droppedBy.noPort).to.equal(1);
  });

  it('refuse to send what a real system refuses', () => {
    const { network, alice, ping } = makeNetwork();
    const ipv4 = listen(alice, '10.0.0.1').port;
    const dual = listen(alice, '::').port;
    const local = listen(alice, '127.0.0.1').port;
    expect(ping(ipv4, { address: 'fd00::2', port: 6_000 }), 'IPv6 from IPv4').to.equal(false);
    expect(ping(ipv4, { address: '::ffff:10.0.0.2', port: 6_000 }), 'mapped from IPv4').to.equal(false);
    expect(ping(dual, { address: '10.0.0.2', port: 6_000 }), 'plain IPv4 from dual stack').to.equal(false);
    expect(ping(local, { address: '10.0.0.2', port: 6_000 }), 'out of loopback').to.equal(false);
    expect(ping(ipv4, { address: '10.0.0.2', port: 0 }), 'port 0').to.equal(false);
    expect(ping(ipv4, { address: 'bob', port: 6_000 }), 'a name').to.equal(false);
    expect(ipv4.send(new Uint8Array(65_508), 65_508, { address: '10.0.0.2', port: 6_000 }), 'too long').to.equal(false);
    expect(network.stats).to.include({ sent: 0, refused: 7 });
  });

  it('cannot be bound where another one overlaps', () => {
    const { alice } = makeNetwork();
    listen(alice, '10.0.0.1', 5_000);
    expect(
      codeOf(() => listen(alice, '10.0.0.1', 5_000)),
      'same',
    ).to.equal('BindFailed');
    expect(
      codeOf(() => listen(alice, '0.0.0.0', 5_000)),
      'any IPv4',
    ).to.equal('BindFailed');
    expect(
      codeOf(() => listen(alice, '::', 5_000)),
      'dual stack',
    ).to.equal('BindFailed');
    expect(
      codeOf(() => listen(alice, '127.0.0.1', 5_000)),
      'loopback',
    ).to.equal('nothing thrown');
    expect(
      codeOf(() => listen(alice, 'fd00::1', 5_000)),
      'IPv6',
    ).to.equal('nothing thrown');
  });

  it('cannot be shared', () => {
    const shared = { address: '10.0.0.1', port: 5_000, reusePort: true };
    expect(codeOf(() => makeNetwork().alice.platform.openUdp(shared, { onDatagram: () => {} }))).to.equal(
      'NotSupported',
    );
  });

  it('cannot be bound to an address or port that the host does not have', () => {
    const { alice } = makeNetwork();
    for (const address of ['10.0.0.2', 'fd00::2', 'alice', '', '10.0.0.1:80']) {
      expect(
        codeOf(() => listen(alice, address, 5_000)),
        address,
      ).to.equal('BindFailed');
    }
    for (const port of [-1, 65_536, 1.5]) expect(codeOf(() => listen(alice, '::', port))).to.equal('BindFailed');
  });

  it('get different ephemeral ports, and free their number when closed', () => {
    const { network, alice } = makeNetwork();
    const first = listen(alice, '::').port;
    const second = listen(alice, '::').port;
    expect(first.local.port).to.be.at.least(49_152).and.not.equal(second.local.port);
    second.close();
    second.close();
    expect(network.openPorts).to.equal(1);
    expect(second.send(new Uint8Array(1), 1, { address: 'fd00::2', port: 1 })).to.equal(false);
    expect(listen(alice, '::', second.local.port).port.local.port).to.equal(second.local.port);
  });

  it('keep the process alive until told otherwise', () => {
    const { alice } = makeNetwork();
    expect(alice.isKeptAlive).to.equal(false);
    const { port } = listen(alice, '::');
    expect(alice.isKeptAlive).to.equal(true);
    port.setRef(false);
    expect(alice.isKeptAlive).to.equal(false);
  });
});

describe('simulated alarms', () => {
  it('fire once, at their time on the clock of their host', () => {
    const { network } = makeNetwork();
    const { platform } = network.host('late', { clockOffsetUs: 500_000 });
    const fired: number[] = [];
    const startUs = platform.nowUs();
    expect(startUs).to.equal(network.nowUs + 500_000);
    platform.newAlarm((nowUs) => fired.push(nowUs)).set(startUs + 2_000);
    network.run(10_000);
    expect(fired).to.deep.equal([startUs + 2_000]);
    expect(network.pendingAlarms).to.equal(0);
  });

  it('fire only for the deadline set last, and not at all once disarmed', () => {
    const { network, alice } = makeNetwork();
    const fired: number[] = [];
    const startUs = alice.platform.nowUs();
    const alarm = alice.platform.newAlarm((nowUs) => fired.push(nowUs - startUs));
    alarm.set(startUs + 1_000);
    alarm.set(startUs + 3_000);
    expect(network.pendingAlarms).to.equal(1);
    network.run(5_000);
    alarm.set(startUs + 6_000);
    alarm.set(NEVER);
    network.run(5_000);
    expect(fired).to.deep.equal([3_000]);
    expect(network.clock.pendingEvents).to.equal(0);
  });

  it('can be set again while they fire, and fire now for a time that has passed, never inside `set`', () => {
    const { network, alice } = makeNetwork();
    const fired: number[] = [];
    const startUs = alice.platform.nowUs();
    const alarm = alice.platform.newAlarm((nowUs) => {
      fired.push(nowUs - startUs);
      if (fired.length < 3) alarm.set(nowUs + 100);
    });
    alarm.set(Number.NEGATIVE_INFINITY);
    expect(fired).to.deep.equal([]);
    network.run(1_000);
    expect(fired).to.deep.equal([0, 100, 200]);
  });

  it('never fire early for a fraction of a microsecond', () => {
    const { network, alice } = makeNetwork();
    const startUs = alice.platform.nowUs();
    const fired: number[] = [];
    alice.platform.newAlarm((nowUs) => fired.push(nowUs - startUs)).set(startUs + 10.2);
    network.run(100);
    expect(fired).to.deep.equal([11]);
  });

  it('come after what was deferred', () => {
    const { network, alice } = makeNetwork();
    const seen: string[] = [];
    alice.platform.newAlarm(() => seen.push('alarm')).set(alice.platform.nowUs());
    alice.platform.defer(() => seen.push('deferred'));
    expect(seen).to.deep.equal([]);
    network.run(0);
    expect(seen).to.deep.equal(['deferred', 'alarm']);
  });
});

describe('simulated names', () => {
  it('resolve to the addresses of the host, and numeric ones to themselves', async () => {
    const { alice } = makeNetwork();
    expect(await alice.platform.resolve('bob')).to.deep.equal(['10.0.0.2', 'fd00::2']);
    expect(await alice.platform.resolve('192.0.2.1')).to.deep.equal(['192.0.2.1']);
    expect(await alice.platform.resolve('localhost')).to.include('127.0.0.1');
  });

  it('reject with ResolveFailed if no host has that name', async () => {
    const { alice } = makeNetwork();
    const failure = await alice.platform.resolve('nobody').catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(NetworkingError).and.have.property('code', 'ResolveFailed');
  });
});

describe('simulated randomness', () => {
  it('depends on the seed and the name of the host, and on nothing else', () => {
    const draw = (seed: number, names: string[]) => {
      const network = new SimulatedNetwork({ seed, crypto });
      return names.map((name) => network.host(name).platform.random.u32()).at(-1);
    };
    expect(draw(1, ['alice'])).to.equal(draw(1, ['bob', 'alice']));
    expect(draw(1, ['alice'])).to.not.equal(draw(2, ['alice']));
    expect(draw(1, ['alice'])).to.not.equal(draw(1, ['bob']));
  });
});

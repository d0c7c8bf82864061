// What can break on a simulated machine, each thing by itself.

import { expect } from 'chai';
import { SimulatedNetwork } from '../../../src/netsim/network.ts';
import { nodeCrypto } from '../../../src/node/crypto.ts';

const SECOND = 1_000_000;

function setUp() {
  const network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
  const near = network.host('near');
  const far = network.host('far');
  const got: { readonly from: string; readonly bytes: Uint8Array }[] = [];
  const farPort = far.platform.openUdp(
    { address: '0.0.0.0', port: 7 },
    { onDatagram: (bytes, from) => got.push({ from: from.address, bytes }) },
  );
  const nearPort = near.platform.openUdp({ address: '0.0.0.0', port: 8 }, { onDatagram: () => {} });
  const send = () => nearPort.send(Uint8Array.of(1, 2, 3), 3, { address: far.address, port: 7 });
  return { network, near, far, got, farPort, nearPort, send };
}

describe('faults of a simulated machine', () => {
  it('refused sends are told at once, counted, and never arrive', () => {
    const { network, near, got, send } = setUp();
    near.refuseSends(1);
    expect(send()).to.equal(false);
    network.run(SECOND);
    expect(got).to.deep.equal([]);
    expect(network.stats.refused).to.equal(1);
    near.refuseSends(0);
    expect(send()).to.equal(true);
  });

  it('a share of sends can be refused', () => {
    const { near, send } = setUp();
    near.refuseSends(0.25);
    const refused = Array.from({ length: 1_000 }, send).filter((isSent) => !isSent).length;
    expect(refused).to.be.within(200, 300);
  });

  it('a dead socket neither sends nor receives, and the next one on that port does', () => {
    const { network, far, farPort, got, send } = setUp();
    far.breakPorts();
    send();
    network.run(SECOND);
    expect(got).to.deep.equal([]);
    expect(farPort.send(Uint8Array.of(1), 1, { address: '10.77.0.1', port: 8 })).to.equal(false);
    farPort.close();
    let arrived = 0;
    far.platform.openUdp({ address: '0.0.0.0', port: 7 }, { onDatagram: () => arrived++ });
    send();
    network.run(SECOND);
    expect(arrived).to.equal(1);
  });

  it('skipped time makes alarms fall due at once, and leaves the network its own', () => {
    const { network, near } = setUp();
    const firedAtUs: number[] = [];
    const { platform } = near;
    const startUs = platform.nowUs();
    platform.newAlarm((nowUs) => firedAtUs.push(nowUs - startUs)).set(startUs + 10 * SECOND);
    const networkUs = network.nowUs;
    near.skipTime(60 * SECOND);
    network.run(1);
    expect(firedAtUs).to.deep.equal([60 * SECOND]);
    expect(network.nowUs - networkUs).to.equal(1);
  });

  it('skipped time brings alarms behind it closer by as much', () => {
    const { network, near } = setUp();
    const { platform } = near;
    let firedAtUs = 0;
    platform
      .newAlarm(() => {
        firedAtUs = network.nowUs;
      })
      .set(platform.nowUs() + 10 * SECOND);
    const startUs = network.nowUs;
    near.skipTime(4 * SECOND);
    network.run(20 * SECOND);
    expect(firedAtUs - startUs).to.equal(6 * SECOND);
  });

  it('a wall clock that is set leaves the monotonic one alone', () => {
    const { near } = setUp();
    const { platform } = near;
    const [nowUs, unixS] = [platform.nowUs(), platform.unixTimeS()];
    near.setWallClock(-86_400);
    expect(platform.unixTimeS()).to.equal(unixS - 86_400);
    expect(platform.nowUs()).to.equal(nowUs);
  });

  it('other addresses show on what is sent, and the old ones lead nowhere', () => {
    const { network, near, got, send } = setUp();
    const before = near.address;
    network.readdress(near, ['10.9.9.9']);
    send();
    network.run(SECOND);
    expect(got.map(({ from }) => from)).to.deep.equal(['10.9.9.9']);
    got.length = 0;
    near.platform.openUdp({ address: '0.0.0.0', port: 9 }, { onDatagram: () => {} }).send(Uint8Array.of(1), 1, {
      address: before,
      port: 8,
    });
    network.run(SECOND);
    expect(network.stats.droppedBy.noRoute).to.equal(1);
  });

  it('addresses of another host are refused, and nothing changes', () => {
    const { network, near, far } = setUp();
    const before = near.addresses;
    expect(() => network.readdress(near, [far.address])).to.throw(/is an address of host "far"/);
    expect(near.addresses).to.equal(before);
  });

  it('a corrupted datagram arrives with one byte changed', () => {
    const { network, near, far, got, send } = setUp();
    network.link(near, far).set({ corruptRatio: 1 });
    send();
    network.run(SECOND);
    const changed = [...got[0]!.bytes].filter((byte, at) => byte !== at + 1);
    expect(changed).to.have.length(1);
  });
});

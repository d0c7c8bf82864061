// Mapping a port at a simulated gateway, in virtual time: PCP, NAT-PMP, losses, garbage, refusals and reboots.

import { expect } from 'chai';
import fc from 'fast-check';
import { IpAddress } from '../../../src/core/base/address.ts';
import { SeededRandom } from '../../../src/core/base/random.ts';
import { US_PER_SECOND } from '../../../src/core/base/time.ts';
import { decodeGatewayResponse } from '../../../src/lan/gateway-packets.ts';
import { gatewayInRouteTable } from '../../../src/lan/map-port.ts';
import { PortMapper } from '../../../src/lan/port-mapper.ts';
import { itSeeded, SEED } from '../../support/seed.ts';
import { TestGateway, type TestGatewayOptions } from '../../support/test-gateway.ts';

const GATEWAY = { address: '192.168.1.1', port: 5351 };
const ROUND_TRIP_US = 2_000;
/** `when` is how many requests went before. */
type Loss = (when: number) => boolean;

/** A mapper and its gateway, joined by a wire. */
class Lab {
  nowUs = US_PER_SECOND;
  sent = 0;
  readonly sentAtUs: number[] = [];
  readonly gateway: TestGateway;
  readonly mapper: PortMapper;
  readonly #loses: Loss;

  constructor(options: TestGatewayOptions = {}, loses: Loss = () => false, seed = SEED) {
    this.#loses = loses;
    this.gateway = new TestGateway(options, this.nowUs);
    const ports = { internalPort: 27_015, externalPort: 27_015, lifetimeS: 7_200 };
    const clientAddress = IpAddress.parse('192.168.1.5')!;
    this.mapper = new PortMapper({ ...ports, gateway: GATEWAY, clientAddress }, new SeededRandom(seed), this.nowUs);
  }

  /** Goes on for so long, or until something holds. */
  run(seconds: number, until: () => boolean = () => false): void {
    const endUs = this.nowUs + seconds * US_PER_SECOND;
    while (!until()) {
      this.mapper.handleTimeout(this.nowUs);
      this.#transmit();
      const nextUs = this.mapper.nextTimeoutUs;
      if (until()) return;
      if (nextUs > endUs) break;
      this.nowUs = Math.max(this.nowUs, nextUs);
    }
    if (!until()) this.nowUs = endUs;
  }

  #transmit(): void {
    const answers: Uint8Array[] = [];
    for (let bytes = this.mapper.pollTransmit(); bytes !== undefined; bytes = this.mapper.pollTransmit()) {
      this.sentAtUs.push(this.nowUs);
      if (this.#loses(this.sent++)) continue;
      const answer = this.gateway.handle(bytes, this.nowUs);
      if (answer !== undefined) answers.push(answer);
    }
    if (answers.length > 0) this.nowUs += ROUND_TRIP_US;
    for (const answer of answers) this.mapper.handleDatagram(answer, GATEWAY, this.nowUs);
  }
}

const isMapped = (lab: Lab) => () => lab.mapper.state === 'mapped';
const EXTERNAL = { externalAddress: '203.0.113.7', externalPort: 27_015, lifetimeS: 7_200 };

describe('mapping a port', () => {
  it('is done by PCP where the gateway speaks it', () => {
    const lab = new Lab();
    lab.run(1);
    expect(lab.mapper.grant).to.deep.equal({ protocol: 'PCP', ...EXTERNAL });
    expect(lab.gateway.log).to.deep.equal(['pcp 7200']);
  });

  it('is done by NAT-PMP at once where the gateway says that it speaks nothing else', () => {
    const lab = new Lab({ speaksPcp: false });
    lab.run(1);
    expect(lab.mapper.grant).to.deep.equal({ protocol: 'NAT-PMP', ...EXTERNAL });
  });

  it('is done by NAT-PMP after some nine seconds where the gateway is silent to PCP', () => {
    const lab = new Lab({ speaksPcp: false, isSilent: true });
    lab.run(60, isMapped(lab));
    expect(lab.mapper.grant?.protocol).to.equal('NAT-PMP');
    expect(lab.nowUs / US_PER_SECOND - 1).to.be.within(7.5, 10.5);
  });

  it('is asked for again when a request is lost', () => {
    const lab = new Lab({}, (when) => when === 0);
    lab.run(60, isMapped(lab));
    expect(lab.mapper.grant?.protocol).to.equal('PCP');
    expect(lab.nowUs / US_PER_SECOND - 1).to.be.within(2.7, 3.4);
  });

  it('is given up when the gateway answers neither', () => {
    const lab = new Lab({ speaksPcp: false, speaksPmp: false });
    lab.run(300);
    expect(lab.mapper.state).to.equal('refused');
    expect(lab.mapper.refusal).to.equal('it answers neither PCP nor NAT-PMP');
    // Two by PCP, then nine of two datagrams.
    expect(lab.sent).to.equal(20);
  });

  it('is given up at once when the gateway refuses, with its reason', () => {
    const pcp = new Lab();
    pcp.gateway.result = 2;
    pcp.run(1);
    expect([pcp.mapper.state, pcp.mapper.refusal]).to.deep.equal(['refused', 'it is not allowed to this host']);
    const pmp = new Lab({ speaksPcp: false });
    pmp.gateway.result = 4;
    pmp.run(1);
    expect(pmp.mapper.refusal).to.equal('it has no room for another mapping at present');
  });

  for (const speaksPcp of [true, false]) {
    const protocol = speaksPcp ? 'PCP' : 'NAT-PMP';

    it(`is renewed after a half to five eighths of the lifetime (${protocol})`, () => {
      const lab = new Lab({ speaksPcp, mostLifetimeS: 1_000 });
      lab.run(1);
      const before = lab.sent;
      const mappedAtUs = lab.nowUs;
      lab.run(900, () => lab.mapper.renewals === 1);
      expect((lab.sentAtUs[before]! - mappedAtUs) / US_PER_SECOND).to.be.within(499, 626);
      expect(lab.mapper.state).to.equal('mapped');
      lab.run(10_000);
      expect(lab.mapper.renewals).to.be.within(16, 21);
    });

    it(`is over when no renewal succeeds, and comes back with the gateway (${protocol})`, () => {
      let isDown = false;
      const lab = new Lab({ speaksPcp, mostLifetimeS: 600 }, () => isDown);
      lab.run(1);
      isDown = true;
      lab.run(700);
      expect(lab.mapper.grant).to.equal(undefined);
      isDown = false;
      lab.gateway.externalAddress = '203.0.113.8';
      lab.run(400);
      expect(lab.mapper.grant?.externalAddress).to.equal('203.0.113.8');
    });

    it(`ends at the gateway when it is closed (${protocol})`, () => {
      const lab = new Lab({ speaksPcp });
      lab.run(1);
      expect(lab.gateway.mappings.size).to.equal(1);
      lab.mapper.close(lab.nowUs);
      lab.run(1);
      expect(lab.mapper.state).to.equal('closed');
      expect(lab.gateway.mappings.size).to.equal(0);
    });
  }

  it('is closed within two seconds though nobody answers', () => {
    const lab = new Lab({}, (when) => when > 0);
    lab.run(1);
    lab.mapper.close(lab.nowUs);
    lab.run(2);
    expect(lab.mapper.state).to.equal('closed');
    expect(lab.sent).to.equal(4);
  });

  it('is made again when the gateway tells that it has begun anew', () => {
    const lab = new Lab();
    lab.run(100);
    lab.gateway.reboot(lab.nowUs);
    lab.mapper.handleDatagram(lab.gateway.announcement(lab.nowUs), GATEWAY, lab.nowUs);
    lab.run(1);
    expect(lab.gateway.mappings.get(27_015)).to.equal(27_015);
    expect(lab.mapper.renewals).to.equal(1);
  });

  it('is left alone when the gateway only tells the time', () => {
    const lab = new Lab();
    lab.run(100);
    lab.mapper.handleDatagram(lab.gateway.announcement(lab.nowUs), GATEWAY, lab.nowUs);
    lab.run(1);
    expect(lab.gateway.log).to.deep.equal(['pcp 7200']);
  });

  it('takes no answer from elsewhere, nor one to another nonce or port', () => {
    const lab = new Lab();
    lab.mapper.handleTimeout(lab.nowUs);
    const answer = lab.gateway.handle(lab.mapper.pollTransmit()!, lab.nowUs)!;
    lab.mapper.handleDatagram(answer, { ...GATEWAY, address: '192.168.1.66' }, lab.nowUs);
    lab.mapper.handleDatagram(answer, { ...GATEWAY, port: 5352 }, lab.nowUs);
    for (const at of [24, 35, 36, 40]) {
      const forged = Uint8Array.from(answer);
      forged[at]! ^= 1;
      lab.mapper.handleDatagram(forged, GATEWAY, lab.nowUs);
    }
    expect([lab.mapper.state, lab.mapper.ignored]).to.deep.equal(['asking', 6]);
    lab.mapper.handleDatagram(answer, GATEWAY, lab.nowUs);
    expect(lab.mapper.state).to.equal('mapped');
  });

  itSeeded('comes about at last on a wire that loses half and carries garbage', (seed) => {
    const random = new SeededRandom(seed);
    const lab = new Lab({ speaksPcp: random.below(2) === 0 }, () => random.below(2) === 0, seed);
    for (let i = 0; i < 200 && lab.mapper.state !== 'mapped'; i++) {
      lab.mapper.handleDatagram(
        Uint8Array.from({ length: random.below(80) }, () => random.below(256)),
        GATEWAY,
        lab.nowUs,
      );
      lab.run(1, isMapped(lab));
    }
    expect(lab.mapper.grant?.externalAddress).to.equal('203.0.113.7');
  });

  itSeeded('reads any datagram', (seed) => {
    const heads = fc.constantFrom([2, 0x81], [2, 0x80], [0, 0x80], [0, 0x81]);
    const property = fc.property(heads, fc.uint8Array({ maxLength: 80 }), (head, rest) => {
      const response = decodeGatewayResponse(Uint8Array.from([...head, ...rest]));
      if (response !== undefined) expect(response.kind).to.match(/^(pcp|pmp)/);
    });
    fc.assert(property, { seed });
  });
});

describe('the default gateway', () => {
  const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n';

  it('is that of the default route with the least metric', () => {
    const routes = [
      'wlan0\t00000000\tFE01A8C0\t0003\t0\t0\t600\t00000000',
      'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000',
      'eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF',
    ];
    expect(gatewayInRouteTable(head + routes.join('\n'))).to.equal('192.168.1.1');
  });

  it('is not there without a default route, or with one that has no gateway', () => {
    expect(gatewayInRouteTable('')).to.equal(undefined);
    expect(gatewayInRouteTable(`${head}tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000`)).to.equal(undefined);
  });
});

// What `gns doctor` finds out behind each kind of NAT, in virtual time.

import { expect } from 'chai';
import { type SurveyOptions, type SurveyReport, survey } from '../../src/cli/doctor/survey.ts';
import { type NatBehaviour, natKinds } from '../../src/netsim/nat.ts';
import { TurnServer } from '../../src/netsim/turn-server.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';
import { itSeeded, SEED } from '../support/seed.ts';

const SECOND = 1_000_000;
const ADDRESSES = ['198.51.100.1', '198.51.100.2'] as const;
const CREDENTIALS = { username: 'user', password: 'secret' };
const STUN = ADDRESSES.map((address) => `${address}:3478`);
const TURN = { server: STUN[0]!, ...CREDENTIALS };

interface Scene extends Partial<SurveyOptions> {
  /** None: on the Internet. */
  readonly nat?: NatBehaviour;
  readonly addresses?: readonly string[];
}

/** A machine that asks two STUN servers on the Internet, one of which is a TURN server. */
async function examine({ nat, addresses, stun = STUN, turn = [] }: Scene): Promise<SurveyReport> {
  const network = new SimulatedNetwork({ seed: SEED, crypto: nodeCrypto, conditions: { delayUs: 20_000 } });
  for (const address of ADDRESSES) {
    const { platform } = network.host(address, { addresses: [address] });
    new TurnServer(platform, { address, credentials: CREDENTIALS });
  }
  const behind = nat && network.nat('home', nat);
  const host = network.host('patient', {
    addresses: addresses ?? [behind ? '192.168.0.2' : '198.51.100.9'],
    ...(behind && { behind }),
  });
  const report = await network.settle(survey(host.platform, { stun, turn }), 60 * SECOND);
  expect(host.openPorts).to.equal(0);
  expect(host.pendingAlarms).to.equal(0);
  return report;
}

describe('the survey of gns doctor', () => {
  itSeeded('finds no NAT where our own address is seen outside', async () => {
    const report = await examine({});
    expect(report).to.deep.include({ udp: 'works', nat: 'none', hairpin: null, ipv6: 'none' });
    expect(report.addresses).to.deep.equal([{ address: '198.51.100.9', kind: 'public' }]);
    expect(report.advice[0]).to.contain('There is no NAT');
  });

  for (const kind of ['fullCone', 'restrictedCone', 'portRestrictedCone'] as const) {
    for (const hairpin of [false, true]) {
      itSeeded(`finds one port for all behind ${kind} ${hairpin ? 'with' : 'without'} hairpin`, async () => {
        const report = await examine({ nat: { ...natKinds[kind], hairpin } });
        expect(report).to.deep.include({ udp: 'works', nat: 'endpointIndependent', hairpin });
        expect(report.stun.map(({ mapped }) => mapped?.split(':')[0])).to.deep.equal(['203.0.113.1', '203.0.113.1']);
        expect(report.advice[0]).to.contain('symmetric NATs need a TURN server');
      });
    }
  }

  itSeeded('finds a symmetric NAT by the different ports, and that a relay is there', async () => {
    const report = await examine({ nat: natKinds.symmetric, turn: [TURN] });
    expect(report).to.deep.include({ udp: 'works', nat: 'symmetric', hairpin: null });
    expect(report.turn[0]!.relayed).to.match(/^198\.51\.100\.1:\d+$/);
    expect(report.advice).to.have.length(1);
    expect(report.advice[0]).to.contain('the relay serves');
  });

  itSeeded('finds that UDP is blocked, and does not blame the servers one by one', async () => {
    const report = await examine({ nat: natKinds.udpBlocked, turn: [TURN] });
    expect(report).to.deep.include({ udp: 'blocked', nat: 'unknown' });
    expect(report.advice).to.have.length(1);
    expect(report.advice[0]).to.contain('UDP seems to be blocked');
  });

  itSeeded('does not conclude from one silent server that UDP is blocked', async () => {
    expect(await examine({ stun: ['198.51.100.77:3478'] })).to.include({ udp: 'silent' });
  });

  itSeeded('cannot tell the kind of NAT from one answer', async () => {
    const report = await examine({ nat: natKinds.symmetric, stun: [STUN[0]!] });
    expect(report).to.include({ udp: 'works', nat: 'unknown' });
    expect(report.advice[0]).to.contain('two STUN servers');
  });

  itSeeded('tells a wrong password for TURN from a server that is silent', async () => {
    const turn = [
      { ...TURN, password: 'wrong' },
      { ...TURN, server: '198.51.100.77' },
    ];
    const report = await examine({ turn });
    expect(report.turn.map(({ errorCode }) => errorCode)).to.deep.equal([401, 0]);
    expect(report.advice.join(' '))
      .to.contain(`${TURN.server} refused user name or password`)
      .and.to.contain('198.51.100.77 did not answer');
  });

  itSeeded('says which name is unknown', async () => {
    const report = await examine({ stun: [...STUN, 'nowhere.example:3478'] });
    expect(report.stun[2]).to.deep.equal({ server: 'nowhere.example:3478', address: null, mapped: null });
    expect(report.advice).to.include('The name of nowhere.example:3478 is unknown.');
  });

  itSeeded('tells an IPv6 address from one that works', async () => {
    expect(await examine({ addresses: ['198.51.100.9', '2001:db8::9'] })).to.include({ ipv6: 'address' });
  });

  itSeeded('asks nobody when no server is named', async () => {
    const report = await examine({ stun: [] });
    expect(report).to.include({ udp: 'untested', nat: 'unknown' });
    expect(report.advice[0]).to.contain('--stun');
  });
});

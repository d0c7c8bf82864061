// Why two peers could not meet, as each side explains it: one scene for each cause.

import { expect } from 'chai';
import { ConnectionError, type Diagnosis } from '../../src/index.ts';
import { type LabOptions, NatLab, type Place, STUN_HOST } from '../support/nat-lab.ts';
import { itSeeded } from '../support/seed.ts';

const SECOND = 1_000_000;
const HOME: Place = { home: 'portRestrictedCone' };
const SYMMETRIC: Place = { home: 'symmetric' };
const BLOCKED: Place = { home: 'udpBlocked' };
/** One STUN server alone does not show whether a NAT is symmetric. */
const TWO_STUN = { p2pStunServerList: `${STUN_HOST}:3478,${STUN_HOST}:3479` };

/** Both sides' diagnoses after a call in vain. */
function failure(options: LabOptions, prepare: (lab: NatLab) => void = () => {}) {
  const lab = new NatLab(options);
  prepare(lab);
  const { client, isConnected } = lab.meet();
  expect(isConnected).to.equal(false);
  return { lab, client, diagnosis: client.explain(), theirs: lab.server?.explain() };
}

function kindsOf({ diagnosis, theirs }: { diagnosis: Diagnosis; theirs: Diagnosis | undefined }) {
  return [diagnosis.kind, theirs?.kind];
}

describe('the diagnosis of peers that cannot meet', () => {
  itSeeded('says that UDP is blocked, and to the other side that only private addresses were offered', () => {
    const found = failure({ alice: BLOCKED, bob: HOME, config: TWO_STUN });
    expect(kindsOf(found)).to.deep.equal(['udpBlocked', 'privateAddressesOnly']);
    expect(found.diagnosis.summary).to.contain('none of our 2 STUN and TURN servers answered');
    expect(found.theirs!.summary).to.contain('the peer offered private addresses only: 192.168.0.2');
  });

  itSeeded('says that the only STUN server is silent', () => {
    const found = failure({ alice: HOME, bob: HOME }, ({ turn }) => turn.close());
    expect(kindsOf(found)).to.deep.equal(['stunSilent', 'stunSilent']);
    expect(found.diagnosis.summary).to.contain(`${STUN_HOST}:3478`);
  });

  itSeeded('says that symmetric NATs need a TURN server, and whose NAT it is', () => {
    const both = failure({ alice: SYMMETRIC, bob: SYMMETRIC, config: TWO_STUN });
    expect(kindsOf(both)).to.deep.equal(['symmetricNats', 'symmetricNats']);
    expect(both.diagnosis.summary).to.contain('both NATs');
    expect(both.diagnosis.hint).to.contain('TURN');
    const one = failure({ alice: SYMMETRIC, bob: HOME, config: TWO_STUN });
    expect(kindsOf(one)).to.deep.equal(['symmetricNats', 'symmetricNats']);
    expect(one.diagnosis.summary).to.contain('ours');
    expect(one.theirs!.summary).to.contain("the peer's");
  });

  itSeeded('asks for a TURN server where one STUN server cannot tell the kind of NAT', () => {
    const found = failure({ alice: SYMMETRIC, bob: SYMMETRIC });
    expect(kindsOf(found)).to.deep.equal(['noRoute', 'noRoute']);
    expect(found.diagnosis.summary).to.contain('neither side has a relay');
    expect(found.diagnosis.hint).to.contain('TURN');
  });

  itSeeded('says that the TURN server refused the password', () => {
    const turnOptions = { credentials: { username: 'user', password: 'another' } };
    const found = failure({ alice: SYMMETRIC, bob: SYMMETRIC, usesTurn: true, turnOptions });
    expect(kindsOf(found)).to.deep.equal(['turnRefused', 'turnRefused']);
    expect(found.diagnosis.summary).to.match(/refused our user name or password \(401\)/);
    expect(found.diagnosis.route!.turn[0]).to.include({ errorCode: 401 });
  });

  itSeeded('says that only private addresses were offered, as from a container, and by whom', () => {
    const found = failure({ alice: HOME, bob: HOME, usesStun: false });
    expect(kindsOf(found)).to.deep.equal(['privateAddressesOnly', 'privateAddressesOnly']);
    expect(found.diagnosis.summary).to.contain('we offered');
    expect(found.diagnosis.hint).to.contain('container');
  });

  itSeeded('says that the addresses are of different families', () => {
    const found = failure({ alice: { home: 'none' }, bob: { home: 'none' }, usesStun: false }, ({ network, hosts }) => {
      network.readdress(hosts.bob, ['2001:db8::3']);
      network.run(6 * SECOND);
    });
    expect(kindsOf(found)).to.deep.equal(['noCommonFamily', 'noCommonFamily']);
    expect(found.diagnosis.summary).to.equal('we have addresses of IPv4 only, and the peer of IPv6 only');
  });

  itSeeded('says that the peer is not there, or its signals are lost', () => {
    const absent = failure({ alice: HOME, bob: HOME, listens: false });
    expect(absent.diagnosis.kind).to.equal('nobodyAnswers');
    expect(absent.diagnosis.hint).to.contain('signaling works both ways');
  });

  itSeeded('says that the signaling refused a signal', () => {
    const lab = new NatLab({ alice: HOME, bob: HOME });
    const client = lab.alice.openP2P('str:bob', 7, { signaling: { send: () => false } });
    lab.network.run(SECOND);
    expect(client.explain().kind).to.equal('signalRefused');
  });

  itSeeded('says that signals get lost on their way to the caller', () => {
    const lab = new NatLab({ alice: HOME, bob: HOME });
    const client = lab.open();
    lab.network.runUntil(() => lab.server !== undefined, SECOND);
    lab.signaling.conditions = { lossRatio: 1 };
    lab.network.run(15 * SECOND);
    expect(client.explain().kind).to.equal('nobodyAnswers');
    expect(lab.server!.explain().kind).to.equal('signalsLost');
  });

  itSeeded('says that the peer told no address', () => {
    const found = failure({ alice: HOME, bob: HOME }, ({ bob }) => bob.config.set('p2pTransportIceEnable', 1));
    expect(found.diagnosis.kind).to.equal('noPeerAddresses');
    expect(found.theirs!.summary).to.contain('no address of its own');
  });

  itSeeded('is in the error of connectP2P', async () => {
    const lab = new NatLab({ alice: SYMMETRIC, bob: SYMMETRIC, config: TWO_STUN });
    const outcome = lab.alice.connectP2P('str:bob', 7).then(
      () => undefined,
      (error: unknown) => error,
    );
    const error = await lab.network.settle(outcome, 20 * SECOND);
    expect(error).to.be.instanceOf(ConnectionError);
    const { message, diagnosis, endReason } = error as ConnectionError;
    expect(endReason).to.equal(5008);
    expect(message).to.contain('both NATs give each destination a port of its own').and.to.contain('TURN server');
    expect(diagnosis.route!.candidates.filter(({ side }) => side === 'local')).to.have.length(3);
  });

  itSeeded('shows addresses, checks and servers as tables, while it is looked for and afterwards', () => {
    const lab = new NatLab({ alice: HOME, bob: HOME, usesTurn: true });
    const { client } = lab.meet();
    const text = client.describe();
    expect(text).to.match(/local {2}host {2}192\.168\.0\.2:\d+/);
    expect(text).to.match(/remote srflx 203\.0\.113\.2:\d+/);
    expect(text).to.match(/succeeded, in use: \d+, \d+, \d+, 20\.0 ms/);
    expect(text).to.contain(`${STUN_HOST}:3478 sees 203.0.113.1:`);
    expect(text).to.contain(`${STUN_HOST}:3478 ready`);
  });

  itSeeded('tells in between how far it has come', () => {
    const lab = new NatLab({ alice: SYMMETRIC, bob: SYMMETRIC });
    const client = lab.open();
    expect(client.explain().summary).to.contain('no answer to our signals');
    lab.network.runUntil(() => client.state === 'FindingRoute', SECOND);
    lab.network.run(2 * SECOND);
    const { kind, summary } = client.explain();
    expect(kind).to.equal('connecting');
    expect(summary).to.match(/2 of our and 2 of the peer's addresses, 0 of \d+ checks answered/);
  });
});

// The commands of `gns peer` about certificates: two of them that demand certificates of each other.

import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { certificateContents } from '../../src/core/certs/issue.ts';
import { createCA, issueCertificate } from '../../src/index.ts';
import { PeerProcess, PeerRefusal } from '../support/peer-process.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const DEMANDS = { IP_AllowWithoutAuth: 0, IPLocalHost_AllowWithoutAuth: 0 };
const ca = createCA();

function base64(certificate: string): string {
  return Buffer.from(certificateContents(certificate)[0]!).toString('base64');
}

async function start(identity: string): Promise<PeerProcess> {
  const peer = new PeerProcess({ name: identity, command: process.execPath, args: [MAIN, 'peer'] });
  await peer.ask('identity', { any: identity });
  await peer.ask('init', DEMANDS);
  return peer;
}

async function certify(peer: PeerProcess): Promise<void> {
  await peer.ask('castore add', { base64: base64(ca.certificate) });
  const request = Buffer.from(String((await peer.ask('cert request'))['base64']), 'base64');
  const { certificate } = issueCertificate({ caKey: ca.privateKey, request });
  await peer.ask('cert set', { base64: base64(certificate) });
}

describe('gns peer, certificates', function () {
  this.timeout(20_000);

  it('asks for one, takes it, and connects with whom it can verify', async () => {
    await using server = await start('str:server');
    await using client = await start('str:client');
    expect(await server.ask('cert status')).to.include({ avail: -102, availName: 'CannotTry' });
    await Promise.all([certify(server), certify(client)]);
    expect(await server.ask('cert status')).to.include({ avail: 100, availName: 'Current' });
    await server.ask('autoaccept on');
    const { addr } = await server.ask('listen', { id: 'L', addr: '127.0.0.1:0' });
    await client.ask('connect', { id: 'C', addr: String(addr) });
    const state = await client.until('C', () => client.states('C').find((each) => each.new === 'Connected'));
    expect(state.identity).to.equal('str:server');
    expect(state.flagNames).to.not.include('Unauthenticated');
  });

  it('refuses one that it cannot verify, and says why', async () => {
    await using peer = await start('str:server');
    const request = Buffer.from(String((await peer.ask('cert request'))['base64']), 'base64');
    const { certificate } = issueCertificate({ caKey: ca.privateKey, request });
    const refusal = await peer.ask('cert set', { base64: base64(certificate) }).catch((error: unknown) => error);
    expect(refusal).to.be.instanceOf(PeerRefusal);
    expect((refusal as PeerRefusal).answer['message']).to.match(/is unknown or not trusted/);
    expect((await peer.ask('cert status'))['availName']).to.equal('CannotTry');
  });
});

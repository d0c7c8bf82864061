// Which credentials an instance takes, and what it says of those that it does not.

import { expect } from 'chai';
import { Identity } from '../../../src/core/base/identity.ts';
import { describeKey, signCertificate } from '../../../src/core/certs/certificate.ts';
import { certificateText, readPrivateKey, readPublicKey } from '../../../src/core/certs/issue.ts';
import { encodeSignedCertificate } from '../../../src/core/wire/crypt-messages.ts';
import { writeIdentity } from '../../../src/core/wire/identity-fields.ts';
import {
  createCA,
  generateKeyPair,
  type IssueOptions,
  issueCertificate,
  Networking,
  NetworkingError,
  readCertificate,
} from '../../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../../src/testing.ts';

const ca = createCA();
const otherCa = createCA();

function member(): Networking {
  const { certificate, privateKey } = issueCertificate({ caKey: ca.privateKey, identity: 'str:client' });
  return new Networking({ trustedCAs: ca.publicKey, certificate, privateKey: privateKey! });
}

function refusalOf(action: () => unknown): NetworkingError {
  try {
    action();
  } catch (error) {
    if (error instanceof NetworkingError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

const TOO_LONG = /^the certificate has \d+ bytes, and only 900 fit into a handshake packet/;

/** For the longest identity there is; what it says of addresses makes it so many bytes long. */
function longCertificate(bytes: number) {
  const { privateKey, publicKey } = generateKeyPair();
  const make = (length: number) =>
    signCertificate(nodeCrypto, readPrivateKey(nodeCrypto, ca.privateKey), {
      ...describeKey(readPublicKey(publicKey)),
      timeExpiryS: 4_000_000_000,
      appIds: [0],
      identity: writeIdentity(Identity.string('x'.repeat(31))),
      ipAddresses: ['x'.repeat(length)],
    });
  const someLength = 200;
  const signed = make(someLength + bytes - encodeSignedCertificate(make(someLength)).length);
  expect(encodeSignedCertificate(signed)).to.have.length(bytes);
  return { certificate: certificateText(signed), privateKey };
}

describe('setCertificate', () => {
  const good = (options: Partial<IssueOptions> = {}) =>
    issueCertificate({ caKey: ca.privateKey, identity: 'str:client', ...options });
  const refused: Readonly<Record<string, [RegExp, () => [certificate: string, key: string | undefined]]>> = {
    'of another identity': [/it is for str:bob, and we are str:client/, () => pairOf(good({ identity: 'str:bob' }))],
    'of another application': [/it is for the applications \[7\], and ours is 0/, () => pairOf(good({ appIds: [7] }))],
    'of an unknown authority': [
      /is unknown or not trusted; trustedCAs must/,
      () => pairOf(good({ caKey: otherCa.privateKey })),
    ],
    'with the key of another': [
      /the private key is another one/,
      () => [good().certificate, generateKeyPair().privateKey],
    ],
    'without a key': [/its private key is missing/, () => [good().certificate, undefined]],
    'that is none': [/no "BEGIN STEAMDATAGRAM CERT" block was found/, () => ['!', undefined]],
    'of an authority': [/it is bound to no identity/, () => [ca.certificate, ca.privateKey]],
  };
  function pairOf({ certificate, privateKey }: { certificate: string; privateKey: string | undefined }) {
    return [certificate, privateKey] as [string, string];
  }
  for (const [what, [message, make]] of Object.entries(refused)) {
    it(`refuses one ${what}, and keeps what it has`, async () => {
      const net = member();
      const { credentials } = net;
      const before = credentials.certificate;
      const [certificate, key] = make();
      const error = refusalOf(() => credentials.setCertificate(certificate, key));
      expect(error.code).to.equal('InvalidParam');
      expect(error.message).to.match(message);
      expect(credentials.certificate).to.equal(before);
      await net.close();
    });
  }

  it('refuses one that does not fit into a handshake packet, and so does who issues it', () => {
    const ipAddresses = Array.from({ length: 60 }, (_, i) => `192.0.2.${i}/32`);
    const error = refusalOf(() => good({ ipAddresses }));
    expect(error.code).to.equal('LimitExceeded');
    expect(error.message).to.match(TOO_LONG);
  });

  it('refuses one that somebody else made too long, however it comes in', async () => {
    const { certificate, privateKey } = longCertificate(901);
    const net = new Networking({ trustedCAs: ca.publicKey });
    const ways = [
      () => net.credentials.setCertificate(certificate, privateKey),
      () => net.credentials.setCertificate(`${certificate}${ca.certificate}`, privateKey),
      () => new Networking({ trustedCAs: ca.publicKey, certificate, privateKey }),
    ];
    for (const way of ways) {
      const error = refusalOf(way);
      expect(error.code).to.equal('LimitExceeded');
      expect(error.message).to.match(TOO_LONG);
    }
    expect(net.credentials.status).to.equal('noCertificate');
    await net.close();
  });

  it('takes the longest that there may be, and the handshake packets of both sides have room for it', async () => {
    const network = new SimulatedNetwork({ seed: 1, crypto: nodeCrypto });
    const [server, client] = ['server', 'client'].map((name) => {
      const { platform } = network.host(name);
      return new Networking({
        platform,
        trustedCAs: ca.publicKey,
        ...longCertificate(900),
        allowWithoutAuth: 'never',
      });
    });
    server!.listen({ port: 27_015, autoAccept: true });
    const connection = await network.settle(client!.connect('server:27015'), 60_000_000);
    expect(connection.info.flags.unauthenticated).to.equal(false);
    await network.settle(Promise.all([server!.close(), client!.close()]), 60_000_000);
  });
});

describe('trustedCAs', () => {
  const authority = ca;
  const forms = {
    'the public key': authority.publicKey,
    'the certificate': authority.certificate,
    'a file with both': `${authority.publicKey}${authority.certificate}`,
    'the bytes of the key': readCertificate(authority.certificate)[0]!.publicKey,
  };
  for (const [what, trustedCAs] of Object.entries(forms)) {
    it(`takes ${what}`, async () => {
      const { certificate, privateKey } = issueCertificate({ caKey: ca.privateKey, identity: 'str:client' });
      const net = new Networking({ trustedCAs, certificate, privateKey: privateKey! });
      const { credentials } = net;
      expect(credentials.status).to.equal('ok');
      await net.close();
    });
  }

  it('refuses a private key and says so', () => {
    const error = refusalOf(() => new Networking({ trustedCAs: authority.privateKey }));
    expect(error.message).to.match(/no "BEGIN STEAMDATAGRAM CERT" block was found/);
  });
});

describe('allowWithoutAuth', () => {
  it('is the configuration value of GNS under a readable name, for this machine, too', async () => {
    const net = new Networking({ allowWithoutAuth: 'warn' });
    const values = [net.config.get('ipAllowWithoutAuth'), net.config.get('ipLocalHostAllowWithoutAuth')];
    expect(values).to.deep.equal([1, 1]);
    await net.close();
  });
});

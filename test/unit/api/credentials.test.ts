// Which credentials an instance takes, and what it says of those that it does not.

import { expect } from 'chai';
import {
  createCA,
  generateKeyPair,
  type IssueOptions,
  issueCertificate,
  Networking,
  NetworkingError,
  readCertificate,
} from '../../../src/index.ts';

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
    expect(error.message).to.match(/^the certificate has \d+ bytes, and only 900 fit into a handshake packet/);
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

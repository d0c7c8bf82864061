// Keys and certificates as text: what we write we read, what GNS's tool and OpenSSH write we read, and nothing else.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { IpAddress } from '../../../src/core/base/address.ts';
import { keyId } from '../../../src/core/certs/certificate.ts';
import { isInRanges, parseIpRange } from '../../../src/core/certs/ip-range.ts';
import { generateKeyPair, readCertificates, readPrivateKey, readPublicKey } from '../../../src/core/certs/issue.ts';
import { readBlocks, readPublicKeys, TextType } from '../../../src/core/certs/text.ts';
import { NodeRandom, nodeCrypto } from '../../../src/node/crypto.ts';

/** Of GNS's certtool: a key pair as it prints it, with line ends of two characters; and a certificate with its comments. */
const CERTTOOL_KEYS = `Generating keypair...

Public key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJz+clkMStbb7yEq0pKfZFZFq/IriT+yeFHgdxpsPQUc ID4817278338502427799
-----BEGIN OPENSSH PRIVATE KEY-----\r
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZWQy\r
NTUxOQAAACCc/nJZDErW2+8hKtKSn2RWRavyK4k/snhR4HcabD0FHAAAAH8SNFZ4EjRWeAAA\r
AAtzc2gtZWQyNTUxOQAAACCc/nJZDErW2+8hKtKSn2RWRavyK4k/snhR4HcabD0FHAAAAEDF\r
a64fo+eLqXFUsKnwuWz+wqmHwrJ9rmooVRZ50/+9k5z+clkMStbb7yEq0pKfZFZFq/IriT+y\r
eFHgdxpsPQUc\r
-----END OPENSSH PRIVATE KEY-----\r
`;
const CERTTOOL_ID = 4817278338502427799n;
const CERTTOOL_CERTIFICATE = `-----BEGIN STEAMDATAGRAM CERT-----
IjcIARIgO+73w6CZtvScPjU09eg8/MpgRE7ADLRO0ZqPEWiSw48tZGFpAEWuTQNrTa60xW5Q
AFAFKZcEnzYgadpCMkBZudciW1xg0FsNNycoNjQb1Cx8twy+Q08Qo/nNRA9bvmFuOQJNDk1E
QJ2qhgyw8fGa7EWlMHwma4rLPApf1s8I
-----END STEAMDATAGRAM CERT-----
#Public key . . . : ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDvu98Ogmbb0nD41NPXoPPzKYEROwAy0TtGajxFoksOP  ID5490327530127688261
#CA key ID. . . . : 4817278338502427799
`;

describe('keys and certificates as text', () => {
  const pair = generateKeyPair(nodeCrypto, new NodeRandom());

  it('are read back as they were written', () => {
    const key = readPrivateKey(nodeCrypto, pair.privateKey);
    expect(key.publicKey).to.deep.equal(readPublicKey(pair.publicKey));
  });

  it("are read as GNS's tool writes them, also all on one line", () => {
    expect(keyId(nodeCrypto, readPublicKey(CERTTOOL_KEYS))).to.equal(CERTTOOL_ID);
    for (const text of [CERTTOOL_KEYS, CERTTOOL_KEYS.replace(/\s+/g, ' ')]) {
      expect(keyId(nodeCrypto, readPrivateKey(nodeCrypto, text).publicKey)).to.equal(CERTTOOL_ID);
    }
    expect(readCertificates(CERTTOOL_CERTIFICATE)[0]!.caKeyId).to.equal(CERTTOOL_ID);
  });

  it('do not include the key that only comments a certificate', () => {
    expect(readPublicKeys(CERTTOOL_CERTIFICATE)).to.deep.equal([]);
  });

  it('are refused when a letter was lost or changed, or when they are not what is wanted', () => {
    const broken = [
      pair.privateKey.replace('b3BlbnNz', 'b3BlbnN'),
      pair.privateKey.replace(/.{8}\n-----END/, 'AAAAAAAA\n-----END').replace(/AAAAA/, 'AAABA'),
      pair.publicKey,
      '',
    ];
    for (const text of broken) expect(() => readPrivateKey(nodeCrypto, text)).to.throw(/cannot use the private key/);
    expect(() => readPublicKey('ssh-rsa AAAA')).to.throw(/cannot use the public key/);
    expect(readBlocks('-----BEGIN STEAMDATAGRAM CERT-----\n!\n-----END', TextType.Certificate)).to.deep.equal([
      undefined,
    ]);
  });

  describe('and OpenSSH', () => {
    let folder: string;
    before(function () {
      folder = mkdtempSync(join(tmpdir(), 'keys-'));
      if (spawnSync('ssh-keygen', ['-?']).error !== undefined) this.skip();
    });
    after(() => rmSync(folder, { recursive: true }));

    function keygen(...args: readonly string[]): string {
      const { stdout, stderr, status } = spawnSync('ssh-keygen', [...args], { encoding: 'utf8' });
      expect(status, stderr).to.equal(0);
      return stdout;
    }

    it('it reads ours', () => {
      const path = join(folder, 'ours');
      writeFileSync(path, pair.privateKey, { mode: 0o600 });
      expect(keygen('-y', '-f', path).split(' ')[1]!.trim()).to.equal(pair.publicKey.split(' ')[1]);
      expect(keygen('-l', '-f', path)).to.match(/^256 SHA256:.*\(ED25519\)/);
    });

    it('we read its', () => {
      const path = join(folder, 'theirs');
      keygen('-q', '-t', 'ed25519', '-N', '', '-C', 'a comment', '-f', path);
      const key = readPrivateKey(nodeCrypto, readFileSync(path));
      expect(key.publicKey).to.deep.equal(readPublicKey(readFileSync(`${path}.pub`, 'utf8')));
    });

    it('we say that one with a passphrase is encrypted', () => {
      const path = join(folder, 'locked');
      keygen('-q', '-t', 'ed25519', '-N', 'secret', '-f', path);
      expect(() => readPrivateKey(nodeCrypto, readFileSync(path))).to.throw(/encrypted with a passphrase/);
    });
  });
});

describe('ranges of addresses', () => {
  const cases: readonly (readonly [range: string, address: string, isIn: boolean])[] = [
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.8', false],
    ['192.0.2.0/25', '192.0.2.127', true],
    ['192.0.2.0/25', '192.0.2.128', false],
    ['0.0.0.0/0', '203.0.113.1', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['2001:db8::/33', '2001:db8:7fff::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['nonsense', '192.0.2.7', false],
  ];
  for (const [range, address, isIn] of cases) {
    it(`${range} ${isIn ? 'has' : 'does not have'} ${address}`, () => {
      expect(isInRanges(IpAddress.parse(address)!, [range])).to.equal(isIn);
    });
  }

  it('are not read with a port, a bad length or more', () => {
    for (const text of ['1.2.3.4:5', '1.2.3.4/33', '1.2.3.4/', '::/129', '::/1/1', '']) {
      expect(parseIpRange(text), text).to.equal(undefined);
    }
  });
});

// Mapping a port on real sockets, at a gateway of our own on loopback.

import dgram from 'node:dgram';
import { once } from 'node:events';
import { expect } from 'chai';
import { NetworkingError } from '../../src/index.ts';
import { mapPort } from '../../src/lan.ts';
import { TestGateway } from '../support/test-gateway.ts';

describe('mapPort', () => {
  let gateway: TestGateway;
  let socket: dgram.Socket;
  let address: string;
  const nowUs = () => Date.now() * 1_000;

  beforeEach(async () => {
    gateway = new TestGateway({}, nowUs());
    socket = dgram.createSocket('udp4', (bytes, from) => {
      const answer = gateway.handle(bytes, nowUs());
      if (answer !== undefined) socket.send(answer, from.port, from.address);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    address = `127.0.0.1:${socket.address().port}`;
  });
  afterEach(() => socket.close());

  async function refusalOf(options: Parameters<typeof mapPort>[0]): Promise<string> {
    const error = await mapPort(options).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof NetworkingError)) throw new Error(`not refused as expected: ${error}`);
    return `${error.code}: ${error.message}`;
  }

  it('opens a port, and ends that', async () => {
    const mapping = await mapPort({ internalPort: 27_015, gateway: address });
    const { externalAddress, externalPort, lifetimeS, protocol, renewals } = mapping;
    expect({ externalAddress, externalPort, lifetimeS, protocol, renewals }).to.deep.equal({
      externalAddress: '203.0.113.7',
      externalPort: 27_015,
      lifetimeS: 7_200,
      protocol: 'PCP',
      renewals: 0,
    });
    expect(gateway.mappings.size).to.equal(1);
    await mapping.close();
    expect(gateway.mappings.size).to.equal(0);
  });

  it('says why the gateway refuses', async () => {
    gateway.result = 10;
    const refusal = await refusalOf({ internalPort: 1, gateway: address });
    expect(refusal).to.equal(
      'ConnectFailed: the gateway 127.0.0.1 opens no port: this host has as many mappings as it may have',
    );
  });

  it('can be aborted', async () => {
    gateway.handle = () => undefined;
    const abort = new AbortController();
    const refusal = refusalOf({ internalPort: 1, gateway: address, signal: abort.signal });
    setImmediate(() => abort.abort());
    expect(await refusal).to.equal('Aborted: mapping a port was aborted');
  });

  it('names what is wrong with its arguments', async () => {
    expect(await refusalOf({ internalPort: 0 })).to.contain('InvalidParam: internalPort 0');
    expect(await refusalOf({ internalPort: 1, lifetimeS: 5 })).to.contain('InvalidParam: lifetimeS 5');
    expect(await refusalOf({ internalPort: 1, gateway: 'router' })).to.contain('InvalidParam: gateway "router"');
  });
});

// Two connections of one process with each other, in virtual time.

import { expect } from 'chai';
import {
  type Connection,
  flagBits,
  type IncomingMessage,
  Networking,
  type SocketPairOptions,
} from '../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';

const SECOND_US = 1_000_000;

function pairOf(options: SocketPairOptions) {
  const network = new SimulatedNetwork({ seed: 7, crypto: nodeCrypto });
  const host = network.host('alone');
  const net = new Networking({ platform: host.platform });
  const [first, second] = net.createSocketPair(options);
  const received: IncomingMessage[] = [];
  second.on('message', (message) => received.push(message));
  return { network, host, net, first, second, received };
}

function statesOf(connection: Connection): string[] {
  const states: string[] = [];
  connection.on('internalState', ({ to }) => states.push(to));
  return states;
}

for (const loopback of ['memory', 'udp'] as const) {
  describe(`a socket pair (${loopback})`, () => {
    it('is connected at once', () => {
      const { first, second } = pairOf({ loopback });
      expect([first.state, second.state]).to.deep.equal(['Connected', 'Connected']);
    });

    it('begins without events', async () => {
      const { network, first, second } = pairOf({ loopback });
      const states = [statesOf(first), statesOf(second)];
      await network.advance(SECOND_US);
      expect(states).to.deep.equal([[], []]);
    });

    it('carries messages both ways', async () => {
      const { network, first, second, received } = pairOf({ loopback });
      const answers: IncomingMessage[] = [];
      first.on('message', (message) => answers.push(message));
      first.send('there');
      second.send('and back', { reliable: false });
      await network.advance(SECOND_US);
      expect([...received, ...answers].map(({ data }) => new TextDecoder().decode(data))).to.deep.equal([
        'there',
        'and back',
      ]);
    });

    it('carries a message of the largest size', async () => {
      const { network, first, received } = pairOf({ loopback, config: { sendBufferSize: 1_000_000 } });
      first.send(new Uint8Array(524_288).fill(7));
      await network.advance(10 * SECOND_US);
      expect(received.map(({ data }) => [data.length, data.every((byte) => byte === 7)])).to.deep.equal([
        [524_288, true],
      ]);
    });

    it('has lanes', async () => {
      const { network, first, received } = pairOf({ loopback });
      first.configureLanes([{}, {}, {}]);
      first.send('x', { lane: 2 });
      await network.advance(SECOND_US);
      expect(received.map(({ lane }) => lane)).to.deep.equal([2]);
    });

    it('tells one end that the other has closed, after its last words', async () => {
      const { network, first, second, received } = pairOf({ loopback });
      first.send('bye');
      const closed = first.close({ reason: 1234, debug: 'enough', linger: true });
      const result = await network.settle(closed, 10 * SECOND_US);
      expect(result).to.include({ delivered: true, confirmed: true });
      expect(received).to.have.lengthOf(1);
      expect(second.info).to.include({ state: 'ClosedByPeer', endReason: 1234, endDebug: 'enough' });
    });

    it('leaves nothing behind', async () => {
      const { network, net } = pairOf({ loopback });
      await network.settle(net.close(), 10 * SECOND_US);
      expect(network.openPorts, 'open ports').to.equal(0);
      expect(network.pendingAlarms, 'armed alarms').to.equal(0);
    });

    it('keeps the process alive until it is closed or does not count', async () => {
      const { host, net } = pairOf({ loopback });
      expect(host.platform).to.have.property('isKeptAlive', true);
      net.unref();
      expect(host.platform).to.have.property('isKeptAlive', false);
    });

    it('stays connected when nothing happens', async () => {
      const { network, first, second } = pairOf({ loopback });
      await network.advance(120 * SECOND_US);
      expect([first.state, second.state]).to.deep.equal(['Connected', 'Connected']);
    });

    it('shows each end the identity that was given for the other', () => {
      const { first, second } = pairOf({ loopback, identities: ['str:one', 'steamid:76561197960265729'] });
      expect([first.remoteIdentity, second.remoteIdentity].map(String)).to.deep.equal([
        'str:one',
        'steamid:76561197960265729',
      ]);
    });

    it('is anonymous otherwise', () => {
      const { first, second } = pairOf({ loopback });
      expect([first.remoteIdentity, second.remoteIdentity].map(String)).to.deep.equal(['ip:::1', 'ip:::1']);
    });

    it('cannot be told who may be there once it is connected', () => {
      const { first } = pairOf({ loopback });
      expect(() => first.config.set('unencrypted', 1))
        .to.throw()
        .with.property('code', 'ConfigLocked');
    });
  });
}

describe('a socket pair', () => {
  it('in memory has the flags of GNS, and no address', () => {
    const { first } = pairOf({ loopback: 'memory' });
    expect(flagBits(first.info.flags)).to.equal(12);
    expect(first.remoteAddress.toString()).to.equal('::');
  });

  it('over UDP has the flags of GNS, and an address of this machine', () => {
    const { first } = pairOf({ loopback: 'udp' });
    expect(flagBits(first.info.flags)).to.equal(9);
    expect(first.remoteAddress.host).to.equal('127.0.0.1');
  });

  it('over UDP is unencrypted if both ends are told so', () => {
    const { first } = pairOf({ loopback: 'udp', config: { unencrypted: 3 } });
    expect(first.info.flags.unencrypted).to.equal(true);
  });

  it('in memory does not touch the network', async () => {
    const { network, first } = pairOf({ loopback: 'memory' });
    first.send('x');
    await network.advance(SECOND_US);
    expect(network.openPorts).to.equal(0);
  });

  it('in memory delivers within the instant', async () => {
    const { network, first, received } = pairOf({ loopback: 'memory' });
    first.send('x');
    await network.advance(1);
    expect(received).to.have.lengthOf(1);
  });

  it('in memory takes much more than a network', async () => {
    const { network, first, received } = pairOf({ loopback: 'memory' });
    for (let i = 0; i < 400; i++) first.send(new Uint8Array(50_000));
    await network.advance(SECOND_US);
    expect(received).to.have.lengthOf(400);
  });

  it('refuses an identity that cannot be read', () => {
    expect(() => pairOf({ identities: ['nobody', 'str:b'] }))
      .to.throw('nobody')
      .with.property('code', 'InvalidParam');
  });
});

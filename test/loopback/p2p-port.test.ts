// A listen socket and P2P connections on one real UDP port.

import { expect } from 'chai';
import { Networking } from '../../src/index.ts';
import { nodePlatform } from '../../src/node/platform.ts';
import { LocalSignaling } from '../../src/testing.ts';
import { eventually } from '../support/eventually.ts';

describe('one UDP port for all', () => {
  it('takes those who call by address and those who call by signal', async () => {
    const signaling = new LocalSignaling();
    const make = (name: string) => {
      const platform = nodePlatform();
      const identity = `str:${name}`;
      const p2p = { offersLoopback: true };
      return new Networking({ platform, identity, p2p, signaling: signaling.join(identity, platform) });
    };
    const [alice, bob] = [make('alice'), make('bob')];
    try {
      const heard: string[] = [];
      const direct = bob.listen({ port: 0, autoAccept: true, p2p: true });
      const byName = bob.listenP2P({ virtualPort: 7, autoAccept: true });
      for (const socket of [direct, byName]) {
        socket.on('connection', ({ connection }) => {
          connection.on('message', ({ data }) => heard.push(new TextDecoder().decode(data)));
        });
      }
      const { port } = direct.address;
      const connections = await Promise.all([alice.connect(`127.0.0.1:${port}`), alice.connectP2P('str:bob', 7)]);
      expect(connections.map(({ remoteAddress }) => remoteAddress.port)).to.deep.equal([port, port]);
      connections[0].send('by address');
      connections[1].send('by name');
      await eventually(() => heard.length === 2);
      expect(heard).to.have.members(['by address', 'by name']);
    } finally {
      await Promise.all([alice.close(), bob.close()]);
    }
  });
});

// Scopes of configuration: what is inherited, what may be set where, what locks.
import { expect } from 'chai';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { type ConfigLevel, ConfigScope } from '../../../src/core/config/scope.ts';
import type { ConfigName, ConfigOptions } from '../../../src/core/config/values.ts';

function makeTree() {
  const global = new ConfigScope('global');
  const endpoint = new ConfigScope('interface', global);
  const listenSocket = new ConfigScope('listenSocket', endpoint);
  return { global, endpoint, listenSocket, connection: new ConfigScope('connection', listenSocket) };
}

describe('ConfigScope', () => {
  it('has the built-in default of what is set nowhere', () => {
    const { connection } = makeTree();
    expect(connection.get('sendRateMin')).to.equal(262_144);
    expect(connection.get('connectionUserData')).to.equal(-1n);
    expect(connection.get('p2pStunServerList')).to.equal('');
  });

  it('takes a value from the nearest scope that sets it', () => {
    const { global, endpoint, listenSocket, connection } = makeTree();
    global.set('nagleTime', 1);
    expect(connection.get('nagleTime')).to.equal(1);
    endpoint.set('nagleTime', 2);
    expect(connection.get('nagleTime')).to.equal(2);
    listenSocket.set('nagleTime', 3);
    expect(connection.get('nagleTime')).to.equal(3);
    connection.set('nagleTime', 0);
    expect(connection.get('nagleTime')).to.equal(0);
    expect(endpoint.get('nagleTime')).to.equal(2);
  });

  it('lets a connection that we start inherit from the interface', () => {
    const { endpoint } = makeTree();
    const connection = new ConfigScope('connection', endpoint);
    endpoint.set('nagleTime', 2);
    expect(connection.get('nagleTime')).to.equal(2);
  });

  it('inherits again what is unset', () => {
    const { global, connection } = makeTree();
    global.set('nagleTime', 1);
    connection.set('nagleTime', 2);
    connection.set('nagleTime', undefined);
    expect(connection.get('nagleTime')).to.equal(1);
    global.set('nagleTime', undefined);
    expect(connection.get('nagleTime')).to.equal(5000);
  });

  it('tells its own values from inherited ones', () => {
    const { global, connection } = makeTree();
    global.set('nagleTime', 1);
    expect(global.getOwn('nagleTime')).to.equal(1);
    expect(connection.getOwn('nagleTime')).to.equal(undefined);
  });

  it('moves numbers into their limits', () => {
    const { connection } = makeTree();
    connection.set('mtuPacketSize', 100);
    expect(connection.get('mtuPacketSize')).to.equal(200);
  });

  it('derives the room for data from the packet size, and does not let it be set', () => {
    const { connection } = makeTree();
    expect(connection.get('mtuDataSize')).to.equal(1200);
    connection.set('mtuPacketSize', 500);
    expect(connection.get('mtuDataSize')).to.equal(400);
    expect(() => connection.set('mtuDataSize', 300))
      .to.throw(NetworkingError)
      .with.property('code', 'InvalidParam');
  });

  for (const level of ['endpoint', 'listenSocket', 'connection'] as const) {
    it(`takes a global value at the global scope, but not at the ${level}`, () => {
      const tree = makeTree();
      const set = () => tree[level].set('fakePacketLossSend', 1);
      expect(set).to.throw(NetworkingError, 'fakePacketLossSend is global').with.property('code', 'InvalidParam');
      tree.global.set('fakePacketLossSend', 1);
      expect(tree[level].get('fakePacketLossSend')).to.equal(1);
    });
  }

  it('does not unset the user data of a connection', () => {
    const { global, connection } = makeTree();
    connection.set('connectionUserData', 5n);
    expect(() => connection.set('connectionUserData', undefined)).to.throw(NetworkingError, 'connectionUserData');
    expect(connection.get('connectionUserData')).to.equal(5n);
    global.set('connectionUserData', undefined);
  });

  it('refuses unknown names in every call, and suggests the right one', () => {
    const { connection } = makeTree();
    const name = 'nagleTim' as ConfigName;
    const calls = [
      () => connection.get(name),
      () => connection.getOwn(name),
      () => connection.set(name, 1),
      () => connection.set(name, undefined),
      () => connection.setAll({ [name]: 1 } as ConfigOptions),
      () => connection.lock(name),
    ];
    for (const call of calls) {
      expect(call).to.throw(NetworkingError, 'did you mean nagleTime?').with.property('code', 'UnknownConfigValue');
    }
  });

  it('cannot hang below a narrower scope, or without parent unless it is the global one', () => {
    const { global, connection } = makeTree();
    const broken: [ConfigLevel, ConfigScope | undefined][] = [
      ['connection', undefined],
      ['global', global],
      ['listenSocket', connection],
      ['connection', connection],
    ];
    for (const [level, parent] of broken) expect(() => new ConfigScope(level, parent), level).to.throw('invariant');
  });
});

describe('ConfigScope.setAll', () => {
  it('sets all values', () => {
    const { connection } = makeTree();
    connection.setAll({ sendRateMin: 5000, p2pStunServerList: 'a:1', connectionUserData: 7n });
    expect(connection.get('sendRateMin')).to.equal(5000);
    expect(connection.get('p2pStunServerList')).to.equal('a:1');
    expect(connection.get('connectionUserData')).to.equal(7n);
  });

  it('sets nothing if one value is refused', () => {
    const { connection } = makeTree();
    connection.lock('unencrypted');
    const before = connection.revision;
    expect(() => connection.setAll({ nagleTime: 1, unencrypted: 3 })).to.throw(NetworkingError, 'unencrypted');
    expect(() => connection.setAll({ nagleTime: 1, fakePacketLossSend: 3 })).to.throw(NetworkingError, 'global');
    expect(connection.getOwn('nagleTime')).to.equal(undefined);
    expect(connection.revision).to.equal(before);
  });

  it('leaves alone what is given as undefined', () => {
    const { connection } = makeTree();
    connection.set('nagleTime', 1);
    connection.setAll({ nagleTime: undefined, connectionUserData: undefined });
    expect(connection.get('nagleTime')).to.equal(1);
  });
});

describe('a locked value', () => {
  it('stays as it was when its parents change', () => {
    const { global, connection } = makeTree();
    global.set('unencrypted', 1);
    connection.lock('unencrypted');
    global.set('unencrypted', 3);
    expect(connection.get('unencrypted')).to.equal(1);
    expect(connection.getOwn('unencrypted')).to.equal(1);
  });

  it('can neither be set nor unset, and says what it is', () => {
    const { connection } = makeTree();
    connection.lock('unencrypted');
    for (const value of [2, undefined]) {
      const set = () => connection.set('unencrypted', value);
      expect(set).to.throw(NetworkingError, 'unencrypted of this connection').with.property('code', 'ConfigLocked');
    }
    expect(connection.get('unencrypted')).to.equal(0);
  });

  it('is locked for its own scope only', () => {
    const { global, listenSocket, connection } = makeTree();
    listenSocket.lock('symmetricConnect');
    expect(listenSocket.isLocked('symmetricConnect')).to.equal(true);
    expect(connection.isLocked('symmetricConnect')).to.equal(false);
    connection.set('symmetricConnect', 1);
    global.set('symmetricConnect', 1);
    expect(listenSocket.get('symmetricConnect')).to.equal(0);
  });

  it('may be locked again', () => {
    const { connection } = makeTree();
    connection.lock('unencrypted');
    connection.lock('unencrypted');
    expect(connection.isLocked('unencrypted')).to.equal(true);
  });
});

describe('ConfigScope.revision', () => {
  it('changes when the scope or one of its parents changes', () => {
    const { global, endpoint, listenSocket, connection } = makeTree();
    for (const scope of [global, endpoint, listenSocket, connection]) {
      for (const value of [1, undefined]) {
        const before = connection.revision;
        scope.set('nagleTime', value);
        expect(connection.revision, scope.level).to.not.equal(before);
      }
    }
  });

  it('stays while nothing is set', () => {
    const { global, connection } = makeTree();
    const before = connection.revision;
    connection.get('nagleTime');
    expect(() => global.set('nagleTime', 'x' as unknown as number)).to.throw(NetworkingError);
    expect(connection.revision).to.equal(before);
  });
});

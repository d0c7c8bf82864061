// Announcing, browsing and signaling on real sockets: on loopback, and between two network namespaces where we may make
// them.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Networking } from '../../src/index.ts';
import { announce, browse, LanSignaling } from '../../src/lan.ts';
import { eventually } from '../support/eventually.ts';

const LOOPBACK = Object.entries(networkInterfaces()).find(([, infos]) => infos?.some(({ internal }) => internal))?.[0];
/** Away from programs in use, and from other runs of this test. */
const lan = { port: 20_000 + (process.pid % 10_000), interfaces: [LOOPBACK ?? 'lo'] };

describe('the local network', () => {
  const open: { close(): void }[] = [];
  const opened = <T extends { close(): void }>(thing: T): T => {
    open.push(thing);
    return thing;
  };
  afterEach(() => {
    for (const thing of open.splice(0)) thing.close();
  });

  it('shows a session to a browser that came first, and its changes, and its end', async () => {
    const seen: string[] = [];
    const browser = opened(browse({ appId: 480, lan }));
    for (const kind of ['found', 'changed', 'lost'] as const) {
      browser.on(kind, ({ name, port, userData }) => seen.push(`${kind} ${name} ${port} ${userData}`));
    }
    const beacon = opened(announce({ name: 'Alpha', appId: 480, port: 27_015, userData: Uint8Array.of(1, 2), lan }));
    await eventually(() => browser.sessions.length === 1);
    beacon.update({ name: 'Beta' });
    await eventually(() => browser.sessions[0]?.name === 'Beta');
    expect(browser.sessions[0]).to.include({ id: beacon.id, address: '127.0.0.1' });
    beacon.close();
    await eventually(() => browser.sessions.length === 0);
    expect(seen).to.deep.equal(['found Alpha 27015 1,2', 'changed Beta 27015 1,2', 'lost Beta 27015 1,2']);
  });

  it('answers a browser that comes later, from all programs that share the port', async () => {
    opened(announce({ name: 'one', appId: 7, lan }));
    opened(announce({ name: 'two', appId: 7, lan }));
    opened(announce({ name: 'another game', appId: 8, lan }));
    const browser = opened(browse({ appId: 7, lan }));
    await eventually(() => browser.sessions.length === 2);
    expect(browser.sessions.map(({ name }) => name)).to.have.members(['one', 'two']);
  });

  it('counts what is malformed and goes on', async () => {
    const browser = opened(browse({ lan }));
    const socket = dgram.createSocket('udp4');
    socket.send('garbage', lan.port, '127.0.0.1');
    await eventually(() => browser.stats.malformed === 1);
    socket.close();
    opened(announce({ name: 'after', appId: 1, lan }));
    await eventually(() => browser.sessions.length === 1);
  });

  it('refuses what cannot be announced', () => {
    expect(() => announce({ name: 'x', appId: -1, lan }))
      .to.throw('appId -1')
      .with.property('code', 'InvalidParam');
    expect(() => announce({ name: 'x', appId: 1, identity: 'nobody', lan })).to.throw('"nobody" is not an identity');
    expect(() => browse({ lan: { port: 0 } })).to.throw('port 0');
  });

  it('lists sessions on the command line, as JSON if asked', async () => {
    opened(announce({ name: 'listed', appId: 11, port: 27_015, userData: Uint8Array.of(0xab), lan }));
    const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    const args = [main, 'lan', '--json', '--app', '11', '--port', String(lan.port)];
    const gns = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    gns.stdout.on('data', (chunk) => {
      output += chunk;
    });
    const status = await new Promise((resolve) => gns.on('close', resolve));
    expect(status).to.equal(0);
    expect(JSON.parse(output)).to.include({ name: 'listed', appId: 11, port: 27_015, userDataHex: 'ab' });
  }).timeout(30_000);

  it('carries signals between peers that have not heard of each other', async () => {
    const received: string[] = [];
    const alice = opened(new LanSignaling({ identity: 'str:alice', lan }));
    const bob = opened(new LanSignaling({ identity: 'str:bob', lan }));
    for (const peer of [alice, bob]) {
      peer.onSignal = (signal, from) => received.push(`${from} to ${peer.identity}: ${Buffer.from(signal)}`);
    }
    alice.send('str:bob', Buffer.from('hello'));
    await eventually(() => received.length === 1);
    bob.send('str:alice', Buffer.from('yes?'));
    await eventually(() => received.length === 2);
    expect(received).to.deep.equal(['str:alice to str:bob: hello', 'str:bob to str:alice: yes?']);
    expect(alice.send('bob', Buffer.from('x'))).to.equal(false);
  });

  it('connects P2P peers that know nothing but the session', async () => {
    const config = { ipAllowWithoutAuth: 2 } as const;
    const p2p = { offersLoopback: true };
    const hostSignaling = opened(new LanSignaling({ identity: 'str:host', lan }));
    const host = new Networking({ identity: 'str:host', signaling: hostSignaling, p2p, config });
    host.listenP2P({ virtualPort: 3, autoAccept: true });
    opened(announce({ name: 'game', appId: 9, identity: 'str:host', virtualPort: 3, lan }));

    const browser = opened(browse({ appId: 9, lan }));
    await eventually(() => browser.sessions.length === 1);
    const [session] = browser.sessions;
    const guestSignaling = opened(new LanSignaling({ identity: 'str:guest', lan }));
    const guest = new Networking({ identity: 'str:guest', signaling: guestSignaling, p2p, config });
    const connection = await guest.connectP2P(session!.identity, session!.virtualPort!);
    expect(String(connection.remoteIdentity)).to.equal('str:host');
    await Promise.all([guest.close(), host.close()]);
  });
});

describe('two hosts on a link', () => {
  const [left, right] = [`lan-a-${process.pid}`, `lan-b-${process.pid}`];
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });
  let other: ChildProcess | undefined;

  before(async function () {
    try {
      for (const name of [left, right]) ip('netns', 'add', name);
      ip('-n', left, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', right);
      for (const [name, host] of [
        [left, 1],
        [right, 2],
      ] as const) {
        ip('netns', 'exec', name, 'sysctl', '-qw', 'net.ipv6.conf.veth0.accept_dad=0');
        ip('-n', name, 'addr', 'add', `10.77.0.${host}/24`, 'dev', 'veth0');
        ip('-n', name, 'link', 'set', 'veth0', 'up');
      }
    } catch {
      this.skip();
    }
    // The kernel takes up to a second to see that the cable is plugged in.
    const isUp = (name: string) => String(ip('-n', name, '-o', 'link', 'show', 'veth0')).includes('state UP');
    await eventually(() => isUp(left) && isUp(right));
  });
  after(() => {
    other?.kill('SIGKILL');
    for (const name of [left, right]) {
      try {
        ip('netns', 'del', name);
      } catch {
        // Was never there.
      }
    }
  });

  function runIn(namespace: string, code: string): ChildProcess {
    const module = fileURLToPath(new URL('../../src/lan.js', import.meta.url));
    const script = `import { announce, browse, LanSignaling } from ${JSON.stringify(module)};\n${code}`;
    const args = ['netns', 'exec', namespace, process.execPath, '--input-type=module', '-e', script];
    return spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  it('find each other, by IPv4 and IPv6, and signal', async () => {
    other = runIn(
      left,
      `announce({ name: 'far', appId: 5, port: 27015, identity: 'str:far' });
       const signaling = new LanSignaling({ identity: 'str:far' });
       signaling.onSignal = (signal, from) => signaling.send(from, Buffer.from('you said ' + Buffer.from(signal)));`,
    );
    const near = runIn(
      right,
      `const browser = browse({ appId: 5 });
       const signaling = new LanSignaling({ identity: 'str:near' });
       const answer = new Promise((resolve) => { signaling.onSignal = (signal) => resolve(String(Buffer.from(signal))); });
       const [session] = await new Promise((resolve) => browser.on('found', (...found) => resolve(found)));
       signaling.send(session.identity, Buffer.from('hi'));
       const text = await answer;
       while (browser.sessions[0].addresses.length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
       const { name, port, address, addresses } = browser.sessions[0];
       console.log(JSON.stringify({ name, port, address, hasIPv6: addresses[1].startsWith('fe80'), text }));
       process.exit(0);`,
    );
    let output = '';
    near.stdout!.on('data', (chunk) => {
      output += chunk;
    });
    const giveUp = setTimeout(() => near.kill('SIGKILL'), 30_000);
    await new Promise((resolve) => near.on('close', resolve));
    clearTimeout(giveUp);
    expect(JSON.parse(output)).to.deep.equal({
      name: 'far',
      port: 27_015,
      address: '10.77.0.1',
      hasIPv6: true,
      text: 'you said hi',
    });
  }).timeout(40_000);
});

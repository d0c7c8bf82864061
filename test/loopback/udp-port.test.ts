// The platform of Node on real sockets and real time, all within this machine.
import dgram from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { expect } from 'chai';
import sinon from 'sinon';
import { NetworkingError } from '../../src/core/base/errors.ts';
import { NEVER } from '../../src/core/base/time.ts';
import type { NetAddress, UdpPort } from '../../src/core/platform.ts';
import { nodePlatform } from '../../src/node/platform.ts';
import type { NodeUdpPort } from '../../src/node/udp-port.ts';

const platform = nodePlatform();
const NOBODY = { onDatagram: () => {} };
const hasIPv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));

interface Arrival {
  readonly text: string;
  readonly from: NetAddress;
  readonly nowUs: number;
}

describe('UDP port', () => {
  const open: UdpPort[] = [];
  afterEach(() => {
    sinon.restore();
    for (const port of open.splice(0)) port.close();
  });

  const openPort = (address: string, port = 0, sink: Parameters<typeof platform.openUdp>[1] = NOBODY) => {
    const udp = platform.openUdp({ address, port }, sink) as NodeUdpPort;
    open.push(udp);
    return udp;
  };

  /** A port, and a promise of the first `count` datagrams it receives. */
  const receive = (address: string, count: number) => {
    const arrivals: Arrival[] = [];
    const { promise, resolve } = deferred<Arrival[]>();
    const port = openPort(address, 0, {
      onDatagram: (bytes, from, nowUs) => {
        arrivals.push({ text: new TextDecoder().decode(bytes), from, nowUs });
        if (arrivals.length === count) resolve(arrivals);
      },
    });
    return { port, arrivals: promise };
  };

  const send = (port: UdpPort, text: string, to: NetAddress) => {
    const bytes = new TextEncoder().encode(text);
    return port.send(bytes, bytes.length, to);
  };

  it('is shared by those that ask for it, and by nobody else; or says that this cannot be', () => {
    const openShared = (port: number) => {
      const udp = platform.openUdp({ address: '127.0.0.1', port, reusePort: true }, NOBODY);
      open.push(udp);
      return udp;
    };
    let first: UdpPort;
    try {
      first = openShared(0);
    } catch (error) {
      expect(error).to.be.instanceOf(NetworkingError).with.property('code', 'NotSupported');
      expect(error).to.have.property('message').that.includes(process.versions.node);
      return;
    }
    expect(openShared(first.local.port).local).to.deep.equal(first.local);
    expect(() => openPort('127.0.0.1', first.local.port))
      .to.throw(NetworkingError)
      .with.property('code', 'BindFailed');
  });

  const loopbackAddresses = hasIPv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
  for (const address of loopbackAddresses) {
    it(`carries datagrams both ways on ${address}`, async () => {
      const server = receive(address, 1);
      const client = receive(address, 1);
      send(client.port, 'to server', server.port.local);
      const [atServer] = await server.arrivals;
      expect(atServer!.text).to.equal('to server');
      expect(atServer!.from).to.include(client.port.local);
      send(server.port, 'to client', atServer!.from);
      expect((await client.arrivals)[0]!.text).to.equal('to client');
    });
  }

  it('knows its port as soon as it is open', () => {
    const port = openPort('127.0.0.1');
    expect(port.local.address).to.equal('127.0.0.1');
    expect(port.local.port).to.be.within(1, 0xffff);
  });

  it('sends what the buffer holds during the call, and in that order', async () => {
    // Few enough for the smallest receive buffer a system may grant.
    const count = 60;
    const server = receive('127.0.0.1', count);
    const client = openPort('127.0.0.1');
    const bytes = new Uint8Array(1_200);
    for (let i = 0; i < count; i++) {
      bytes.fill(65 + (i % 26));
      expect(client.send(bytes, 1_000 + (i % 200), server.port.local)).to.equal(true);
    }
    bytes.fill(0);
    for (const [i, { text }] of (await server.arrivals).entries()) {
      expect(text).to.equal(String.fromCharCode(65 + (i % 26)).repeat(1_000 + (i % 200)));
    }
  });

  it('keeps what it sends for company until it is flushed', () => {
    const leave = sinon.stub(dgram.Socket.prototype, 'send');
    const port = openPort('127.0.0.1');
    send(port, 'one', port.local);
    send(port, 'two', port.local);
    expect(leave.callCount).to.equal(0);
    port.flush();
    expect(leave.callCount).to.equal(2);
  });

  it('keeps a datagram that the busy system has queued apart from the next', async () => {
    const sent: Buffer[] = [];
    sinon.stub(dgram.Socket.prototype, 'send').callsFake((...args: unknown[]) => {
      sent.push(args[0] as Buffer);
    });
    sinon.stub(dgram.Socket.prototype, 'getSendQueueCount').callsFake(() => sent.length);
    const port = openPort('127.0.0.1');
    for (const text of ['first', 'second']) {
      send(port, text, port.local);
      // Datagrams leave at the end of the turn in which they were sent.
      await new Promise(process.nextTick);
    }
    expect(sent.map(String)).to.deep.equal(['first', 'second']);
  });

  it('drops datagrams once the busy system has a long queue', () => {
    sinon.stub(dgram.Socket.prototype, 'getSendQueueCount').returns(1_000);
    const port = openPort('127.0.0.1');
    expect(send(port, 'late', port.local)).to.equal(false);
  });

  it('stamps datagrams with the time of the platform', async () => {
    const server = receive('127.0.0.1', 1);
    const beforeUs = platform.nowUs();
    send(server.port, 'x', server.port.local);
    const [arrival] = await server.arrivals;
    expect(arrival!.nowUs).to.be.within(beforeUs, platform.nowUs());
  });

  it('takes IPv4 and IPv6 on "::", and tells IPv4 peers as mapped', async function () {
    if (!hasIPv6) this.skip();
    const server = receive('::', 2);
    const { port } = server.port.local;
    send(openPort('127.0.0.1'), 'four', { address: '127.0.0.1', port });
    send(openPort('::1'), 'six', { address: '::1', port });
    const from = new Map((await server.arrivals).map((arrival) => [arrival.text, arrival.from.address]));
    expect(from.get('four')).to.equal('::ffff:127.0.0.1');
    expect(from.get('six')).to.equal('::1');
  });

  it('reaches plain and mapped IPv4 addresses from ports of both families', async function () {
    if (!hasIPv6) this.skip();
    const server = receive('127.0.0.1', 4);
    for (const client of [openPort('::'), openPort('127.0.0.1')]) {
      for (const address of ['127.0.0.1', '::ffff:127.0.0.1']) {
        send(client, 'x', { address, port: server.port.local.port });
      }
    }
    expect(await server.arrivals).to.have.length(4);
  });

  it('opens on IPv4 alone where there is no IPv6', () => {
    const { createSocket } = dgram;
    sinon.stub(dgram, 'createSocket').callsFake(((options: dgram.SocketOptions) => {
      const socket = createSocket(options);
      if (options.type === 'udp6') {
        const error = Object.assign(new Error('bind EAFNOSUPPORT'), { code: 'EAFNOSUPPORT' });
        sinon.stub(socket, 'bind').callsFake(() => {
          socket.emit('error', error);
          return socket;
        });
      }
      return socket;
    }) as typeof createSocket);
    expect(openPort('::').local.address).to.equal('0.0.0.0');
  });

  const refusal = (address: string, port: number): NetworkingError => {
    try {
      openPort(address, port);
    } catch (error) {
      if (error instanceof NetworkingError) return error;
    }
    throw new Error('the port was opened, or the error is none of ours');
  };

  it('refuses a port in use, naming address, port and reason', () => {
    const { port } = openPort('127.0.0.1').local;
    const error = refusal('127.0.0.1', port);
    expect(error.code).to.equal('BindFailed');
    expect(error.message).to.equal(`cannot open UDP port ${port} on 127.0.0.1: EADDRINUSE`);
  });

  it('refuses an address that is not of this machine', () => {
    expect(refusal('192.0.2.1', 0))
      .to.include({ code: 'BindFailed' })
      .and.have.property('message')
      .match(/192\.0\.2\.1/);
  });

  it('refuses an address that is not numeric', () => {
    expect(refusal('localhost', 0).code).to.equal('BindFailed');
  });

  it('refuses a port number that is none', () => {
    expect(refusal('127.0.0.1', 70_000).code).to.equal('BindFailed');
  });

  const unsendable: readonly (readonly [what: string, length: number, to: NetAddress])[] = [
    ['longer than any datagram can be', 65_508, { address: '127.0.0.1', port: 9 }],
    ['to port 0', 5, { address: '127.0.0.1', port: 0 }],
    ['to a family the port does not speak', 5, { address: '::1', port: 9 }],
  ];
  for (const [what, length, to] of unsendable) {
    it(`does not send what is ${what}`, () => {
      const port = openPort('127.0.0.1');
      expect(port.send(new Uint8Array(66_000), length, to)).to.equal(false);
    });
  }

  it('takes what the system refuses for lost, without a word to anybody', async () => {
    const server = receive('127.0.0.1', 1);
    // Bound to loopback, there is no way out.
    send(server.port, 'x', { address: '192.0.2.1', port: 9 });
    await turn();
    send(server.port, 'still alive', server.port.local);
    expect((await server.arrivals)[0]!.text).to.equal('still alive');
  });

  it('survives sending to a port that nobody listens on', async () => {
    const nobody = openPort('127.0.0.1').local;
    open.pop()!.close();
    const server = receive('127.0.0.1', 1);
    send(server.port, 'x', nobody);
    await turn();
    send(server.port, 'still alive', server.port.local);
    expect((await server.arrivals)[0]!.text).to.equal('still alive');
  });

  it('neither sends nor receives after it was closed, and may be closed twice', async () => {
    let received = 0;
    const sink = {
      onDatagram: () => {
        received++;
      },
    };
    const server = openPort('127.0.0.1', 0, sink);
    send(openPort('127.0.0.1'), 'x', server.local);
    server.close();
    server.close();
    expect(send(server, 'x', server.local)).to.equal(false);
    await turn();
    expect(received).to.equal(0);
  });
});

describe('Alarm', () => {
  it('does not wait for anything else to happen, once its time has passed', async () => {
    const beganUs = platform.nowUs();
    const other = setTimeout(() => {}, 2_000);
    const firedUs = await new Promise<number>((resolve) => {
      const alarm = platform.newAlarm(resolve);
      alarm.setRef(false);
      alarm.set(beganUs);
    });
    clearTimeout(other);
    expect(firedUs - beganUs).to.be.below(1_500_000);
  });

  it('fires once, not before its time', async () => {
    const { promise, resolve } = deferred<number>();
    const alarm = platform.newAlarm(resolve);
    const atUs = platform.nowUs() + 5_000;
    alarm.set(atUs);
    expect(await promise).to.be.at.least(atUs);
  });

  it('follows its deadline to later, to earlier and to never', async () => {
    const { promise, resolve } = deferred<number>();
    const startUs = platform.nowUs();
    const moved = platform.newAlarm(resolve);
    let disarmedFired = false;
    const disarmed = platform.newAlarm(() => {
      disarmedFired = true;
    });
    disarmed.set(startUs + 1_000);
    disarmed.set(NEVER);
    moved.set(startUs + 1_000);
    moved.set(startUs + 60_000_000);
    moved.set(startUs + 10_000);
    expect((await promise) - startUs).to.be.within(10_000, 1_000_000);
    expect(disarmedFired).to.equal(false);
  });

  it('can be set again while it fires', async () => {
    const { promise, resolve } = deferred<void>();
    let times = 0;
    const alarm = platform.newAlarm((nowUs) => {
      if (++times === 3) resolve();
      else alarm.set(nowUs);
    });
    alarm.set(0);
    await promise;
    expect(times).to.equal(3);
  });
});

describe('Node platform', () => {
  it('has a clock of whole microseconds that never goes back', () => {
    let previousUs = 1;
    for (let i = 0; i < 1_000; i++) {
      const nowUs = platform.nowUs();
      expect(nowUs).to.be.at.least(previousUs);
      expect(Number.isSafeInteger(nowUs)).to.equal(true);
      previousUs = nowUs;
    }
  });

  it('knows the seconds of the wall clock', () => {
    expect(platform.unixTimeS()).to.be.closeTo(Date.now() / 1_000, 2);
    expect(Number.isInteger(platform.unixTimeS())).to.equal(true);
  });

  it('defers tasks to after the present turn', async () => {
    const order: string[] = [];
    platform.defer(() => order.push('deferred'));
    await Promise.resolve().then(() => order.push('microtask'));
    await turn();
    expect(order).to.deep.equal(['microtask', 'deferred']);
  });

  it('resolves numeric addresses to themselves and localhost to loopback', async () => {
    expect(await platform.resolve('192.0.2.1')).to.deep.equal(['192.0.2.1']);
    for (const address of await platform.resolve('localhost')) expect(['127.0.0.1', '::1']).to.include(address);
  });

  it('rejects a name without address, naming it', async () => {
    const error = await platform.resolve('does-not-exist.invalid').then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(NetworkingError).and.include({ code: 'ResolveFailed' });
    expect((error as Error).message).to.include('does-not-exist.invalid');
  });

  it('uses the curves it is told to', () => {
    expect(nodePlatform().crypto.name).to.equal('node');
    expect(nodePlatform({ crypto: 'tweetnacl' }).crypto.name).to.equal('tweetnacl');
  });

  it('draws random numbers of 32 bits that do not repeat', () => {
    const drawn = new Set(Array.from({ length: 1_000 }, () => platform.random.u32()));
    expect(drawn.size).to.be.above(995);
    expect(Math.max(...drawn)).to.be.within(0x8000_0000, 0xffff_ffff);
  });
});

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

/** Long enough for the system to deliver within the machine, and for Node to look. */
async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

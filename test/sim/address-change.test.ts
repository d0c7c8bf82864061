// A client whose address changes while it is connected: a router between it and the server forgets, or somebody pretends.
// Spec: 10.5.

import { expect } from 'chai';
import type { DatagramSink, Platform, UdpPort, UdpPortOptions } from '../../src/core/platform.ts';
import { type ConfigOptions, type Connection, type IpAddress, type LogEntry, Networking } from '../../src/index.ts';
import { type LinkConditions, nodeCrypto, type SimulatedHost, SimulatedNetwork } from '../../src/testing.ts';
import { PORT, patternOf, SECOND, textOf } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

/** A router: it forwards between a client and the server, with one port to the server at a time. */
class Router {
  readonly #platform: Platform;
  readonly #server: { readonly address: string; readonly port: number };
  #client: { readonly address: string; readonly port: number } | undefined;
  readonly #inside: UdpPort;
  #outside: UdpPort;
  /** All that it sent to the server. */
  readonly sent: Uint8Array[] = [];
  /** What the server sent to the port of now. */
  received = 0;
  receivedBytes = 0;

  constructor(host: SimulatedHost, server: { readonly address: string; readonly port: number }) {
    this.#platform = host.platform;
    this.#server = server;
    this.#inside = this.#open({ address: '0.0.0.0', port: 4000 }, (bytes, from) => {
      this.#client = { address: from.address, port: from.port };
      this.sent.push(Uint8Array.from(bytes));
      this.#outside.send(bytes, bytes.length, this.#server);
    });
    this.#outside = this.#openOutside();
  }

  #open(options: UdpPortOptions, onDatagram: DatagramSink['onDatagram']): UdpPort {
    return this.#platform.openUdp(options, { onDatagram });
  }

  #openOutside(): UdpPort {
    this.received = this.receivedBytes = 0;
    return this.#open({ address: '0.0.0.0', port: 0 }, (bytes) => {
      this.received++;
      this.receivedBytes += bytes.length;
      if (this.#client !== undefined) this.#inside.send(bytes, bytes.length, this.#client);
    });
  }

  /** From now on the client comes from another port; what goes to the old one is lost. */
  forget(): void {
    this.#outside.close();
    this.#outside = this.#openOutside();
  }

  get port(): number {
    return this.#outside.local.port;
  }
}

interface StageOptions {
  readonly seed: number;
  readonly link?: LinkConditions;
  readonly serverConfig?: ConfigOptions;
}

/** Client, router and server, connected. */
async function stage({ seed, link = { delayUs: 15_000 }, serverConfig = {} }: StageOptions) {
  const network = new SimulatedNetwork({ seed, crypto: nodeCrypto });
  const [clientHost, routerHost, serverHost] = [network.host('client'), network.host('router'), network.host('server')];
  const attackerHost = network.host('attacker');
  network.between(routerHost, serverHost).set(link, link);
  const log: string[] = [];
  const output = (entry: LogEntry) => log.push(entry.text);
  const server = new Networking({ platform: serverHost.platform, config: serverConfig, log: { output } });
  const client = new Networking({ platform: clientHost.platform });
  const texts: string[] = [];
  const moves: IpAddress[] = [];
  let accepted: Connection | undefined;
  const socket = server.listen({ port: PORT, autoAccept: true });
  socket.on('connection', ({ connection }) => {
    accepted = connection;
    connection.on('message', (message) => texts.push(textOf(message)));
    connection.on('addressChanged', (from) => moves.push(from));
  });
  const serverAddress = { address: serverHost.address, port: PORT };
  const router = new Router(routerHost, serverAddress);
  const connection = client.open(`${routerHost.address}:4000`);
  await network.settle(connection.connected(), 60 * SECOND);
  const echoes: string[] = [];
  connection.on('message', (message) => echoes.push(textOf(message)));
  await network.advance(SECOND);
  return {
    network,
    attackerHost,
    serverAddress,
    router,
    connection,
    accepted: accepted!,
    texts,
    echoes,
    moves,
    log,
    socket,
    async end() {
      await network.settle(Promise.all([client.close(), server.close()]), 60 * SECOND);
    },
  };
}

const LINKS: Readonly<Record<string, LinkConditions>> = {
  'a good link': { delayUs: 15_000 },
  'a link that loses, reorders and doubles': {
    delayUs: 30_000,
    jitterUs: 10_000,
    lossRatio: 0.05,
    reorderRatio: 0.1,
    reorderDelayUs: 20_000,
    duplicateRatio: 0.05,
  },
};

describe('a client whose address changes', () => {
  for (const [name, link] of Object.entries(LINKS)) {
    itSeeded(`stays connected and loses no reliable message, over ${name}`, async (seed) => {
      const { network, router, connection, accepted, texts, echoes, moves, end } = await stage({ seed, link });
      const expected: string[] = [];
      for (let turn = 0; turn < 200; turn++) {
        if (turn % 20 === 19) router.forget();
        expected.push(`${turn}`);
        connection.send(`${turn}`);
        accepted.send(`${turn}`);
        await network.advance(0.05 * SECOND);
      }
      await network.advance(3 * SECOND);
      expect(texts).to.deep.equal(expected);
      expect(echoes).to.deep.equal(expected);
      expect(moves).to.have.length.within(9, 10);
      expect(accepted.remoteAddress.port).to.equal(router.port);
      await end();
    });
  }

  itSeeded('is found again one round trip after its first packet', async (seed) => {
    const { network, router, connection, accepted, moves, end } = await stage({ seed });
    router.forget();
    connection.send('here I am', { noNagle: true });
    // There, the question, the answer, and that the answer says more than the delay of a gap (3 ms).
    await network.advance(3 * 15_000 + 5_000);
    expect(moves).to.have.length(1);
    expect(accepted.info.remoteAddress.port).to.equal(router.port);
    await end();
  });

  itSeeded('is told of in the log of the server', async (seed) => {
    const { network, router, connection, accepted, moves, log, end } = await stage({ seed });
    const before = accepted.remoteAddress;
    router.forget();
    connection.send('here I am', { noNagle: true });
    await network.advance(SECOND);
    expect(moves.map(String)).to.deep.equal([String(before)]);
    expect(log.at(-1)).to.equal(`${accepted} the peer moved here from ${before}`);
    await end();
  });

  itSeeded('can connect anew from there, and ends properly', async (seed) => {
    const { network, router, connection, accepted, socket, end } = await stage({ seed });
    router.forget();
    connection.send('here I am', { noNagle: true });
    await network.advance(SECOND);
    const result = await network.settle(connection.close({ reason: 1234 }), 60 * SECOND);
    expect(result.confirmed).to.equal(true);
    expect(accepted.info.endReason).to.equal(1234);
    void accepted.close();
    await network.advance(10 * SECOND);
    expect(socket.connectionCount).to.equal(0);
    await end();
  });

  itSeeded('is lost where that is forbidden', async (seed) => {
    const serverConfig = { ipFollowAddressChange: 0, timeoutConnected: 2_000 };
    const { network, router, connection, accepted, texts, moves, end } = await stage({ seed, serverConfig });
    router.forget();
    connection.send('here I am');
    await network.advance(30 * SECOND);
    expect(texts).to.deep.equal([]);
    expect(moves).to.deep.equal([]);
    expect(accepted.info.state).to.equal('ProblemDetectedLocally');
    await end();
  });
});

describe('somebody who has seen the packets of a connection', () => {
  itSeeded('does not move it by repeating them, and gets nothing for it', async (seed) => {
    const { network, attackerHost, serverAddress, router, connection, accepted, texts, moves, end } = await stage({
      seed,
    });
    let answers = 0;
    const options = { address: '0.0.0.0', port: 0 };
    const port = attackerHost.platform.openUdp(options, { onDatagram: () => answers++ });
    const before = accepted.remoteAddress.port;
    for (let turn = 0; turn < 20; turn++) {
      connection.send(`${turn}`);
      await network.advance(0.1 * SECOND);
      for (const bytes of router.sent.slice(-30)) {
        if ((bytes[0]! & 0x80) !== 0) port.send(bytes, bytes.length, serverAddress);
      }
    }
    await network.advance(SECOND);
    expect(texts).to.have.length(20);
    expect(moves).to.deep.equal([]);
    expect(answers).to.equal(0);
    expect(accepted.remoteAddress.port).to.equal(before);
    port.close();
    await end();
  });

  itSeeded('does not move it by being faster than the originals, and is sent little', async (seed) => {
    const { network, attackerHost, serverAddress, router, connection, accepted, texts, moves, end } = await stage({
      seed,
    });
    let [sentBytes, answerBytes] = [0, 0];
    const options = { address: '0.0.0.0', port: 0 };
    const port = attackerHost.platform.openUdp(options, { onDatagram: (bytes) => (answerBytes += bytes.length) });
    let copied = router.sent.length;
    for (let turn = 0; turn < 100; turn++) {
      connection.send(`${turn}`, { noNagle: true });
      accepted.send(patternOf(1000));
      await network.advance(0.01 * SECOND);
      // The way of the attacker is 15 ms shorter.
      for (; copied < router.sent.length; copied++) {
        const bytes = router.sent[copied]!;
        sentBytes += bytes.length;
        port.send(bytes, bytes.length, serverAddress);
      }
    }
    await network.advance(2 * SECOND);
    expect(texts).to.have.length(100);
    expect(moves).to.deep.equal([]);
    expect(answerBytes).to.be.within(1, 3 * sentBytes);
    expect(connection.state).to.equal('Connected');
    port.close();
    await end();
  });

  itSeeded('costs few decryptions with forged packets from elsewhere', async (seed) => {
    const { network, attackerHost, serverAddress, router, connection, accepted, moves, end } = await stage({ seed });
    connection.send('genuine');
    await network.advance(SECOND);
    const port = attackerHost.platform.openUdp({ address: '0.0.0.0', port: 0 }, { onDatagram: () => {} });
    const genuine = router.sent.findLast((bytes) => (bytes[0]! & 0x80) !== 0)!;
    for (let i = 1; i <= 1000; i++) {
      const forged = Uint8Array.from(genuine);
      new DataView(forged.buffer).setUint16(5, 100 + i, true);
      port.send(forged, forged.length, serverAddress);
    }
    await network.advance(SECOND);
    expect(accepted.member.connection.data.forgedPackets).to.be.within(1, 75);
    expect(moves).to.deep.equal([]);
    port.close();
    await end();
  });
});

// How connections come about, and how they do not: on the public interface, in virtual time. Spec: 00 "Connecting",
// 01 §1.3 – §1.8, 04 §4.2.

import { expect } from 'chai';
import { encodeControlPacket } from '../../src/core/wire/control-packets.ts';
import { decodeCryptInfo } from '../../src/core/wire/crypt-messages.ts';
import { EndReason, Networking, NetworkingError } from '../../src/index.ts';
import { Pair, PORT, SECOND, Side } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const DELAY_US = 20_000;
const ROUND_TRIP_US = 2 * DELAY_US;
/** How long a client waits before it asks again. */
const RETRY_US = 500_000;
const LINK = { delayUs: DELAY_US };
const DEAD = { lossRatio: 1 };

describe('the handshake', () => {
  itSeeded('takes two round trips', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const startUs = pair.network.nowUs;
    const { client, server } = await pair.connect();
    expect(pair.network.nowUs - startUs).to.equal(2 * ROUND_TRIP_US);
    expect(client.states).to.deep.equal(['Connecting', 'Connected']);
    expect(server.connection.state).to.equal('Connected');
    await pair.end();
  });

  itSeeded('succeeds although a third of the datagrams is lost each way', async (seed) => {
    for (let run = 0; run < 20; run++) {
      const pair = new Pair({
        seed: seed + run,
        link: { ...LINK, lossRatio: 0.33 },
        config: { timeoutInitial: 60_000 },
      });
      const { client } = await pair.connect();
      expect(client.connection.state).to.equal('Connected');
      await pair.end();
    }
  });

  itSeeded('shows the same certificate in all connections of an instance, and a fresh key in each', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const seen = pair.watch();
    await pair.connect();
    await pair.connect();
    for (const kind of ['connectRequest', 'connectOk'] as const) {
      const [first, second] = seen.flatMap(({ packet }) => (packet?.kind === kind ? [packet] : []));
      expect(second!.cert).to.deep.equal(first!.cert);
      expect(decodeCryptInfo(second!.crypt!.info)!.key).not.to.deep.equal(decodeCryptInfo(first!.crypt!.info)!.key);
    }
    await pair.end();
  });

  itSeeded('makes one connection of requests that arrive several times', async (seed) => {
    const pair = new Pair({ seed, link: { ...LINK, duplicateRatio: 1, duplicateDelayUs: 30_000 } });
    const { client, server } = await pair.connect();
    await pair.advance(SECOND);
    expect(pair.arrivals).to.have.length(1);
    expect(client.connection.state).to.equal('Connected');
    expect(server.connection.state).to.equal('Connected');
    await pair.end();
  });

  itSeeded('answers at once when the client asks again because the acceptance was lost', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    const client = pair.open();
    await pair.until(() => pair.arrivals.length === 1);
    pair.setLink(LINK, DEAD);
    pair.arrivals[0]!.accept();
    await pair.advance(1);
    pair.setLink(LINK);
    const lostAtUs = pair.network.nowUs;
    await pair.settle(client.connection.connected());
    expect(pair.network.nowUs - lostAtUs).to.be.at.most(RETRY_US + ROUND_TRIP_US);
    await pair.end();
  });

  itSeeded('waits for the application of the server', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    const client = pair.open();
    await pair.advance(4 * SECOND);
    expect(pair.arrivals).to.have.length(1);
    expect(client.connection.state).to.equal('Connecting');
    pair.arrivals[0]!.accept();
    await pair.advance(ROUND_TRIP_US);
    expect(client.connection.state).to.equal('Connected');
    await pair.end();
  });

  itSeeded('ends on both sides when the application of the server does not answer in time', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false, serverConfig: { timeoutInitial: 3_000 } });
    const client = pair.open();
    await pair.until(() => client.connection.state !== 'Connecting');
    expect(client.connection.state).to.equal('ClosedByPeer');
    expect(client.connection.info.endReason).to.equal(EndReason.Misc_Timeout);
    const [server] = pair.serverSides;
    expect(server!.states[0]).to.equal('ProblemDetectedLocally');
    expect(server!.connection.info.endReason).to.equal(EndReason.Misc_Timeout);
    expect(server!.connection.info.endDebug).to.match(/did not accept/);
    await pair.end();
  });

  itSeeded('lets go by itself of a client that nobody answered', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    pair.open();
    await pair.advance(10 * SECOND + ROUND_TRIP_US);
    expect(pair.arrivals[0]!.connection.state).to.equal('None');
    await pair.advance(6 * SECOND);
    expect(pair.socket.connectionCount).to.equal(0);
    await pair.end();
  });

  itSeeded('gives up when nobody answers, after timeoutInitial', async (seed) => {
    const pair = new Pair({ seed, link: DEAD });
    const startUs = pair.network.nowUs;
    const client = pair.open();
    const error = await failureOf(pair.settle(client.connection.connected()));
    expect(error).to.include({ name: 'ConnectionError', endReason: EndReason.Misc_Timeout });
    expect(pair.network.nowUs - startUs).to.equal(10 * SECOND);
    expect(client.connection.state).to.equal('ProblemDetectedLocally');
    await pair.end();
  });

  itSeeded('tells a client that is rejected the reason and the text', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    const client = pair.open();
    await pair.until(() => pair.arrivals.length === 1);
    pair.arrivals[0]!.reject({ reason: 1042, debug: 'the lobby is full' });
    const error = await failureOf(pair.settle(client.connection.connected()));
    expect(error).to.include({ name: 'ConnectionError', endReason: 1042 });
    expect(client.connection.info).to.include({ state: 'ClosedByPeer', endDebug: 'the lobby is full' });
    await pair.end();
  });

  itSeeded('sends what was queued while Connecting', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const client = pair.open();
    client.connection.send('first');
    client.connection.send('second', { reliable: false });
    client.connection.send('third');
    await pair.until(() => pair.serverSides[0]?.messages.length === 3);
    expect(pair.serverSides[0]!.texts).to.deep.equal(['first', 'second', 'third']);
    await pair.end();
  });

  itSeeded('lets the server queue before it accepts', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    const client = pair.open();
    await pair.until(() => pair.arrivals.length === 1);
    pair.arrivals[0]!.connection.send('welcome');
    pair.arrivals[0]!.accept();
    await pair.until(() => client.messages.length === 1);
    expect(client.texts).to.deep.equal(['welcome']);
    await pair.end();
  });

  itSeeded('discards what was queued when it is closed while Connecting, linger or not', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    const client = pair.open();
    client.connection.send('never sent');
    await pair.until(() => pair.arrivals.length === 1);
    const closing = client.connection.close({ reason: 1001, debug: 'changed my mind', linger: true });
    expect(client.connection.internalState).to.equal('FinWait');
    const result = await pair.settle(closing);
    expect(result).to.include({ delivered: false, confirmed: true });
    expect(result.undeliveredBytes).to.be.at.least('never sent'.length);
    const [server] = pair.serverSides;
    expect(server!.states[0]).to.equal('ClosedByPeer');
    expect(server!.connection.info).to.include({ endReason: 1001, endDebug: 'changed my mind' });
    expect(server!.messages).to.deep.equal([]);
    await pair.end();
  });

  itSeeded('lets a new client from the same port replace one whose process died', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const first = await pair.connect();
    pair.clientHost.kill();
    await pair.advance(3 * SECOND);
    const reborn = new Networking({ platform: pair.clientHost.platform });
    const client = new Side(reborn.open(pair.address), true);
    await pair.settle(client.connection.connected());
    const [before, after] = pair.serverSides;
    expect(after!.connection.remoteAddress.toString()).to.equal(before!.connection.remoteAddress.toString());
    expect(first.server.connection.info).to.include({
      state: 'ClosedByPeer',
      endReason: EndReason.Misc_PeerSentNoConnection,
    });
    // The one that is over must not disturb the new one, whatever becomes of it.
    await pair.settle(first.server.connection.close());
    client.connection.send('here again');
    await pair.until(() => after!.messages.length === 1);
    expect(after!.texts).to.deep.equal(['here again']);
    await pair.settle(reborn.close());
    await pair.end();
  });

  itSeeded('does not let a stranger with the same address disturb a connection that is alive', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { server } = await pair.connect();
    const from = { address: pair.clientHost.address, port: server.connection.remoteAddress.port };
    const bytes = new Uint8Array(2_000);
    const request = { kind: 'challengeRequest', connectionId: 4_711_000, timestamp: 1n, protocolVersion: 12 } as const;
    const length = encodeControlPacket(request, bytes);
    const seen = pair.watch();
    const to = { address: pair.serverHost.address, port: PORT };
    pair.serverHost.receive({ from, to, bytes: bytes.slice(0, length), sentAtUs: pair.network.nowUs });
    await pair.advance(SECOND);
    expect(seen.filter(({ kind }) => kind === 'challengeReply')).to.deep.equal([]);
    expect(server.connection.state).to.equal('Connected');
    expect(pair.socket.connectionCount).to.equal(1);
    await pair.end();
  });

  itSeeded('is given up when the signal says so', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false });
    const abort = new AbortController();
    const connecting = pair.client.connect(pair.address, { signal: abort.signal });
    await pair.until(() => pair.arrivals.length === 1);
    abort.abort(new Error('no time'));
    const error = await failureOf(pair.settle(connecting));
    expect(error).to.be.instanceOf(NetworkingError).and.to.include({ code: 'Aborted' });
    expect((error as Error).cause)
      .to.be.an('error')
      .with.property('message', 'no time');
    await pair.advance(DELAY_US);
    expect(pair.serverSides[0]!.states[0]).to.equal('ClosedByPeer');
    expect([...pair.client.connections]).to.deep.equal([]);
    await pair.end();
  });

  itSeeded('does not begin when the signal has fired before', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const error = await failureOf(pair.settle(pair.client.connect(pair.address, { signal: AbortSignal.abort() })));
    expect(error).to.include({ code: 'Aborted' });
    await pair.end();
  });

  itSeeded('looks names up and tries their addresses in turn', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: { timeoutInitial: 1_000 } });
    const connection = await pair.settle(pair.client.connect(`server:${PORT}`));
    expect(connection.state).to.equal('Connected');
    const error = await failureOf(pair.settle(pair.client.connect(`nowhere:${PORT}`)));
    expect(error).to.include({ code: 'ResolveFailed' });
    await pair.end();
  });
});

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error,
  );
}

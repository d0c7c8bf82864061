// How connections end: on the public interface, in virtual time. Spec: 00, 04 §4.2 – §4.4.

import { expect } from 'chai';
import { EndReason } from '../../src/index.ts';
import { Pair, patternOf, SECOND } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const DELAY_US = 20_000;
const LINK = { delayUs: DELAY_US };
const DEAD = { lossRatio: 1 };
const FIN_WAIT_US = 5 * SECOND;
/** Megabytes take their time on a busy machine, however little passes inside. */
const LONG_TEST_MS = 20_000;

describe('a close', () => {
  itSeeded('of the client reaches the server with reason and text', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    const result = await pair.settle(client.connection.close({ reason: 1234, debug: 'good night' }));
    expect(result).to.deep.equal({
      delivered: true,
      confirmed: true,
      undeliveredBytes: 0,
      endReason: 1234,
      endDebug: 'good night',
    });
    expect(server.connection.info).to.include({ state: 'ClosedByPeer', endReason: 1234, endDebug: 'good night' });
    expect(client.connection.state).to.equal('None');
    await pair.end();
  });

  itSeeded('of the server reaches the client with reason and text', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    const result = await pair.settle(server.connection.close({ reason: 2345, debug: 'maintenance' }));
    expect(result).to.include({ delivered: true, confirmed: true });
    expect(client.connection.info).to.include({ state: 'ClosedByPeer', endReason: 2345, endDebug: 'maintenance' });
    await pair.end();
  });

  itSeeded('without a reason is an ordinary end, and one with a wrong number an App_Max', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const first = await pair.connect();
    await pair.settle(first.client.connection.close());
    expect(first.server.connection.info.endReason).to.equal(EndReason.App_Generic);
    const second = await pair.connect();
    await pair.settle(second.client.connection.close({ reason: 4711 }));
    expect(second.server.connection.info.endReason).to.equal(EndReason.App_Max);
    await pair.end();
  });

  itSeeded('of both at the same time is confirmed to both', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    const results = await pair.settle(Promise.all([client.connection.close(), server.connection.close()]));
    for (const result of results) expect(result.confirmed).to.equal(true);
    await pair.end();
  });

  itSeeded('is repeated until the peer confirms, although the first notice is lost', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    pair.setLink(DEAD, LINK);
    const closing = client.connection.close({ reason: 1100, debug: 'lost at first' });
    await pair.advance(100_000);
    pair.setLink(LINK);
    const result = await pair.settle(closing, FIN_WAIT_US);
    expect(result.confirmed).to.equal(true);
    expect(server.connection.info).to.include({ state: 'ClosedByPeer', endReason: 1100, endDebug: 'lost at first' });
    await pair.end();
  });

  itSeeded('is repeated when the confirmation is lost', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    const seen = pair.watch();
    pair.setLink(LINK, DEAD);
    const closing = client.connection.close();
    await pair.until(() => server.connection.state === 'ClosedByPeer');
    await pair.advance(DELAY_US);
    pair.setLink(LINK);
    expect((await pair.settle(closing, FIN_WAIT_US)).confirmed).to.equal(true);
    expect(seen.filter(({ kind }) => kind === 'noConnection')).to.have.length(2);
    await pair.end();
  });

  itSeeded('that nobody confirms is reported as such when FinWait is over', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    pair.setLink(DEAD);
    const startUs = pair.network.nowUs;
    const result = await pair.settle(client.connection.close());
    expect(result).to.include({ delivered: true, confirmed: false });
    expect(pair.network.nowUs - startUs).to.equal(FIN_WAIT_US);
    expect(client.states.slice(-2)).to.deep.equal(['FinWait', 'Dead']);
    await pair.end();
  });

  itSeeded('answers late packets for five seconds with what happened', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    pair.setLink(DEAD, LINK);
    // All notices of the client are lost; the server finds out by sending something itself.
    void client.connection.close({ reason: 1007, debug: 'left long ago' });
    await pair.advance(FIN_WAIT_US - 100_000);
    pair.setLink(LINK);
    expect(server.connection.state).to.equal('Connected');
    server.connection.send('are you there?', { noNagle: true });
    await pair.advance(2 * DELAY_US);
    expect(server.connection.info).to.include({ state: 'ClosedByPeer', endReason: 1007, endDebug: 'left long ago' });
    await pair.end();
  });

  itSeeded('leaves the messages that had arrived before readable for the peer', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false });
    const { client, server } = await pair.connect();
    for (const text of ['one', 'two', 'three']) client.connection.send(text);
    await pair.settle(client.connection.close({ linger: true }));
    expect(server.connection.state).to.equal('ClosedByPeer');
    expect(server.connection.receiveMessages(2)).to.have.length(2);
    expect(() => server.connection.send('too late'))
      .to.throw()
      .with.property('code', 'NoConnection');
    expect(server.connection.receiveMessages()).to.have.length(1);
    await pair.end();
  });

  itSeeded('discards what the closing side had not read', async (seed) => {
    const pair = new Pair({ seed, link: LINK, reads: false });
    const { client, server } = await pair.connect();
    client.connection.send('unread');
    await pair.advance(SECOND);
    void server.connection.close();
    expect(server.connection.receiveMessages()).to.deep.equal([]);
    expect(() => server.connection.send('x'))
      .to.throw()
      .with.property('code', 'InvalidParam');
    await pair.end();
  });

  itSeeded('after the peer has closed is confirmed at once', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    await pair.settle(client.connection.close());
    const beforeUs = pair.network.nowUs;
    const result = await pair.settle(server.connection.close());
    expect(result).to.include({ delivered: true, confirmed: true });
    expect(pair.network.nowUs).to.equal(beforeUs);
    await pair.end();
  });

  itSeeded('after the peer has closed tells of what the peer never got', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    pair.setLink(LINK, DEAD);
    server.connection.send('never arrives');
    void client.connection.close();
    await pair.until(() => server.connection.state === 'ClosedByPeer');
    const result = await pair.settle(server.connection.close({ linger: true }));
    expect(result.delivered).to.equal(false);
    expect(result.undeliveredBytes).to.be.at.least('never arrives'.length);
    await pair.end();
  });
});

describe('a close with linger', () => {
  itSeeded('delivers two megabytes and only then tells the peer', async (seed) => {
    const pair = new Pair({ seed, link: { ...LINK, lossRatio: 0.05 }, config: { sendBufferSize: 4_000_000 } });
    const { client, server } = await pair.connect();
    const messages = Array.from({ length: 20 }, (_, at) => patternOf(100_000, at));
    for (const message of messages) client.connection.send(message);
    const atEnd = new Promise<number>((resolve) => {
      server.connection.on('ended', () => resolve(server.messages.length));
    });
    const closing = client.connection.close({ linger: true, reason: 1000, debug: 'all said' });
    expect(client.connection.internalState).to.equal('Linger');
    expect(client.connection.state).to.equal('None');
    const result = await pair.settle(closing);
    expect(result).to.include({ delivered: true, confirmed: true, undeliveredBytes: 0 });
    expect(await pair.settle(atEnd)).to.equal(messages.length);
    server.messages.forEach(({ data }, at) => {
      expect(data).to.deep.equal(messages[at]);
    });
    expect(server.connection.info.endDebug).to.equal('all said');
    expect(client.states.slice(-2)).to.deep.equal(['Linger', 'FinWait']);
    await pair.end();
  }).timeout(LONG_TEST_MS);

  itSeeded('goes to FinWait at once when there is nothing to deliver', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    void client.connection.close({ linger: true });
    expect(client.connection.internalState).to.equal('FinWait');
    await pair.end();
  });

  itSeeded('does not wait for unreliable messages', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    client.connection.send('may be lost', { reliable: false });
    void client.connection.close({ linger: true });
    expect(client.connection.internalState).to.equal('FinWait');
    await pair.end();
  });

  itSeeded('to a dead peer ends by timeout and reports what was not delivered', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    pair.serverHost.kill();
    client.connection.send(patternOf(5_000));
    const result = await pair.settle(client.connection.close({ linger: true }));
    expect(result.delivered).to.equal(false);
    expect(result.undeliveredBytes).to.be.at.least(5_000);
    expect(result.endReason).to.equal(EndReason.Misc_Timeout);
    expect(client.states.slice(-2)).to.deep.equal(['FinWait', 'Dead']);
    await pair.end();
  });

  itSeeded('ends when the peer closes meanwhile, and reports what was not delivered', async (seed) => {
    const pair = new Pair({ seed, link: LINK, config: { sendBufferSize: 4_000_000 } });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 10; i++) client.connection.send(patternOf(100_000));
    const closing = client.connection.close({ linger: true, reason: 1001 });
    await pair.advance(SECOND);
    void server.connection.close({ reason: 1002 });
    const result = await pair.settle(closing, SECOND);
    expect(result).to.include({ delivered: false, confirmed: true, endReason: 1001 });
    expect(result.undeliveredBytes).to.be.within(1, 1_000_100);
    await pair.end();
  });

  itSeeded('goes on acknowledging what the peer sends, and throws it away', async (seed) => {
    const clientConfig = { sendBufferSize: 4_000_000, recvBufferMessages: 2 };
    const pair = new Pair({ seed, link: LINK, clientConfig });
    const { client, server } = await pair.connect();
    for (let i = 0; i < 5; i++) client.connection.send(patternOf(100_000));
    const closing = client.connection.close({ linger: true });
    for (let i = 0; i < 10; i++) server.connection.send('too late');
    await pair.advance(SECOND);
    expect(client.connection.internalState).to.equal('Linger');
    const { sentUnackedReliableBytes, pendingReliableBytes } = server.connection.status();
    expect(sentUnackedReliableBytes + pendingReliableBytes).to.equal(0);
    expect((await pair.settle(closing)).delivered).to.equal(true);
    expect(client.messages).to.deep.equal([]);
    await pair.end();
  });
});

describe('a peer that is gone', () => {
  itSeeded('is found out after timeoutConnected, with reason 5003', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    pair.serverHost.kill();
    const sentAtUs = pair.network.nowUs;
    client.connection.send('anybody?', { noNagle: true });
    await pair.until(() => client.connection.state !== 'Connected');
    expect(client.connection.info).to.include({
      state: 'ProblemDetectedLocally',
      endReason: EndReason.Misc_Timeout,
    });
    expect(pair.network.nowUs - sentAtUs).to.be.within(10 * SECOND, 11.5 * SECOND);
    await pair.settle(client.connection.close());
    await pair.end();
  });

  itSeeded('is found out on an idle connection, too', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    pair.network.partition(pair.clientHost, pair.serverHost);
    await pair.advance(22 * SECOND);
    for (const { connection } of [client, server]) {
      expect(connection.info).to.include({ state: 'ProblemDetectedLocally', endReason: EndReason.Misc_Timeout });
    }
    await pair.end();
  });

  itSeeded('for less than timeoutConnected is waited for, and nothing is lost', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client, server } = await pair.connect();
    pair.network.partition(pair.clientHost, pair.serverHost);
    for (let i = 0; i < 50; i++) client.connection.send(`${i}`);
    await pair.advance(9 * SECOND);
    pair.network.heal(pair.clientHost, pair.serverHost);
    await pair.until(() => server.messages.length === 50, 2 * SECOND);
    expect(server.texts).to.deep.equal(Array.from({ length: 50 }, (_, i) => `${i}`));
    await pair.end();
  });
});

describe('an idle connection', () => {
  itSeeded('stays for an hour with hardly a packet', async (seed) => {
    const pair = new Pair({ seed, link: { ...LINK, lossRatio: 0.05 } });
    const { client, server } = await pair.connect();
    const seen = pair.watch();
    await pair.advance(3_600 * SECOND);
    expect(client.connection.state).to.equal('Connected');
    expect(server.connection.state).to.equal('Connected');
    expect(seen.length).to.be.below(3 * 360 * 2);
    await pair.end();
  });
});

describe('closing a listen socket', () => {
  itSeeded('tells its peers, and frees the port when the last one knows', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const first = await pair.connect();
    const second = await pair.connect();
    const closing = pair.socket.close({ reason: 1500, debug: 'server is closing' });
    await pair.advance(DELAY_US);
    for (const { client } of [first, second]) {
      expect(client.connection.info).to.include({
        state: 'ClosedByPeer',
        endReason: 1500,
        endDebug: 'server is closing',
      });
    }
    await pair.settle(closing);
    expect(pair.serverHost.openPorts).to.equal(0);
    await pair.end();
  });

  itSeeded('turns newcomers away', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: { timeoutInitial: 1_000 } });
    await pair.connect();
    void pair.socket.close();
    const late = pair.open();
    await pair.until(() => late.connection.state === 'ProblemDetectedLocally');
    expect(pair.arrivals).to.have.length(1);
    await pair.end();
  });
});

describe('closing an instance', () => {
  itSeeded('tells all peers with reason 2999 and leaves nothing', async (seed) => {
    const pair = new Pair({ seed, link: LINK });
    const { client } = await pair.connect();
    await pair.settle(pair.server.close());
    expect(client.connection.info).to.include({ state: 'ClosedByPeer', endReason: 2999 });
    expect(pair.serverHost.openPorts + pair.serverHost.pendingAlarms).to.equal(0);
    expect(() => pair.server.open(pair.address))
      .to.throw()
      .with.property('code', 'InvalidState');
    await pair.end();
  });
});

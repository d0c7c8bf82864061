// An event loop that stands still: it must not blame the peers for what it did not hear. Spec: 04 §4.4.

import { expect } from 'chai';
import { EndReason } from '../../src/index.ts';
import { Pair, SECOND } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const LINK = { delayUs: 20_000 };
const IMPATIENT = { timeoutConnected: 1_000 };
const PATIENT = { timeoutConnected: 60_000 };

describe('a process that stands still for 30 seconds', () => {
  itSeeded('keeps its connections, however short its own time-out is', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: IMPATIENT, serverConfig: PATIENT });
    const { client, server } = await pair.connect();
    for (const pauseUs of [0, 700_000, 9_900_000]) {
      client.connection.send('are you there?');
      await pair.advance(pauseUs);
      pair.clientHost.freeze();
      server.connection.send('and you?');
      await pair.advance(30 * SECOND);
      pair.clientHost.thaw();
      await pair.advance(5 * SECOND);
      expect(client.connection.state).to.equal('Connected');
      expect(server.connection.state).to.equal('Connected');
    }
    expect(client.texts).to.have.length(3);
    expect(server.texts).to.have.length(3);
    await pair.end();
  });

  itSeeded('is ended by a peer that is not that patient, and can tell why', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: PATIENT });
    const { client, server } = await pair.connect();
    server.connection.send('are you there?');
    pair.clientHost.freeze();
    await pair.advance(30 * SECOND);
    expect(server.connection.info).to.include({ state: 'ProblemDetectedLocally', endReason: EndReason.Misc_Timeout });
    pair.clientHost.thaw();
    await pair.advance(SECOND);
    expect(client.connection.info).to.include({ state: 'ClosedByPeer', endReason: EndReason.Misc_Timeout });
    const { kind, facts } = client.connection.explain();
    expect(kind).to.equal('ourLoopStalled');
    expect(facts.longestStallUs).to.be.within(15 * SECOND, 30 * SECOND);
    await pair.end();
  });

  itSeeded('still notices, within its own time-out, that the peer has gone meanwhile', async (seed) => {
    const pair = new Pair({ seed, link: LINK, clientConfig: IMPATIENT, serverConfig: PATIENT });
    const { client } = await pair.connect();
    pair.clientHost.freeze();
    pair.serverHost.kill();
    await pair.advance(30 * SECOND);
    pair.clientHost.thaw();
    client.connection.send('are you there?');
    await pair.advance(4 * SECOND);
    expect(client.connection.info).to.include({ state: 'ProblemDetectedLocally', endReason: EndReason.Misc_Timeout });
    expect(client.connection.explain().kind).to.equal('peerWentSilent');
    await pair.end();
  });

  itSeeded('goes on connecting afterwards', async (seed) => {
    const pair = new Pair({ seed, link: LINK, serverConfig: PATIENT });
    const client = pair.open();
    await pair.advance(10_000);
    pair.clientHost.freeze();
    await pair.advance(30 * SECOND);
    pair.clientHost.thaw();
    await pair.settle(client.connection.connected());
    expect(client.connection.state).to.equal('Connected');
    await pair.end();
  });

  itSeeded('does not turn clients away that it had no chance to accept', async (seed) => {
    const pair = new Pair({ seed, link: LINK, autoAccept: false, clientConfig: { timeoutInitial: 60_000 } });
    const client = pair.open();
    await pair.until(() => pair.arrivals.length === 1);
    pair.serverHost.freeze();
    await pair.advance(30 * SECOND);
    pair.serverHost.thaw();
    await pair.advance(SECOND);
    pair.arrivals[0]!.accept();
    await pair.settle(client.connection.connected());
    expect(client.connection.state).to.equal('Connected');
    await pair.end();
  });
});

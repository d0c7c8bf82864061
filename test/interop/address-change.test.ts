// A client behind a router that gives it another port every second: it stays connected to our server, whoever made the
// client. GNS's server drops such packets. Spec: 10.5.

import { expect } from 'chai';
import { RebindingProxy } from '../support/rebinding-proxy.ts';
import { describeInterop, isOurs, Pair, pause, SEED } from './pair.ts';

const REBINDS = 5;
const HZ = 60;

describeInterop(`clients whose address changes (SEED=${SEED})`, (roles) => {
  it('stay connected to our server, and no reliable message is lost', async function () {
    if (!isOurs(roles.listener)) this.skip();
    await using pair = await Pair.start(roles);
    await pair.listen();
    await using proxy = await RebindingProxy.start(Number(pair.address.split(':').at(-1)));
    await pair.connector.ask('connect', { id: 'C', addr: `127.0.0.1:${proxy.port}` });
    await Promise.all([pair.connectorEnd.state('Connected'), pair.listenerEnd.state('Connected')]);
    for (const [, to] of pair.directions) await to.ask('verify', { pattern: SEED });
    let sent = 0;
    for (let turn = 0; turn < REBINDS; turn++) {
      await proxy.rebind();
      for (let tick = 0; tick < HZ; tick++, sent++) {
        for (const [from] of pair.directions) await from.ask('send', { pattern: SEED, size: 100, base: sent });
        await pause(1000 / HZ);
      }
    }
    for (const [, to] of pair.directions) {
      await to.untilMessages(sent, 10_000);
      expect(await to.peer.ask('counters'), to.peer.name).to.include({ verified: sent, mismatches: 0 });
      expect(to.story, to.peer.name).to.deep.equal(['Connecting', 'Connected']);
    }
    expect(proxy.rebinds).to.equal(REBINDS);
  });
});

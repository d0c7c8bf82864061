// Every combination of what the two sides think of unencrypted connections.

import { expect } from 'chai';
import { describeInterop, Pair } from './pair.ts';

/** Values of `Unencrypted`. */
const VALUES = [0, 1, 2, 3] as const;
type Value = (typeof VALUES)[number];

/** 0: never, 1: if the other insists, 2: rather not encrypted, 3: always. The listener chooses. */
function isEncrypted(listener: Value, connector: Value): boolean | undefined {
  const mayEncrypt = listener < 3 && connector < 3;
  const mayNotEncrypt = listener > 0 && connector > 0;
  if (!mayEncrypt && !mayNotEncrypt) return undefined;
  if (mayEncrypt && mayNotEncrypt) return listener < 2;
  return mayEncrypt;
}

describeInterop('encryption', (roles) => {
  for (const listener of VALUES) {
    for (const connector of VALUES) {
      const encrypted = isEncrypted(listener, connector);
      const what = encrypted === undefined ? 'no connection, 4002' : encrypted ? 'encrypted' : 'unencrypted';

      it(`Unencrypted=${listener} at the listener, ${connector} at the connector: ${what}`, async () => {
        await using pair = await Pair.start(roles);
        await pair.listen({ Unencrypted: listener });
        await pair.connect({ Unencrypted: connector });
        if (encrypted === undefined) {
          const problem = await pair.listenerEnd.state('ProblemDetectedLocally');
          const told = await pair.connectorEnd.state('ClosedByPeer');
          expect(problem).to.include({ reason: 4002, reasonName: 'Remote_BadCrypt' });
          expect({ reason: told.reason, debug: told.debug }).to.deep.equal({ reason: 4002, debug: problem.debug });
          return;
        }
        for (const [from, to] of pair.directions) {
          const { flagNames } = await from.state('Connected');
          expect(!flagNames.includes('Unencrypted'), from.peer.name).to.equal(encrypted);
          await from.ask('send', { pattern: 1, size: 5_000 });
          await to.ask('verify', { pattern: 1 });
          await to.untilMessages(1);
          expect(await to.peer.ask('counters')).to.include({ verified: 1, mismatches: 0 });
        }
      });
    }
  }
});

// Who the peers are to each other, and what they see of a plain connection from its beginning to its end.

import { expect } from 'chai';
import { describeInterop, Pair } from './pair.ts';

/** Identities of the listener and the connector, by kind. */
const IDENTITIES: Readonly<Record<string, readonly [listener: string, connector: string]>> = {
  'names (str)': ['str:server', 'str:client with blanks'],
  'bytes (gen)': ['gen:00ff12', `gen:${'a5'.repeat(32)}`],
  'Steam ids': ['steamid:76561197960287930', 'steamid:90071992547409921'],
  'Xbox ids': ['xboxpwid:server', 'xboxpwid:ABCDEF0123456789'],
  'PlayStation ids': ['psn:18446744073709551615', 'psn:123456789'],
  'IP addresses': ['ip:10.1.2.3', 'ip:[2001:db8::1]:7'],
  'identities of an unknown kind': ['foo:bar', 'my_game:a player'],
  'no identities': ['ip:::1', 'ip:::1'],
};

describeInterop('identities and the life of a connection', (roles) => {
  for (const host of ['127.0.0.1', '::1']) {
    for (const [kind, [listener, connector]] of Object.entries(IDENTITIES)) {
      it(`${kind} over ${host}: both see the other's, the same states and flags, and the reason of the end`, async () => {
        await using pair = await Pair.start(roles, { host, identities: { listener, connector } });
        await pair.establish();
        await pair.connectorEnd.ask('close', { reason: 1234, debug: 'so long, and thanks' });
        await Promise.all([pair.connectorEnd.state('None'), pair.listenerEnd.state('None')]);

        // Who gives no identity is known by its address.
        const isNobody = listener === 'ip:::1';
        const clientAddress = pair.listenerEnd.states[0]!.addr;
        const seenByConnector = isNobody ? `ip:${pair.address}` : listener;
        const seenByListener = isNobody ? `ip:${clientAddress}` : connector;
        const atFirst = { reason: 0, debug: '', flags: 'Unauthenticated Unencrypted Fast' };
        const connected = { reason: 0, debug: '', flags: 'Unauthenticated Fast' };
        const ended = { ...connected, reason: 1234, debug: 'so long, and thanks' };
        const shared = { incoming: false, listen: null, addr: pair.address, identity: seenByConnector };
        expect(pair.connectorEnd.states.map(essence)).to.deep.equal([
          { ...shared, change: 'None -> Connecting', ...atFirst, identity: 'invalid' },
          { ...shared, change: 'Connecting -> Connected', ...connected },
          { ...shared, change: 'Connected -> None', ...ended },
        ]);
        const incoming = { incoming: true, listen: 'L', addr: clientAddress, identity: seenByListener };
        expect(pair.listenerEnd.states.map(essence)).to.deep.equal([
          { ...incoming, change: 'None -> Connecting', ...atFirst },
          { ...incoming, change: 'Connecting -> Connected', ...connected },
          { ...incoming, change: 'Connected -> ClosedByPeer', ...ended },
          { ...incoming, change: 'ClosedByPeer -> None', ...ended },
        ]);
        expect(clientAddress.startsWith(host === '::1' ? '[::1]:' : '127.0.0.1:'), clientAddress).to.equal(true);
      });
    }
  }
});

function essence(state: Pair['connectorEnd']['states'][number]) {
  const { incoming, listen, addr, identity, reason, debug } = state;
  return {
    incoming,
    listen,
    addr,
    identity,
    change: `${state.old} -> ${state.new}`,
    reason,
    debug,
    flags: state.flagNames.join(' '),
  };
}

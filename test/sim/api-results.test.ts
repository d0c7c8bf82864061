// What each call answers in each state of a connection: one table, with GNS's results beside ours where we differ on
// purpose. Spec: 04 §4.5.

import { expect } from 'chai';
import {
  type ConfigScope,
  type Connection,
  ERROR_RESULTS,
  type IncomingConnection,
  Networking,
  NetworkingError,
} from '../../src/index.ts';
import { Pair, SECOND } from '../support/pair.ts';
import { SEED } from '../support/seed.ts';

const OK = 1;
const LINK = { delayUs: 20_000 };
const READ_ONE = 'one message';

/** Columns of the table, each with a way to get there. Every connection has one unread message where it can have one. */
const STATES = [
  'Connecting, client',
  'Connecting, server',
  'Connected',
  'ClosedByPeer',
  'Problem',
  'Linger',
  'FinWait',
  'Dead',
] as const;
type State = (typeof STATES)[number];

/** What a cell may say: GNS's EResult number, or what the call returned. */
type Result = number | string | boolean;

interface Row {
  readonly call: string;
  readonly act: (subject: Subject) => unknown;
  /** By state, in the order of `STATES`. */
  readonly ours: readonly Result[];
  /** What GNS answers where that is something else, and why we differ. */
  readonly gns?: Partial<Record<State, Result>>;
  readonly because?: string;
}

interface Subject {
  readonly connection: Connection;
  /** That it belongs to. */
  readonly instance: Networking;
  /** Undefined for a client. */
  readonly incoming: IncomingConnection | undefined;
}

const R = ERROR_RESULTS;
const { InvalidParam, InvalidState, NoConnection, Ignored, LimitExceeded } = R;

const CALLS: readonly Row[] = [
  {
    call: 'send, reliable',
    act: ({ connection }) => connection.send('hello') > 0,
    ours: [OK, OK, OK, NoConnection, NoConnection, InvalidParam, InvalidParam, InvalidParam],
  },
  {
    call: 'send, unreliable',
    act: ({ connection }) => connection.send('hello', { reliable: false }) > 0,
    ours: [OK, OK, OK, NoConnection, NoConnection, InvalidParam, InvalidParam, InvalidParam],
  },
  {
    call: 'send, noDelay',
    act: ({ connection }) => connection.send('hello', { noDelay: true }) > 0,
    ours: [Ignored, Ignored, OK, NoConnection, NoConnection, InvalidParam, InvalidParam, InvalidParam],
  },
  {
    call: 'send, larger than the send buffer has room',
    act: ({ connection }) => connection.send(new Uint8Array(524_288)) > 0,
    ours: [
      LimitExceeded,
      LimitExceeded,
      LimitExceeded,
      NoConnection,
      NoConnection,
      InvalidParam,
      InvalidParam,
      InvalidParam,
    ],
  },
  {
    call: 'send, on a lane that is not configured',
    act: ({ connection }) => connection.send('hello', { lane: 7 }) > 0,
    ours: [
      InvalidParam,
      InvalidParam,
      InvalidParam,
      NoConnection,
      NoConnection,
      InvalidParam,
      InvalidParam,
      InvalidParam,
    ],
  },
  {
    call: 'send, larger than any message',
    act: ({ connection }) => connection.send(new Uint8Array(524_289)) > 0,
    ours: [
      InvalidParam,
      InvalidParam,
      InvalidParam,
      NoConnection,
      NoConnection,
      InvalidParam,
      InvalidParam,
      InvalidParam,
    ],
  },
  {
    call: 'flush',
    act: ({ connection }) => connection.flush(),
    ours: [Ignored, Ignored, OK, NoConnection, NoConnection, InvalidParam, InvalidParam, InvalidParam],
  },
  {
    call: 'receiveMessages',
    act: ({ connection }) => (connection.receiveMessages().length === 1 ? READ_ONE : 0),
    ours: [0, 0, READ_ONE, READ_ONE, READ_ONE, 0, 0, 0],
    gns: { Linger: -1, FinWait: -1, Dead: -1 },
    because: 'nothing to read is no mistake: a game loop may look once more after it closed',
  },
  {
    call: 'accept',
    act: ({ incoming }) => incoming?.accept().state === 'Connected',
    ours: [false, OK, InvalidState, InvalidState, InvalidState, InvalidState, InvalidState, InvalidState],
    gns: { 'Connecting, client': InvalidParam, Linger: InvalidParam, FinWait: InvalidParam, Dead: InvalidParam },
    because: 'a client has no method to accept; who was answered stays answered',
  },
  {
    call: 'configureLanes',
    act: ({ connection }) => connection.configureLanes([{}, {}]),
    ours: [OK, OK, OK, InvalidState, InvalidState, NoConnection, NoConnection, NoConnection],
  },
  {
    call: 'configureLanes, with none',
    act: ({ connection }) => connection.configureLanes([]),
    ours: Array.from(STATES, () => InvalidParam),
    gns: {
      ClosedByPeer: InvalidState,
      Problem: InvalidState,
      Linger: NoConnection,
      FinWait: NoConnection,
      Dead: NoConnection,
    },
    because: 'arguments that can never be right are refused before anything else is looked at',
  },
  {
    call: 'info',
    act: ({ connection }) => connection.info.state === connection.state,
    ours: Array.from(STATES, () => OK),
    gns: { Linger: false, FinWait: false, Dead: false },
    because: 'the object lives on, and says that its state is None and why it ended',
  },
  {
    call: 'status',
    act: ({ connection }) => connection.status().state === connection.state,
    ours: Array.from(STATES, () => OK),
    gns: { Linger: NoConnection, FinWait: NoConnection, Dead: NoConnection },
    because: 'the object lives on, with its last numbers',
  },
  {
    call: 'describe and explain',
    act: ({ connection }) => connection.describe().includes(connection.explain().kind),
    ours: Array.from(STATES, () => OK),
    gns: { Linger: -1, FinWait: -1, Dead: -1 },
    because: 'the object lives on',
  },
  {
    call: 'config.set',
    act: ({ connection }) => changed(connection.config),
    ours: Array.from(STATES, () => OK),
    gns: { Linger: false, FinWait: false, Dead: false },
    because: 'the object lives on; it has no effect any more',
  },
  {
    call: 'config.set, what is fixed once a connection has begun',
    act: ({ connection }) => connection.config.set('unencrypted', 1),
    ours: [InvalidState, OK, InvalidState, InvalidState, InvalidState, InvalidState, InvalidState, InvalidState],
    gns: { Linger: false, FinWait: false, Dead: false },
    because: 'the object lives on',
  },
  {
    call: 'add to a poll group',
    act: ({ connection, instance }) => instance.createPollGroup().add(connection).has(connection),
    ours: [OK, OK, OK, OK, OK, InvalidParam, InvalidParam, InvalidParam],
    gns: { Linger: false, FinWait: false, Dead: false },
    because: 'what GNS answers with false throws',
  },
  {
    call: 'userData and name',
    act: ({ connection }) => {
      connection.userData = { score: 1 };
      connection.name = 'main';
      return connection.name === 'main';
    },
    ours: Array.from(STATES, () => OK),
    gns: { Linger: false, FinWait: false, Dead: false },
    because: 'the object lives on',
  },
  {
    call: 'close',
    act: ({ connection }) => {
      void connection.close();
      return connection.state === 'None';
    },
    ours: Array.from(STATES, () => OK),
    gns: { Linger: false, FinWait: false, Dead: false },
    because: 'closing twice is harmless, and gives the same promise',
  },
];

function changed(config: ConfigScope): boolean {
  config.set('nagleTime', 1_234);
  return config.get('nagleTime') === 1_234;
}

/** A connection in this state, and the network around it. */
async function arrive(state: State): Promise<{ pair: Pair; subject: Subject }> {
  const isWaiting = state.startsWith('Connecting');
  const serverConfig = { timeoutConnected: 2_000 };
  const pair = new Pair({ seed: SEED, link: LINK, autoAccept: !isWaiting, reads: false, serverConfig });
  const client = pair.open();
  if (isWaiting) {
    await pair.until(() => pair.arrivals.length === 1);
    const [incoming] = pair.arrivals;
    const subject = state.endsWith('client')
      ? { connection: client.connection, instance: pair.client, incoming: undefined }
      : { connection: incoming!.connection, instance: pair.server, incoming };
    return { pair, subject: filled(subject) };
  }
  await pair.settle(client.connection.connected());
  client.connection.send('hello');
  await pair.advance(SECOND);
  const [incoming] = pair.arrivals;
  const { connection } = incoming!;
  await bring(pair, connection, client.connection, state);
  return { pair, subject: filled({ connection, instance: pair.server, incoming }) };
}

/** So that a large message finds no room. */
function filled(subject: Subject): Subject {
  if (['Connecting', 'Connected'].includes(subject.connection.state)) subject.connection.send(new Uint8Array(100_000));
  return subject;
}

async function bring(pair: Pair, connection: Connection, peer: Connection, state: State): Promise<void> {
  if (state === 'ClosedByPeer') {
    void peer.close();
    await pair.advance(SECOND);
  } else if (state === 'Problem') {
    pair.clientHost.kill();
    connection.send('are you there?');
    await pair.advance(5 * SECOND);
  } else if (state !== 'Connected') {
    if (state === 'Linger') connection.send('the last word');
    void connection.close({ linger: state === 'Linger' });
    if (state === 'Dead') await pair.advance(10 * SECOND);
  }
  const internal = state === 'Problem' ? 'ProblemDetectedLocally' : state;
  expect(connection.internalState).to.equal(internal);
}

function resultOf(act: () => unknown): Result {
  try {
    const result = act();
    return result === undefined || result === true ? OK : (result as Result);
  } catch (error) {
    if (error instanceof NetworkingError) return error.result;
    throw error;
  }
}

describe('the results of calls', () => {
  for (const { call, act, ours, gns = {}, because } of CALLS) {
    const note = because === undefined ? 'as GNS' : `unlike GNS: ${because}`;
    it(`${call} (${note})`, async () => {
      const found: Result[] = [];
      for (const state of STATES) {
        const { pair, subject } = await arrive(state);
        found.push(resultOf(() => act(subject)));
        await pair.end();
      }
      expect(Object.fromEntries(STATES.map((state, i) => [state, found[i]]))).to.deep.equal(
        Object.fromEntries(STATES.map((state, i) => [state, ours[i]])),
      );
    });

    it(`${call} has a reason for each difference from GNS, and no reason without one`, () => {
      const differences = STATES.filter((state, i) => gns[state] !== undefined && gns[state] !== ours[i]);
      expect(differences).to.have.length(Object.keys(gns).length);
      expect(because !== undefined).to.equal(differences.length > 0);
    });
  }

  it('of an instance that was closed are refused', async () => {
    const pair = new Pair({ seed: SEED, link: LINK });
    const instance = new Networking({ platform: pair.clientHost.platform });
    await pair.settle(instance.close());
    expect(resultOf(() => instance.open(pair.address))).to.equal(InvalidState);
    expect(resultOf(() => instance.listen({ port: 1_000 }))).to.equal(InvalidState);
    await pair.end();
  });
});

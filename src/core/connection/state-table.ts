// The life of a connection as data: which state follows which, and what holds in each. Nothing else decides what is
// legal. Spec: 00, 04 §4.1, §4.2. `docs/state-machine.md` is drawn from these tables.

/** What can happen to a connection. */
export const TRIGGERS = {
  start: 'we began to connect, or a client asked to',
  findRoute: 'accepted through signaling; no route from end to end yet',
  establish: 'both sides have the keys',
  peerClose: 'the peer said that it closed, or that it does not know us',
  fail: 'we noticed a problem: a timeout, bad credentials, a broken protocol',
  close: 'the application closed the handle',
  closeLinger: 'the application closed the handle and asked for a flush',
  flushed: 'the peer acknowledged the last reliable byte',
  expire: 'enough late packets were answered',
  destroy: 'the socket or the library that it belongs to is gone',
} as const;
export type Trigger = keyof typeof TRIGGERS;

/** One row per state, one column per question the rest of the code asks. `number` is GNS's. */
export const FACTS = {
  None: { number: 0, isVisible: false, isActive: false, carriesData: false },
  Connecting: { number: 1, isVisible: true, isActive: true, carriesData: false },
  FindingRoute: { number: 2, isVisible: true, isActive: true, carriesData: false },
  Connected: { number: 3, isVisible: true, isActive: true, carriesData: true },
  ClosedByPeer: { number: 4, isVisible: true, isActive: false, carriesData: false },
  ProblemDetectedLocally: { number: 5, isVisible: true, isActive: false, carriesData: false },
  FinWait: { number: -1, isVisible: false, isActive: false, carriesData: false },
  Linger: { number: -2, isVisible: false, isActive: true, carriesData: true },
  Dead: { number: -3, isVisible: false, isActive: false, carriesData: false },
} as const satisfies Record<string, Facts>;
export type ConnectionState = keyof typeof FACTS;

interface Facts {
  readonly number: number;
  /** The application sees it as it is; the others it sees as None. */
  readonly isVisible: boolean;
  /** The peer still counts on us. */
  readonly isActive: boolean;
  /** Data packets are processed and sent. */
  readonly carriesData: boolean;
}

/** TRANSITIONS[state][trigger]: the state that follows; the same one means "legal, nothing changes". A missing entry is a bug. */
export const TRANSITIONS: { readonly [State in ConnectionState]: { readonly [T in Trigger]?: ConnectionState } } = {
  None: { start: 'Connecting', establish: 'Connected', destroy: 'Dead' },
  Connecting: {
    findRoute: 'FindingRoute',
    establish: 'Connected',
    peerClose: 'ClosedByPeer',
    fail: 'ProblemDetectedLocally',
    close: 'FinWait',
    closeLinger: 'FinWait',
    destroy: 'Dead',
  },
  FindingRoute: {
    findRoute: 'FindingRoute',
    establish: 'Connected',
    peerClose: 'ClosedByPeer',
    fail: 'ProblemDetectedLocally',
    close: 'FinWait',
    closeLinger: 'FinWait',
    destroy: 'Dead',
  },
  Connected: {
    peerClose: 'ClosedByPeer',
    fail: 'ProblemDetectedLocally',
    close: 'FinWait',
    closeLinger: 'Linger',
    destroy: 'Dead',
  },
  ClosedByPeer: {
    peerClose: 'ClosedByPeer',
    fail: 'ClosedByPeer',
    close: 'FinWait',
    closeLinger: 'FinWait',
    destroy: 'Dead',
  },
  ProblemDetectedLocally: {
    peerClose: 'ProblemDetectedLocally',
    fail: 'ProblemDetectedLocally',
    close: 'FinWait',
    closeLinger: 'FinWait',
    destroy: 'Dead',
  },
  Linger: { peerClose: 'FinWait', fail: 'FinWait', flushed: 'FinWait', destroy: 'Dead' },
  FinWait: { peerClose: 'FinWait', fail: 'FinWait', expire: 'Dead', destroy: 'Dead' },
  Dead: {},
};

/** What the application sees. */
export function visibleState(state: ConnectionState): ConnectionState {
  return FACTS[state].isVisible ? state : 'None';
}

// Who appears in the demo, what they do, and what must come of it: the script that the clients and the server follow,
// and that the summary compares with what was seen. Spec: 00, 04 §4.1, §4.2.

import { type ConnectionConfigOptions, type ConnectionState, EndReason } from '../index.ts';

export type RoleName = 'alice' | 'bob' | 'carol' | 'dave' | 'erin' | 'frank';
export type Side = 'client' | 'server';
export const SIDES: readonly Side[] = ['client', 'server'];

/** What an application says when it closes or rejects. */
export interface Farewell {
  readonly reason: number;
  readonly debug: string;
}

export interface Role {
  readonly name: RoleName;
  /** For the one who watches; at most 36 characters. */
  readonly story: string;
  /** When its process is started, after the beginning. */
  readonly startsAfterMs: number;
  readonly config?: ConnectionConfigOptions;
  /** What the server sets when it accepts. */
  readonly serverConfig?: ConnectionConfigOptions;
  /** The states that each side must pass, in this order; none at all if no connection comes about there. */
  readonly paths: Readonly<Record<Side, readonly ConnectionState[]>>;
  /** Why the connection must end, as the side learns it that did not close. Without text, any text will do. */
  readonly end: { readonly seenBy: Side; readonly reason: number; readonly debug?: string };
  /** Sends small messages that the server returns: all of them, or as long as it lives. */
  readonly talk?: 'complete' | 'endless';
  /** Who queues BULK of reliable data and closes with linger at once. */
  readonly lingers?: Side;
  readonly isKilled?: boolean;
}

/** The small messages. */
export const TALK = { rounds: 80, roundMs: 50, reliableBytes: 1_000, unreliableBytes: 200, unreliablePerRound: 2 };

/** What is left to deliver when somebody closes with linger. */
export const BULK: Readonly<Record<Side, { readonly messages: number; readonly messageBytes: number }>> = {
  client: { messages: 64, messageBytes: 16_384 },
  server: { messages: 32, messageBytes: 16_384 },
};
const BULK_CONFIG = { sendBufferSize: 2 << 20 };

/** How long the server looks at a client before it answers, and how long anybody looks at an ended connection. */
export const HESITATION_MS = 500;
/** How long erin's process lives once it is connected. */
export const KILLED_AFTER_MS = 2_000;

export const FAREWELLS = {
  alice: { reason: 1001, debug: 'alice has to go' },
  bob: { reason: 1002, debug: 'the match is over' },
  carol: { reason: 1003, debug: 'the upload is complete' },
  dave: { reason: 1403, debug: 'not on the guest list' },
} as const satisfies Partial<Record<RoleName, Farewell>>;

export const CAST: readonly Role[] = [
  {
    name: 'alice',
    story: 'talks, then closes the connection',
    startsAfterMs: 0,
    talk: 'complete',
    paths: {
      client: ['None', 'Connecting', 'Connected', 'FinWait', 'Dead'],
      server: ['None', 'Connecting', 'Connected', 'ClosedByPeer', 'FinWait', 'Dead'],
    },
    end: { seenBy: 'server', ...FAREWELLS.alice },
  },
  {
    name: 'bob',
    story: 'talks, until the server lingers',
    startsAfterMs: 300,
    talk: 'complete',
    lingers: 'server',
    serverConfig: BULK_CONFIG,
    paths: {
      client: ['None', 'Connecting', 'Connected', 'ClosedByPeer', 'FinWait', 'Dead'],
      server: ['None', 'Connecting', 'Connected', 'Linger', 'FinWait', 'Dead'],
    },
    end: { seenBy: 'client', ...FAREWELLS.bob },
  },
  {
    name: 'carol',
    story: 'queues 1 MiB and closes with linger',
    startsAfterMs: 1_800,
    lingers: 'client',
    config: { ...BULK_CONFIG, sendRateMin: 512 << 10, sendRateMax: 512 << 10 },
    paths: {
      client: ['None', 'Connecting', 'Connected', 'Linger', 'FinWait', 'Dead'],
      server: ['None', 'Connecting', 'Connected', 'ClosedByPeer', 'FinWait', 'Dead'],
    },
    end: { seenBy: 'server', ...FAREWELLS.carol },
  },
  {
    name: 'dave',
    story: 'is rejected by the server',
    startsAfterMs: 1_200,
    paths: {
      client: ['None', 'Connecting', 'ClosedByPeer', 'FinWait', 'Dead'],
      server: ['None', 'Connecting', 'FinWait', 'Dead'],
    },
    end: { seenBy: 'client', ...FAREWELLS.dave },
  },
  {
    name: 'erin',
    story: 'talks, until its process is killed',
    startsAfterMs: 600,
    talk: 'endless',
    isKilled: true,
    // Less patience than the usual 10 s.
    serverConfig: { timeoutConnected: 2_000 },
    paths: {
      client: ['None', 'Connecting', 'Connected'],
      server: ['None', 'Connecting', 'Connected', 'ProblemDetectedLocally', 'FinWait', 'Dead'],
    },
    end: { seenBy: 'server', reason: EndReason.Misc_Timeout },
  },
  {
    name: 'frank',
    story: 'calls a port where nobody answers',
    startsAfterMs: 900,
    config: { timeoutInitial: 1_500 },
    paths: { client: ['None', 'Connecting', 'ProblemDetectedLocally', 'FinWait', 'Dead'], server: [] },
    end: { seenBy: 'client', reason: EndReason.Misc_Timeout },
  },
];

/** Undefined if nobody in the cast has this name. */
export function findRole(name: string | undefined): Role | undefined {
  return CAST.find((role) => role.name === name);
}

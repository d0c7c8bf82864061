// A client of the demo, in a process of its own: plays its role and reports to the process that started it.

import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, ConnectionError, Networking } from '../index.ts';
import { BULK, FAREWELLS, HESITATION_MS, type Role, type RoleName, TALK } from './demo-cast.ts';
import { Party, type Report } from './demo-party.ts';

/** Resolves with the exit status once the connection is Dead. */
export async function playClient(role: Role, address: string): Promise<number> {
  // Without the other process there is nobody to play for; an interrupt from the keyboard is for it to handle.
  process.on('disconnect', () => process.exit(1));
  process.on('SIGINT', () => {});

  const net = new Networking({ identity: `str:${role.name}` });
  const connection = net.open(address, { config: role.config ?? {} });
  const party = new Party(connection, () => net.nowUs(), tell);
  const dead = untilDead(connection);
  connection.on('message', (message) => party.take(message));
  try {
    await ACTS[role.name](party);
  } catch (error) {
    // The states that were reported tell it already.
    if (!(error instanceof ConnectionError)) throw error;
  }
  await party.close();
  await dead;
  await flushed();
  return 0;
}

const ACTS: Readonly<Record<RoleName, (party: Party) => Promise<void>>> = {
  alice: async (party) => {
    await party.connection.connected();
    await talk(party, TALK.rounds);
    await party.close(FAREWELLS.alice);
  },
  bob: async (party) => {
    await party.connection.connected();
    await talk(party, TALK.rounds);
    await untilEnded(party.connection);
  },
  carol: async (party) => {
    await party.connection.connected();
    for (let i = 0; i < BULK.client.messages; i++) party.say('bulk', BULK.client.messageBytes);
    await party.close({ ...FAREWELLS.carol, linger: true });
  },
  dave: (party) => untilEnded(party.connection),
  erin: async (party) => {
    await party.connection.connected();
    await talk(party, Number.POSITIVE_INFINITY);
  },
  frank: (party) => untilEnded(party.connection),
};

/** Returns when all reliable messages have come back, or the connection has ended. */
async function talk(party: Party, rounds: number): Promise<void> {
  const { connection, counts } = party;
  for (let round = 0; round < rounds && connection.state === 'Connected'; round++) {
    // The reliable one last: once it has come back, so have the others, unless they are lost.
    for (let i = 0; i < TALK.unreliablePerRound; i++) party.say('unreliable', TALK.unreliableBytes);
    party.say('reliable', TALK.reliableBytes);
    await pause(TALK.roundMs);
  }
  while (connection.state === 'Connected' && counts.reliable.received < counts.reliable.sent) await pause(TALK.roundMs);
}

/** Returns when the one who watches has had the time to see how it ended. */
async function untilEnded(connection: Connection): Promise<void> {
  if (connection.state !== 'ClosedByPeer' && connection.state !== 'ProblemDetectedLocally') {
    await new Promise((resolve) => connection.once('ended', resolve));
  }
  await pause(HESITATION_MS);
}

function untilDead(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    connection.on('internalState', ({ to }) => {
      if (to === 'Dead') resolve();
    });
  });
}

function tell(report: Report): void {
  process.send?.(report);
}

/** Returns when all that was told before has left the process. */
function flushed(): Promise<void> {
  return new Promise((resolve) => {
    const last: Report = { kind: 'end' };
    if (process.send === undefined) resolve();
    else process.send(last, undefined, {}, () => resolve());
  });
}

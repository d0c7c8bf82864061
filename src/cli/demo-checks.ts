// What the demo has shown, and whether all of it was as it should be.

import { CONNECTION_STATES, type ConnectionState } from '../index.ts';
import { type Role, SIDES, type Side, TALK } from './demo-cast.ts';
import { rate } from './demo-lines.ts';
import { type DemoRecord, EXIT_OK, endText, kib, pathOf, type RoleRecord, type SideRecord } from './demo-record.ts';

export interface Check {
  readonly isOk: boolean;
  /** What was seen; if it is not ok, what is wrong. */
  readonly text: string;
}

/** By what they are about. */
export type Checks = ReadonlyMap<string, readonly Check[]>;

/** What came of the demo as a whole. */
export interface Aftermath {
  /** Datagrams that came to the port where nobody answers. */
  readonly unansweredDatagrams: number;
  /** Connections that the server still has, and clients that still run. */
  readonly connectionsLeft: number;
  readonly processesLeft: number;
}

export function checkAll(record: DemoRecord, aftermath: Aftermath): Checks {
  const checks = new Map<string, readonly Check[]>();
  for (const each of record.roles.values()) checks.set(`${each.role.name} ${each.role.story}`, checkRole(each));
  const { unansweredDatagrams, connectionsLeft, processesLeft } = aftermath;
  checks.set('afterwards', [
    check(unansweredDatagrams > 1, `${unansweredDatagrams} datagrams of frank came to the port where nobody answers`),
    check(connectionsLeft === 0, `the server has ${connectionsLeft} connections left`),
    check(processesLeft === 0, `${processesLeft} client processes are left`),
    checkHiddenStates(record),
  ]);
  return checks;
}

function check(isOk: boolean, text: string): Check {
  return { isOk, text };
}

function checkRole(record: RoleRecord): readonly Check[] {
  const { role } = record;
  const checks = SIDES.map((side) => checkPath(role, side, record[side]));
  checks.push(checkEnd(role, record[role.end.seenBy]), ...checkFinWait(record));
  if (role.talk !== undefined) checks.push(...checkTalk(record));
  if (role.lingers !== undefined) checks.push(checkLinger(record, role.lingers));
  const faults = SIDES.flatMap((side) => record[side].traffic?.faults ?? []);
  checks.push(...faults.map((fault) => check(false, fault)), checkExit(record));
  return checks;
}

function checkPath({ paths }: Role, side: Side, record: SideRecord): Check {
  const wanted = paths[side].join(' > ');
  const seen = pathOf(record).join(' > ');
  if (seen === wanted) return check(true, `${side}: ${seen || 'never heard of it'}`);
  return check(false, `${side}: ${seen || 'never heard of it'}; expected ${wanted || 'nothing'}`);
}

function checkEnd({ end }: Role, record: SideRecord): Check {
  const change = record.changes.find(({ to }) => to === 'ClosedByPeer' || to === 'ProblemDetectedLocally');
  if (change === undefined) return check(false, `the ${end.seenBy} never learned that the connection had ended`);
  const isOk = change.endReason === end.reason && (end.debug ?? change.endDebug) === change.endDebug;
  const wanted = isOk ? '' : `; expected ${end.reason} "${end.debug ?? ''}"`;
  return check(isOk, `the ${end.seenBy} learned why it ended: ${endText(change)}${wanted}`);
}

// What FinWait lasts, and how late a busy machine may be.
const FIN_WAIT_S = 5;
const TOLERANCE_S = 2;

/** That FinWait lasts five seconds on each side that gets there. */
function checkFinWait(record: RoleRecord): readonly Check[] {
  const spans = SIDES.flatMap((side) => {
    const at = (state: ConnectionState) => record[side].changes.find(({ to }) => to === state)?.atUs;
    const [from, to] = [at('FinWait'), at('Dead')];
    return from === undefined || to === undefined ? [] : [{ side, seconds: (to - from) / 1e6 }];
  });
  if (spans.length === 0) return [];
  const isOk = spans.every(({ seconds }) => seconds > FIN_WAIT_S - 0.05 && seconds < FIN_WAIT_S + TOLERANCE_S);
  const text = spans.map(({ side, seconds }) => `${seconds.toFixed(2)} s (${side})`).join(', ');
  return [check(isOk, `FinWait became Dead after ${text}`)];
}

// Of the unreliable messages; on one machine hardly any is lost.
const LEAST_ARRIVED_RATIO = 0.9;

function checkTalk({ role, client, server }: RoleRecord): readonly Check[] {
  const [there, back] = [server.traffic?.counts, client.traffic?.counts];
  if (there === undefined || back === undefined) return [check(false, 'nothing was said')];
  if (role.talk === 'endless') {
    const arrived = `${there.reliable.received} reliable and ${there.unreliable.received} unreliable messages`;
    return [check(there.reliable.received > 0 && there.unreliable.received > 0, `${arrived} arrived before the end`)];
  }
  const journey = (channel: 'reliable' | 'unreliable', sent: number) =>
    `${there[channel].received} of ${sent} ${channel} messages arrived, ${back[channel].received} came back`;
  const unreliableSent = TALK.rounds * TALK.unreliablePerRound;
  const isComplete = there.reliable.received === TALK.rounds && back.reliable.received === TALK.rounds;
  const isEnough = back.unreliable.received >= unreliableSent * LEAST_ARRIVED_RATIO;
  return [
    check(isComplete, `${journey('reliable', TALK.rounds)}, in order`),
    check(isEnough, journey('unreliable', unreliableSent)),
  ];
}

function checkLinger(record: RoleRecord, side: Side): Check {
  const { closed, traffic, changes } = record[side];
  const other = record[side === 'client' ? 'server' : 'client'].traffic;
  const [sent, received] = [traffic?.counts.bulk.sentBytes ?? 0, other?.counts.bulk.receivedBytes ?? 0];
  const isSame = sent === received && traffic?.bulkSha256.sent === other?.bulkSha256.received;
  if (sent === 0 || closed === undefined) return check(false, `the ${side} did not linger`);
  const lingering = changes.find(({ to }) => to === 'Linger');
  const done = changes.find(({ from }) => from === 'Linger');
  const seconds = lingering === undefined || done === undefined ? 0 : (done.atUs - lingering.atUs) / 1e6;
  const isOk = isSame && closed.delivered && closed.confirmed;
  const speed = seconds > 0 ? ` in ${seconds.toFixed(1)} s (${rate(sent / seconds)} kB/s)` : '';
  const hash = isSame ? `SHA-256 ${traffic?.bulkSha256.sent.slice(0, 8)}… on both sides` : 'SHA-256 differs';
  return check(isOk, `${kib(received)} of ${kib(sent)} KiB delivered while lingering${speed}, ${hash}`);
}

function checkExit({ role, exit, complaints }: RoleRecord): Check {
  const wanted = role.isKilled === true ? 'SIGKILL' : EXIT_OK;
  const isOk = exit === wanted && complaints === '';
  const ended = exit === '' ? 'its process did not end' : `its process ended: ${exit}`;
  return check(isOk, complaints === '' ? ended : `${ended} and complained: ${complaints.trim()}`);
}

/** That FinWait, Linger and Dead are None to the application, and the others what they are. */
function checkHiddenStates(record: DemoRecord): Check {
  const changes = [...record.roles.values()].flatMap(({ client, server }) => [...client.changes, ...server.changes]);
  const isOk = changes.every(({ to, visible }) => visible === (CONNECTION_STATES[to].isVisible ? to : 'None'));
  return check(isOk, 'FinWait, Linger and Dead were shown to the applications as None');
}

// All that was seen in the demo: the one place that the table, the lines and the summary are made from.

import { type ConnectionState, endReasonName } from '../index.ts';
import { CAST, type Role, type RoleName, type Side, TALK } from './demo-cast.ts';
import type { Report, Traffic } from './demo-party.ts';

type StateReport = Extract<Report, { kind: 'state' }>;
type ClosedReport = Extract<Report, { kind: 'closed' }>;

export interface SideRecord {
  /** In the order in which they came. */
  readonly changes: StateReport[];
  traffic: Traffic | undefined;
  closed: ClosedReport['result'] | undefined;
}

export interface RoleRecord extends Record<Side, SideRecord> {
  readonly role: Role;
  /** How its process ended: exit status or signal; empty before. */
  exit: string;
  /** What its process complained of. */
  complaints: string;
}

export interface Entry {
  readonly atUs: number;
  /** Empty if it is about all of them. */
  readonly name: string;
  /** Side or process. */
  readonly place: string;
  /** Empty if it is about something else. */
  readonly state: ConnectionState | '';
  readonly text: string;
}

export class DemoRecord {
  readonly roles: ReadonlyMap<RoleName, RoleRecord>;
  readonly entries: Entry[] = [];
  readonly startUs: number;

  constructor(startUs: number) {
    this.startUs = startUs;
    this.roles = new Map(CAST.map((role) => [role.name, newRoleRecord(role)]));
  }

  add(name: RoleName, side: Side, report: Report): void {
    const record = this.roles.get(name)![side];
    if (report.kind === 'state') {
      record.changes.push(report);
      this.entries.push({ atUs: report.atUs, name, place: side, state: report.to, text: meaning(side, report) });
    } else if (report.kind === 'traffic') record.traffic = report;
    else if (report.kind === 'closed') record.closed = report.result;
  }

  /** Something that is no state of a connection. */
  note(atUs: number, name: string, place: string, text: string): void {
    this.entries.push({ atUs, name, place, state: '', text });
  }
}

function newRoleRecord(role: Role): RoleRecord {
  const side = (): SideRecord => ({ changes: [], traffic: undefined, closed: undefined });
  return { role, client: side(), server: side(), exit: '', complaints: '' };
}

/** What `exit` says of a process that ended well. */
export const EXIT_OK = 'exit status 0';

/** The states that a side has passed. */
export function pathOf({ changes }: SideRecord): readonly ConnectionState[] {
  const [first] = changes;
  return first === undefined ? [] : [first.from, ...changes.map(({ to }) => to)];
}

/** The state that a side is in; undefined before it has one. */
export function stateOf({ changes }: SideRecord): ConnectionState | undefined {
  return changes.at(-1)?.to;
}

/** Reason and text, for people. */
export function endText({ endReason, endDebug }: { readonly endReason: number; readonly endDebug: string }): string {
  const name = endReasonName(endReason);
  return `${endReason}${name.startsWith('App') ? '' : ` ${name}`} "${endDebug}"`;
}

/** What it means that a side has come to a state, for one who sees it for the first time. */
function meaning(side: Side, report: StateReport): string {
  const { from, to, undeliveredBytes } = report;
  switch (to) {
    case 'Connecting':
      return side === 'client' ? 'was None; asks to be let in' : 'was None; a client asks: accept it?';
    case 'Connected':
      return side === 'client' ? 'was accepted' : 'accepted';
    case 'ClosedByPeer':
      return `told: ${endText(report)}`;
    case 'ProblemDetectedLocally':
      return endText(report);
    case 'Linger':
      return `closed: ${endText(report)}, ${kib(undeliveredBytes)} KiB to deliver`;
    case 'FinWait':
      return finWaitMeaning(from, report);
    case 'Dead':
      return 'nothing is left of it';
    default:
      return '';
  }
}

function finWaitMeaning(from: ConnectionState, report: StateReport): string {
  if (from === 'Linger') {
    const { undeliveredBytes } = report;
    return undeliveredBytes === 0
      ? 'all delivered; the peer is told'
      : `${kib(undeliveredBytes)} KiB were not delivered`;
  }
  if (from === 'Connected') return `closed: ${endText(report)}`;
  if (from === 'Connecting') return `rejected: ${endText(report)}`;
  return 'closed too; answers late packets for 5 s';
}

/** How far a client has come, in at most 34 characters. */
export function progressText({ role, client, server, exit }: RoleRecord): string {
  const [from, to] = role.lingers === 'client' ? [client, server] : [server, client];
  const bulk = from.traffic?.counts.bulk.sentBytes ?? 0;
  if (bulk > 0) return `${kib(to.traffic?.counts.bulk.receivedBytes ?? 0)} of ${kib(bulk)} KiB delivered`;
  if (role.isKilled === true && exit !== '') return `its process ended: ${exit}`;
  const echoed = client.traffic?.counts;
  if (role.talk === undefined || echoed === undefined) return '';
  const all = role.talk === 'complete' ? ` of ${TALK.rounds}` : '';
  return `${echoed.reliable.received}${all} reliable, ${echoed.unreliable.received} unreliable`;
}

/** Rounded up. */
export function kib(bytes: number): number {
  return Math.ceil(bytes / 1_024);
}

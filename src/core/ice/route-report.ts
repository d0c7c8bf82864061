// Why two peers found no way to each other, as far as one side can tell: what was tried, what servers said of us, and the
// likeliest cause. Spec: 07 §7.14, 10 §10.3; RFC 5128.

import type { NetAddress } from '../platform.ts';
import { addressClass, familyOf } from './candidate.ts';
import type { CandidateRow, CheckRow, IceAgent } from './ice-agent.ts';
import type { IcePort } from './ice-port.ts';

/** All that ICE knows of the ways to one peer. */
export interface RouteReport {
  readonly candidates: readonly CandidateRow[];
  /** One row for each pair of addresses, best first. */
  readonly checks: readonly CheckRow[];
  /** As what each STUN server sees us; undefined if it did not answer. */
  readonly stun: readonly { readonly server: NetAddress; readonly mapped: NetAddress | undefined }[];
  readonly turn: readonly TurnReport[];
}

export interface TurnReport {
  readonly server: NetAddress;
  readonly state: 'off' | 'allocating' | 'ready' | 'failed';
  /** STUN error code of its last refusal; 0 if it did not refuse. */
  readonly errorCode: number;
}

/** What is in the way, the first that applies. */
export type RouteProblemKind =
  /** Neither STUN nor TURN servers answer. */
  | 'udpBlocked'
  | 'stunSilent'
  | 'turnRefused'
  /** One side is in a private network and offers nothing else. */
  | 'privateAddressesOnly'
  | 'noCommonFamily'
  /** Neither side has a relay, and a symmetric NAT is in the way. */
  | 'symmetricNats'
  | 'noPeerAddresses'
  /** The peer hears nothing of us. */
  | 'signalsLost'
  | 'noRoute';

export interface RouteProblem {
  readonly kind: RouteProblemKind;
  /** A clause with figures. */
  readonly summary: string;
}

export function routeReport(agent: IceAgent | undefined, ice: IcePort): RouteReport {
  const isOurs = ({ server }: { server: NetAddress }) => ice.hasFamily(familyOf(server.address));
  return {
    candidates: agent?.candidateTable() ?? [],
    checks: agent?.checkTable() ?? [],
    stun: ice.mappings.filter(isOurs),
    turn: ice.relays.filter(isOurs).map(({ server, state, errorCode }) => ({ server, state, errorCode })),
  };
}

/** A side's NAT shows each destination another port: seen under several ports of one address. */
export function isSymmetric(rows: readonly CandidateRow[]): boolean {
  const portOf = new Map<string, number>();
  const outside = rows.filter(({ type }) => type === 'srflx' || type === 'prflx');
  return outside.some(({ address: { address, port } }) => {
    const known = portOf.get(address) ?? port;
    portOf.set(address, known);
    return known !== port;
  });
}

export function routeProblem(report: RouteReport, asksStun: boolean): RouteProblem {
  const local = report.candidates.filter(({ side }) => side === 'local');
  const remote = report.candidates.filter(({ side }) => side === 'remote');
  return ofTables(report, local, remote) ?? ofServers(report, asksStun) ?? ofKinds(report, local, remote);
}

type Rows = readonly CandidateRow[];

function ofTables({ checks }: RouteReport, local: Rows, remote: Rows): RouteProblem | undefined {
  if (remote.length === 0) {
    return { kind: 'noPeerAddresses', summary: 'the peer has told no address of its own' };
  }
  if (local.length === 0) return { kind: 'noRoute', summary: 'this side found no address of its own to offer' };
  if (sum(checks, 'responsesReceived') > 0) {
    return { kind: 'noRoute', summary: 'checks were answered, but no data came through' };
  }
  const families = (rows: Rows) => new Set(rows.map(({ address }) => familyOf(address.address)));
  const [ours, theirs] = [families(local), families(remote)];
  if ([...ours].some((family) => theirs.has(family))) return undefined;
  const summary = `we have addresses of ${[...ours].join(', ')} only, and the peer of ${[...theirs].join(', ')} only`;
  return { kind: 'noCommonFamily', summary };
}

/** What our servers said. */
function ofServers({ stun, turn }: RouteReport, asksStun: boolean): RouteProblem | undefined {
  const refused = turn.find(({ errorCode }) => errorCode > 0);
  if (refused !== undefined) {
    const { server, errorCode } = refused;
    const why = errorCode === 401 ? 'refused our user name or password' : 'refused to lend us an address';
    return { kind: 'turnRefused', summary: `the TURN server ${shown(server)} ${why} (${errorCode})` };
  }
  if (!asksStun && turn.length === 0) return undefined;
  const isStunSilent = asksStun && stun.every(({ mapped }) => mapped === undefined);
  const isTurnSilent = turn.every(({ state }) => state !== 'ready');
  if (!isTurnSilent || (asksStun && !isStunSilent)) return undefined;
  const servers = new Set([...stun, ...turn].map(({ server }) => shown(server)));
  if (servers.size === 0)
    return { kind: 'stunSilent', summary: 'the names of our STUN servers could not be looked up' };
  if (servers.size === 1) {
    return { kind: 'stunSilent', summary: `our only server, ${[...servers][0]}, did not answer` };
  }
  return { kind: 'udpBlocked', summary: `none of our ${servers.size} STUN and TURN servers answered` };
}

/** What is known of the NATs. */
function ofKinds({ checks, turn }: RouteReport, local: Rows, remote: Rows): RouteProblem {
  const tried = `${local.length} of our and ${remote.length} of the peer's addresses were tried`;
  for (const [rows, whose] of [
    [local, 'we offered'],
    [remote, 'the peer offered'],
  ] as const) {
    if (!rows.every(isPrivate)) continue;
    const addresses = rows.map(({ address }) => shown(address)).join(', ');
    return { kind: 'privateAddressesOnly', summary: `${whose} private addresses only: ${addresses}` };
  }
  const hasRelay = [...local, ...remote].some(({ type }) => type === 'relay');
  const symmetric = [isSymmetric(local) ? 'ours' : '', isSymmetric(remote) ? "the peer's" : ''].filter(Boolean);
  if (!hasRelay && symmetric.length > 0) {
    const which = symmetric.length === 2 ? 'both NATs give' : `${symmetric[0]} is a NAT that gives`;
    const summary = `${which} each destination a port of its own (symmetric), and neither side has a relay`;
    return { kind: 'symmetricNats', summary };
  }
  const heard = sum(checks, 'requestsReceived');
  if (heard > 0) return { kind: 'noRoute', summary: `${tried}: the peer's checks arrived, and ours were not answered` };
  const isReady = turn.some(({ state }) => state === 'ready');
  if (isReady) return { kind: 'noRoute', summary: `${tried}: nothing of the peer came, not even to our relay` };
  return { kind: 'noRoute', summary: `${tried}, ${hasRelay ? 'relays included' : 'and neither side has a relay'}` };
}

function isPrivate({ type, address }: CandidateRow): boolean {
  return type === 'host' && addressClass(address.address) !== 'public';
}

function sum(checks: readonly CheckRow[], field: 'responsesReceived' | 'requestsReceived'): number {
  return checks.reduce((total, row) => total + row[field], 0);
}

function shown({ address, port }: NetAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

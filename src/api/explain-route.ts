// Why two peers have not met yet, or could not: the P2P part of `explain`, and its tables for people. Spec: 07 §7.14.

import { EndReason, Ends } from '../core/connection/end-reason.ts';
import type { P2pLink } from '../core/connection/p2p-link.ts';
import type { CandidateRow, CheckRow } from '../core/ice/ice-agent.ts';
import type { RouteProblemKind, RouteReport } from '../core/ice/route-report.ts';
import type { NetAddress } from '../core/platform.ts';
import type { Diagnosis, DiagnosisFacts } from './explain.ts';

export type Finding = Omit<Diagnosis, 'facts' | 'route'>;

const HINTS: Readonly<Record<RouteProblemKind, string>> = {
  udpBlocked:
    'A firewall on this machine or in this network seems to block UDP: no P2P connection leaves it, with or without TURN. `gns doctor` tests it.',
  stunSilent:
    'Check p2pStunServerList, whether that server runs, and whether UDP gets out of this network (`gns doctor`).',
  turnRefused:
    'Check p2pTurnUserList and p2pTurnPassList: as many entries as servers; passwords for TURN often expire.',
  privateAddressesOnly:
    'Only those in the same network can write there, unless a firewall stops them. For others, name STUN servers (p2pStunServerList) on that side and let UDP out. In a container, use the network of the host, or publish the port of `p2p.port`.',
  noCommonFamily: 'Give one side an address of the other family, or both a TURN server that has both.',
  symmetricNats: 'Only a TURN server helps (p2pTurnServerList), on either side.',
  noPeerAddresses:
    'Look at p2pTransportIceEnable of the peer: 1 alone permits nothing but relays, and needs a TURN server that takes it.',
  signalsLost:
    'What carries our signals loses them: look at `send`, and at whether the peer is handed what arrives there.',
  noRoute:
    'Give both sides STUN servers (p2pStunServerList) and, for NATs that let nothing through, one side a TURN server. Two STUN servers show what kind of NAT it is (`gns doctor`).',
};

/** While it is looked for. */
export function ofRoute({ report }: P2pLink, { state }: DiagnosisFacts, time: string): Finding {
  if (state === 'Connecting') {
    return { kind: 'connecting', summary: `after ${time}, no answer to our signals has come yet`, hint: '' };
  }
  const { candidates, checks } = report;
  const theirs = candidates.filter(({ side }) => side === 'remote').length;
  const sent = checks.reduce((total, { requestsSent }) => total + requestsSent, 0);
  const answered = checks.reduce((total, { responsesReceived }) => total + responsesReceived, 0);
  const counts = `${candidates.length - theirs} of our and ${theirs} of the peer's addresses, ${answered} of ${sent} checks answered`;
  return { kind: 'connecting', summary: `after ${time}, a way to the peer is looked for: ${counts}`, hint: '' };
}

/** Why we gave up before it was `Connected`, if signals or routes are the reason. */
export function ofSignals(
  link: P2pLink,
  { endReason, endDebug }: DiagnosisFacts,
  isIncoming: boolean,
): Finding | undefined {
  if (endReason === EndReason.Misc_P2P_Rendezvous) {
    const { kind, summary } = link.obstacle;
    return { kind, summary, hint: HINTS[kind] };
  }
  if (endDebug === Ends.signalNotSent.debug) {
    return {
      kind: 'signalRefused',
      summary: 'our own signaling did not take a signal: `send` returned false or threw',
      hint: 'It is probably not connected to its service.',
    };
  }
  if (endReason !== EndReason.Misc_Timeout || isIncoming) return undefined;
  return {
    kind: 'nobodyAnswers',
    summary: 'nobody answered our signals',
    hint: 'Check that the peer is there under that name, that it accepts in time, and that signaling works both ways.',
  };
}

/** The peer gave up first; what we know may say more. */
export function ofClosedRoute(link: P2pLink, { endDebug }: DiagnosisFacts): Finding {
  const { kind, summary } = link.obstacle;
  return { kind, summary: `the peer gave up (${endDebug}); as this side sees it, ${summary}`, hint: HINTS[kind] };
}

/** Addresses, checks and servers, for a person to read. */
export function routeLines({ candidates, checks, stun, turn }: RouteReport): string[] {
  return [
    ...titled('Addresses:', candidates.map(candidateLine)),
    ...titled('Checks (sent, answered, received):', checks.map(checkLine)),
    ...titled('STUN servers:', [
      ...stun.map(({ server, mapped }) => `${shown(server)} ${mapped ? `sees ${shown(mapped)}` : 'has not answered'}`),
    ]),
    ...titled('TURN servers:', [
      ...turn.map(({ server, state, errorCode }) => `${shown(server)} ${state}${errorCode ? ` (${errorCode})` : ''}`),
    ]),
  ];
}

function titled(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`)];
}

function candidateLine({ side, type, address }: CandidateRow): string {
  return `${side.padEnd(6)} ${type.padEnd(5)} ${shown(address)}`;
}

function checkLine(row: CheckRow): string {
  const { remote, relayServer, state, isSelected, requestsSent, responsesReceived, requestsReceived, rttUs } = row;
  const way = `${shown(remote)}${relayServer ? ` by ${shown(relayServer)}` : ''}`;
  const rtt = rttUs < 0 ? '' : `, ${(rttUs / 1_000).toFixed(1)} ms`;
  const counts = `${requestsSent}, ${responsesReceived}, ${requestsReceived}`;
  return `${way} ${state}${isSelected ? ', in use' : ''}: ${counts}${rtt}`;
}

export function shown({ address, port }: NetAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

// Why a connection failed or is slow: one diagnosis out of what its parts know, with advice. Spec: 10 §10.3, 04 §4.2.

import { LONG_AGO, NEVER, US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import type { Connection } from '../core/connection/connection.ts';
import { EndReason, Ends, endReasonName } from '../core/connection/end-reason.ts';
import { type ConnectionState, FACTS, visibleState } from '../core/connection/state-table.ts';
import type { RouteProblemKind, RouteReport } from '../core/ice/route-report.ts';
import { type Finding, ofClosedRoute, ofRoute, ofSignals } from './explain-route.ts';

/** What is the matter, the first that applies. */
export type DiagnosisKind =
  /** In progress, or fine. */
  | 'connecting'
  | 'healthy'
  /** Connected, and slow or in danger. */
  | 'peerWentSilent'
  | 'ourLoopStalled'
  | 'peerTakesNothing'
  | 'receiveBufferFull'
  | 'rateLimited'
  | 'lossy'
  /** Ended; `peerWentSilent` and `ourLoopStalled` can be reasons for that, too. */
  | 'nobodyAnswers'
  /** P2P: no way between the two was found, and why, as far as can be told. `noRoute`: none of the others. */
  | RouteProblemKind
  /** P2P: the application's own signaling did not take a signal. */
  | 'signalRefused'
  | 'notAccepted'
  | 'versionMismatch'
  | 'certificateRefused'
  | 'encryptionMismatch'
  | 'protocolViolation'
  | 'unknownToPeer'
  | 'closedByPeer'
  | 'closedByUs';

/** Why a connection failed or is slow, as far as this side can tell. */
export interface Diagnosis {
  readonly kind: DiagnosisKind;
  /** What was found, with figures, in one sentence without a full stop. */
  readonly summary: string;
  /** What to look at or to change; empty where there is nothing to do. */
  readonly hint: string;
  readonly facts: DiagnosisFacts;
  /** P2P only: addresses, checks and servers. What is known now, or was known when no way was found. */
  readonly route?: RouteReport;
}

/** Numbers that are not known are -1. */
export interface DiagnosisFacts {
  readonly state: ConnectionState;
  /** How long it has been in this state. */
  readonly inStateUs: number;
  readonly wasConnected: boolean;
  /** As in `info`. */
  readonly endReason: number;
  readonly endDebug: string;
  /** Of a client that connects. */
  readonly challengesSent: number;
  readonly challengeRepliesReceived: number;
  readonly requestsSent: number;
  /** Since the peer was heard last: until now, or until the end. */
  readonly silentUs: number;
  readonly unansweredProbes: number;
  readonly pingMs: number;
  /** Shares (0 – 1) of lost packets in the last interval, to us and (as the peer tells) from us. */
  readonly lossRatio: number;
  readonly remoteLossRatio: number;
  readonly pendingBytes: number;
  readonly sendRateBytesPerSec: number;
  /** For so long the send rate has held data back; 0 if it does not. */
  readonly rateLimitedUs: number;
  /** Arrived, and not yet read by this application. */
  readonly unreadMessages: number;
  readonly unreadBytes: number;
  /** Longest time that our event loop stood still, as far as it was noticed, and how long ago that was over. */
  readonly longestStallUs: number;
  readonly longestStallAgoUs: number;
}

const MIN_STALL_US = 500 * US_PER_MS;
/** An older stall does not explain how a connection is doing now. */
const RECENT_US = 10 * US_PER_SECOND;
const MIN_SILENT_PROBES = 2;
const MIN_LIMITED_US = US_PER_SECOND;
const MIN_LOSS_RATIO = 0.05;

/** Does not change anything, and may be called at any time. */
export function explain(connection: Connection, nowUs: number): Diagnosis {
  const facts = factsOf(connection, nowUs);
  const { endedAs } = connection.history;
  const finding =
    endedAs === undefined
      ? ofLiving(connection, facts)
      : endedAs === 'ClosedByPeer'
        ? ofClosedByPeer(connection, facts)
        : endedAs === 'ProblemDetectedLocally'
          ? ofProblem(connection, facts)
          : CLOSED_BY_US;
  const route = connection.link?.report;
  return { ...finding, facts, ...(route && { route }) };
}

function factsOf(connection: Connection, nowUs: number): DiagnosisFacts {
  const { data, history, info } = connection;
  const { stats, liveness, delivery, exchange, rateWatch } = data;
  if (FACTS[connection.state].carriesData) data.settleStats(nowUs);
  const remoteDropped = exchange.remoteInstantaneous?.droppedPercent;
  return {
    state: visibleState(connection.state),
    inStateUs: nowUs - history.stateSinceUs,
    wasConnected: history.connectedAtUs !== NEVER,
    endReason: info.endReason,
    endDebug: info.endDebug,
    challengesSent: history.challengesSent,
    challengeRepliesReceived: history.challengeRepliesReceived,
    requestsSent: history.requestsSent,
    silentUs: liveness.lastReceivedUs === LONG_AGO ? -1 : Math.min(nowUs, history.endedAtUs) - liveness.lastReceivedUs,
    unansweredProbes: liveness.unanswered,
    pingMs: stats.roundTrip.smoothedMs,
    lossRatio: stats.droppedShare,
    remoteLossRatio: remoteDropped === undefined ? -1 : remoteDropped / 100,
    pendingBytes: delivery.pendingBytes,
    sendRateBytesPerSec: delivery.bucket.rateBytesPerSec,
    rateLimitedUs: rateWatch.sinceUs === NEVER ? 0 : nowUs - rateWatch.sinceUs,
    unreadMessages: delivery.receiver.queuedMessages,
    unreadBytes: delivery.receiver.queuedBytes,
    longestStallUs: history.longestStallUs,
    longestStallAgoUs: history.longestStallAtUs === LONG_AGO ? -1 : nowUs - history.longestStallAtUs,
  };
}

// ---- not ended

function ofLiving(connection: Connection, facts: DiagnosisFacts): Finding {
  if (!FACTS[connection.state].carriesData) return ofConnecting(connection, facts);
  if (facts.unansweredProbes >= MIN_SILENT_PROBES) return silence(facts, 'is silent');
  if (facts.longestStallUs >= MIN_STALL_US && facts.longestStallAgoUs <= RECENT_US) return stall(facts);
  if (connection.data.delivery.isPeerStalled) {
    return {
      kind: 'peerTakesNothing',
      summary: `the peer acknowledges packets but none of our reliable data; ${facts.pendingBytes} bytes wait`,
      hint: 'Most likely the application of the peer does not read, or too slowly, and its receive buffer is full.',
    };
  }
  if (isReceiveBufferFull(connection)) {
    return {
      kind: 'receiveBufferFull',
      summary: `${facts.unreadMessages} messages (${facts.unreadBytes} bytes) wait unread and we take no more`,
      hint: 'Read faster: listen to `message` or call `receiveMessages`; or raise recvBufferSize and recvBufferMessages.',
    };
  }
  if (facts.rateLimitedUs >= MIN_LIMITED_US) {
    const { pendingBytes, sendRateBytesPerSec: rate } = facts;
    return {
      kind: 'rateLimited',
      summary: `for ${seconds(facts.rateLimitedUs)} more is sent than ${rate} bytes/s let out; ${pendingBytes} bytes wait`,
      hint: 'Send less, or raise sendRateMin and sendRateMax if the way to the peer can take more.',
    };
  }
  const worst = Math.max(facts.lossRatio, facts.remoteLossRatio);
  if (worst >= MIN_LOSS_RATIO) {
    return {
      kind: 'lossy',
      summary: `packets are lost: ${percent(facts.lossRatio)} to us, ${percent(facts.remoteLossRatio)} to the peer`,
      hint: 'The network is bad or overloaded: look at Wi-Fi and firewalls; send less, or lower sendRateMax.',
    };
  }
  return { kind: 'healthy', summary: 'nothing unusual was found', hint: '' };
}

function ofConnecting(connection: Connection, facts: DiagnosisFacts): Finding {
  const time = seconds(facts.inStateUs);
  if (connection.isIncoming && facts.state === 'Connecting') {
    return {
      kind: 'connecting',
      summary: `a client has waited ${time} to be accepted`,
      hint: 'Call `accept` or `reject`.',
    };
  }
  if (connection.link !== undefined) return ofRoute(connection.link, facts, time);
  const isAnswered = facts.challengeRepliesReceived > 0;
  const what = isAnswered
    ? 'the server answers and has not accepted yet'
    : `${facts.challengesSent} requests were sent and nobody has answered yet`;
  return { kind: 'connecting', summary: `after ${time}, ${what}`, hint: '' };
}

function isReceiveBufferFull({ data }: Connection): boolean {
  const { receiver } = data.delivery;
  const { recvBufferMessages, recvBufferBytes } = data.settings;
  const isFull = receiver.queuedMessages >= recvBufferMessages || receiver.queuedBytes >= recvBufferBytes;
  return isFull || receiver.isHoldingBack;
}

function silence(facts: DiagnosisFacts, is: string): Finding {
  const { unansweredProbes, silentUs, longestStallUs } = facts;
  const own =
    longestStallUs >= MIN_STALL_US ? ` Our own event loop stood still for ${seconds(longestStallUs)}, too.` : '';
  return {
    kind: 'peerWentSilent',
    summary: `the peer ${is} for ${seconds(silentUs)}; ${unansweredProbes} requests for an answer were not answered`,
    hint: `Its process or machine is gone or stands still, or the network between is cut.${own}`,
  };
}

function stall({ longestStallUs, longestStallAgoUs }: DiagnosisFacts): Finding {
  return {
    kind: 'ourLoopStalled',
    summary: `our own event loop stood still for ${seconds(longestStallUs)}, until ${seconds(longestStallAgoUs)} ago`,
    hint: 'Nothing is sent or answered meanwhile: move long computations and synchronous I/O to a worker thread.',
  };
}

// ---- ended

const CLOSED_BY_US: Finding = { kind: 'closedByUs', summary: 'this side closed the connection', hint: '' };

function ofClosedByPeer(connection: Connection, facts: DiagnosisFacts): Finding {
  const { isIncoming } = connection;
  const { endReason, wasConnected } = facts;
  const known = ofReason(facts, 'the peer');
  if (known !== undefined) return known;
  if (connection.link && !wasConnected && endReason === EndReason.Misc_P2P_Rendezvous) {
    return ofClosedRoute(connection.link, facts);
  }
  if (endReason === EndReason.Misc_PeerSentNoConnection) {
    return {
      kind: 'unknownToPeer',
      summary: `the peer does not know this connection any more: ${facts.endDebug}`,
      hint: 'It was started anew, or had given up on us and forgotten it. Connect again.',
    };
  }
  if (endReason === EndReason.Misc_Timeout && !wasConnected && !isIncoming) return notAccepted(facts);
  if (endReason === EndReason.Misc_Timeout && facts.longestStallUs >= MIN_STALL_US) return stall(facts);
  const isTimeout = endReason === EndReason.Misc_Timeout;
  return {
    kind: 'closedByPeer',
    summary: `the peer closed the connection: ${facts.endDebug} (${endReason} ${endReasonName(endReason)})`,
    hint: isTimeout
      ? 'The peer heard nothing from us for too long: packets from here to there are lost.'
      : isFromApplication(endReason)
        ? 'The application of the peer wanted it; reason and text are its own.'
        : 'The peer found a problem; its log may tell more.',
  };
}

function isFromApplication(endReason: number): boolean {
  return endReason >= EndReason.App_Generic && endReason <= EndReason.AppException_Max;
}

function ofProblem({ isIncoming, link }: Connection, facts: DiagnosisFacts): Finding {
  const { endReason, endDebug, wasConnected } = facts;
  const p2p = link && !wasConnected ? ofSignals(link, facts, isIncoming) : undefined;
  if (p2p !== undefined) return p2p;
  const known = ofReason(facts, 'this side');
  if (known !== undefined) return known;
  if (endReason === EndReason.Misc_Timeout) {
    if (wasConnected) return silence(facts, 'was silent');
    if (isIncoming) {
      return {
        kind: 'notAccepted',
        summary: 'the client was neither accepted nor rejected by our application in time',
        hint: 'Listen to `connection` and answer each client within timeoutInitial, or set autoAccept.',
      };
    }
    return facts.challengeRepliesReceived > 0 ? notAccepted(facts) : nobodyAnswers(facts);
  }
  // All that a client finds wrong with a server before it trusts it, beside what `ofReason` knows.
  if (endReason === EndReason.Misc_Generic && !wasConnected) return versionMismatch(endDebug, 'this side');
  return {
    kind: 'protocolViolation',
    summary: `the peer broke the protocol: ${endDebug}`,
    hint: 'The peer has a bug, has other limits than this side (recvMaxMessageSize), or is hostile.',
  };
}

/** What either side says about the other's credentials. */
function ofReason({ endReason, endDebug }: DiagnosisFacts, who: string): Finding | undefined {
  if (endReason === EndReason.Remote_BadProtocolVersion) return versionMismatch(endDebug, who);
  if (endReason === EndReason.Remote_BadCrypt && !/\bcert|sign/i.test(endDebug)) {
    return {
      kind: 'encryptionMismatch',
      summary: `${who} found no way to encrypt: ${endDebug}`,
      hint: 'Compare `unencrypted` of both sides: 0 requires encryption, 3 forbids it. If they agree, the peer is broken.',
    };
  }
  if (endDebug === Ends.noCertificate.debug) {
    return {
      kind: 'certificateRefused',
      summary: `this side has ${endDebug}`,
      hint: 'Get a certificate that has not expired and give it to setCertificate; or set ipAllowWithoutAuth to 2.',
    };
  }
  const isIgnored =
    endReason === EndReason.Misc_Timeout && endDebug.startsWith(`${Ends.connectTimedOut.debug}; replies`);
  const isAboutCertificate =
    isIgnored || endReason === EndReason.Remote_BadCert || endReason === EndReason.Remote_BadCrypt;
  if (!isAboutCertificate) return undefined;
  const [, hint = OTHER_ADVICE] = CERTIFICATE_ADVICE.find(([pattern]) => pattern.test(endDebug)) ?? [];
  return { kind: 'certificateRefused', summary: `${who} refused the certificate: ${endDebug}`, hint };
}

/** By the text of the end, ours or GNS's: it is all that is known of what the peer found. */
const CERTIFICATE_ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /expired/i,
    'Get a new one: the event `expiring` of credentials tells when it is time. If it is still good, set the clocks.',
  ],
  [
    /not trusted|unknown|not known/i,
    'Whoever refused it has to trust its authority (trustedCAs), or it has to come from another one.',
  ],
  [/revoked/i, 'Its key must not be used any more: make a new one and get a certificate for that.'],
  [/was expected|pinned/i, 'Somebody else is at this address, or expectedIdentity or pinnedKey is wrong.'],
  [
    /unsigned|not signed, |anonymous/i,
    'Get a certificate for the side without one, and setCertificate; or set ipAllowWithoutAuth to 2.',
  ],
  [/application|\bapp ?id/i, 'Certificates are for applications: compare its appIds with appId of both sides.'],
  [/the peer is at/i, 'It names the addresses of its owner: get one for the address that was seen, or one for any.'],
  [/not signed by/i, 'It was changed, or belongs to somebody else who has the key for it.'],
];
const OTHER_ADVICE = 'Look at it with `gns cert verify`: it must be for the identity that is used.';

function versionMismatch(endDebug: string, who: string): Finding {
  return {
    kind: 'versionMismatch',
    summary: `${who} found that the protocol versions do not fit: ${endDebug}`,
    hint: 'Update the older side.',
  };
}

function nobodyAnswers({ challengesSent }: DiagnosisFacts): Finding {
  return {
    kind: 'nobodyAnswers',
    summary: `nobody answered any of ${challengesSent} requests`,
    hint: 'Check address and UDP port, whether the server runs, and firewalls on the way.',
  };
}

function notAccepted({ requestsSent }: DiagnosisFacts): Finding {
  return {
    kind: 'notAccepted',
    summary: `the server is there, and left ${requestsSent} requests to connect unanswered`,
    hint: 'Its application did not accept in time, it is full, or it refuses our certificate or wants one. It tells only its own side: its log, or the event `refused`.',
  };
}

function seconds(us: number): string {
  return `${(us / US_PER_SECOND).toFixed(1)} s`;
}

function percent(ratio: number): string {
  return ratio < 0 ? 'an unknown share' : `${Math.round(ratio * 100)} %`;
}

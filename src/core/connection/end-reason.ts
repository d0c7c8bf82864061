// Why a connection ended: GNS's numbers, and what becomes of those that an application gives. Spec: 04 §4.3, §4.7.

/** The named reasons. The set is open: any number may arrive from a peer. */
export const EndReason = {
  None: 0,
  App_Generic: 1000,
  App_Max: 1999,
  AppException_Generic: 2000,
  AppException_Max: 2999,
  Local_OfflineMode: 3001,
  Local_ManyRelayConnectivity: 3002,
  Local_HostedServerPrimaryRelay: 3003,
  Local_NetworkConfig: 3004,
  Local_Rights: 3005,
  Local_P2P_ICE_NoPublicAddresses: 3006,
  Remote_Timeout: 4001,
  Remote_BadCrypt: 4002,
  Remote_BadCert: 4003,
  Remote_BadProtocolVersion: 4006,
  Remote_P2P_ICE_NoPublicAddresses: 4007,
  Misc_Generic: 5001,
  Misc_InternalError: 5002,
  Misc_Timeout: 5003,
  Misc_SteamConnectivity: 5005,
  Misc_NoRelaySessionsToClient: 5006,
  Misc_P2P_Rendezvous: 5008,
  Misc_P2P_NAT_Firewall: 5009,
  Misc_PeerSentNoConnection: 5010,
} as const;

/** The name of a reason, or the range it lies in. */
export function endReasonName(reason: number): string {
  for (const [name, number] of Object.entries(EndReason)) if (number === reason) return name;
  const range = RANGES.find(({ from }) => reason >= from);
  return range === undefined ? 'Invalid' : range.name;
}

const RANGES = [
  { from: 6000, name: 'Invalid' },
  { from: 5000, name: 'Misc' },
  { from: 4000, name: 'Remote' },
  { from: 3000, name: 'Local' },
  { from: 2000, name: 'AppException' },
  { from: 1000, name: 'App' },
] as const;

/** What an application's own reason and text become. */
export function applicationEnd(reason: number, debug: string): End {
  const code = reason === 0 ? EndReason.App_Generic : reason;
  if (!Number.isInteger(code) || code < EndReason.App_Generic || code > EndReason.AppException_Max) {
    return { reason: EndReason.App_Max, debug: 'Invalid numeric reason code' };
  }
  const isUnusual = code >= EndReason.AppException_Generic;
  const fallback = isUnusual ? 'Application closed connection in an unusual way' : 'Application closed connection';
  return { reason: code, debug: debug === '' ? fallback : debug };
}

/** Why a connection ends, and what is said about it. */
export interface End {
  readonly reason: number;
  readonly debug: string;
}

/** GNS has no public name for it. Spec: 07 §7.14. */
const ICE_NOT_ENABLED = 3998;

/** The ends that we find ourselves. The texts are ours; only the numbers are GNS's. */
export const Ends = {
  connectTimedOut: { reason: EndReason.Misc_Timeout, debug: 'Timed out attempting to connect' },
  acceptTimedOut: { reason: EndReason.Misc_Timeout, debug: 'The application did not accept or reject in time' },
  timedOut: { reason: EndReason.Misc_Timeout, debug: 'Connection timed out: nothing was heard from the peer' },
  unknownToPeer: { reason: EndReason.Misc_PeerSentNoConnection, debug: 'The peer does not know this connection' },
  superseded: {
    reason: EndReason.Misc_PeerSentNoConnection,
    debug: 'The peer has forgotten it, and started a new one',
  },
  noCertificate: {
    reason: EndReason.Misc_InternalError,
    debug: 'no certificate to present, and the configuration does not allow a self-made one',
  },
  noCommonCipher: {
    reason: EndReason.Remote_BadCrypt,
    debug: 'the two sides have no cipher in common; one requires encryption and the other refuses it',
  },
  noTransport: {
    reason: ICE_NOT_ENABLED,
    debug: 'P2P_Transport_ICE_Enable permits no kind of address, and there is no other transport',
  },
  hostedServer: {
    reason: EndReason.Misc_P2P_Rendezvous,
    debug: 'the peer is a hosted server of a relay network, which is not supported',
  },
  signalNotSent: { reason: EndReason.Misc_InternalError, debug: 'Failed to send P2P signal' },
  badKey: { reason: EndReason.Remote_BadCrypt, debug: "the peer's key exchange key is unusable" },
} as const satisfies Record<string, End>;

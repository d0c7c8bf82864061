// docs/coverage.md is complete and true: every call and every configuration value of GNS has a row, and every row names a
// test that exists, or a reason of a few. docs/api-reference.md is what the source says.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { CONFIG_VALUES } from '../src/index.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Chapters 5.1, 5.4 – 5.6 and 8 of the specification. */
const CALLS = `
  AcceptConnection AllocateMessage BeginAsyncRequestFakeIP CheckPingDataUpToDate CloseConnection CloseListenSocket
  ConfigureConnectionLanes ConnectByIPAddress ConnectP2P ConnectP2PCustomSignaling ConnectToHostedDedicatedServer
  ConvertPingLocationToString CreateCustomSignaling CreateFakeUDPPort CreateHostedDedicatedServerListenSocket
  CreateListenSocketIP CreateListenSocketP2P CreateListenSocketP2PFakeIP CreatePollGroup CreateSocketPair
  DestroyPollGroup EstimatePingTimeBetweenTwoLocations EstimatePingTimeFromLocalHost FindRelayAuthTicketForServer
  FlushMessagesOnConnection GameNetworkingSockets_Init GameNetworkingSockets_Kill GetAuthenticationStatus
  GetCertificateRequest GetConfigValue GetConfigValueInfo GetConnectionInfo GetConnectionName
  GetConnectionRealTimeStatus GetConnectionUserData GetDetailedConnectionStatus GetDirectPingToPOP GetFakeIP
  GetGameCoordinatorServerLogin GetHostedDedicatedServerAddress GetHostedDedicatedServerPOPID
  GetHostedDedicatedServerPort GetIPv4FakeIPType GetIdentity GetListenSocketAddress GetLocalPingLocation
  GetLocalTimestamp GetPOPCount GetPOPList GetPingToDataCenter GetRealIdentityForFakeIP GetRelayNetworkStatus
  GetRemoteFakeIPForConnection GetSteamNetworkingLocationPOPStringFromID InitAuthentication InitRelayNetworkAccess
  IsFakeIPv4 IterateGenericEditableConfigValues OnConnectRequest ParsePingLocationString ReceiveMessagesOnConnection
  ReceiveMessagesOnPollGroup ReceivedP2PCustomSignal ReceivedP2PCustomSignal2 ReceivedRelayAuthTicket ResetIdentity
  RunCallbacks STEAMNETWORKINGSOCKETS_LOG_FILE STEAMNETWORKINGSOCKETS_LOG_LEVEL SendMessageToConnection SendMessages
  SendRejectionSignal SendSignal SetCertificate SetConfigValue SetConfigValueStruct SetConnectionConfigValueFloat
  SetConnectionConfigValueInt32 SetConnectionConfigValueString SetConnectionName SetConnectionPollGroup
  SetConnectionUserData SetDebugOutputFunction SetGlobalCallback_FakeIPResult
  SetGlobalCallback_MessagesSessionFailed SetGlobalCallback_MessagesSessionRequest
  SetGlobalCallback_SteamNetAuthenticationStatusChanged SetGlobalCallback_SteamNetConnectionStatusChanged
  SetGlobalCallback_SteamRelayNetworkStatusChanged SetGlobalConfigValueFloat SetGlobalConfigValueInt32
  SetGlobalConfigValuePtr SetGlobalConfigValueString SteamNetworkingIPAddr_GetFakeIPType
  SteamNetworkingIPAddr_ParseString SteamNetworkingIPAddr_ToString SteamNetworkingIdentity_ParseString
  SteamNetworkingIdentity_ToString SteamNetworkingPOPID SteamNetworkingSockets
  SteamNetworkingSockets_SetCustomMemoryAllocator SteamNetworkingSockets_SetLockAcquiredCallback
  SteamNetworkingSockets_SetLockHeldCallback SteamNetworkingSockets_SetLockWaitWarningThreshold
  SteamNetworkingSockets_SetServiceThreadInitCallback SteamNetworkingUtils   ISteamNetworkingConnectionSignaling::Release
  AcceptSessionWithUser CloseChannelWithUser CloseSessionWithUser GetSessionConnectionInfo ReceiveMessagesOnChannel
  SendMessageToUser SteamNetworkingMessages
`;

/** Chapter 5.7. */
const ADDRESS_CALLS = `
  Clear GetFakeIPType GetIPv4 IsFakeIP IsIPv4 IsIPv6AllZeros IsLocalHost ParseString SetIPv4 SetIPv6
  SetIPv6LocalHost ToString operator==
`;
const IDENTITY_CALLS = `
  Clear GetFakeIPType GetGenericBytes GetGenericString GetIPAddr GetIPv4 GetPSNID GetSteamID GetSteamID64
  GetXboxPairwiseID IsFakeIP IsInvalid IsLocalHost ParseString SetGenericBytes SetGenericString SetIPAddr
  SetIPv4Addr SetLocalHost SetPSNID SetSteamID SetSteamID64 SetXboxPairwiseID ToString operator< operator==
`;

/** Why something is not here. Details may follow a colon. */
const REASONS = [
  'P2P: planned',
  "needs Valve's relay network",
  "needs Valve's hosted servers",
  "needs Valve's FakeIP service",
  'not needed: ',
];

interface Row {
  /** GNS's names, as in the first column. */
  readonly names: string;
  readonly ours: string;
  readonly where: string;
  /** Tests, or a reason. */
  readonly proof: string;
}

const ROWS: readonly Row[] = readFileSync(join(ROOT, 'docs/coverage.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| (?!GNS \|)/.test(line))
  .map((line) => {
    const [names = '', ours = '', where = '', proof = '', ...rest] = line.slice(2, -2).split(' | ');
    expect(rest, line).to.deep.equal([]);
    return { names, ours, where, proof };
  });

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

/** Those of these names that no row has. */
function missing(names: readonly string[]): readonly string[] {
  const known = new Set(ROWS.flatMap((row) => [...row.names.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)));
  return names.filter((name) => !known.has(name));
}

describe('docs/coverage.md', () => {
  it('has every call of GNS', () => {
    expect(missing(words(CALLS))).to.deep.equal([]);
    expect(missing(words(ADDRESS_CALLS).map((name) => `SteamNetworkingIPAddr::${name}`))).to.deep.equal([]);
    expect(missing(words(IDENTITY_CALLS).map((name) => `SteamNetworkingIdentity::${name}`))).to.deep.equal([]);
  });

  it('has every configuration value, by both names and its number', () => {
    for (const [name, { gnsName, number }] of Object.entries(CONFIG_VALUES)) {
      const row = ROWS.find(({ names }) => names === `\`${gnsName}\` (${number})`);
      expect(row?.ours, name).to.match(new RegExp(`^\`${name}\``));
    }
    const callbacks = [201, 202, 204, 205, 206];
    const numbers = ROWS.flatMap(({ names }) => /\((\d+)\)$/.exec(names)?.[1] ?? []).map(Number);
    expect(numbers).to.include.members(callbacks);
    expect(numbers).to.have.length(Object.keys(CONFIG_VALUES).length + callbacks.length);
  });

  it('has a test or a reason in every row', () => {
    for (const { names, ours, where, proof } of ROWS) {
      if (where === '–') {
        expect(ours, names).to.equal('–');
        expect(
          REASONS.some((reason) => proof.startsWith(reason)),
          `${names}: ${proof}`,
        ).to.equal(true);
      } else {
        expect(proof, names).to.match(
          /^`test\/[\w/.-]+\.test\.ts`: "[^"]+"(?:; `test\/[\w/.-]+\.test\.ts`: "[^"]+")*$/,
        );
      }
    }
  });

  it('names files that exist', () => {
    const files = ROWS.map(({ where }) => where).filter((where) => where !== '–');
    expect(files.filter((file) => !existsSync(join(ROOT, file.slice(1, -1))))).to.deep.equal([]);
  });

  it('quotes tests that exist', () => {
    const tests = new Map(
      readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
        .map((path) => `test/${path.replaceAll('\\', '/')}`)
        .filter((path) => path.endsWith('.test.ts'))
        .map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]),
    );
    const wrong = ROWS.flatMap(({ proof }) =>
      [...proof.matchAll(/`(test\/[^`]+)`: "([^"]+)"/g)]
        .filter(([, path, quoted]) => tests.get(path!)?.includes(quoted!) !== true)
        .map(([all]) => all),
    );
    expect(wrong).to.deep.equal([]);
  });
});

describe('docs/api-reference.md', () => {
  it('is up to date; if not, run `npm run build` and `npm run api-reference`', () => {
    const declarations = fileURLToPath(new URL('../src', import.meta.url));
    const script = join(ROOT, 'scripts/api-reference.mjs');
    const { stdout, status } = spawnSync(process.execPath, [script, '--print', declarations], { encoding: 'utf8' });
    expect(status).to.equal(0);
    const isUpToDate = stdout === readFileSync(join(ROOT, 'docs/api-reference.md'), 'utf8');
    expect(isUpToDate, 'docs/api-reference.md is as generated').to.equal(true);
  });
});

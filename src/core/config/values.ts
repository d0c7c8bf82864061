// Every configuration value in one table: its names, limits and meaning; and how a name given by an application is
// understood. Spec: "Configuration values" (6.2).
import { NetworkingError } from '../base/errors.ts';

export type ConfigType = 'int32' | 'int64' | 'float' | 'string';

/** One row of the table. */
export interface ConfigValueInfo {
  /** GNS's number; those of values that only we have begin at 10,000, where GNS has none. */
  readonly number: number;
  readonly type: ConfigType;
  /** `connection`: may be set for everything, a listen socket or one connection. `global`: for everything only. */
  readonly scope: 'global' | 'connection';
  readonly default: number | bigint | string;
  /** What is outside of the limits is moved to the nearer one. */
  readonly min?: number;
  readonly max?: number;
  readonly unit?: string;
  /** GNS's name, or in its manner, without `k_ESteamNetworkingConfig_`. Without underscores it is our name. */
  readonly gnsName: string;
  readonly description: string;
  /** Not offered by a generic editor: never, or only to developers. */
  readonly listing?: 'hidden' | 'dev';
  /** Derived from another value. */
  readonly readOnly?: true;
}

// biome-ignore format: numbers in one line and words in the next, so that rows can be compared
export const CONFIG_VALUES = {
  fakePacketLossSend: {
    number: 2, type: 'float', scope: 'global', default: 0, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketLoss_Send', description: 'Share of outgoing datagrams that is dropped.',
  },
  fakePacketLossRecv: {
    number: 3, type: 'float', scope: 'global', default: 0, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketLoss_Recv', description: 'Share of incoming datagrams that is dropped.',
  },
  fakePacketLagSend: {
    number: 4, type: 'int32', scope: 'global', default: 0, min: 0, max: 5000, unit: 'ms',
    gnsName: 'FakePacketLag_Send', description: 'Delay added to every outgoing datagram.',
  },
  fakePacketLagRecv: {
    number: 5, type: 'int32', scope: 'global', default: 0, min: 0, max: 5000, unit: 'ms',
    gnsName: 'FakePacketLag_Recv', description: 'Delay added to every incoming datagram.',
  },
  fakePacketReorderSend: {
    number: 6, type: 'float', scope: 'global', default: 0, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketReorder_Send', description: 'Share of outgoing datagrams held back by fakePacketReorderTime.',
  },
  fakePacketReorderRecv: {
    number: 7, type: 'float', scope: 'global', default: 0, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketReorder_Recv', description: 'Share of incoming datagrams held back by fakePacketReorderTime.',
  },
  fakePacketReorderTime: {
    number: 8, type: 'int32', scope: 'global', default: 15, min: 0, max: 5000, unit: 'ms',
    gnsName: 'FakePacketReorder_Time', description: 'Extra delay of a datagram picked for reordering.',
  },
  sendBufferSize: {
    number: 9, type: 'int32', scope: 'connection', default: 524_288, min: 4096, max: 268_435_456, unit: 'bytes',
    gnsName: 'SendBufferSize', description: 'Limit of unsent bytes; more fails to send.',
  },
  sendRateMin: {
    number: 10, type: 'int32', scope: 'connection', default: 262_144, min: 1024, max: 268_435_456, unit: 'bytes/s',
    gnsName: 'SendRateMin', description: 'Lower limit of the send rate; wins over sendRateMax.',
  },
  sendRateMax: {
    number: 11, type: 'int32', scope: 'connection', default: 262_144, min: 1024, max: 268_435_456, unit: 'bytes/s',
    gnsName: 'SendRateMax', description: 'Upper limit of the send rate; equal to sendRateMin: a fixed rate.',
  },
  nagleTime: {
    number: 12, type: 'int32', scope: 'connection', default: 5000, min: 0, max: 20_000, unit: 'us',
    gnsName: 'NagleTime', description: 'How long a small message may wait for company.',
  },
  logLevelAckRtt: {
    number: 13, type: 'int32', scope: 'connection', default: 4, min: 2, max: 8, unit: 'log level',
    gnsName: 'LogLevel_AckRTT', description: 'How much is logged about ping and acknowledgement details.',
  },
  logLevelPacketDecode: {
    number: 14, type: 'int32', scope: 'connection', default: 4, min: 2, max: 8, unit: 'log level',
    gnsName: 'LogLevel_PacketDecode', description: 'How much is logged about the contents of packets.',
  },
  logLevelMessage: {
    number: 15, type: 'int32', scope: 'connection', default: 4, min: 2, max: 8, unit: 'log level',
    gnsName: 'LogLevel_Message', description: 'How much is logged about messages.',
  },
  logLevelPacketGaps: {
    number: 16, type: 'int32', scope: 'connection', default: 4, min: 2, max: 8, unit: 'log level',
    gnsName: 'LogLevel_PacketGaps', description: 'How much is logged about lost packets.',
  },
  logLevelP2pRendezvous: {
    number: 17, type: 'int32', scope: 'connection', default: 4, min: 2, max: 8, unit: 'log level',
    gnsName: 'LogLevel_P2PRendezvous', description: 'How much is logged about signalling and ICE.',
  },
  ipAllowWithoutAuth: {
    number: 23, type: 'int32', scope: 'connection', default: 2, min: 0, max: 2, unit: 'mode',
    gnsName: 'IP_AllowWithoutAuth', description: 'Peers without a trusted certificate: 0 refuse, 1 warn, 2 accept.',
    listing: 'dev',
  },
  timeoutInitial: {
    number: 24, type: 'int32', scope: 'connection', default: 10_000, min: 0, max: 0x7fff_ffff, unit: 'ms',
    gnsName: 'TimeoutInitial', description: 'How long each phase of connecting may take, acceptance included.',
  },
  timeoutConnected: {
    number: 25, type: 'int32', scope: 'connection', default: 10_000, min: 0, max: 0x7fff_ffff, unit: 'ms',
    gnsName: 'TimeoutConnected', description: 'How long a connected peer may be silent.',
  },
  fakePacketDupSend: {
    number: 26, type: 'float', scope: 'global', default: 0, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketDup_Send', description: 'Share of outgoing datagrams that is duplicated.',
  },
  fakePacketDupRecv: {
    number: 27, type: 'float', scope: 'global', default: 0, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketDup_Recv', description: 'Share of incoming datagrams that is duplicated.',
  },
  fakePacketDupTimeMax: {
    number: 28, type: 'int32', scope: 'global', default: 10, min: 0, max: 5000, unit: 'ms',
    gnsName: 'FakePacketDup_TimeMax', description: 'Largest extra delay of a duplicate.',
  },
  mtuPacketSize: {
    number: 32, type: 'int32', scope: 'connection', default: 1300, min: 200, max: 1300, unit: 'bytes',
    gnsName: 'MTU_PacketSize', description: 'Largest UDP payload we send.',
  },
  mtuDataSize: {
    number: 33, type: 'int32', scope: 'connection', default: 1200, min: 100, max: 1200, unit: 'bytes',
    gnsName: 'MTU_DataSize', description: 'Room for messages in a packet: mtuPacketSize less 100.',
    listing: 'hidden', readOnly: true,
  },
  unencrypted: {
    number: 34, type: 'int32', scope: 'connection', default: 0, min: 0, max: 3, unit: 'mode',
    gnsName: 'Unencrypted', description: 'Encryption: 0 required, 1 preferred, 2 not preferred, 3 not allowed.',
    listing: 'dev',
  },
  symmetricConnect: {
    number: 37, type: 'int32', scope: 'connection', default: 0, min: 0, max: 1, unit: 'switch',
    gnsName: 'SymmetricConnect', description: 'Both peers connect to each other and become one connection.',
    listing: 'hidden',
  },
  localVirtualPort: {
    number: 38, type: 'int32', scope: 'connection', default: -1, min: -1, max: 0x7fff_ffff, unit: 'port',
    gnsName: 'LocalVirtualPort', description: 'Our virtual port of an outgoing P2P connection; -1 for none.',
    listing: 'hidden',
  },
  connectionUserData: {
    number: 40, type: 'int64', scope: 'connection', default: -1n,
    gnsName: 'ConnectionUserData', description: "The application's own number, copied when the connection is created.",
    listing: 'hidden',
  },
  packetTraceMaxBytes: {
    number: 41, type: 'int32', scope: 'global', default: -1, min: -1, max: 99_999, unit: 'bytes',
    gnsName: 'PacketTraceMaxBytes', description: 'How much of every datagram is logged; 0 its header line, -1 nothing.',
  },
  fakeRateLimitSendRate: {
    number: 42, type: 'int32', scope: 'global', default: 0, min: 0, max: 0x4000_0000, unit: 'bytes/s',
    gnsName: 'FakeRateLimit_Send_Rate', description: 'Limit of outgoing traffic; 0 for none.',
  },
  fakeRateLimitSendBurst: {
    number: 43, type: 'int32', scope: 'global', default: 16_384, min: 0, max: 0x10_0000, unit: 'bytes',
    gnsName: 'FakeRateLimit_Send_Burst', description: 'What may go out at once under fakeRateLimitSendRate.',
  },
  fakeRateLimitRecvRate: {
    number: 44, type: 'int32', scope: 'global', default: 0, min: 0, max: 0x4000_0000, unit: 'bytes/s',
    gnsName: 'FakeRateLimit_Recv_Rate', description: 'Limit of incoming traffic; 0 for none.',
  },
  fakeRateLimitRecvBurst: {
    number: 45, type: 'int32', scope: 'global', default: 16_384, min: 0, max: 0x10_0000, unit: 'bytes',
    gnsName: 'FakeRateLimit_Recv_Burst', description: 'What may come in at once under fakeRateLimitRecvRate.',
  },
  recvBufferSize: {
    number: 47, type: 'int32', scope: 'connection', default: 1_048_576, min: 4096, max: 268_435_456, unit: 'bytes',
    gnsName: 'RecvBufferSize', description: 'Limit of unread bytes; what exceeds it is not acknowledged.',
  },
  recvBufferMessages: {
    number: 48, type: 'int32', scope: 'connection', default: 1000, min: 2, max: 268_435_456, unit: 'messages',
    gnsName: 'RecvBufferMessages', description: 'Limit of unread messages; what exceeds it is not acknowledged.',
  },
  recvMaxMessageSize: {
    number: 49, type: 'int32', scope: 'connection', default: 524_288, min: 64, max: 268_435_456, unit: 'bytes',
    gnsName: 'RecvMaxMessageSize', description: 'A reliable message announced as larger closes the connection.',
  },
  recvMaxSegmentsPerPacket: {
    number: 50, type: 'int32', scope: 'connection', default: 1300, min: 1, max: 1300, unit: 'segments',
    gnsName: 'RecvMaxSegmentsPerPacket', description: 'A packet with more segments is discarded.',
  },
  outOfOrderCorrectionWindowMicroseconds: {
    number: 51, type: 'int32', scope: 'global', default: 1000, min: 0, max: 50_000, unit: 'us',
    gnsName: 'OutOfOrderCorrectionWindowMicroseconds', description: 'How long an early packet waits for earlier ones.',
  },
  ipLocalHostAllowWithoutAuth: {
    number: 52, type: 'int32', scope: 'connection', default: 2, min: 0, max: 2, unit: 'mode',
    gnsName: 'IPLocalHost_AllowWithoutAuth', description: 'As ipAllowWithoutAuth, for peers on this machine.',
  },
  fakePacketJitterSendAvg: {
    number: 53, type: 'float', scope: 'global', default: 0, min: 0, max: 2000, unit: 'ms',
    gnsName: 'FakePacketJitter_Send_Avg', description: 'Mean random delay of outgoing datagrams; 0 for no jitter.',
  },
  fakePacketJitterSendMax: {
    number: 54, type: 'float', scope: 'global', default: 100, min: 0, max: 5000, unit: 'ms',
    gnsName: 'FakePacketJitter_Send_Max', description: 'Largest random delay of outgoing datagrams.',
  },
  fakePacketJitterSendPct: {
    number: 55, type: 'float', scope: 'global', default: 75, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketJitter_Send_Pct', description: 'Share of outgoing datagrams that jitter may delay.',
  },
  fakePacketJitterRecvAvg: {
    number: 56, type: 'float', scope: 'global', default: 0, min: 0, max: 2000, unit: 'ms',
    gnsName: 'FakePacketJitter_Recv_Avg', description: 'Mean random delay of incoming datagrams; 0 for no jitter.',
  },
  fakePacketJitterRecvMax: {
    number: 57, type: 'float', scope: 'global', default: 100, min: 0, max: 5000, unit: 'ms',
    gnsName: 'FakePacketJitter_Recv_Max', description: 'Largest random delay of incoming datagrams.',
  },
  fakePacketJitterRecvPct: {
    number: 58, type: 'float', scope: 'global', default: 75, min: 0, max: 100, unit: '%',
    gnsName: 'FakePacketJitter_Recv_Pct', description: 'Share of incoming datagrams that jitter may delay.',
  },
  sendTimeSincePreviousPacket: {
    number: 59, type: 'int32', scope: 'connection', default: -1, min: -1, max: 1, unit: 'switch',
    gnsName: 'SendTimeSincePreviousPacket', description: 'Tell the peer how far apart we sent: 1 yes, 0 and -1 no.',
  },
  p2pStunServerList: {
    number: 103, type: 'string', scope: 'connection', default: '',
    gnsName: 'P2P_STUN_ServerList', description: 'STUN servers as host:port, separated by commas.',
  },
  p2pTransportIceEnable: {
    number: 104, type: 'int32', scope: 'connection', default: 0x7fff_ffff, min: 0, max: 0x7fff_ffff, unit: 'bits',
    gnsName: 'P2P_Transport_ICE_Enable', description: 'Sum of 1 relay, 2 private, 4 public addresses; 0 disables ICE.',
  },
  p2pTransportIcePenalty: {
    number: 105, type: 'int32', scope: 'connection', default: 0, min: 0, max: 0x7fff_ffff, unit: 'ms',
    gnsName: 'P2P_Transport_ICE_Penalty', description: 'Added to the score of the route.',
  },
  p2pTurnServerList: {
    number: 107, type: 'string', scope: 'connection', default: '',
    gnsName: 'P2P_TURN_ServerList', description: 'TURN servers as host:port, separated by commas.',
  },
  p2pTurnUserList: {
    number: 108, type: 'string', scope: 'connection', default: '',
    gnsName: 'P2P_TURN_UserList', description: 'One user name for each TURN server, separated by commas.',
  },
  p2pTurnPassList: {
    number: 109, type: 'string', scope: 'connection', default: '',
    gnsName: 'P2P_TURN_PassList', description: 'One password for each TURN server, separated by commas.',
  },
  p2pTransportIceImplementation: {
    number: 110, type: 'int32', scope: 'connection', default: 0, min: 0, max: 2, unit: 'mode',
    gnsName: 'P2P_Transport_ICE_Implementation', description: '0 default, 1 native, 2 WebRTC library.',
  },
  redundantSends: {
    number: 10_001, type: 'int32', scope: 'connection', default: 0, min: 0, max: 3, unit: 'packets',
    gnsName: 'RedundantSends', description: 'In how many later packets a little reliable data goes again unasked.',
  },
  ipFollowAddressChange: {
    number: 10_002, type: 'int32', scope: 'connection', default: 1, min: 0, max: 1, unit: 'switch',
    gnsName: 'IP_FollowAddressChange', description: 'Of ours: a client with a new address stays connected: 1 yes, 0 no.',
  },
  mtuDiscoveryMax: {
    number: 10_003, type: 'int32', scope: 'connection', default: 0, min: 0, max: 8192, unit: 'bytes',
    gnsName: 'MTU_DiscoveryMax', description: 'Of ours, between ours: how large datagrams are tried; 0: by the path.',
  },
} as const satisfies Record<string, ConfigValueInfo>;

export type ConfigName = keyof typeof CONFIG_VALUES;
type RowOf<Name extends ConfigName> = (typeof CONFIG_VALUES)[Name];

/** Each value by its name; 64-bit integers are `bigint`. */
export type ConfigValues = { [Name in ConfigName]: TypeScriptTypes[RowOf<Name>['type']] };
interface TypeScriptTypes {
  int32: number;
  int64: bigint;
  float: number;
  string: string;
}

/** Values to set. `undefined` is the same as not mentioned. */
export type ConfigOptions = {
  [Name in ConfigName as RowOf<Name> extends { readOnly: true } ? never : Name]?: ConfigValues[Name] | undefined;
};

/** Those that can be set on a single listen socket or connection. */
export type ConnectionConfigOptions = {
  [Name in keyof ConfigOptions as RowOf<Name>['scope'] extends 'connection' ? Name : never]?: ConfigOptions[Name];
};

/** In the order of their numbers. */
export const CONFIG_NAMES = Object.keys(CONFIG_VALUES) as readonly ConfigName[];

/** The row of a value. Throws `UnknownConfigValue`, with the nearest name if there is one. */
export function configValueInfo(name: ConfigName): ConfigValueInfo {
  if (Object.hasOwn(CONFIG_VALUES, name)) return CONFIG_VALUES[name];
  throw unknownConfigValue(name);
}

/** Looks up our name or GNS's (in any case, with or without underscores and `k_ESteamNetworkingConfig_`) or number. */
export function findConfigValue(nameOrNumber: string | number): ConfigName | undefined {
  return NAMES_BY_KEY.get(typeof nameOrNumber === 'string' ? squeeze(nameOrNumber) : nameOrNumber);
}

/** As `findConfigValue`, but throws `UnknownConfigValue`, with the nearest name if there is one. */
export function resolveConfigName(nameOrNumber: string | number): ConfigName {
  const name = findConfigValue(nameOrNumber);
  if (name === undefined) throw unknownConfigValue(nameOrNumber);
  return name;
}

function squeeze(name: string): string {
  return name
    .toLowerCase()
    .replace(/^k_esteamnetworkingconfig_/, '')
    .replaceAll('_', '');
}

const NAMES_BY_KEY = new Map<string | number, ConfigName>();
for (const name of CONFIG_NAMES) NAMES_BY_KEY.set(squeeze(name), name).set(CONFIG_VALUES[name].number, name);

function unknownConfigValue(nameOrNumber: string | number): NetworkingError {
  const nearest = typeof nameOrNumber === 'string' ? findNearestName(squeeze(nameOrNumber)) : undefined;
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  return new NetworkingError('UnknownConfigValue', `there is no configuration value ${nameOrNumber}${hint}`);
}

/** The name that fewest typing mistakes turn into `squeezed`, if a quarter of its letters are enough. */
function findNearestName(squeezed: string): ConfigName | undefined {
  const distances = CONFIG_NAMES.map((name) => ({ name, mistakes: countMistakes(squeezed, squeeze(name)) }));
  const nearest = distances.reduce((best, other) => (other.mistakes < best.mistakes ? other : best));
  return nearest.mistakes * 4 <= nearest.name.length ? nearest.name : undefined;
}

/** Letters to insert, delete or replace (Levenshtein). */
function countMistakes(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

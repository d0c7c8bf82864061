// The table of configuration values against the specification, and what becomes of names and values from outside.
import { expect } from 'chai';
import fc from 'fast-check';
import { NetworkingError } from '../../../src/core/base/errors.ts';
import { type ConfigInput, parseConfigValue } from '../../../src/core/config/conversion.ts';
import {
  CONFIG_NAMES,
  type ConfigName,
  type ConnectionConfigOptions,
  configValueInfo,
  findConfigValue,
  resolveConfigName,
} from '../../../src/core/config/values.ts';

const { SEED } = process.env;
const seed = SEED === undefined ? {} : { seed: Number(SEED) };

// Number, our name, GNS's name, type, scope, default, min, max: the specification again, not a copy of the source.
// Those of our own come last.
// biome-ignore format: a table
const SPECIFIED = [
  [2, 'fakePacketLossSend', 'FakePacketLoss_Send', 'float', 'global', 0, 0, 100],
  [3, 'fakePacketLossRecv', 'FakePacketLoss_Recv', 'float', 'global', 0, 0, 100],
  [4, 'fakePacketLagSend', 'FakePacketLag_Send', 'int32', 'global', 0, 0, 5000],
  [5, 'fakePacketLagRecv', 'FakePacketLag_Recv', 'int32', 'global', 0, 0, 5000],
  [6, 'fakePacketReorderSend', 'FakePacketReorder_Send', 'float', 'global', 0, 0, 100],
  [7, 'fakePacketReorderRecv', 'FakePacketReorder_Recv', 'float', 'global', 0, 0, 100],
  [8, 'fakePacketReorderTime', 'FakePacketReorder_Time', 'int32', 'global', 15, 0, 5000],
  [9, 'sendBufferSize', 'SendBufferSize', 'int32', 'connection', 524288, 4096, 268435456],
  [10, 'sendRateMin', 'SendRateMin', 'int32', 'connection', 262144, 1024, 268435456],
  [11, 'sendRateMax', 'SendRateMax', 'int32', 'connection', 262144, 1024, 268435456],
  [12, 'nagleTime', 'NagleTime', 'int32', 'connection', 5000, 0, 20000],
  [13, 'logLevelAckRtt', 'LogLevel_AckRTT', 'int32', 'connection', 4, 2, 8],
  [14, 'logLevelPacketDecode', 'LogLevel_PacketDecode', 'int32', 'connection', 4, 2, 8],
  [15, 'logLevelMessage', 'LogLevel_Message', 'int32', 'connection', 4, 2, 8],
  [16, 'logLevelPacketGaps', 'LogLevel_PacketGaps', 'int32', 'connection', 4, 2, 8],
  [17, 'logLevelP2pRendezvous', 'LogLevel_P2PRendezvous', 'int32', 'connection', 4, 2, 8],
  [23, 'ipAllowWithoutAuth', 'IP_AllowWithoutAuth', 'int32', 'connection', 2, 0, 2],
  [24, 'timeoutInitial', 'TimeoutInitial', 'int32', 'connection', 10000, 0, 2147483647],
  [25, 'timeoutConnected', 'TimeoutConnected', 'int32', 'connection', 10000, 0, 2147483647],
  [26, 'fakePacketDupSend', 'FakePacketDup_Send', 'float', 'global', 0, 0, 100],
  [27, 'fakePacketDupRecv', 'FakePacketDup_Recv', 'float', 'global', 0, 0, 100],
  [28, 'fakePacketDupTimeMax', 'FakePacketDup_TimeMax', 'int32', 'global', 10, 0, 5000],
  [32, 'mtuPacketSize', 'MTU_PacketSize', 'int32', 'connection', 1300, 200, 1300],
  [33, 'mtuDataSize', 'MTU_DataSize', 'int32', 'connection', 1200, 100, 1200],
  [34, 'unencrypted', 'Unencrypted', 'int32', 'connection', 0, 0, 3],
  [37, 'symmetricConnect', 'SymmetricConnect', 'int32', 'connection', 0, 0, 1],
  [38, 'localVirtualPort', 'LocalVirtualPort', 'int32', 'connection', -1, -1, 2147483647],
  [40, 'connectionUserData', 'ConnectionUserData', 'int64', 'connection', -1n, undefined, undefined],
  [41, 'packetTraceMaxBytes', 'PacketTraceMaxBytes', 'int32', 'global', -1, -1, 99999],
  [42, 'fakeRateLimitSendRate', 'FakeRateLimit_Send_Rate', 'int32', 'global', 0, 0, 1073741824],
  [43, 'fakeRateLimitSendBurst', 'FakeRateLimit_Send_Burst', 'int32', 'global', 16384, 0, 1048576],
  [44, 'fakeRateLimitRecvRate', 'FakeRateLimit_Recv_Rate', 'int32', 'global', 0, 0, 1073741824],
  [45, 'fakeRateLimitRecvBurst', 'FakeRateLimit_Recv_Burst', 'int32', 'global', 16384, 0, 1048576],
  [47, 'recvBufferSize', 'RecvBufferSize', 'int32', 'connection', 1048576, 4096, 268435456],
  [48, 'recvBufferMessages', 'RecvBufferMessages', 'int32', 'connection', 1000, 2, 268435456],
  [49, 'recvMaxMessageSize', 'RecvMaxMessageSize', 'int32', 'connection', 524288, 64, 268435456],
  [50, 'recvMaxSegmentsPerPacket', 'RecvMaxSegmentsPerPacket', 'int32', 'connection', 1300, 1, 1300],
  [51, 'outOfOrderCorrectionWindowMicroseconds', 'OutOfOrderCorrectionWindowMicroseconds',
    'int32', 'global', 1000, 0, 50000],
  [52, 'ipLocalHostAllowWithoutAuth', 'IPLocalHost_AllowWithoutAuth', 'int32', 'connection', 2, 0, 2],
  [53, 'fakePacketJitterSendAvg', 'FakePacketJitter_Send_Avg', 'float', 'global', 0, 0, 2000],
  [54, 'fakePacketJitterSendMax', 'FakePacketJitter_Send_Max', 'float', 'global', 100, 0, 5000],
  [55, 'fakePacketJitterSendPct', 'FakePacketJitter_Send_Pct', 'float', 'global', 75, 0, 100],
  [56, 'fakePacketJitterRecvAvg', 'FakePacketJitter_Recv_Avg', 'float', 'global', 0, 0, 2000],
  [57, 'fakePacketJitterRecvMax', 'FakePacketJitter_Recv_Max', 'float', 'global', 100, 0, 5000],
  [58, 'fakePacketJitterRecvPct', 'FakePacketJitter_Recv_Pct', 'float', 'global', 75, 0, 100],
  [59, 'sendTimeSincePreviousPacket', 'SendTimeSincePreviousPacket', 'int32', 'connection', -1, -1, 1],
  [103, 'p2pStunServerList', 'P2P_STUN_ServerList', 'string', 'connection', '', undefined, undefined],
  [104, 'p2pTransportIceEnable', 'P2P_Transport_ICE_Enable', 'int32', 'connection', 2147483647, 0, 2147483647],
  [105, 'p2pTransportIcePenalty', 'P2P_Transport_ICE_Penalty', 'int32', 'connection', 0, 0, 2147483647],
  [107, 'p2pTurnServerList', 'P2P_TURN_ServerList', 'string', 'connection', '', undefined, undefined],
  [108, 'p2pTurnUserList', 'P2P_TURN_UserList', 'string', 'connection', '', undefined, undefined],
  [109, 'p2pTurnPassList', 'P2P_TURN_PassList', 'string', 'connection', '', undefined, undefined],
  [110, 'p2pTransportIceImplementation', 'P2P_Transport_ICE_Implementation', 'int32', 'connection', 0, 0, 2],
  [10_001, 'redundantSends', 'RedundantSends', 'int32', 'connection', 0, 0, 3],
  [10_002, 'ipFollowAddressChange', 'IP_FollowAddressChange', 'int32', 'connection', 1, 0, 1],
  [10_003, 'mtuDiscoveryMax', 'MTU_DiscoveryMax', 'int32', 'connection', 0, 0, 8192],
] as const;

describe('the table of configuration values', () => {
  for (const [number, name, gnsName, type, scope, value, min, max] of SPECIFIED) {
    it(`has ${name} as specified`, () => {
      const info = configValueInfo(name);
      expect({ ...info, min: info.min, max: info.max }).to.include({
        number,
        gnsName,
        type,
        scope,
        default: value,
        min,
        max,
      });
    });
  }

  it('has nothing else, and is in the order of the numbers', () => {
    expect(CONFIG_NAMES).to.deep.equal(SPECIFIED.map(([, name]) => name));
  });

  it('describes every value in a sentence', () => {
    for (const name of CONFIG_NAMES) expect(configValueInfo(name).description, name).to.match(/^.{10,}\.$/);
  });

  it('keeps some values from generic editors', () => {
    const listed = (listing: string) => CONFIG_NAMES.filter((name) => configValueInfo(name).listing === listing);
    expect(listed('dev')).to.deep.equal(['ipAllowWithoutAuth', 'unencrypted']);
    const hidden = ['mtuDataSize', 'symmetricConnect', 'localVirtualPort', 'connectionUserData'];
    expect(listed('hidden')).to.deep.equal(hidden);
  });

  it('gives options of a connection their types', () => {
    const options: ConnectionConfigOptions = { sendRateMin: 1, connectionUserData: 1n, p2pStunServerList: 'a' };
    // @ts-expect-error a global value is no option of a connection
    options.fakePacketLossSend = 1;
    // @ts-expect-error a derived value is no option at all
    options.mtuDataSize = 1;
    expect(options.sendRateMin).to.equal(1);
  });
});

describe('findConfigValue', () => {
  for (const [number, name, gnsName] of SPECIFIED) {
    it(`finds ${name} by its names and its number`, () => {
      const keys = [name, gnsName, gnsName.toLowerCase(), `k_ESteamNetworkingConfig_${gnsName}`, number];
      expect(keys.map(findConfigValue)).to.deep.equal(keys.map(() => name));
    });
  }

  it('does not know values of other builds, callbacks, or properties of objects', () => {
    for (const key of [0, 1, 18, 35, 46, 60, 106, 201, 999, '', '9', 'constructor', '__proto__', 'sendBufferSiz']) {
      expect(findConfigValue(key), String(key)).to.equal(undefined);
    }
  });
});

describe('resolveConfigName', () => {
  it('suggests the nearest name', () => {
    const mistyped = () => resolveConfigName('SendBufferSise');
    expect(mistyped).to.throw(NetworkingError, 'SendBufferSise; did you mean sendBufferSize?');
    expect(mistyped).to.throw().with.property('code', 'UnknownConfigValue');
  });

  it('suggests nothing when no name is near', () => {
    expect(() => resolveConfigName('colour')).to.throw(NetworkingError, /value colour$/);
    expect(() => resolveConfigName(999)).to.throw(NetworkingError, /value 999$/);
  });
});

describe('parseConfigValue', () => {
  const converted: [ConfigName, ConfigInput, ConfigInput][] = [
    ['nagleTime', 17, 17],
    ['nagleTime', 17n, 17],
    ['nagleTime', 2.5, 3],
    ['nagleTime', 2.4, 2],
    ['nagleTime', '12abc', 12],
    ['nagleTime', ' 12', 12],
    ['nagleTime', '1e3', 1],
    ['symmetricConnect', true, 1],
    ['symmetricConnect', false, 0],
    ['localVirtualPort', -0.5, 0],
    ['connectionUserData', 5, 5n],
    ['connectionUserData', '-9223372036854775808', -9_223_372_036_854_775_808n],
    ['connectionUserData', '+12abc', 12n],
    ['connectionUserData', true, 1n],
    ['fakePacketLossSend', 0.5, 0.5],
    ['fakePacketLossSend', 7n, 7],
    ['fakePacketLossSend', '2.5%', 2.5],
    ['fakePacketLossSend', '.5e1', 5],
    ['p2pStunServerList', 'a:1,b:2', 'a:1,b:2'],
    ['p2pStunServerList', '', ''],
    ['p2pStunServerList', 12, '12'],
    ['p2pStunServerList', 12n, '12'],
    ['p2pStunServerList', 0.123456789, '0.123457'],
  ];
  for (const [name, input, value] of converted) {
    it(`takes ${typeof input} ${String(input)} for ${name} as ${typeof value} ${value}`, () => {
      expect(parseConfigValue(name, input)).to.equal(value);
    });
  }

  const clamped: [ConfigName, ConfigInput, number][] = [
    ['sendBufferSize', 1, 4096],
    ['sendBufferSize', '999999999', 268_435_456],
    ['mtuPacketSize', 9000, 1300],
    ['timeoutConnected', -1, 0],
    ['fakePacketLossRecv', 100.5, 100],
    ['fakePacketLossRecv', -0.1, 0],
  ];
  for (const [name, input, value] of clamped) {
    it(`moves ${input} for ${name} to the limit ${value}`, () => {
      expect(parseConfigValue(name, input)).to.equal(value);
    });
  }

  const refused: [ConfigName, unknown, string][] = [
    ['nagleTime', 'abc', 'nagleTime cannot be "abc"; expected a whole number from 0 to 20000'],
    ['nagleTime', '', 'cannot be ""'],
    ['nagleTime', 2 ** 31, 'cannot be 2147483648'],
    ['nagleTime', 2n ** 31n, 'cannot be 2147483648'],
    ['nagleTime', Number.NaN, 'cannot be NaN'],
    ['nagleTime', Number.POSITIVE_INFINITY, 'cannot be Infinity'],
    ['nagleTime', null, 'cannot be null'],
    ['nagleTime', undefined, 'cannot be undefined'],
    ['nagleTime', [5], 'cannot be 5'],
    ['connectionUserData', 1.5, 'expected a whole number of 64 bits'],
    ['connectionUserData', 2n ** 63n, 'expected a whole number of 64 bits'],
    ['connectionUserData', 'x', 'cannot be "x"'],
    ['fakePacketLossSend', '%', 'expected a number from 0 to 100'],
    ['fakePacketLossSend', Number.NaN, 'cannot be NaN'],
    ['p2pStunServerList', true, 'p2pStunServerList cannot be true; expected text'],
    ['mtuDataSize', 1000, 'mtuDataSize follows other values'],
  ];
  for (const [name, input, sentence] of refused) {
    it(`refuses ${typeof input} ${String(input)} for ${name} and says what it expected`, () => {
      const parse = () => parseConfigValue(name, input as ConfigInput);
      expect(parse).to.throw(NetworkingError, sentence).with.property('code', 'InvalidParam');
    });
  }

  it('refuses a name that is none, even one that every object has', () => {
    for (const name of ['SendBufferSize', 'constructor']) {
      const parse = () => parseConfigValue(name as ConfigName, 1);
      expect(parse).to.throw(NetworkingError, name).with.property('code', 'UnknownConfigValue');
    }
  });

  it('keeps every number within its limits', () => {
    const numeric = CONFIG_NAMES.filter((name) => configValueInfo(name).max !== undefined && name !== 'mtuDataSize');
    fc.assert(
      fc.property(fc.constantFrom(...numeric), fc.integer(), (name, input) => {
        const { min = 0, max = 0 } = configValueInfo(name);
        const value = Number(parseConfigValue(name, input));
        return value >= min && value <= max && (input < min || input > max || value === input);
      }),
      seed,
    );
  });
});

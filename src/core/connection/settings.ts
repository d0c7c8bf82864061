// What a connection's configuration means for its packets, in the units that the packet path uses. Spec: 06.

import { US_PER_MS } from '../base/time.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { ReceiveSettings } from '../delivery/receive-lane.ts';
import type { SendSettings } from '../delivery/sender.ts';

export interface DataPathSettings extends SendSettings, ReceiveSettings {
  timeoutConnectedUs: number;
  mtuBytes: number;
  /** 0: as the path is known to carry. */
  mtuDiscoveryMaxBytes: number;
  sendRateMinBytesPerSec: number;
  sendRateMaxBytesPerSec: number;
  sendsGapField: boolean;
}

export function dataPathSettings(config: ConfigScope): DataPathSettings {
  return {
    sendBufferBytes: config.get('sendBufferSize'),
    nagleUs: config.get('nagleTime'),
    redundantSends: config.get('redundantSends'),
    recvBufferBytes: config.get('recvBufferSize'),
    recvBufferMessages: config.get('recvBufferMessages'),
    recvMaxMessageBytes: config.get('recvMaxMessageSize'),
    recvMaxSegmentsPerPacket: config.get('recvMaxSegmentsPerPacket'),
    timeoutConnectedUs: config.get('timeoutConnected') * US_PER_MS,
    mtuBytes: config.get('mtuPacketSize'),
    mtuDiscoveryMaxBytes: config.get('mtuDiscoveryMax'),
    sendRateMinBytesPerSec: config.get('sendRateMin'),
    sendRateMaxBytesPerSec: config.get('sendRateMax'),
    sendsGapField: config.get('sendTimeSincePreviousPacket') === 1,
  };
}

/** What decides on encryption and authentication: fixed once a connection has begun. */
export const SECURITY_VALUES = ['ipAllowWithoutAuth', 'ipLocalHostAllowWithoutAuth', 'unencrypted'] as const;

// What the local network offers without any server: sessions that others announce, signaling between those who are
// there, and a port that the gateway opens.

export {
  type AnnounceOptions,
  announce,
  Beacon,
  type BrowseOptions,
  Browser,
  browse,
  LanSignaling,
  type LanSignalingOptions,
  type LanStats,
  type SessionDescription,
} from './lan/lan.ts';
export { LAN_GROUP_IPV4, LAN_GROUP_IPV6, LAN_PORT, type LanOptions } from './lan/lan-link.ts';
export { MAX_NAME_BYTES, MAX_USER_DATA_BYTES } from './lan/lan-packet.ts';
export { type MapPortOptions, mapPort, PortMapping } from './lan/map-port.ts';
export type { LanSession } from './lan/session-table.ts';

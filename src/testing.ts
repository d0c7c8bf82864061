// For tests of programs that use the library: a simulated network in virtual time, whose hosts are platforms.

export { type LinkConditions, presets } from './netsim/conditions.ts';
export type { SimulatedHost } from './netsim/host.ts';
export { type Filtering, type NatBehaviour, type NatKind, natKinds, type SimulatedNat } from './netsim/nat.ts';
export { SimulatedNetwork } from './netsim/network.ts';
export { LocalSignaling, type LocalSignalingClient, type SignalingConditions } from './netsim/signaling.ts';
export { nodeCrypto } from './node/crypto.ts';

// Signaling for peers: the interface, and the protocol of GNS's examples. WebSocket and NATS have entries of their own.

export { MAX_SIGNAL_BYTES, type Signaling } from './signaling/signaling.ts';
export {
  TRIVIAL_PORT,
  type TrivialClientOptions,
  TrivialSignaling,
  TrivialSignalingServer,
} from './signaling/trivial.ts';

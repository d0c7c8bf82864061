// Signaling over WebSocket, client and server. Needs the package `ws`.

export type { Signaling } from './signaling/signaling.ts';
export type { Backplane } from './signaling/switchboard.ts';
export { type Room, WebSocketSignaling, type WebSocketSignalingOptions } from './signaling/websocket-client.ts';
export { SIGNALING_PORT, SignalingServer, type SignalingServerOptions } from './signaling/websocket-server.ts';

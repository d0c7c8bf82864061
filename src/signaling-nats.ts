// What joins signaling servers to a fleet. Needs the package `@nats-io/transport-node`.

export { type NatsOptions, natsBackplane } from './signaling/nats.ts';
export type { Backplane } from './signaling/switchboard.ts';

// What all peers of an instance share: one UDP port, hence one hole in each NAT, the candidates that STUN servers see
// and TURN servers lend, and the demultiplexing of what arrives. Spec: 7.10-7.12; RFC 8489, 8656.
import type { CryptoProvider, NetAddress, Random } from '../platform.ts';
import type { IceAgent, IceAgentOptions } from './ice-agent.ts';
import type { Relay } from './route.ts';

export interface IceEnvironment {
  readonly crypto: CryptoProvider;
  readonly random: Random;
}

/** An address of this machine that the port can be reached at, without its port. */
export interface LocalAddress {
  /** Numeric. Loopback and link-local ones are ignored. */
  readonly address: string;
  /** Of the network it is in; 24 (IPv4) or 64 (IPv6) if absent. */
  readonly prefixLength?: number;
}

export interface TurnServer {
  readonly address: NetAddress;
  /** Empty: no credentials. */
  readonly username: string;
  readonly password: string;
}

export interface IceServers {
  readonly stun: readonly NetAddress[];
  readonly turn: readonly TurnServer[];
}

export interface IcePortOptions extends IceServers {
  /** Number of the local UDP port. */
  readonly port: number;
  /** Lets loopback addresses be candidates, for tests on one machine. */
  readonly allowsLoopback?: boolean;
}

/** Caller-owned, filled by `pollTransmit`. `bytes` may be shared with other slots of the caller. */
export interface IceSlot {
  /** At least 1500 bytes. */
  readonly bytes: Uint8Array;
  length: number;
  to: NetAddress | undefined;
}

/** A datagram that was ICE's. Reused: valid until the next call of `handleDatagram`. */
export interface IceArrival {
  /** `start < end`: a datagram that a TURN server relayed is in `bytes[start..end)`. Else it is dealt with. */
  readonly start: number;
  readonly end: number;
  /** Who sent what was relayed. */
  readonly remote: NetAddress;
  /** The way it came. */
  readonly relay: Relay | undefined;
}

export interface IcePort {
  /** All addresses that there are now; may be called at any time, with what has changed or not. */
  setLocalAddresses(addresses: readonly LocalAddress[], nowUs: number): void;
  /** All servers that there are now (for when names are resolved late). Those known already go on. */
  setServers(servers: IceServers, nowUs: number): void;
  /** Its host candidates are ready as events at once. One that has the same `localUfrag` is closed. */
  newAgent(options: IceAgentOptions, nowUs: number): IceAgent;
  /** Undefined if the datagram is neither STUN nor from a TURN server: a plain one, left to the caller. */
  handleDatagram(bytes: Uint8Array, length: number, from: NetAddress, nowUs: number): IceArrival | undefined;
  handleTimeout(nowUs: number): void;
  /** When `handleTimeout` wants to be called, `NEVER` if not at all. Changes with every call of anything else. */
  nextTimeoutUs(): number;
  /** Fills the slot with a datagram to send; false if there is none. */
  pollTransmit(slot: IceSlot): boolean;
  /** An agent that has events, each once until it has new ones. */
  pollReady(): IceAgent | undefined;
  /** Gives allocations back (`pollTransmit` once more) and closes all agents. */
  close(nowUs: number): void;
}

export declare function newIcePort(env: IceEnvironment, options: IcePortOptions): IcePort;

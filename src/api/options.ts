// What an instance, and a connection over direct UDP, can be told when they are made.

import type { Identity } from '../core/base/identity.ts';
import type { ConfigOptions, ConnectionConfigOptions } from '../core/config/values.ts';
import type { Platform } from '../core/platform.ts';
import type { AllowWithoutAuth, CredentialInput, CredentialOptions } from './credentials.ts';
import type { TracedPacket } from './fake-network.ts';
import type { LogOptions } from './log.ts';
import type { P2POptions, P2PSignalingService } from './p2p.ts';

export interface NetworkingOptions extends CredentialOptions {
  /** Who we are, as peers see it: `str:alice`, `steamid:…`, an `Identity`. Without one we are anonymous. */
  readonly identity?: string | Identity;
  /** Whether peers are welcome for whom no authority vouches, here and on this machine. Values in `config` come on top. */
  readonly allowWithoutAuth?: AllowWithoutAuth;
  /** Values for everything in this instance, unless a listen socket or connection sets its own. */
  readonly config?: ConfigOptions;
  /** Whose Ed25519 and X25519: Node's own (default), or plain JavaScript. Ignored with `platform`. */
  readonly crypto?: 'node' | 'tweetnacl';
  /** The world to live in. Default: this machine. A simulated host has another. */
  readonly platform?: Platform;
  /** Carries the signals of P2P connections that have no signaling of their own, and brings those of peers. */
  readonly signaling?: P2PSignalingService;
  /** Of the UDP port that all P2P connections share. */
  readonly p2p?: P2POptions;
  /** Is shown every datagram that was sent or received, as long as `packetTraceMaxBytes` is not negative. */
  readonly trace?: (packet: TracedPacket) => void;
  /** For a log: what becomes of connections and, where values such as `logLevelPacketGaps` ask for it, details. */
  readonly log?: LogOptions;
}

export interface ConnectOptions {
  readonly config?: ConnectionConfigOptions;
  /** As for the instance. */
  readonly allowWithoutAuth?: AllowWithoutAuth;
  /**
   * Who the server must be: otherwise the connection ends with reason 4003. It is a proof only if an authority vouches
   * for the server (see `allowWithoutAuth`).
   */
  readonly expectedIdentity?: string | Identity;
  /** The Ed25519 key that the server's certificate must have, as a public key line or 32 bytes; needs no authority. */
  readonly pinnedKey?: CredentialInput;
  /** Numeric local address to send from, of the target's family. Default: whatever the system chooses. */
  readonly localAddress?: string;
}

export interface ConnectAndWaitOptions extends ConnectOptions {
  /** Gives up: the connection is closed and the promise rejects with code `Aborted`. */
  readonly signal?: AbortSignal;
}

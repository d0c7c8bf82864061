// All that the library asks of the world. `node/` implements it on the machine, `netsim/` in virtual time; everything
// else runs on either without knowing which.

/** Where datagrams go to and come from. Node's `rinfo` satisfies it as it is. */
export interface NetAddress {
  /** Numeric, as the platform writes it: on a dual-stack port an IPv4 peer appears as `::ffff:a.b.c.d`. */
  readonly address: string;
  readonly port: number;
}

/** Who is told what a port receives. */
export interface DatagramSink {
  /** `bytes` is given away: views of it may be kept. */
  onDatagram(bytes: Uint8Array, from: NetAddress, nowUs: number): void;
}

export interface UdpPort {
  readonly local: NetAddress;
  /** Hands one datagram to the network. `bytes` may be overwritten once this returns. False if it could not be sent. */
  send(bytes: Uint8Array, length: number, to: NetAddress): boolean;
  /** There is no more to send for now: nothing that `send` keeps for company waits until the end of the turn. */
  flush?(): void;
  /** Whether this port keeps the process alive (it does when opened). */
  setRef(keepAlive: boolean): void;
  close(): void;
}

export interface UdpPortOptions {
  /** Numeric address to bind; `::` takes IPv4 too (and falls back to `0.0.0.0` where there is no IPv6). */
  readonly address: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Share the port with all that ask for that: the system divides the senders among them. Default: false. */
  readonly reusePort?: boolean;
}

/** An address of this machine. */
export interface InterfaceAddress {
  readonly address: string;
  /** Of the network it is in, in bits. */
  readonly prefixLength?: number;
}

export interface Alarm {
  /** Fires once at or after `atUs`; replaces the deadline set before. `NEVER` disarms. */
  set(atUs: number): void;
  setRef(keepAlive: boolean): void;
}

export interface Platform {
  /** Monotonic microseconds; never 0, arbitrary origin. */
  nowUs(): number;
  /** The wall clock in unix seconds, for the validity of certificates only. */
  unixTimeS(): number;
  /** Opens a port at once. Throws `NetworkingError` with code `BindFailed`; `NotSupported` if it cannot be shared here. */
  openUdp(options: UdpPortOptions, sink: DatagramSink): UdpPort;
  newAlarm(onFire: (nowUs: number) => void): Alarm;
  /** Runs `task` after what is happening now (datagrams already received included), before the next alarm. */
  defer(task: () => void): void;
  /** The addresses of this machine as they are now, loopback included. */
  localAddresses(): readonly InterfaceAddress[];
  /** Numeric addresses of a host name, in the order to try them. Rejects with code `ResolveFailed`. */
  resolve(host: string): Promise<readonly string[]>;
  readonly random: Random;
  readonly crypto: CryptoProvider;
}

export interface Random {
  fill(bytes: Uint8Array): void;
  /** Uniform in 0 … 2^32-1. */
  u32(): number;
}

/** A signing key pair (Ed25519, RFC 8032, no prehash). The private half never leaves the object. */
export interface SigningKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

/** An X25519 key pair. The private half never leaves the object. */
export interface ExchangeKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The 32 shared bytes, or undefined if the peer's key is malformed or of low order (all-zero result). */
  agree(peerPublicKey: Uint8Array): Uint8Array | undefined;
}

/** AES-256-GCM under one key, 12-byte nonces, 16-byte tag behind the ciphertext, no additional data. */
export interface Aead {
  /** Encrypts `plain[0..length)` into `out` at `outStart`; returns the bytes written (`length` + 16). */
  seal(nonce: Uint8Array, plain: Uint8Array, length: number, out: Uint8Array, outStart: number): number;
  /** Decrypts `bytes[start..end)` into a buffer of its own, which the caller may keep; undefined if it is not genuine. */
  open(nonce: Uint8Array, bytes: Uint8Array, start: number, end: number): Uint8Array | undefined;
}

export interface CryptoProvider {
  readonly name: string;
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** For STUN only, which has nothing better. */
  hmacSha1(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** For the long-term credentials of TURN only. */
  md5(...parts: readonly Uint8Array[]): Uint8Array;
  /** A fresh pair when no 32-byte seed is given. */
  signingKey(seed?: Uint8Array): SigningKey;
  /** False also for keys and signatures of the wrong length. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  /** A fresh pair when no 32-byte private key is given. */
  exchangeKey(privateKey?: Uint8Array): ExchangeKey;
  /** `key` is 32 bytes; it is copied or imported, so the caller may wipe its own. */
  aead(key: Uint8Array): Aead;
}

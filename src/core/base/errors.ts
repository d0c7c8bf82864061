// What we throw at an application, and only at an application: input from the network never throws.

/** Every `code` of a `NetworkingError`, with the number GNS's EResult has for it (2, "Fail", where it has none). */
export const ERROR_RESULTS = {
  Fail: 2,
  NoConnection: 3,
  InvalidParam: 8,
  InvalidState: 11,
  LimitExceeded: 25,
  DuplicateRequest: 29,
  ConnectFailed: 35,
  HandshakeFailed: 36,
  Ignored: 41,
  /** The message is larger than any connection carries. */
  MessageTooLarge: 8,
  /** The operating system refused the local address: in use, not ours, not permitted. */
  BindFailed: 2,
  /** A host name has no address. */
  ResolveFailed: 2,
  /** An `AbortSignal` fired. */
  Aborted: 2,
  /** No configuration value has this name. */
  UnknownConfigValue: 8,
  /** The configuration value can no longer be changed on this object. */
  ConfigLocked: 11,
  /** Not possible in this version or on this platform. */
  NotSupported: 128,
} as const satisfies Record<string, number>;
export type ErrorCode = keyof typeof ERROR_RESULTS;

/** Misuse by the application, or a failure it asked to be told of. The message names the value at fault. */
export class NetworkingError extends Error {
  override readonly name: string = 'NetworkingError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** GNS's EResult number for `code`. */
  get result(): number {
    return ERROR_RESULTS[this.code];
  }
}

/** A bug of ours. Never used on anything a peer or an application controls. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${what}`);
}

/** In the `default` arm of a closed switch: a forgotten case does not compile. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}

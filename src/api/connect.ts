// Connecting to a host that may have several addresses, and giving up when told to.

import { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import { Identity } from '../core/base/identity.ts';
import { NEVER, US_PER_MS } from '../core/base/time.ts';
import type { ConfigScope } from '../core/config/scope.ts';
import type { Platform } from '../core/platform.ts';
import type { Connection } from './connection.ts';

/** An address gets this long before the next one is tried beside it. */
const HEAD_START_US = 500 * US_PER_MS;

/** Settles as `work` does, or rejects with code `Aborted` when the signal comes first. */
export async function orAborted<T>(work: Promise<T>, what: string, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let onAbort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new NetworkingError('Aborted', `${what} was aborted`, { cause: signal.reason }));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Connects to all addresses, one after another's head start; the first that succeeds wins, the others are closed. */
export class ConnectRace {
  readonly #targets: readonly IpAddress[];
  readonly #open: (target: IpAddress) => Connection;
  readonly #attempts: Connection[] = [];
  readonly #failures: unknown[] = [];
  readonly #alarm;
  #begun = 0;

  constructor(targets: readonly IpAddress[], open: (target: IpAddress) => Connection, platform: Platform) {
    this.#targets = targets;
    this.#open = open;
    this.#alarm = platform.newAlarm(() => this.#beginNext(platform.nowUs()));
    this.#next = () => this.#beginNext(platform.nowUs());
  }

  readonly #next: () => void;
  #resolve: (winner: Connection) => void = () => {};
  #reject: (failure: unknown) => void = () => {};

  /** The winner, or why the first address failed when all did. */
  run(): Promise<Connection> {
    const result = new Promise<Connection>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#next();
    return result;
  }

  /** Closes all attempts but the winner. */
  stop(winner?: Connection): void {
    this.#alarm.set(NEVER);
    this.#begun = this.#targets.length;
    for (const attempt of this.#attempts) if (attempt !== winner) void attempt.close();
  }

  #beginNext(nowUs: number): void {
    const target = this.#targets[this.#begun];
    if (target === undefined) return;
    this.#begun++;
    this.#alarm.set(this.#begun < this.#targets.length ? nowUs + HEAD_START_US : NEVER);
    try {
      const connection = this.#open(target);
      this.#attempts.push(connection);
      connection.connected().then(
        () => this.#resolve(connection),
        (failure) => this.#onFailure(failure),
      );
    } catch (failure) {
      this.#onFailure(failure);
    }
  }

  #onFailure(failure: unknown): void {
    this.#failures.push(failure);
    if (this.#failures.length === this.#targets.length) this.#reject(this.#failures[0]);
    else this.#next();
  }
}

/** The addresses of `host:port`, in the order to try them. */
export async function resolveTargets(address: string | IpAddress, platform: Platform): Promise<readonly IpAddress[]> {
  if (typeof address !== 'string') return [address];
  const literal = IpAddress.parse(address);
  if (literal !== undefined) return [literal];
  const [, host, port] = /^([^:]+):(\d+)$/.exec(address) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new NetworkingError(
      'InvalidParam',
      `cannot connect to "${address}": give host and port, such as example.org:27015`,
    );
  }
  const hosts = await platform.resolve(host);
  if (hosts.length === 0) throw new NetworkingError('ResolveFailed', `"${host}" has no address`);
  return hosts.map((each) => IpAddress.fromNet({ address: each, port: Number(port) }));
}

/** Throws `InvalidParam` for one that cannot be read; without one we are anonymous. */
export function identityOf(identity: string | Identity | undefined): Identity {
  if (identity === undefined) return Identity.localHost;
  const parsed = typeof identity === 'string' ? Identity.parse(identity) : identity;
  if (parsed?.isValid !== true) {
    throw new NetworkingError(
      'InvalidParam',
      `cannot read the identity "${identity}": expected one such as str:alice, steamid:… or gen:c0ffee`,
    );
  }
  return parsed;
}

/** Throws `NotSupported`: over direct UDP there is nobody who could call us at the same time. */
export function mustBeAsymmetric(config: ConfigScope, action: string): void {
  if (config.get('symmetricConnect') === 0) return;
  throw new NetworkingError('NotSupported', `cannot ${action}: symmetricConnect is for connections through signaling`);
}

// The STUN and TURN servers that configurations name: whoever looks for a way now uses them all. Spec: 06, 07 §7.10.

import { IpAddress } from '../core/base/address.ts';
import type { ConfigScope } from '../core/config/scope.ts';
import type { IceServers } from '../core/ice/ice-port.ts';
import type { NetAddress, Platform } from '../core/platform.ts';

const STUN_PORT = 3478;

/** Names are looked up once, and are of use when found. */
export class ServerBook {
  readonly #platform: Platform;
  readonly #onFound: () => void;
  readonly #addresses = new Map<string, readonly NetAddress[]>();

  constructor(platform: Platform, onFound: () => void) {
    this.#platform = platform;
    this.#onFound = onFound;
  }

  /** What these name; each server once. */
  all(configs: Iterable<ConfigScope>): IceServers {
    const stun = new Set<string>();
    const turn = new Map<string, { readonly username: string; readonly password: string }>();
    for (const config of configs) {
      for (const server of listOf(config.get('p2pStunServerList'))) stun.add(server);
      const servers = listOf(config.get('p2pTurnServerList'));
      const users = listOf(config.get('p2pTurnUserList'));
      const passwords = listOf(config.get('p2pTurnPassList'));
      // As GNS: lists of different lengths name nobody.
      const hasUsers = users.length === servers.length && passwords.length === servers.length;
      for (const [i, server] of servers.entries()) {
        if (turn.has(server)) continue;
        turn.set(server, { username: hasUsers ? users[i]! : '', password: hasUsers ? passwords[i]! : '' });
      }
    }
    return {
      stun: [...stun].flatMap((server) => this.#find(server)),
      turn: [...turn].flatMap(([server, user]) => this.#find(server).map((address) => ({ address, ...user }))),
    };
  }

  #find(server: string): readonly NetAddress[] {
    this.#lookUp(server);
    return this.#addresses.get(server) ?? [];
  }

  #lookUp(server: string): void {
    if (this.#addresses.has(server)) return;
    const literal = IpAddress.parse(server);
    if (literal !== undefined) {
      this.#addresses.set(server, [{ address: literal.host, port: literal.port || STUN_PORT }]);
      return;
    }
    const [, host = server, port = `${STUN_PORT}`] = /^(.*?)(?::(\d+))?$/.exec(server) ?? [];
    this.#addresses.set(server, []);
    this.#platform.resolve(host).then(
      (found) => {
        this.#addresses.set(
          server,
          found.map((address) => ({ address, port: Number(port) })),
        );
        this.#onFound();
      },
      // Perhaps the next connection has more luck.
      () => this.#addresses.delete(server),
    );
  }
}

/** Entries of a list in the configuration, without the prefix that they may have. */
function listOf(text: string): string[] {
  return text === '' ? [] : text.split(',').map((entry) => entry.trim().replace(/^(?:stun|turn):/, ''));
}

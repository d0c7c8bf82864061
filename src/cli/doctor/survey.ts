// What the network of this machine lets peers do: addresses, how STUN servers see us, the kind of NAT, relays. Runs on any
// platform, with the ICE of P2P connections. RFC 4787, RFC 5128.

import { IpAddress } from '../../core/base/address.ts';
import { US_PER_MS } from '../../core/base/time.ts';
import { addressClass, familyOf, plainAddress } from '../../core/ice/candidate.ts';
import type { NetAddress, Platform } from '../../core/platform.ts';
import { adviceFor } from './advice.ts';
import { newId, Probe } from './probe.ts';

export interface SurveyOptions {
  /** `HOST` or `HOST:PORT` each. */
  readonly stun: readonly string[];
  readonly turn: readonly TurnAccount[];
  /** Loopback addresses count, for tests on one machine. */
  readonly allowsLoopback?: boolean;
}

export interface TurnAccount {
  readonly server: string;
  readonly username: string;
  readonly password: string;
}

/**
 * `none`: our own address is what is seen outside. `endpointIndependent`: one port for all destinations, so that peers
 * can be told which. `symmetric`: one for each.
 */
export type NatMapping = 'none' | 'endpointIndependent' | 'symmetric' | 'unknown';

/** All that was found out; what is printed with `--json`. */
export interface SurveyReport {
  readonly addresses: readonly { readonly address: string; readonly kind: 'public' | 'private' }[];
  readonly stun: readonly StunAnswer[];
  readonly turn: readonly TurnAnswer[];
  /** `silent`: the only server that was asked did not answer. */
  readonly udp: 'works' | 'blocked' | 'silent' | 'untested';
  readonly nat: NatMapping;
  /** Whether the NAT sends back what is meant for its own outside; null if there is none, or it is not known. */
  readonly hairpin: boolean | null;
  /** `works`: a server answered over it. */
  readonly ipv6: 'none' | 'address' | 'works';
  /** What follows from it, in sentences. */
  readonly advice: readonly string[];
}

/** One for each address of each server. `address` is null if the name is unknown, `mapped` if there was no answer. */
export interface StunAnswer {
  readonly server: string;
  readonly address: string | null;
  readonly mapped: string | null;
}

/** `relayed` is null if we were lent nothing: refused with `errorCode`, or not answered (0). */
export interface TurnAnswer {
  readonly server: string;
  readonly address: string | null;
  readonly relayed: string | null;
  readonly errorCode: number;
}

const STUN_PORT = 3478;
const HAIRPIN_WAIT_US = 500 * US_PER_MS;
const HAIRPIN_TRIES = 3;

export async function survey(platform: Platform, options: SurveyOptions): Promise<SurveyReport> {
  const loopback = options.allowsLoopback ?? false;
  const stun = await Promise.all(options.stun.map((server) => lookUp(platform, server)));
  const turn = await Promise.all(options.turn.map(({ server }) => lookUp(platform, server)));
  const accounts = turn.flatMap((found, i) => found.map((address) => ({ address, ...accountOf(options.turn[i]!) })));
  const probe = new Probe(platform, { stun: stun.flat(), turn: accounts }, loopback);
  try {
    await probe.gather();
    const { mappings } = probe.ice;
    const mapped = mappings.flatMap((each) => each.mapped ?? []);
    const outside = mapped.filter(({ address }) => familyOf(address) === 'IPv4');
    const nat = mappingOf(outside, probe.addresses);
    const report = {
      addresses: probe.addresses.map((address) => ({ address, kind: kindOf(address) })),
      stun: options.stun.flatMap((server, i) => stunAnswers(server, stun[i]!, probe)),
      turn: options.turn.flatMap((account, i) => turnAnswers(account, turn[i]!, probe)),
      udp: udpOf(probe),
      nat,
      hairpin: nat === 'endpointIndependent' ? await hasHairpin(platform, probe, stun.flat(), outside[0]!) : null,
      ipv6: ipv6Of(probe.addresses, mapped),
    };
    return { ...report, advice: adviceFor(report) };
  } finally {
    probe.close();
  }
}

/** Empty if the name is unknown. */
async function lookUp(platform: Platform, server: string): Promise<readonly NetAddress[]> {
  const literal = IpAddress.parse(server);
  if (literal !== undefined) return [plainAddress({ address: literal.host, port: literal.port || STUN_PORT })];
  const [, host = server, port = `${STUN_PORT}`] = /^(.*?)(?::(\d+))?$/.exec(server) ?? [];
  try {
    const found = await platform.resolve(host);
    return found.map((address) => plainAddress({ address, port: Number(port) }));
  } catch {
    return [];
  }
}

function accountOf({ username, password }: TurnAccount) {
  return { username, password };
}

function stunAnswers(server: string, found: readonly NetAddress[], { ice }: Probe): StunAnswer[] {
  if (found.length === 0) return [{ server, address: null, mapped: null }];
  return found.map((each) => {
    const answer = ice.mappings.find((mapping) => textOf(mapping.server) === textOf(each));
    return { server, address: textOf(each), mapped: textOrNull(answer?.mapped) };
  });
}

function turnAnswers(account: TurnAccount, found: readonly NetAddress[], { ice }: Probe): TurnAnswer[] {
  const { server } = account;
  if (found.length === 0) return [{ server, address: null, relayed: null, errorCode: 0 }];
  return found.map((address) => {
    const relay = ice.relays.find((each) => each.isFor({ address, ...accountOf(account) }));
    return {
      server,
      address: textOf(address),
      relayed: textOrNull(relay?.relayed),
      errorCode: relay?.errorCode ?? 0,
    };
  });
}

function mappingOf(outside: readonly NetAddress[], local: readonly string[]): NatMapping {
  if (outside.some(({ address }) => local.includes(address))) return 'none';
  if (outside.length < 2) return 'unknown';
  return new Set(outside.map(textOf)).size === 1 ? 'endpointIndependent' : 'symmetric';
}

/** Two ports of ours write to each other by their outside addresses, both, since most NATs take answers only. */
async function hasHairpin(
  platform: Platform,
  probe: Probe,
  stun: readonly NetAddress[],
  outside: NetAddress,
): Promise<boolean | null> {
  const other = new Probe(platform, { stun, turn: [] }, false);
  try {
    await other.gather();
    const theirs = other.ice.mappings.find(({ mapped }) => mapped !== undefined && !mapped.address.includes(':'));
    if (theirs?.mapped === undefined) return null;
    const id = newId(platform);
    for (let tries = 0; tries < HAIRPIN_TRIES; tries++) {
      other.write(outside, newId(platform));
      probe.write(theirs.mapped, id);
      if (await other.hears(id, HAIRPIN_WAIT_US)) return true;
    }
    return false;
  } finally {
    other.close();
  }
}

function udpOf({ ice }: Probe): SurveyReport['udp'] {
  const isHeard =
    ice.mappings.some(({ mapped }) => mapped !== undefined) ||
    ice.relays.some(({ state, errorCode }) => state === 'ready' || errorCode > 0);
  if (isHeard) return 'works';
  const asked = [...ice.mappings, ...ice.relays].filter(({ server }) => ice.hasFamily(familyOf(server.address)));
  const different = new Set(asked.map(({ server }) => textOf(server))).size;
  return different === 0 ? 'untested' : different === 1 ? 'silent' : 'blocked';
}

function ipv6Of(local: readonly string[], mapped: readonly NetAddress[]): SurveyReport['ipv6'] {
  if (mapped.some(({ address }) => familyOf(address) === 'IPv6')) return 'works';
  const isPublic = (address: string) => familyOf(address) === 'IPv6' && kindOf(address) === 'public';
  return local.some(isPublic) ? 'address' : 'none';
}

function kindOf(address: string): 'public' | 'private' {
  return addressClass(address) === 'public' ? 'public' : 'private';
}

function textOf({ address, port }: NetAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function textOrNull(address: NetAddress | undefined): string | null {
  return address === undefined ? null : textOf(address);
}

// Who a peer is: an address, a name, some bytes, or an account of a platform; printed as `<kind>:<data>`.
// Spec: "Identity strings" (1.13), "Identity and address helpers" (5.7).
import { IpAddress } from './address.ts';
import { NetworkingError } from './errors.ts';

/** The kinds of identity, named by their prefix, with the type code of GNS. `unknown` is any prefix we do not know. */
export const IDENTITY_TYPES = {
  invalid: 0,
  ip: 1,
  str: 2,
  gen: 3,
  unknown: 4,
  steamid: 16,
  xboxpwid: 17,
  psn: 18,
} as const satisfies Record<string, number>;
export type IdentityKind = keyof typeof IDENTITY_TYPES;
export type IdentityType = (typeof IDENTITY_TYPES)[IdentityKind];

/** Limits in bytes of UTF-8. */
export const MAX_IDENTITY_BYTES = 127;
export const MAX_STRING_IDENTITY_BYTES = 31;
export const MAX_GENERIC_IDENTITY_BYTES = 32;
export const MAX_XBOX_IDENTITY_BYTES = 32;

const LOCAL_HOST_TEXT = 'ip:::1';

/** What the `IdentityLegacyBinary` message carries; each kind of identity has at most one of them. */
export interface LegacyIdentity {
  readonly genericBytes?: Uint8Array | undefined;
  readonly genericString?: string | undefined;
  /** 18 bytes, see `IpAddress.toBytes18`. */
  readonly ipv6AndPort?: Uint8Array | undefined;
  readonly steamId?: bigint | undefined;
}

/** Immutable and opaque. Two identities are the same exactly when they print the same. */
export class Identity {
  /** What GNS has before an identity is set. The only identity that `parse` does not read back. */
  static readonly invalid = new Identity('invalid', 'invalid');
  /** "Anonymous": `ip:::1`. */
  static readonly localHost = Identity.ip(IpAddress.fromNet({ address: '::1', port: 0 }));

  readonly kind: IdentityKind;
  readonly #text: string;

  private constructor(kind: IdentityKind, text: string) {
    this.kind = kind;
    this.#text = text;
  }

  /** Reads the printed form. Undefined if it is none, or is `invalid`. */
  static parse(text: string): Identity | undefined {
    const colon = text.indexOf(':');
    if (colon < 0 || !isUtf8Of(text, 0, MAX_IDENTITY_BYTES)) return undefined;
    const prefix = text.slice(0, colon);
    const data = text.slice(colon + 1);
    switch (prefix) {
      case 'ip': {
        // What everybody is called who has no name: found in nearly every handshake.
        if (text === LOCAL_HOST_TEXT) return Identity.localHost;
        const address = IpAddress.parse(data);
        return address && Identity.ip(address);
      }
      case 'str':
        return isUtf8Of(data, 0, MAX_STRING_IDENTITY_BYTES) ? new Identity('str', text) : undefined;
      case 'gen':
        return isHexOf(data, MAX_GENERIC_IDENTITY_BYTES) ? new Identity('gen', text.toLowerCase()) : undefined;
      case 'steamid':
        return isDecimal(data) && isValidSteamId(BigInt(data)) ? new Identity('steamid', text) : undefined;
      case 'xboxpwid':
        return isUtf8Of(data, 1, MAX_XBOX_IDENTITY_BYTES) ? new Identity('xboxpwid', text) : undefined;
      case 'psn':
        return isDecimal(data) && isU64(BigInt(data)) ? new Identity('psn', text) : undefined;
      default:
        return /^[a-z0-9_]{1,16}$/.test(prefix) ? new Identity('unknown', text) : undefined;
    }
  }

  /**
   * Reads the fields of an `IdentityLegacyBinary`: the first present of Steam id, string, bytes, address decides.
   * Undefined if there is none or if it is malformed.
   */
  static fromLegacy(fields: LegacyIdentity): Identity | undefined {
    const { steamId, genericString, genericBytes, ipv6AndPort } = fields;
    if (steamId !== undefined) return isSteamIdSerializable(steamId) ? Identity.steamId(steamId) : undefined;
    if (genericString !== undefined) return Identity.parse(`str:${genericString}`);
    if (genericBytes !== undefined) return Identity.parse(`gen:${toHex(genericBytes)}`);
    const address = ipv6AndPort && IpAddress.fromBytes18(ipv6AndPort);
    return address && Identity.ip(address);
  }

  /** A name of 1 to 31 bytes of UTF-8. Throws `InvalidParam` for another. */
  static string(name: string): Identity {
    checkText('string identity', name, MAX_STRING_IDENTITY_BYTES);
    return new Identity('str', `str:${name}`);
  }

  /** 1 to 32 bytes, which are copied. Throws `InvalidParam` for another length. */
  static bytes(bytes: Uint8Array): Identity {
    if (bytes.length < 1 || bytes.length > MAX_GENERIC_IDENTITY_BYTES) {
      const limits = `1 to ${MAX_GENERIC_IDENTITY_BYTES} bytes`;
      throw new NetworkingError('InvalidParam', `a generic identity has ${limits}, not ${bytes.length}`);
    }
    return new Identity('gen', `gen:${toHex(bytes)}`);
  }

  static ip(address: IpAddress): Identity {
    return new Identity('ip', `ip:${address}`);
  }

  /** Throws `InvalidParam` if `id` is not a valid 64-bit Steam id. */
  static steamId(id: bigint): Identity {
    if (!isValidSteamId(id)) throw new NetworkingError('InvalidParam', `${id} is not a valid SteamID`);
    return new Identity('steamid', `steamid:${id}`);
  }

  /** An Xbox pairwise id of 1 to 32 bytes of UTF-8. Throws `InvalidParam` for another. */
  static xbox(pairwiseId: string): Identity {
    checkText('Xbox pairwise id', pairwiseId, MAX_XBOX_IDENTITY_BYTES);
    return new Identity('xboxpwid', `xboxpwid:${pairwiseId}`);
  }

  /** Throws `InvalidParam` if `id` does not fit into 64 bits. */
  static psn(id: bigint): Identity {
    if (!isU64(id)) throw new NetworkingError('InvalidParam', `PSN id ${id} is not in 0 to 2^64-1`);
    return new Identity('psn', `psn:${id}`);
  }

  /** GNS's number for `kind`. */
  get type(): IdentityType {
    return IDENTITY_TYPES[this.kind];
  }

  get isValid(): boolean {
    return this.kind !== 'invalid';
  }

  /** Anonymous: `ip:::1` or `ip:127.0.0.1`, with any port. */
  get isLocalHost(): boolean {
    return this.ipAddress?.isLocalHost ?? false;
  }

  get ipAddress(): IpAddress | undefined {
    return this.kind === 'ip' ? IpAddress.parse(this.#data) : undefined;
  }

  get genericString(): string | undefined {
    return this.kind === 'str' ? this.#data : undefined;
  }

  get genericBytes(): Uint8Array | undefined {
    return this.kind === 'gen' ? fromHex(this.#data) : undefined;
  }

  get steamId64(): bigint | undefined {
    return this.kind === 'steamid' ? BigInt(this.#data) : undefined;
  }

  get xboxPairwiseId(): string | undefined {
    return this.kind === 'xboxpwid' ? this.#data : undefined;
  }

  get psnId(): bigint | undefined {
    return this.kind === 'psn' ? BigInt(this.#data) : undefined;
  }

  /** The fields of the `IdentityLegacyBinary` message; empty for kinds that have no such form. */
  toLegacy(): LegacyIdentity {
    const steamId = this.steamId64;
    return {
      genericBytes: this.genericBytes,
      genericString: this.genericString,
      ipv6AndPort: this.ipAddress?.toBytes18(),
      steamId: steamId !== undefined && isSteamIdSerializable(steamId) ? steamId : undefined,
    };
  }

  equals(other: Identity): boolean {
    return this.#text === other.#text;
  }

  /** `<kind>:<data>`; as it came for an unknown prefix; `invalid`. Fit for the key of a map. */
  toString(): string {
    return this.#text;
  }

  /** What follows the prefix. */
  get #data(): string {
    return this.#text.slice(this.#text.indexOf(':') + 1);
  }
}

/** Valid as an identity. Layout: account (32 bits), instance (20), type (4), universe (8). */
export function isValidSteamId(id: bigint): boolean {
  if (!isU64(id)) return false;
  const { account, instance, type, universe } = steamIdParts(id);
  if (universe < 1 || universe > 4 || type < 1 || type > 10) return false;
  switch (type) {
    case SteamAccountType.Individual:
      return account !== 0 && instance === 1;
    case SteamAccountType.GameServer:
      return account !== 0;
    case SteamAccountType.Clan:
      return account !== 0 && instance === 0;
    default:
      return true;
  }
}

/** Whether the legacy fields may carry it: GNS neither writes nor reads other ids there. */
export function isSteamIdSerializable(id: bigint): boolean {
  if (!isValidSteamId(id)) return false;
  const { account, type } = steamIdParts(id);
  return account !== 0 && SERIALIZABLE_ACCOUNT_TYPES.has(type);
}

const SteamAccountType = { Individual: 1, GameServer: 3, AnonymousGameServer: 4, Clan: 7, ConsoleUser: 9 } as const;
const SERIALIZABLE_ACCOUNT_TYPES: ReadonlySet<number> = new Set([
  SteamAccountType.Individual,
  SteamAccountType.ConsoleUser,
  SteamAccountType.GameServer,
  SteamAccountType.AnonymousGameServer,
]);

function steamIdParts(id: bigint): { account: number; instance: number; type: number; universe: number } {
  return {
    account: Number(id & 0xffff_ffffn),
    instance: Number((id >> 32n) & 0xf_ffffn),
    type: Number((id >> 52n) & 0xfn),
    universe: Number(id >> 56n),
  };
}

function isU64(value: bigint): boolean {
  return BigInt.asUintN(64, value) === value;
}

/** Canonical only, so that equal identities have equal text. */
function isDecimal(text: string): boolean {
  return /^(?:0|[1-9]\d{0,19})$/.test(text);
}

function isHexOf(text: string, maxBytes: number): boolean {
  return /^(?:[0-9a-f]{2})+$/i.test(text) && text.length <= 2 * maxBytes;
}

const utf8 = new TextEncoder();

/** GNS keeps text as a C string, so a NUL would cut it; half a surrogate pair has no UTF-8. */
function isUtf8Of(text: string, minBytes: number, maxBytes: number): boolean {
  if (text.length > maxBytes || text.includes('\0') || /\p{Surrogate}/u.test(text)) return false;
  const length = utf8.encode(text).length;
  return length >= minBytes && length <= maxBytes;
}

function checkText(what: string, text: string, maxBytes: number): void {
  if (isUtf8Of(text, 1, maxBytes)) return;
  const limit = `1 to ${maxBytes} bytes of UTF-8 without NUL`;
  throw new NetworkingError(
    'InvalidParam',
    `${what} "${text}" has ${utf8.encode(text).length} bytes; expected ${limit}`,
  );
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

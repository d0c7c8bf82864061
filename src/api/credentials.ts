// Who we are and whom we trust: our certificate with its key, the authorities whose signatures count, and a warning
// before the certificate expires. All of it can change while connections are open; they keep what they began with.
// Spec: 02 §2.2, §2.5, §2.10 "SetCertificate", 05 §5.4.5.

import { EventEmitter } from 'node:events';
import { NetworkingError } from '../core/base/errors.ts';
import type { Identity } from '../core/base/identity.ts';
import { NEVER, US_PER_SECOND } from '../core/base/time.ts';
import {
  type CertificateDetails,
  describeCertificate,
  keyId,
  type LocalCertificate,
} from '../core/certs/certificate.ts';
import {
  addAuthorities,
  addAuthority,
  certificateContents,
  encodeRequest,
  mustFit,
  readCertificates,
  readPrivateKey,
  readPublicKey,
} from '../core/certs/issue.ts';
import { coversApp, TrustStore } from '../core/certs/trust-store.ts';
import type { ConfigScope } from '../core/config/scope.ts';
import type { ConfigOptions } from '../core/config/values.ts';
import type { Environment } from '../core/connection/environment.ts';
import { StrayLimiter } from '../core/endpoint/endpoint.ts';
import type { Alarm, Platform, SigningKey } from '../core/platform.ts';
import { decodeCertificate, embeddedPrivateKey, type SignedCertificate } from '../core/wire/crypt-messages.ts';

/**
 * A key or certificate: the text of a file, or bytes. Reads what `gns cert`, GNS's certtool and OpenSSH write.
 */
export type CredentialInput = string | Uint8Array;

/**
 * Whether peers are welcome for whom no trusted authority vouches. `never`: they are ignored; `warn`: the log tells of
 * them; `always`: they are as good as others.
 */
export type AllowWithoutAuth = 'never' | 'warn' | 'always';

const AUTH_NUMBERS = { never: 0, warn: 1, always: 2 } as const satisfies Record<AllowWithoutAuth, number>;

/** The same as configuration values; here it holds for peers on this machine, too. Throws `InvalidParam`. */
export function authConfig(allow: AllowWithoutAuth | undefined): ConfigOptions {
  if (allow === undefined) return {};
  const ipAllowWithoutAuth: number | undefined = AUTH_NUMBERS[allow];
  if (ipAllowWithoutAuth === undefined) {
    throw new NetworkingError('InvalidParam', `allowWithoutAuth cannot be "${allow}"; expected never, warn or always`);
  }
  return { ipAllowWithoutAuth, ipLocalHostAllowWithoutAuth: ipAllowWithoutAuth };
}

/** Throws `InvalidParam` where peers have to be vouched for and we are not: every caller would be turned away. */
export function mustBeAbleToAnswer(config: ConfigScope, certificate: Environment['certificate'], where: string): void {
  if (config.get('ipAllowWithoutAuth') !== 0 || certificate !== undefined) return;
  const why = 'ipAllowWithoutAuth is 0 and this instance has no certificate of an authority';
  throw new NetworkingError('InvalidParam', `cannot listen on ${where}: ${why}`);
}

export interface CredentialOptions {
  /**
   * Whose signatures count: public keys (trusted without limits), certificates of authorities (self-signed ones are
   * roots; others need a chain to a root), files that contain such.
   */
  readonly trustedCAs?: CredentialInput | readonly CredentialInput[];
  /** Ours. In a file with several, ours is the first, and the others are authorities between it and a root. */
  readonly certificate?: CredentialInput;
  /**
   * The key of `certificate`. Without a certificate: the key that peers find in the one we make ourselves, so that they
   * can pin it.
   */
  readonly privateKey?: CredentialInput;
  /** Certificates are for applications; this is ours. Default: 0, as in GNS. */
  readonly appId?: number;
  /** Peers have to be where their certificates say, if these say so. GNS does not look. Default: false. */
  readonly checkCertificateAddresses?: boolean;
}

export interface CredentialsEvents {
  /** Our certificate is in its last tenth, or in its last day if that is less: time to call `setCertificate`. */
  expiring: [certificate: CertificateDetails];
  /** It expired: new connections are made without it, if the configuration allows that. */
  expired: [certificate: CertificateDetails];
}

const MAX_WARNING_S = 24 * 60 * 60;

/** The credentials of a `Networking`: its property `credentials`. */
export class Credentials extends EventEmitter<CredentialsEvents> {
  /** @internal */
  readonly store: TrustStore;
  /** @internal */
  readonly appId: number;
  readonly #platform: Platform;
  #identity: Identity;
  /** Of certificates that we make ourselves. @internal */
  readonly signingKey: SigningKey | undefined;
  #certificate: LocalCertificate | undefined;
  #details: CertificateDetails | undefined;
  /** Of the last request. */
  #requestedKey: SigningKey | undefined;
  #alarm: Alarm | undefined;
  #hasWarned = false;

  /** @internal */
  constructor(platform: Platform, identity: Identity, options: CredentialOptions) {
    super();
    const { trustedCAs = [], certificate, privateKey, appId = 0 } = options;
    this.#platform = platform;
    this.#identity = identity;
    this.appId = appId;
    this.store = new TrustStore(platform.crypto);
    for (const input of isList(trustedCAs) ? trustedCAs : [trustedCAs]) this.trust(input);
    if (certificate !== undefined) this.setCertificate(certificate, privateKey);
    else if (privateKey !== undefined) this.signingKey = readPrivateKey(platform.crypto, privateKey);
  }

  /** Ours; an anonymous instance becomes whoever its certificate names. @internal */
  get identity(): Identity {
    return this.#identity;
  }

  /** What our certificate says; undefined if we have none. */
  get certificate(): CertificateDetails | undefined {
    return this.#details;
  }

  /** Whether we have a certificate that peers may take. */
  get status(): 'noCertificate' | 'ok' | 'expired' {
    if (this.#certificate === undefined) return 'noCertificate';
    return this.usable === undefined ? 'expired' : 'ok';
  }

  /** As long as it is valid. @internal */
  get usable(): LocalCertificate | undefined {
    const expiresS = this.#details?.expiresS ?? 0;
    return expiresS > this.#platform.unixTimeS() ? this.#certificate : undefined;
  }

  /** Trusts whom it names, see `trustedCAs`. Throws `InvalidParam` if it names nobody. */
  trust(authority: CredentialInput): void {
    addAuthorities(this.#platform.crypto, this.store, authority);
  }

  /** Never takes this key again, neither an authority's nor a peer's: a public key, or a key id. */
  revoke(key: CredentialInput | bigint): void {
    this.store.revoke(typeof key === 'bigint' ? key : keyId(this.#platform.crypto, readPublicKey(key)));
  }

  /**
   * Makes a key and asks for a certificate for it: GNS's message with key and identity, for an authority (`gns cert
   * sign`, `signRequest`). Its answer goes to `setCertificate`; the key stays here.
   */
  createRequest(): Uint8Array {
    this.#requestedKey ??= this.#platform.crypto.signingKey();
    return encodeRequest(this.#requestedKey.publicKey, this.#identity.isLocalHost ? undefined : this.#identity);
  }

  /**
   * Presents this certificate from the next connection on. Without `privateKey`, its key is the one in it (GNS's form) or
   * that of `createRequest`. Throws `InvalidParam` or `LimitExceeded`, and changes nothing, if peers would not take it:
   * no trusted authority signed it, it is another's or another application's, the key is not its own, it is too large.
   * One that has expired is taken; `status` tells.
   */
  setCertificate(certificate: CredentialInput, privateKey?: CredentialInput): void {
    const { crypto } = this.#platform;
    const [signed, ...chain] = readCertificates(certificate);
    const details = describeCertificate(crypto, signed!);
    if (signed === undefined || details === undefined) throw unusable('it has no Ed25519 key');
    mustFit(signed);
    const key = this.#keyFor(certificate, privateKey);
    if (keyId(crypto, key.publicKey) !== details.keyId) throw unusable('the private key is another one');
    this.#mustBeForUs(details);
    for (const each of chain) addAuthority(crypto, this.store, each);
    this.#mustBeTrusted(signed);
    if (this.#identity.isLocalHost) this.#identity = details.identity!;
    this.#certificate = { signed, key };
    this.#details = details;
    this.#hasWarned = false;
    this.#watchExpiry();
  }

  #keyFor(certificate: CredentialInput, privateKey: CredentialInput | undefined): SigningKey {
    const [content] = certificateContents(certificate);
    const input = privateKey ?? (content && embeddedPrivateKey(content));
    const key = input === undefined ? this.#requestedKey : readPrivateKey(this.#platform.crypto, input);
    if (key === undefined) throw unusable('its private key is missing');
    return key;
  }

  #mustBeForUs({ identity, appIds }: CertificateDetails): void {
    if (identity === undefined || identity.isLocalHost) throw unusable('it is bound to no identity');
    if (!this.#identity.isLocalHost && !this.#identity.equals(identity)) {
      throw unusable(`it is for ${identity}, and we are ${this.#identity}`);
    }
    if (!appIds.includes(this.appId)) {
      throw unusable(`it is for the applications [${appIds.join(', ')}], and ours is ${this.appId}`);
    }
  }

  #mustBeTrusted(signed: SignedCertificate): void {
    const certificate = decodeCertificate(signed.cert)!;
    // That it has expired is no reason to refuse it.
    const nowS = Math.min(this.#platform.unixTimeS(), certificate.timeExpiryS ?? 0);
    const result = this.store.check(signed, certificate, nowS);
    if (!result.ok) throw unusable(`${result.detail}; trustedCAs must name who signed it`);
    if (!coversApp(result.scope, this.appId))
      throw unusable(`its authority may not sign for application ${this.appId}`);
  }

  #watchExpiry(): void {
    const expiresS = this.#details?.expiresS ?? 0;
    const leftS = expiresS - this.#platform.unixTimeS();
    const lifeS = expiresS - (this.#details?.createdS ?? 0);
    const warnAtS = Math.min(MAX_WARNING_S, Math.floor(lifeS / 10));
    this.#alarm ??= this.#platform.newAlarm(() => this.#watchExpiry());
    this.#alarm.setRef(false);
    const certificate = this.#details!;
    if (leftS <= 0) this.#tell('expired', certificate);
    else if (leftS <= warnAtS && !this.#hasWarned) {
      this.#hasWarned = true;
      this.#tell('expiring', certificate);
    }
    const waitS = leftS > warnAtS ? leftS - warnAtS : leftS;
    this.#alarm.set(leftS <= 0 ? NEVER : this.#platform.nowUs() + waitS * US_PER_SECOND);
  }

  /** Later: whoever has just made this instance has had no time to listen. */
  #tell(event: 'expiring' | 'expired', certificate: CertificateDetails): void {
    this.#platform.defer(() => this.emit(event, certificate));
  }

  /** The instance is closed. @internal */
  stop(): void {
    this.#alarm?.set(NEVER);
  }
}

/** What the connections of an instance share: who we are is asked anew each time. */
export function environmentOf(platform: Platform, credentials: Credentials, checksAddresses: boolean): Environment {
  const { crypto, random } = platform;
  const strays = new StrayLimiter();
  return {
    crypto,
    random,
    get identity() {
      return credentials.identity;
    },
    get certificate() {
      return credentials.usable;
    },
    appId: credentials.appId,
    trust: credentials.store,
    signingKey: credentials.signingKey,
    checksAddresses,
    unixTimeS: () => platform.unixTimeS(),
    mayAnswerStray: (nowUs) => strays.mayAnswer(nowUs),
  };
}

function isList(input: CredentialOptions['trustedCAs']): input is readonly CredentialInput[] {
  return Array.isArray(input);
}

function unusable(why: string): NetworkingError {
  return new NetworkingError('InvalidParam', `cannot use the certificate: ${why}`);
}

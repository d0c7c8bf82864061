// What an application may ask of a client before anything is done for it that costs. Spec: 10.5.

import type { IpAddress } from '../base/address.ts';
import type { Identity } from '../base/identity.ts';
import { LONG_AGO, US_PER_SECOND } from '../base/time.ts';
import type { ConnectRequest } from '../wire/control-packets.ts';
import { decodeCertificate } from '../wire/crypt-messages.ts';
import type { ListenLimits } from './gate.ts';
import type { Refusal } from './member.ts';

/** The application hears of so many refusals, and the number of the others. */
const MAX_TOLD_PER_SECOND = 10;

/** A client that asks to connect. It has shown that the address is its own; all else is what it says. */
export interface Applicant {
  readonly remoteAddress: IpAddress;
  /** Not verified yet. */
  readonly remoteIdentity: Identity;
  /** What its certificate says, not verified yet; undefined if there is none that can be read. */
  readonly certificate: CertificateClaims | undefined;
}

export interface CertificateClaims {
  /** The authority's key; undefined if nobody signed it. */
  readonly caKeyId: bigint | undefined;
  /** Unix seconds. */
  readonly timeCreatedS: number | undefined;
  /** Unix seconds. */
  readonly timeExpiryS: number | undefined;
  /** Empty: any. */
  readonly appIds: readonly number[];
}

/** False turns the client away without a word. */
export type AdmissionHook = (applicant: Applicant) => boolean;

export interface AdmissionOptions {
  readonly admit?: AdmissionHook | undefined;
  readonly limits?: ListenLimits | undefined;
}

export function applicantOf({ cert }: ConnectRequest, remoteIdentity: Identity, remoteAddress: IpAddress): Applicant {
  const certificate = cert === undefined ? undefined : decodeCertificate(cert.cert);
  if (cert === undefined || certificate === undefined) {
    return { remoteAddress, remoteIdentity, certificate: undefined };
  }
  const { timeCreatedS, timeExpiryS, appIds } = certificate;
  return { remoteAddress, remoteIdentity, certificate: { caKeyId: cert.caKeyId, timeCreatedS, timeExpiryS, appIds } };
}

/** Clients whose credentials were not acceptable: all are counted, and some are told. */
export class Refusals {
  count = 0;
  #told = 0;
  #toldSinceUs = LONG_AGO;
  #untold = 0;

  /** What to tell the application of this one; undefined if it has heard enough for now. */
  note(refusal: Omit<Refusal, 'untold'>, nowUs: number): Refusal | undefined {
    this.count++;
    if (nowUs >= this.#toldSinceUs + US_PER_SECOND) {
      this.#toldSinceUs = nowUs;
      this.#told = 0;
    }
    if (this.#told >= MAX_TOLD_PER_SECOND) {
      this.#untold++;
      return undefined;
    }
    this.#told++;
    const told = { ...refusal, untold: this.#untold };
    this.#untold = 0;
    return told;
  }
}

// What a peer showed us, in an application's terms; and the application's own check of it, before a client is let in.

import { NEVER, US_PER_MS } from '../core/base/time.ts';
import { type CertificateDetails, describeCertificate } from '../core/certs/certificate.ts';
import type { RefusalKind } from '../core/certs/verify.ts';
import type { Connection } from '../core/connection/connection.ts';
import type { CryptoProvider, Platform } from '../core/platform.ts';

/** The certificate of a peer, which proved that it has its key. */
export interface PeerCertificate extends CertificateDetails {
  /** A trusted authority signed it. If not, all that it says is a claim, except for the key. */
  readonly isCaSigned: boolean;
}

/** Undefined while nothing was verified, and for one end of a socket pair. */
export function peerCertificate(connection: Connection, crypto: CryptoProvider): PeerCertificate | undefined {
  const shown = connection.verified?.shown;
  const details = shown && describeCertificate(crypto, shown);
  return details && { ...details, isCaSigned: shown.isCaSigned };
}

/** True or nothing: welcome. False, or reason and text for the client: not. */
export type PeerVerdict = boolean | undefined | { readonly reason?: number; readonly debug?: string };

/** Why the application's check let a client not in. */
export type CheckFailure = 'checkRejected' | 'checkFailed' | 'checkTimedOut';

export interface CheckResult {
  readonly kind: CheckFailure;
  /** For the client. */
  readonly end: { readonly reason?: number; readonly debug?: string };
  /** For us. */
  readonly detail: string;
}

export type AnyRefusalKind = RefusalKind | CheckFailure;

const NOT_WELCOME = { debug: 'The server does not let this client in' } as const;
const NOT_CHECKED = { debug: 'The server could not check the credentials' } as const;

/** Asks the application; undefined: the client is welcome. Settles at once if the application does. */
export function askApplication(
  ask: () => PeerVerdict | Promise<PeerVerdict>,
  timeoutMs: number,
  platform: Platform,
  settle: (result: CheckResult | undefined) => void,
): void {
  let isSettled = false;
  const alarm = platform.newAlarm(() => {
    const detail = `the application did not decide within ${timeoutMs} ms`;
    finish({ kind: 'checkTimedOut', end: NOT_CHECKED, detail });
  });
  const finish = (result: CheckResult | undefined) => {
    if (isSettled) return;
    isSettled = true;
    alarm.set(NEVER);
    settle(result);
  };
  const fail = (error: unknown) =>
    finish({ kind: 'checkFailed', end: NOT_CHECKED, detail: `the application's check failed: ${error}` });
  try {
    const verdict = ask();
    if (!(verdict instanceof Promise)) {
      finish(resultOf(verdict));
      return;
    }
    alarm.set(platform.nowUs() + timeoutMs * US_PER_MS);
    verdict.then((late) => finish(resultOf(late)), fail);
  } catch (error) {
    fail(error);
  }
}

function resultOf(verdict: PeerVerdict): CheckResult | undefined {
  if (verdict === undefined || verdict === true) return undefined;
  const end = verdict === false ? NOT_WELCOME : { ...NOT_WELCOME, ...verdict };
  return { kind: 'checkRejected', end, detail: `the application refused: ${end.debug}` };
}

// The options of those subcommands that connect or listen: who we are, and whom we trust.

import { existsSync, readFileSync } from 'node:fs';
import { NetworkingError, type NetworkingOptions } from '../index.ts';
import { UsageError } from './usage.ts';

export const CREDENTIAL_OPTIONS = {
  cert: { type: 'string' },
  key: { type: 'string' },
  ca: { type: 'string', multiple: true },
} as const;

export const CREDENTIAL_USAGE = '[--cert FILE [--key FILE]] [--ca FILE ...]';

export interface CredentialValues {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string[];
}

/** With any of them, peers have to prove who they are. The key of `NAME.cert` is in `NAME.key`, unless given. */
export function credentialOptions({ cert, key, ca = [] }: CredentialValues, usage: string): NetworkingOptions {
  if (cert === undefined && key === undefined && ca.length === 0) return {};
  if (ca.length === 0) throw new UsageError('--ca is missing: a public key or certificate of an authority', usage);
  const options = { trustedCAs: ca.map(readInput), allowWithoutAuth: 'never' } as const;
  if (cert === undefined) {
    if (key === undefined) return options;
    throw new UsageError('--key goes with --cert', usage);
  }
  const beside = cert.replace(/\.cert$/, '.key');
  const keyPath = key ?? (beside !== cert && existsSync(beside) ? beside : undefined);
  if (keyPath === undefined) throw new UsageError('--key is missing: the private key of the certificate', usage);
  return { ...options, certificate: readInput(cert), privateKey: readInput(keyPath) };
}

/** The content of a file that the command line names. */
export function readInput(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new NetworkingError('InvalidParam', `cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

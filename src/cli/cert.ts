// `gns cert`: an authority on the command line. Its files are GNS's: certtool reads ours, and we read its. Spec: 9.

import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { readIdentityOption, readPublicKey, requestText } from '../core/certs/issue.ts';
import { readPublicKeys } from '../core/certs/text.ts';
import {
  type CertificateDetails,
  createCA,
  generateKeyPair,
  issueAuthority,
  issueCertificate,
  NetworkingError,
  readCertificate,
  verifyCertificate,
} from '../index.ts';
import { readInput as read } from './credentials.ts';
import { parseArguments, UsageError } from './usage.ts';

const USAGE = `usage: gns cert ca --out NAME [--ca KEY] [--days N] [--app N,...]
       gns cert issue --ca KEY --identity ID --out NAME [--days N | --seconds N] [--app N,...] [--ip RANGE,...] [--key PUBKEY]
       gns cert request --identity ID --out NAME
       gns cert sign --ca KEY --request FILE --out NAME [--identity ID] [--days N | --seconds N] [--app N,...] [--ip RANGE,...]
       gns cert inspect FILE [--json]
       gns cert verify FILE --trust FILE [--trust FILE ...] [--identity ID] [--app N] [--ip ADDRESS] [--json]
all that write files: [--force] [--json]`;

const OPTIONS = {
  out: { type: 'string' },
  ca: { type: 'string' },
  identity: { type: 'string' },
  days: { type: 'string' },
  seconds: { type: 'string' },
  app: { type: 'string' },
  ip: { type: 'string' },
  key: { type: 'string' },
  request: { type: 'string' },
  trust: { type: 'string', multiple: true },
  force: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

const DAY_S = 24 * 60 * 60;
const SECRET_MODE = 0o600;
const PUBLIC_MODE = 0o644;

type Values = ReturnType<typeof parse>['values'];

function parse(args: readonly string[]) {
  return parseArguments({ args: [...args], options: OPTIONS, allowPositionals: true }, USAGE);
}

/** Resolves with the exit status; 1 if `verify` finds a fault. */
export async function cert(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  const [action, file, extra] = positionals;
  if (extra !== undefined) throw new UsageError(`'${extra}' is one argument too many`, USAGE);
  const needsFile = action === 'inspect' || action === 'verify';
  if (needsFile && file === undefined) throw new UsageError('FILE is missing', USAGE);
  if (!needsFile && file !== undefined) throw new UsageError(`'${file}' is one argument too many`, USAGE);
  if (action === 'ca') return makeAuthority(values);
  if (action === 'issue') return issue(values);
  if (action === 'request') return request(values);
  if (action === 'sign') return sign(values);
  if (action === 'inspect') return inspect(file!, values);
  if (action === 'verify') return verify(file!, values);
  throw new UsageError(action === undefined ? 'an action is missing' : `there is no action '${action}'`, USAGE);
}

function makeAuthority(values: Values): number {
  const options = validity(values);
  const above = values.ca;
  const made = above === undefined ? createCA(options) : issueAuthority({ ...options, caKey: read(above) });
  return write(values, { key: made.privateKey, pub: made.publicKey, cert: made.certificate });
}

function issue(values: Values): number {
  const key = values.key === undefined ? {} : { publicKey: read(values.key) };
  const options = { caKey: read(need(values, 'ca')), identity: need(values, 'identity'), ...claims(values), ...key };
  const { privateKey, certificate } = issueCertificate(options);
  return write(values, { key: privateKey, cert: certificate });
}

function request(values: Values): number {
  const identity = readIdentityOption(need(values, 'identity'));
  const { privateKey, publicKey } = generateKeyPair();
  return write(values, { key: privateKey, request: requestText(readPublicKey(publicKey), identity) });
}

function sign(values: Values): number {
  const identity = values.identity === undefined ? {} : { identity: values.identity };
  const options = { caKey: read(need(values, 'ca')), request: read(need(values, 'request')), ...claims(values) };
  return write(values, { cert: issueCertificate({ ...options, ...identity }).certificate });
}

function inspect(path: string, { json }: Values): number {
  const content = read(path);
  const keys = readPublicKeys(content.toString('latin1')).flatMap((key) => key ?? []);
  const certificates = /BEGIN STEAMDATAGRAM CERT/i.test(content.toString('latin1')) || keys.length === 0;
  const found = certificates ? readCertificate(content) : [];
  if (json) print(JSON.stringify({ publicKeys: keys.length, certificates: found.map(plain) }));
  else {
    for (const key of keys) print(`public key ${Buffer.from(key).toString('hex')}`);
    for (const details of found) for (const [name, value] of Object.entries(plain(details))) print(line(name, value));
  }
  return 0;
}

function verify(path: string, values: Values): number {
  const trusted = values.trust ?? [];
  if (trusted.length === 0)
    throw new UsageError('--trust is missing: a public key or certificate of an authority', USAGE);
  const identity = values.identity === undefined ? {} : { identity: values.identity };
  const address = values.ip === undefined ? {} : { address: values.ip };
  const appId = numbers('app', values.app ?? '0')[0]!;
  const verdict = verifyCertificate(read(path), { trustedCAs: trusted.map(read), appId, ...identity, ...address });
  const { ok } = verdict;
  if (values.json) print(JSON.stringify(ok ? { ok, certificate: plain(verdict.details) } : verdict));
  else
    print(
      ok ? `good: ${verdict.details.identity}, until ${date(verdict.details.expiresS)}` : `refused: ${verdict.detail}`,
    );
  return ok ? 0 : 1;
}

function plain(details: CertificateDetails): Record<string, unknown> {
  const { identity, publicKey, keyId, caKeyId, appIds, ipAddresses, createdS, expiresS } = details;
  return {
    identity: identity === undefined ? null : String(identity),
    publicKey: Buffer.from(publicKey).toString('hex'),
    keyId: String(keyId),
    caKeyId: caKeyId === undefined ? null : String(caKeyId),
    appIds,
    ipAddresses,
    created: date(createdS),
    expires: date(expiresS),
  };
}

function line(name: string, value: unknown): string {
  const text = Array.isArray(value) ? value.join(', ') || 'any' : (value ?? 'none');
  return `${name.padEnd(12)} ${text}`;
}

function date(seconds: number | undefined): string | null {
  return seconds === undefined ? null : new Date(seconds * 1000).toISOString();
}

// ---- options and files

function validity({ days, seconds, app }: Values) {
  if (days !== undefined && seconds !== undefined) throw new UsageError('give --days or --seconds, not both', USAGE);
  const life = days === undefined ? {} : { expiresInS: Math.round(positive('days', days) * DAY_S) };
  const precise = seconds === undefined ? life : { expiresInS: Math.round(positive('seconds', seconds)) };
  return { ...precise, ...(app === undefined ? {} : { appIds: numbers('app', app) }) };
}

function claims(values: Values) {
  return { ...validity(values), ...(values.ip === undefined ? {} : { ipAddresses: values.ip.split(',') }) };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new UsageError(`--${name} ${text} is not a number above 0`, USAGE);
  return value;
}

function numbers(name: string, text: string): readonly number[] {
  return text.split(',').map((each) => {
    if (!/^\d+$/.test(each)) throw new UsageError(`--${name} ${text}: '${each}' is not a whole number`, USAGE);
    return Number(each);
  });
}

function need(values: Values, name: 'ca' | 'identity' | 'out' | 'request'): string {
  const value = values[name];
  if (value === undefined) throw new UsageError(`--${name} is missing`, USAGE);
  return value;
}

/** Writes `NAME.key` and so on, all or none. */
function write(values: Values, parts: Readonly<Record<string, string | undefined>>): number {
  const name = need(values, 'out');
  const files = Object.entries(parts).flatMap(([end, text]) =>
    text === undefined ? [] : [{ path: `${name}.${end}`, text }],
  );
  const taken = files.find(({ path }) => existsSync(path));
  if (taken !== undefined && values.force !== true) {
    throw new NetworkingError('InvalidParam', `${taken.path} exists already; --force overwrites it`);
  }
  for (const { path, text } of files) {
    create(path, text, path.endsWith('.key') ? SECRET_MODE : PUBLIC_MODE, values.force === true);
  }
  if (values.json) print(JSON.stringify({ files: files.map(({ path }) => path) }));
  else for (const { path } of files) print(`wrote ${path}${path.endsWith('.key') ? ' (keep it secret)' : ''}`);
  return 0;
}

/** Secrets are never in a file that others may read. With `force` a new file takes the place of the old one. */
function create(path: string, text: string, mode: number, force: boolean): void {
  const target = force ? `${path}.${process.pid}.new` : path;
  try {
    writeFileSync(target, text, { mode, flag: 'wx' });
    if (force) renameSync(target, path);
  } catch (error) {
    throw new NetworkingError('InvalidParam', `cannot write ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

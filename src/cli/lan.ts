// `gns lan`: which game sessions are announced on the local network.

import { setTimeout as delay } from 'node:timers/promises';
import { type Browser, browse, type LanSession } from '../lan.ts';
import { printable } from './chat/text.ts';
import { parseArguments, UsageError } from './usage.ts';

const USAGE = 'usage: gns lan [--app ID] [--port N] [--watch] [--json]';
const SEARCH_MS = 2_000;
const MAX_U32 = 0xffff_ffff;
const MAX_PORT = 0xffff;

/** Resolves with the exit status: after two seconds, or with `--watch` when it is told to stop. */
export async function lan(args: readonly string[]): Promise<number> {
  const options = {
    app: { type: 'string' },
    port: { type: 'string' },
    watch: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  } as const;
  const { values } = parseArguments({ args: [...args], options }, USAGE);
  const { app, port, json } = values;
  const browser = browse({
    ...(app === undefined ? {} : { appId: numberOf('--app', app, 0, MAX_U32) }),
    ...(port === undefined ? {} : { lan: { port: numberOf('--port', port, 1, MAX_PORT) } }),
  });
  try {
    if (values.watch) await watch(browser, json);
    else await list(browser, json);
  } finally {
    browser.close();
  }
  return 0;
}

async function list(browser: Browser, json: boolean): Promise<void> {
  await delay(SEARCH_MS);
  const { sessions } = browser;
  for (const session of sessions) console.log(json ? JSON.stringify(toJson(session)) : toLine(session));
  if (sessions.length === 0 && !json) console.log('no sessions');
}

async function watch(browser: Browser, json: boolean): Promise<void> {
  for (const event of ['found', 'changed', 'lost'] as const) {
    browser.on(event, (session) => {
      console.log(json ? JSON.stringify({ event, ...toJson(session) }) : `${event.padEnd(7)}  ${toLine(session)}`);
    });
  }
  await new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
}

function toJson({ userData, ...session }: LanSession): object {
  return { ...session, userDataHex: Buffer.from(userData).toString('hex') };
}

function toLine({ name, address, port, identity, virtualPort, appId }: LanSession): string {
  const host = address.includes(':') ? `[${address}]` : address;
  const where = port === 0 ? host : `${host}:${port}`;
  const p2p = virtualPort === undefined ? '' : `  P2P port ${virtualPort}`;
  return `${where.padEnd(21)}  ${printable(name)}  app ${appId}  ${printable(identity)}${p2p}`;
}

function numberOf(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${option} must be a number from ${min} to ${max}, not '${text}'`, USAGE);
}

// `gns chat`: a room for everybody who connects. Each message is one line of text; `/nick NAME` changes a name. Works
// with the reference's example_chat at either end.

import { Networking, NetworkingError, type NetworkingOptions } from '../../index.ts';
import { CREDENTIAL_OPTIONS, CREDENTIAL_USAGE, credentialOptions } from '../credentials.ts';
import { closeSoon } from '../farewell.ts';
import { parseArguments, UsageError } from '../usage.ts';
import { Room } from './server.ts';
import { Terminal } from './terminal.ts';
import { MAX_LINE_BYTES, printable, readLine, writeLine } from './text.ts';

const USAGE = `usage: gns chat --listen ADDRESS | --connect ADDRESS [--nick NAME] ${CREDENTIAL_USAGE} [--expect ID]`;
/** The reference's chat program listens here. */
const DEFAULT_PORT = 27_020;

export async function chat(args: readonly string[]): Promise<number> {
  const options = {
    listen: { type: 'string' },
    connect: { type: 'string' },
    nick: { type: 'string' },
    expect: { type: 'string' },
    ...CREDENTIAL_OPTIONS,
  } as const;
  const { values } = parseArguments({ args: [...args], options }, USAGE);
  const { listen, connect, nick, expect } = values;
  if (listen !== undefined && connect !== undefined) {
    throw new UsageError('--listen and --connect exclude each other', USAGE);
  }
  const credentials = credentialOptions(values, USAGE);
  if (listen !== undefined) return keepRoom(listen, nick, credentials);
  if (connect !== undefined) return enterRoom(connect, nick, expect, credentials);
  throw new UsageError('--listen or --connect is missing', USAGE);
}

/** Reads `HOST:PORT`, `[IPv6]:PORT`, `HOST`, and `:PORT`, `*:PORT` or `PORT` for all addresses of this machine. */
export function parseAddress(text: string, option: string): { readonly host: string; readonly port: number } {
  const portOnly = /^(?:\*?:)?(\d+)$/.exec(text)?.[1];
  const [, bracketed, host = bracketed, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
  const port = Number(portOnly ?? portText ?? DEFAULT_PORT);
  const where = portOnly === undefined ? host : '::';
  if (where === undefined || port > 65_535) {
    throw new UsageError(`${option} ${text} is not an address such as 127.0.0.1:${DEFAULT_PORT}`, USAGE);
  }
  return { host: where, port };
}

async function keepRoom(text: string, nick = 'host', credentials: NetworkingOptions = {}): Promise<number> {
  const { host, port } = parseAddress(text, '--listen');
  const networking = new Networking(credentials);
  let print: (line: string) => void = () => {};
  const room = new Room(networking, { host, port, nick, print: (line) => print(line) });
  await new Promise<void>((resolve) => {
    const terminal = new Terminal({
      onLine: (line) => {
        if (line === '/quit') terminal.close();
        if (line === '/quit') resolve();
        else room.say(line);
      },
      onQuit: resolve,
    });
    print = (line) => terminal.print(line);
    print(`The room is open at ${room.address}. Enter /quit to close it.`);
  });
  await room.close();
  await closeSoon(networking);
  return 0;
}

async function enterRoom(
  text: string,
  nick: string | undefined,
  expectedIdentity: string | undefined,
  credentials: NetworkingOptions,
): Promise<number> {
  const { host, port } = parseAddress(text, '--connect');
  const networking = new Networking(credentials);
  const quit = new AbortController();
  const terminal = new Terminal({ onLine: (line) => say(line), onQuit: () => quit.abort() });
  /** Lines entered before the connection is there. */
  const early: string[] = [];
  let say = (line: string): void => {
    early.push(line);
  };
  terminal.print(`Connecting with ${text}.`);
  try {
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const expected = expectedIdentity === undefined ? {} : { expectedIdentity };
    const connection = await networking.connect(address, { signal: quit.signal, ...expected });
    terminal.print('Connected. Enter /nick NAME to change your name, /quit to leave.');
    const left = new Promise<void>((resolve) => {
      connection.on('message', ({ data }) => terminal.print(readLine(data)));
      connection.on('ended', ({ endDebug }) => {
        terminal.print(`The room has closed the connection: ${printable(endDebug)}.`);
        resolve();
      });
      quit.signal.addEventListener('abort', () => resolve());
      say = (line) => {
        const bytes = writeLine(line);
        if (line === '/quit') resolve();
        else if (bytes === undefined) terminal.print(`Not sent: a line has at most ${MAX_LINE_BYTES} bytes.`);
        else connection.send(bytes);
      };
      if (nick !== undefined) say(`/nick ${nick}`);
      for (const line of early) say(line);
    });
    if (!quit.signal.aborted) await left;
    await connection.close({ debug: 'Goodbye', linger: true });
    return 0;
  } catch (error) {
    if (quit.signal.aborted) return 0;
    if (!(error instanceof NetworkingError)) throw error;
    process.stderr.write(`gns: ${error.message}\n`);
    return 1;
  } finally {
    terminal.close();
    await closeSoon(networking);
  }
}

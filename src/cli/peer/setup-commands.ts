// Commands that set the peer up: who it is, its instance of the library, configuration values, switches.

import { type ConfigScope, Identity, LOG_LEVELS, type LogEntry, type LogLevel, Networking } from '../../index.ts';
import { type CommandTable, DONE, type Workshop } from './command-table.ts';
import { applyConfig, configFields, configList, configOptions, ownConfig, takeConfig } from './config.ts';
import { type Command, CommandError, parseDecimal, parseHex, parseInteger } from './line.ts';
import type { Fields } from './report.ts';
import type { Session } from './session.ts';
import { reporter } from './signals.ts';

export const SETUP_COMMANDS: CommandTable = {
  identity: setIdentity,
  init,
  config,
  loglevel: (command, { session }) => {
    session.logLevel = parseLogLevel(command.word(0));
    return { level: session.logLevel };
  },
  tick,
  hexmax: (command, { session }) => {
    session.hexMax = Math.max(0, parseInteger(command.word(0), 'hexmax'));
    return DONE;
  },
  quiet: (command, { session }) => {
    session.isQuiet = command.onOff();
    return DONE;
  },
};

function setIdentity(command: Command, { session }: Workshop): Fields {
  const identity = readIdentity(command);
  if (identity === 'current') {
    return { known: true, identity: String(session.instance.identity) };
  }
  command.noMore();
  session.identity = identity;
  if (session.networking !== undefined) reset(session);
  return { identity: identity === undefined ? null : String(identity) };
}

function readIdentity(command: Command): Identity | undefined | 'current' {
  const name = command.find('str');
  if (name !== undefined) return Identity.string(name);
  const hex = command.find('generic');
  if (hex !== undefined) {
    const bytes = parseHex(hex);
    if (bytes === undefined) throw new CommandError('generic: bad hex');
    return Identity.bytes(bytes);
  }
  const any = command.find('any');
  if (any !== undefined) return parseIdentity(any);
  switch (command.word(0)) {
    case '':
      return 'current';
    case 'localhost':
      return Identity.localHost;
    case 'none':
      return undefined;
    default:
      throw new CommandError('give str=, generic=, any=, localhost or none');
  }
}

/** Throws `CommandError` for what is none. */
export function parseIdentity(text: string): Identity {
  const identity = text.toLowerCase() === 'localhost' ? Identity.localHost : Identity.parse(text);
  if (identity === undefined) throw new CommandError(`not an identity: '${text}'`);
  return identity;
}

/** The identity of an instance does not change, so a new instance takes the place of the old one. */
function reset(session: Session): void {
  if (session.connections.length > 0 || session.listens.size > 0) {
    throw new CommandError('close all connections and listen sockets before the identity is changed');
  }
  const config = ownConfig(session.instance.config);
  void session.instance.close();
  session.networking = newInstance(session, config);
}

function newInstance(session: Session, config: ReturnType<typeof ownConfig>): Networking {
  const log = {
    level: 'everything',
    output: ({ level, text, atUs }: LogEntry) => {
      if (LOG_LEVELS[level] > session.logLevel) return;
      session.report.event('log', { level: LOG_LEVELS[level], name: level, at: Math.trunc(atUs), msg: text });
    },
  } as const;
  const { identity } = session;
  return new Networking({ config, log, signaling: reporter(session), ...(identity === undefined ? {} : { identity }) });
}

function init(command: Command, { session }: Workshop): Fields {
  if (session.networking !== undefined) throw new CommandError('already initialised');
  const config = { ...ownConfig(session.globalConfig), ...configOptions(takeConfig(command)) };
  session.networking = newInstance(session, config);
  return { identity: String(session.networking.identity) };
}

function config(command: Command, { session }: Workshop): Fields {
  const verb = command.word(0);
  if (verb === 'list') return { values: configList() };
  const scopes = takeScopes(command, session);
  if (verb === 'get') {
    command.noMore();
    const [scope] = scopes;
    if (command.words.length < 2) throw new CommandError('config get: name the values');
    if (scope === undefined || scopes.length > 1) throw new CommandError('config get: needs a single object');
    return { values: configFields(command.words.slice(1), scope) };
  }
  if (verb !== '' && verb !== 'set') throw new CommandError(`config: unknown verb '${verb}'`);
  const settings = takeConfig(command);
  if (settings.length === 0) throw new CommandError('config: nothing to set');
  for (const scope of scopes) applyConfig(settings, scope);
  return { set: settings.length, objects: scopes.length };
}

/** What `scope=` and `id=` mean. */
function takeScopes(command: Command, session: Session): readonly ConfigScope[] {
  const id = command.text('id', '');
  const kind = id === '' ? 'global' : session.listens.has(id) ? 'listen' : 'conn';
  switch (command.text('scope', kind).toLowerCase()) {
    case 'global':
      return [session.globalConfig];
    case 'conn':
    case 'connection':
      return session.match(id).map(({ connection }) => connection.config);
    case 'listen':
      return [session.needListen(id).socket.config];
    default:
      throw new CommandError(`unknown scope '${command.text('scope', '')}'`);
  }
}

function parseLogLevel(text: string): number {
  const named = LOG_LEVELS[text.toLowerCase() as LogLevel];
  if (named !== undefined) return named;
  const level = parseInteger(text, 'loglevel');
  if (level < 0 || level > LOG_LEVELS.everything) throw new CommandError('loglevel is 0 to 8');
  return level;
}

/** Accepted for the sake of scripts: nothing here is polled. */
function tick(command: Command): Fields {
  const ms = command.words.length === 0 ? command.number('ms', 1) : parseDecimal(command.word(0), 'tick');
  if (ms < 0 || ms > 10_000) throw new CommandError('tick is out of range');
  return { ms };
}

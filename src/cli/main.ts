#!/usr/bin/env node
// The command `gns`: finds the subcommand and turns errors into exit statuses. Each subcommand is loaded when it is used.

import { readFileSync } from 'node:fs';
import { NetworkingError } from '../index.ts';
import { EXIT_USAGE, parseArguments, UsageError } from './usage.ts';

const USAGE = 'usage: gns cert|chat|ping|peer|signal|lan|demo|doctor|help [ARGUMENT ...]';

const HELP = `gns: game networking sockets on the command line

  gns chat --listen ADDRESS    open a chat room
  gns chat --connect ADDRESS   enter one
  gns ping ADDRESS [--count N] [--json]
                               find out how far away a server is, and who it says it is
  gns peer [COMMAND ...]       run commands from the arguments and from standard input;
                               report what happens as JSON, one object per line
  gns signal [--port N] [--nats URL] [--ca FILE]
                               run a signaling server, by which peers find each other
  gns lan [--watch] [--json]   list the game sessions on the local network
  gns cert ACTION ...          make an authority, issue, read and check certificates
  gns doctor [--stun LIST] [--turn LIST --user LIST --pass LIST]
                               find out whom this machine can meet by P2P
  gns demo [--plain]           watch every state of a connection, in about 15 seconds
  gns help                     show this
  gns --version                show the version

ADDRESS is HOST:PORT, such as 127.0.0.1:27020, [::1]:27020 or, for --listen, *:27020.
Chat also takes --nick NAME; chat and ping take --cert FILE, --ca FILE and --expect ID. More is in docs/cli.md.
`;

/** A subcommand gets the arguments behind its name and resolves with the exit status. */
const SUBCOMMANDS: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  cert: async (args) => (await import('./cert.ts')).cert(args),
  chat: async (args) => (await import('./chat/chat.ts')).chat(args),
  demo: async (args) => (await import('./demo.ts')).demo(args),
  doctor: async (args) => (await import('./doctor/doctor.ts')).doctor(args),
  ping: async (args) => (await import('./ping.ts')).ping(args),
  peer: async (args) => {
    const usage = 'usage: gns peer [COMMAND ...]';
    const { positionals } = parseArguments({ args: [...args], allowPositionals: true }, usage);
    return (await import('./peer/peer.ts')).runPeer(positionals, version());
  },
  signal: async (args) => (await import('./signal.ts')).signal(args),
  lan: async (args) => (await import('./lan.ts')).lan(args),
  help: async () => {
    process.stdout.write(HELP);
    return 0;
  },
};

function version(): string {
  // Next to `src` in the sources, one level up when compiled.
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // Not there.
    }
  }
  return 'unknown';
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) throw new UsageError('a subcommand is missing', USAGE);
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const subcommand = name === '--help' || name === '-h' ? 'help' : name;
  if (!Object.hasOwn(SUBCOMMANDS, subcommand)) throw new UsageError(`there is no subcommand '${name}'`, USAGE);
  return SUBCOMMANDS[subcommand]!(rest);
}

/** Prints what went wrong, and returns the exit status for it. */
function explain(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`gns: ${error.message}\n${error.usage}\n`);
    return EXIT_USAGE;
  }
  const text = error instanceof NetworkingError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`gns: ${text}\n`);
  return 1;
}

// What still waits (input that nobody wants any more, say) must not keep the process alive.
process.exit(await main(process.argv.slice(2)).catch(explain));

// `gns signal`: a signaling server, alone or one of a fleet.

import { readInput } from './credentials.ts';
import { parseArguments, UsageError } from './usage.ts';

const USAGE = 'usage: gns signal [--port N] [--host ADDRESS] [--nats URL] [--trivial PORT] [--ca FILE ...]';

/** Resolves with the exit status, when the server was told to stop. */
export async function signal(args: readonly string[]): Promise<number> {
  const options = {
    port: { type: 'string' },
    host: { type: 'string', default: '127.0.0.1' },
    nats: { type: 'string' },
    trivial: { type: 'string' },
    ca: { type: 'string', multiple: true },
  } as const;
  const { values } = parseArguments({ args: [...args], options }, USAGE);
  const { SIGNALING_PORT, SignalingServer } = await optional(() => import('../signaling/websocket-server.ts'), 'ws');
  const { host } = values;
  const port = values.port === undefined ? SIGNALING_PORT : portOf('--port', values.port);
  const trivialPort = values.trivial === undefined ? undefined : portOf('--trivial', values.trivial);
  const backplane = values.nats === undefined ? undefined : await joinFleet(values.nats);
  const trust = values.ca === undefined ? {} : { trustedCAs: values.ca.map(readInput) };
  if (values.ca !== undefined && trivialPort !== undefined) {
    throw new UsageError('--ca and --trivial exclude each other: that protocol has no certificates', USAGE);
  }
  const server = await SignalingServer.listen({
    port,
    host,
    ...trust,
    ...(backplane === undefined ? {} : { backplane }),
  });
  const shown = host.includes(':') ? `[${host}]` : host;
  console.log(
    `signaling at ws://${shown}:${server.port}${values.nats === undefined ? '' : `, one of those at ${values.nats}`}`,
  );
  console.log(
    values.ca === undefined
      ? 'everybody is who they say they are: no certificates are asked for'
      : 'everybody has to prove who they are by a certificate',
  );
  const trivial = trivialPort === undefined ? undefined : await serveTrivial(trivialPort, host);
  if (trivial !== undefined) console.log(`and by the protocol of GNS's examples at ${shown}:${trivial.port}`);
  await toldToStop();
  await Promise.all([server.close(), trivial?.close()]);
  return 0;
}

async function joinFleet(url: string) {
  const { natsBackplane } = await optional(() => import('../signaling/nats.ts'), '@nats-io/transport-node');
  return natsBackplane({ servers: url });
}

async function serveTrivial(port: number, host: string) {
  const { TrivialSignalingServer } = await import('../signaling/trivial.ts');
  return TrivialSignalingServer.listen(port, host);
}

/** Some packages are for those who use them. */
async function optional<T>(load: () => Promise<T>, name: string): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError(`this needs the package ${name}: npm install ${name}`, USAGE);
  }
}

function portOf(option: string, text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 0xffff) return port;
  throw new UsageError(`${option} must be a port from 0 to 65535, not '${text}'`, USAGE);
}

function toldToStop(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
}

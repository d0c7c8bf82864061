// Our STUN and TURN client against servers of others: coturn (TURN_SERVER, its program) and the server of GNS's tests
// (GNS_STUN_SERVER, its stun_server.py). On real sockets, on this machine only.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { IceServers } from '../../src/core/ice/ice-port.ts';
import { nodePlatform } from '../../src/node/platform.ts';
import { IceHost, join, type Session } from '../support/ice-host.ts';

const HOST = '127.0.0.1';
const CREDENTIALS = { username: 'user', password: 'secret' };
const RELAY_ONLY = { relay: true, privateHost: false, publicHost: false };

interface ServerProgram {
  readonly name: string;
  readonly program: string | undefined;
  argumentsFor(port: number, folder: string): readonly string[];
}

const COTURN: ServerProgram = {
  name: 'coturn',
  program: process.env['TURN_SERVER'],
  argumentsFor: (port, folder) => [
    ...['-n', '-L', HOST, '-E', HOST, '-p', String(port), '--allow-loopback-peers', '--cli-password', 'x', '--no-cli'],
    ...['--no-tls', '--no-dtls', '--lt-cred-mech', '-r', 'example.org', '-u', 'user:secret', '--stale-nonce=1'],
    ...['--log-file', 'stdout', '--pidfile', joinPath(folder, 'pid'), '-b', joinPath(folder, 'db')],
  ],
};

const STUN_SERVER_PY: ServerProgram = {
  name: "the server of GNS's tests",
  program: process.env['GNS_STUN_SERVER'],
  argumentsFor: (port) => ['--host', HOST, '--port', String(port), '--username', 'user', '--password', 'secret'],
};

for (const { name, program, argumentsFor } of [COTURN, STUN_SERVER_PY]) {
  describe(`ICE with ${name}`, function () {
    this.timeout(20_000);
    let server: ChildProcess;
    let folder: string;
    let servers: IceServers;
    const hosts: IceHost[] = [];

    before(async function () {
      if (program === undefined) this.skip();
      folder = mkdtempSync(joinPath(tmpdir(), 'turn-'));
      const port = 20_000 + (process.pid % 20_000);
      const isScript = program.endsWith('.py');
      const args = argumentsFor(port, folder);
      server = spawn(isScript ? 'python3' : program, isScript ? [program, ...args] : args, { stdio: 'ignore' });
      const address = { address: HOST, port };
      servers = { stun: [address], turn: [{ address, ...CREDENTIALS }] };
      await isAnswering(servers);
    });

    afterEach(() => {
      for (const host of hosts.splice(0)) host.close();
    });

    after(() => {
      server?.kill();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    function start(allowed = RELAY_ONLY): Session {
      const [client, server] = [0, 1].map(() => newHost(servers));
      hosts.push(client!, server!);
      return join(client!, server!, {
        allowed: { client: allowed, server: allowed },
        later: (task) => setTimeout(task, 5),
      });
    }

    it('connects by relays, and data goes through both ways', async () => {
      const { client, server: accepting } = start();
      await until(() => !!client.agent.selectedRoute && !!accepting.agent.selectedRoute);
      expect(client.agent.selectedRoute!.kind).to.equal('relay');
      // Long enough for a channel to be bound, and for a nonce to grow stale.
      for (let count = 0; count < 30; count++) {
        for (const { agent, host } of [client, accepting]) {
          if (agent.selectedRoute) host.sendOn(agent.selectedRoute, Uint8Array.of(0x80, count, 7));
        }
        await sleep(100);
      }
      for (const { host } of [client, accepting]) {
        const counts = host.received.map(({ bytes }) => bytes[1]);
        expect(new Set(counts).size).to.be.at.least(28);
      }
    });

    it('lets us go straight where that works, with a relay in reserve', async () => {
      const { client, server: accepting } = start({ relay: true, privateHost: true, publicHost: true });
      await until(() => client.agent.selectedRoute?.kind === 'host' && accepting.agent.selectedRoute?.kind === 'host');
      const hasReserve = () =>
        client.agent.checkTable().some(({ relayServer, state }) => relayServer !== undefined && state === 'succeeded');
      await until(hasReserve);
    });
  });
}

function newHost(servers: Partial<IceServers>): IceHost {
  const platform = nodePlatform();
  return new IceHost(platform, { addresses: [{ address: HOST }], bind: HOST, allowsLoopback: true, ...servers });
}

async function isAnswering({ stun }: IceServers): Promise<void> {
  const host = newHost({ stun });
  host.newAgent('probe', true);
  try {
    await until(() => host.ice.mappings[0]?.mapped !== undefined);
  } finally {
    host.close();
  }
}

async function until(predicate: () => boolean): Promise<void> {
  for (let waited = 0; !predicate(); waited += 20) {
    if (waited > 15_000) throw new Error('it did not happen in 15 s');
    await sleep(20);
  }
}

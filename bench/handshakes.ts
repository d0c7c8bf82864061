// How many connections per second one server process takes from one client process over 127.0.0.1, and what a handshake
// costs each of them, with each implementation of the curves. The yardstick, measured in the same run, is the
// cryptography alone: what both sides must compute even if everything else cost nothing.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Connection, Networking } from '../src/index.ts';
import { nodePlatform } from '../src/node/platform.ts';

type Curves = 'node' | 'tweetnacl';

interface ClientReport {
  readonly connected: number;
  readonly elapsedUs: number;
  readonly cpuUs: number;
}

/** In progress at the same time. */
const WINDOW = 32;
const COUNTS: Record<Curves, number> = { node: 6000, tweetnacl: 60 };

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** The client process: connects `count` times, closes each connection at once, and reports. */
async function runClient(port: number, count: number, curves: Curves): Promise<void> {
  const net = new Networking({ identity: 'str:client', crypto: curves });
  const startUs = net.nowUs();
  const startCpuUs = cpuUs();
  let begun = 0;
  let connected = 0;
  const connectInTurn = async (): Promise<void> => {
    while (begun++ < count) {
      const connection: Connection = await net.connect(`127.0.0.1:${port}`);
      connected++;
      void connection.close();
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, connectInTurn));
  process.send?.({ connected, elapsedUs: net.nowUs() - startUs, cpuUs: cpuUs() - startCpuUs } satisfies ClientReport);
  process.disconnect?.();
  process.exit(0);
}

/** What one side of one handshake must compute: two key pairs, a signature, a check, an agreement. */
function cryptoAloneUs(curves: Curves): number {
  const { crypto } = nodePlatform({ crypto: curves });
  const message = new Uint8Array(64);
  const peerSigning = crypto.signingKey();
  const peerExchange = crypto.exchangeKey();
  const signature = peerSigning.sign(message);
  const rounds = curves === 'node' ? 300 : 5;
  const startUs = cpuUs();
  for (let i = 0; i < rounds; i++) {
    crypto.signingKey().sign(message);
    crypto.verify(peerSigning.publicKey, message, signature);
    crypto.exchangeKey().agree(peerExchange.publicKey);
  }
  return (cpuUs() - startUs) / rounds;
}

async function measure(curves: Curves): Promise<void> {
  const net = new Networking({ identity: 'str:server', crypto: curves });
  const socket = net.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
  socket.on('connection', ({ connection }) => connection.on('ended', () => connection.close()));
  const startCpuUs = cpuUs();
  const report = await new Promise<ClientReport>((resolve, reject) => {
    const args = ['client', String(socket.address.port), String(COUNTS[curves]), curves];
    const child = fork(fileURLToPath(import.meta.url), args);
    child.on('message', (message) => resolve(message as ClientReport));
    child.on('error', reject);
  });
  const serverCpuUs = (cpuUs() - startCpuUs) / report.connected;
  const clientCpuUs = report.cpuUs / report.connected;
  const aloneUs = cryptoAloneUs(curves);
  const row = {
    curves,
    'handshakes/s': Math.round((report.connected / report.elapsedUs) * 1e6),
    'server us': Math.round(serverCpuUs),
    'client us': Math.round(clientCpuUs),
    'crypto alone us': Math.round(aloneUs),
    'server / crypto': (serverCpuUs / aloneUs).toFixed(2),
  };
  console.table([row]);
  await net.close();
}

export async function main(): Promise<void> {
  console.log('CPU per handshake and side; one server process, one client process, 127.0.0.1');
  await measure('node');
  await measure('tweetnacl');
}

if (process.argv[2] === 'client')
  await runClient(Number(process.argv[3]), Number(process.argv[4]), process.argv[5] as Curves);
else if (process.argv[1] === fileURLToPath(import.meta.url)) await main();

// Three kinds of traffic on one slow connection, each on a lane of its own: voice goes first and may be dropped, of the
// state only the newest counts, and a download takes what is left. Usage: node dist/examples/lanes.js

import { setTimeout as sleep } from 'node:timers/promises';
import { type LaneOptions, Networking } from 'game-networking-sockets';

const Lane = { Voice: 0, State: 1, Download: 2 } as const;
/** Lower numbers are served first. */
const LANES: LaneOptions[] = [{ priority: 0 }, { priority: 1 }, { priority: 2 }];
const RATE_BYTES_PER_SEC = 60_000;
const DURATION_MS = 1500;
const VOICE_EVERY_MS = 20;
const DOWNLOAD_BYTES = 200_000;

const net = new Networking({ config: { sendRateMin: RATE_BYTES_PER_SEC, sendRateMax: RATE_BYTES_PER_SEC } });
const socket = net.listen({ host: '127.0.0.1', port: 0, autoAccept: true });

const arrived = { voice: 0, state: 0, download: 0 };
let newest = '';
socket.on('connection', ({ connection }) => {
  // Voice that comes after newer voice is of no use.
  connection.dropLate(Lane.Voice);
  connection.on('message', ({ data, lane }) => {
    if (lane === Lane.Voice) arrived.voice++;
    else if (lane === Lane.Download) arrived.download += data.length;
    else {
      arrived.state++;
      newest = new TextDecoder().decode(data);
    }
  });
  connection.on('ended', () => void connection.close());
});

const connection = await net.connect(`127.0.0.1:${socket.address.port}`);
connection.configureLanes(LANES);

for (let sent = 0; sent < DOWNLOAD_BYTES; sent += 10_000) {
  connection.send(new Uint8Array(10_000), { lane: Lane.Download });
}
const frames = DURATION_MS / VOICE_EVERY_MS;
for (let frame = 1; frame <= frames; frame++) {
  // Too late after 100 ms; when there is no room, older voice gives way.
  connection.send(new Uint8Array(160), { lane: Lane.Voice, reliable: false, droppable: true, ttlMs: 100 });
  // Two in a row: the second takes the place of the first, unless that has left already.
  for (const half of [0, 5]) connection.send(`position ${frame}.${half}`, { lane: Lane.State, key: 'position' });
  await sleep(VOICE_EVERY_MS);
}

console.log(`after ${DURATION_MS} ms at ${RATE_BYTES_PER_SEC} bytes/s:`);
console.log(`voice: ${arrived.voice} of ${frames} frames`);
console.log(`state: ${arrived.state} of ${2 * frames} updates, the last is "${newest}"`);
console.log(`download: ${arrived.download} of ${DOWNLOAD_BYTES} bytes`);

await connection.close({ linger: true });
console.log(`download: ${arrived.download} of ${DOWNLOAD_BYTES} bytes when all was delivered`);
await net.close();

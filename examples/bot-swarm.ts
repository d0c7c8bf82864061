// Fifty bots against one server, in one process and over real sockets, while the built-in fake network loses packets:
// how to load-test a server and see how it behaves on a bad line. Usage: node dist/examples/bot-swarm.js [bots]

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, Networking } from 'game-networking-sockets';

const BOTS = Number(process.argv[2] ?? 50);
const DURATION_MS = 3000;
const MOVE_EVERY_MS = 50;
const LOSS_PERCENT = 5;

const server = new Networking({ identity: 'str:server' });
const socket = server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
const swarm = server.createPollGroup();
socket.on('connection', ({ connection }) => {
  swarm.add(connection);
  connection.on('ended', () => void connection.close());
});
// Echoes everything: in one place, whoever it came from.
swarm.on('message', ({ connection, message }) => {
  const { data, reliable } = message;
  if (connection.state === 'Connected') connection.send(data, { reliable, noNagle: true });
});

const fakeNetwork = { fakePacketLossSend: LOSS_PERCENT, fakePacketLossRecv: LOSS_PERCENT, fakePacketLagSend: 20 };
const bots = new Networking({ config: fakeNetwork });
const sent = { reliable: 0, unreliable: 0 };
const echoed = { reliable: 0, unreliable: 0 };
const kindOf = (reliable: boolean) => (reliable ? 'reliable' : 'unreliable');

function move(bot: Connection, reliable: boolean): void {
  bot.send(`${bot.name} moves`, { reliable });
  sent[kindOf(reliable)]++;
}

const connections = await Promise.all(
  Array.from({ length: BOTS }, async (_, i) => {
    const bot = await bots.connect(`127.0.0.1:${socket.address.port}`);
    bot.name = `bot ${i}`;
    bot.on('message', ({ reliable }) => echoed[kindOf(reliable)]++);
    return bot;
  }),
);
console.log(`${swarm.size} of ${BOTS} bots are in`);

for (let elapsedMs = 0, round = 0; elapsedMs < DURATION_MS; elapsedMs += MOVE_EVERY_MS, round++) {
  for (const bot of connections) move(bot, round % 2 === 0);
  await sleep(MOVE_EVERY_MS);
}
// What was lost is sent again until it arrives; ten seconds are plenty.
for (let i = 0; i < 100 && echoed.reliable < sent.reliable; i++) await sleep(100);

const pings = connections.map((bot) => bot.status().pingMs).sort((a, b) => a - b);
const { sent: out, received } = bots.fakeNetworkCounts;
console.log(`the fake network lost ${out.dropped + received.dropped} packets`);
console.log(`reliable: ${echoed.reliable} of ${sent.reliable} came back`);
console.log(`unreliable: ${echoed.unreliable} of ${sent.unreliable} came back`);
console.log(`ping: ${pings[0]} ms at best, ${pings[pings.length >> 1]} ms in the middle, ${pings.at(-1)} ms at worst`);

// In this order, so that the server is there to hear it.
await bots.close();
await server.close();

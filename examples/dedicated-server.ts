// The skeleton of a dedicated game server: one poll group for all players, a loop at 60 Hz that reads, computes and
// tells everybody, and a reason for everyone who leaves or is not let in.
// Usage: node dist/examples/dedicated-server.js [port]; without a port a player of its own plays for two seconds.

import { type Connection, Networking, type PollGroup } from 'game-networking-sockets';

const TICK_MS = 1000 / 60;
const MAX_PLAYERS = 16;
/** Reasons of our own: 1000 – 1999 are ordinary, 2000 – 2999 are not. */
const Leave = { ServerFull: 1001, Quit: 1002, Shutdown: 1003, BadMessage: 2001 } as const;

const net = new Networking({ identity: 'str:dedicated-server' });
const players: PollGroup = net.createPollGroup();
const positions = new Map<Connection, number>();
let ticks = 0;

const socket = net.listen({ port: Number(process.argv[2] ?? 0) });
console.log(`listening on ${socket.address}`);

socket.on('connection', (incoming) => {
  if (players.size >= MAX_PLAYERS) return incoming.reject({ reason: Leave.ServerFull, debug: 'the server is full' });
  const player = incoming.accept();
  console.log(`${player.remoteIdentity} joined`);
  players.add(player);
  positions.set(player, 0);
  player.send(JSON.stringify({ welcome: String(player.remoteIdentity), tick: ticks }));
  player.on('ended', ({ endReason, endDebug }) => {
    console.log(`${player.remoteIdentity} left: ${endDebug} (${endReason})`);
    void player.close();
  });
  // Whoever closed: the player is gone.
  player.on('state', ({ to }) => to === 'None' && positions.delete(player));
});

function tick(): void {
  ticks++;
  for (const { connection, message } of players.receiveMessages()) {
    const step = Number(new TextDecoder().decode(message.data));
    if (Number.isFinite(step)) positions.set(connection, (positions.get(connection) ?? 0) + step);
    else void connection.close({ reason: Leave.BadMessage, debug: 'a step is a number' });
  }
  const world = JSON.stringify({ tick: ticks, positions: [...positions.values()] });
  // Who has no room for it gets the next one.
  net.broadcast(positions.keys(), world, { reliable: false, noNagle: true });
}
const loop = setInterval(tick, TICK_MS);

async function play(): Promise<void> {
  const client = new Networking({ identity: 'str:player' });
  const connection = await client.connect(`127.0.0.1:${socket.address.port}`);
  let snapshots = 0;
  connection.on('message', ({ data, reliable }) => {
    if (reliable) console.log(`player: ${new TextDecoder().decode(data)}`);
    else snapshots++;
  });
  const steps = setInterval(() => connection.send('1', { reliable: false }), TICK_MS);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  clearInterval(steps);
  console.log(`player: saw ${snapshots} snapshots`);
  await connection.close({ reason: Leave.Quit, debug: 'that was fun' });
  await client.close();
}

if (process.argv[2] === undefined) {
  await play();
  clearInterval(loop);
  void socket.close({ reason: Leave.Shutdown, debug: 'the server shuts down' });
  await net.close();
  console.log(`stopped after ${ticks} ticks`);
}

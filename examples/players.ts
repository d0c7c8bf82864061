// Three players who know nothing of each other but a code: one opens a room on a signaling server, the others enter it,
// and whoever enters calls those who are there. From then on they talk directly; the server is only for meeting.
// Usage: node dist/examples/players.js

import { type Connection, Networking } from 'game-networking-sockets';
import { SignalingServer, WebSocketSignaling } from 'game-networking-sockets/signaling/websocket';

const VIRTUAL_PORT = 1;
const ROUNDS = 20;
const ROUND_MS = 50;
/** A reason of our own: 1000 – 1999 are ordinary. */
const WENT_HOME = 1001;

class Player {
  readonly name: string;
  readonly signaling: WebSocketSignaling;
  readonly #net: Networking;
  readonly #others = new Map<string, Connection>();
  /** Where everybody is: what this game is about. */
  readonly #positions = new Map<string, number>();

  constructor(name: string, signaling: WebSocketSignaling) {
    this.name = name;
    this.signaling = signaling;
    // In a real game `config: { p2pStunServerList: … }` finds the way through the routers. These three are on one
    // machine, which may have no address but loopback.
    this.#net = new Networking({ identity: signaling.identity, signaling, p2p: { offersLoopback: true } });
    const socket = this.#net.listenP2P({ virtualPort: VIRTUAL_PORT, autoAccept: true });
    socket.on('connection', ({ connection }) => this.#welcome(connection));
  }

  static async create(name: string, url: string): Promise<Player> {
    return new Player(name, await WebSocketSignaling.connect({ urls: [url], identity: `str:${name}` }));
  }

  async enter(code: string): Promise<void> {
    const { members } = await this.signaling.joinRoom(code);
    await Promise.all(
      [...members].map(async (identity) => this.#welcome(await this.#net.connectP2P(identity, VIRTUAL_PORT))),
    );
  }

  #welcome(connection: Connection): void {
    const name = `${connection.remoteIdentity}`;
    this.#others.set(name, connection);
    connection.on('message', ({ data }) => this.#positions.set(name, Number(new TextDecoder().decode(data))));
    connection.on('ended', ({ endReason, endDebug }) => {
      console.log(`${this.name}: ${name} left: ${endDebug} (${endReason})`);
      this.#others.delete(name);
      void connection.close();
    });
  }

  /** Tells the others where we are. Who misses one gets the next. */
  tell(position: number): void {
    this.#net.broadcast(this.#others.values(), `${position}`, { reliable: position === ROUNDS, noNagle: true });
  }

  get othersCount(): number {
    return this.#others.size;
  }

  get view(): string {
    return [...this.#positions]
      .sort()
      .map(([name, position]) => `${name} at ${position}`)
      .join(', ');
  }

  async leave(debug: string): Promise<void> {
    const end = { reason: WENT_HOME, debug, linger: true };
    await Promise.all([...this.#others.values()].map((connection) => connection.close(end)));
    await this.#net.close();
    this.signaling.close();
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
}

const server = await SignalingServer.listen({ port: 0 });
const url = `ws://127.0.0.1:${server.port}`;
const [alice, bob, carol] = await Promise.all(['alice', 'bob', 'carol'].map((name) => Player.create(name, url)));
const players = [alice!, bob!, carol!];

const { code } = await alice!.signaling.createRoom();
console.log(`alice: come to room ${code}`);
await bob!.enter(code);
await carol!.enter(code);
await until(() => players.every(({ othersCount }) => othersCount === 2));
console.log('all three are connected with each other');

// Nobody needs it any more.
await server.close();

for (let round = 1; round <= ROUNDS; round++) {
  for (const player of players) player.tell(round);
  await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
}
for (const { name, view } of players) console.log(`${name} sees ${view}`);

await carol!.leave('good night');
await until(() => alice!.othersCount === 1 && bob!.othersCount === 1);
await Promise.all([alice!, bob!].map((player) => player.leave('nobody is left')));

// The listen server of the demo: asks itself for each client whether to accept it, sends small messages back, and
// closes connections as the script says.

import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, type IncomingConnection, type IpAddress, type ListenSocket, Networking } from '../index.ts';
import { BULK, FAREWELLS, findRole, HESITATION_MS, type Role, type RoleName, TALK } from './demo-cast.ts';
import { Party, type Report } from './demo-party.ts';

export class DemoServer {
  readonly #net = new Networking({ identity: 'str:server' });
  readonly #socket: ListenSocket;
  readonly #report: (name: RoleName, report: Report) => void;

  constructor(report: (name: RoleName, report: Report) => void) {
    this.#report = report;
    this.#socket = this.#net.listen({ host: '127.0.0.1', port: 0 });
    this.#socket.on('connection', (incoming) => this.#onIncoming(incoming));
  }

  get address(): IpAddress {
    return this.#socket.address;
  }
  nowUs(): number {
    return this.#net.nowUs();
  }
  /** Connections in any state. */
  get connectionCount(): number {
    return this.#socket.connectionCount;
  }

  /** Tells clients that are still there, and does not wait for their answer. */
  close(): void {
    this.#net.unref();
    void this.#net.close();
  }

  #onIncoming(incoming: IncomingConnection): void {
    const role = findRole(/^str:(.*)/.exec(`${incoming.remoteIdentity}`)?.[1]);
    if (role === undefined) {
      incoming.reject({ reason: 2404, debug: 'not in the cast' });
      return;
    }
    const { connection } = incoming;
    const party = new Party(
      connection,
      () => this.#net.nowUs(),
      (report) => this.#report(role.name, report),
    );
    connection.on('message', (message) => {
      const channel = party.take(message);
      if (channel === undefined || channel === 'bulk' || connection.state !== 'Connected') return;
      party.echo(channel, message);
      if (role.name === 'bob' && party.counts.reliable.received === TALK.rounds) sayGoodbye(party);
    });
    connection.on('ended', () => void closeSoon(connection, party));
    void answerSoon(incoming, role);
  }
}

async function answerSoon(incoming: IncomingConnection, role: Role): Promise<void> {
  await pause(HESITATION_MS);
  if (incoming.connection.state !== 'Connecting') return;
  if (role.name === 'dave') incoming.reject(FAREWELLS.dave);
  else incoming.accept(role.serverConfig);
}

/** Leaves more than can be delivered at once, so that the connection has to linger. */
function sayGoodbye(party: Party): void {
  for (let i = 0; i < BULK.server.messages; i++) party.say('bulk', BULK.server.messageBytes);
  void party.close({ ...FAREWELLS.bob, linger: true });
}

async function closeSoon(connection: Connection, party: Party): Promise<void> {
  await pause(HESITATION_MS);
  if (connection.state !== 'None') await party.close();
}

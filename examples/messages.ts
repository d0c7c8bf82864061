// Two peers that send each other messages by name, and look after no connections. What carries their signals here is a
// server in this process; on the Internet it is one that both can reach, such as `gns signal`.
// Usage: node dist/examples/messages.js

import { once } from 'node:events';
import { Networking, type SessionMessage } from 'game-networking-sockets';
import { TrivialSignaling, TrivialSignalingServer } from 'game-networking-sockets/signaling';

const CHAT = 0;
const MOVES = 1;

const server = await TrivialSignalingServer.listen(0, '127.0.0.1');
const [alice, bob] = ['str:alice', 'str:bob'].map((identity) => {
  const signaling = new TrivialSignaling({ identity, port: server.port });
  // Both are on this machine: real peers need no loopback addresses.
  return { signaling, networking: new Networking({ identity, signaling, p2p: { offersLoopback: true } }) };
}) as [Peer, Peer];
interface Peer {
  readonly signaling: TrivialSignaling;
  readonly networking: Networking;
}

const atBob = bob.networking.messages();
atBob.on('request', (request) => {
  console.log(`${request.identity} wants to talk`);
  request.accept();
});
atBob.on('message', ({ identity, channel, data }) => {
  console.log(`${identity} says ${JSON.stringify(Buffer.from(data).toString())} on channel ${channel}`);
  if (channel === MOVES) atBob.sendMessageToUser(identity, 'well moved', { channel: CHAT });
});

const atAlice = alice.networking.messages();
atAlice.sendMessageToUser('str:bob', 'hello', { channel: CHAT });
atAlice.sendMessageToUser('str:bob', 'e2 e4', { channel: MOVES });
const [answer]: SessionMessage[] = await once(atAlice, 'message');
console.log(`${answer!.identity} answers ${JSON.stringify(Buffer.from(answer!.data).toString())}`);

atAlice.closeSessionWithUser('str:bob');
const [{ identity, info }] = await once(atBob, 'closed');
console.log(`${identity} is done: ${info.endDebug} (${info.endReason})`);

await Promise.all([alice.networking.close(), bob.networking.close()]);
for (const { signaling } of [alice, bob]) signaling.close();
await server.close();

// How to test a program that uses the library: both ends in one process, a bad network between them, and virtual time,
// so that nothing waits and nothing depends on the machine. Usage: node dist/examples/simulated.js

import assert from 'node:assert/strict';
import { Networking } from 'game-networking-sockets';
import { nodeCrypto, SimulatedNetwork } from 'game-networking-sockets/testing';

const SECOND_US = 1_000_000;
const conditions = { delayUs: 40_000, jitterUs: 10_000, lossRatio: 0.2 };
const network = new SimulatedNetwork({ seed: 7, crypto: nodeCrypto, conditions });
const server = new Networking({ identity: 'str:server', platform: network.host('server').platform });
const client = new Networking({ identity: 'str:client', platform: network.host('client').platform });

const received: string[] = [];
const socket = server.listen({ port: 27015, autoAccept: true });
socket.on('connection', ({ connection }) => {
  connection.on('message', ({ data }) => received.push(new TextDecoder().decode(data)));
  connection.on('ended', () => connection.close());
});

// Time only moves while somebody advances it; `settle` does so until the promise is settled.
const connection = await network.settle(client.connect('server:27015'), 10 * SECOND_US);
const sent = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
for (const text of sent) connection.send(text);
const { delivered } = await network.settle(connection.close({ linger: true }), 60 * SECOND_US);

assert.equal(delivered, true);
assert.deepEqual(received, sent);
assert.ok(network.stats.droppedBy.lost > 0);
console.log(`${received.length} messages arrived in order, although ${network.stats.droppedBy.lost} packets were lost`);

await network.settle(Promise.all([client.close(), server.close()]), 10 * SECOND_US);
assert.equal(network.openPorts, 0);

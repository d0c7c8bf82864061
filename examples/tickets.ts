// A web backend that knows its players gives each a certificate for a minute, and the game server lets nobody in without
// one. Here all three are in one process. Usage: node dist/examples/tickets.js

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ConnectionError, createCA, issueCertificate, Networking } from 'game-networking-sockets';

const ca = createCA();

// The backend. Whoever is logged in gets a ticket; a real one looks at a session cookie instead of a header.
const backend = createServer((request, response) => {
  const player = request.headers['x-player'];
  const ticket = issueCertificate({ caKey: ca.privateKey, identity: `str:${player}`, expiresInS: 60 });
  response.setHeader('content-type', 'application/json').end(JSON.stringify(ticket));
});
await once(backend.listen(0, '127.0.0.1'), 'listening');
const backendUrl = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;

// The game server trusts the backend's authority, which gave it a certificate, too.
const own = issueCertificate({ caKey: ca.privateKey, identity: 'str:game-server' });
const server = new Networking({
  trustedCAs: ca.publicKey,
  certificate: own.certificate,
  privateKey: own.privateKey!,
  allowWithoutAuth: 'never',
});
const socket = server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
socket.on('connection', ({ remoteIdentity }) => console.log(`${remoteIdentity} plays`));
socket.once('refused', ({ remoteIdentity, detail }) => console.log(`${remoteIdentity} stays out: ${detail}`));

// A player who has logged in.
const answer = await fetch(backendUrl, { headers: { 'x-player': 'alice' } });
const { certificate, privateKey } = (await answer.json()) as { certificate: string; privateKey: string };
const alice = new Networking({ trustedCAs: ca.publicKey, certificate, privateKey, allowWithoutAuth: 'never' });
const connection = await alice.connect(`${socket.address}`, { expectedIdentity: 'str:game-server' });
console.log(`alice is sure to talk to ${connection.remoteIdentity}`);

// Somebody who only says that she is alice.
const mallory = new Networking({ identity: 'str:alice', config: { timeoutInitial: 1500 } });
await mallory
  .connect(`${socket.address}`)
  .catch((error: ConnectionError) => console.log(`mallory: ${error.endReason}`));

await Promise.all([alice, mallory, server].map((instance) => instance.close()));
backend.close();

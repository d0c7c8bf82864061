// Sends every message back to where it came from. Usage: node dist/examples/echo-server.js [port]

import { Networking } from 'game-networking-sockets';

const net = new Networking({ identity: 'str:echo-server' });
const socket = net.listen({ port: Number(process.argv[2] ?? 27015), autoAccept: true });
console.log(`listening on ${socket.address}`);

socket.on('connection', ({ connection }) => {
  console.log(`${connection.remoteIdentity} came from ${connection.remoteAddress}`);
  connection.on('message', ({ data, reliable }) => {
    try {
      connection.send(data, { reliable });
    } catch (error) {
      // The send buffer is full: this peer sends faster than we may answer.
      void connection.close({ debug: String(error) });
    }
  });
  connection.on('ended', ({ endReason, endDebug }) => {
    console.log(`${connection.remoteIdentity} left: ${endDebug} (${endReason})`);
    void connection.close();
  });
});

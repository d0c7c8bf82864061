// Sends words to the echo server and prints what comes back.
// Usage: node dist/examples/echo-client.js [host:port [word …]]

import { Networking } from 'game-networking-sockets';

const [address = '127.0.0.1:27015', ...words] = process.argv.slice(2);
if (words.length === 0) words.push('hello');

const net = new Networking({ identity: 'str:echo-client' });
const connection = await net.connect(address);
for (const word of words) connection.send(word);

let missing = words.length;
for await (const { data } of connection) {
  console.log(new TextDecoder().decode(data));
  missing--;
  // Leaving the loop closes the connection, after the peer has got everything.
  if (missing === 0) break;
}
console.log(missing === 0 ? 'all came back' : `the connection ended: ${connection.info.endDebug}`);
await net.close();

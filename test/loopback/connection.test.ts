// The public API over real sockets of this machine.

import { expect } from 'chai';
import { Networking } from '../../src/index.ts';

describe('a connection over real sockets', () => {
  it('carries messages both ways and closes with the reason given', async () => {
    await using server = new Networking({ identity: 'str:server' });
    await using client = new Networking({ identity: 'str:client' });
    const socket = server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
    const ended = new Promise<string>((resolve) => {
      socket.on('connection', ({ connection }) => {
        connection.on('message', ({ data, reliable }) => connection.send(data, { reliable }));
        connection.on('ended', ({ endReason, endDebug }) => resolve(`${endReason} ${endDebug}`));
      });
    });
    const connection = await client.connect(socket.address);
    connection.send('hello');
    const [event] = await new Promise<[string]>((resolve) =>
      connection.on('message', ({ data }) => resolve([new TextDecoder().decode(data)])),
    );
    const result = await connection.close({ reason: 1234, debug: 'bye', linger: true });
    expect(event).to.equal('hello');
    expect(result).to.include({ delivered: true, confirmed: true, endReason: 1234 });
    expect(await ended).to.equal('1234 bye');
  });
});

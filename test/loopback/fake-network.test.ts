// The fake network over real sockets of this machine.

import { expect } from 'chai';
import type { TracedPacket } from '../../src/api/fake-network.ts';
import { type ConfigOptions, type Connection, Networking } from '../../src/index.ts';

/** Two instances that are connected, and what the server has received. */
async function connected(server: Networking, client: Networking): Promise<{ connection: Connection; got: string[] }> {
  const got: string[] = [];
  const socket = server.listen({ host: '127.0.0.1', port: 0, autoAccept: true });
  socket.on('connection', ({ connection }) => {
    connection.on('message', ({ data }) => got.push(new TextDecoder().decode(data)));
  });
  return { connection: await client.connect(socket.address), got };
}

/** Lets at least one turn of the event loop pass. As long as it is not so, the test's own time limit runs. */
async function until(isSo: () => boolean): Promise<void> {
  do await new Promise((resolve) => setTimeout(resolve, 5));
  while (!isSo());
}

describe('the fake network over real sockets', () => {
  it('delivers 500 reliable messages through a loss of 20 % each way', async function () {
    this.timeout(20_000);
    const loss: ConfigOptions = { fakePacketLossSend: 20 };
    await using server = new Networking({ config: loss });
    await using client = new Networking({ config: loss });
    const { connection, got } = await connected(server, client);
    const words = Array.from({ length: 500 }, (_, i) => `message ${i} ${'x'.repeat(200)}`);
    for (const word of words) connection.send(word);
    await until(() => got.length === words.length);
    expect(got).to.deep.equal(words);
    expect(client.fakeNetworkCounts.sent.dropped).to.be.above(0);
    expect(server.fakeNetworkCounts.sent.dropped).to.be.above(0);
    await connection.close({ linger: true });
  });

  it('shows lag in the time that a handshake takes', async () => {
    await using server = new Networking();
    await using client = new Networking({ config: { fakePacketLagSend: 50, fakePacketLagRecv: 50 } });
    const startUs = client.nowUs();
    const { connection } = await connected(server, client);
    // Two round trips.
    expect(client.nowUs() - startUs).to.be.within(195_000, 1_000_000);
    expect(connection.status().pingMs).to.be.within(98, 300);
    await connection.close();
  });

  it('follows values that change while connected', async () => {
    await using server = new Networking();
    await using client = new Networking();
    const { connection, got } = await connected(server, client);
    client.config.set('fakePacketLossSend', 100);
    for (let i = 0; i < 10; i++) connection.send(`lost ${i}`, { reliable: false, noNagle: true });
    await until(() => connection.status().pendingUnreliableBytes === 0);
    expect(client.fakeNetworkCounts.sent.dropped).to.be.above(0);
    client.config.set('fakePacketLossSend', undefined);
    connection.send('arrives', { reliable: false });
    await until(() => got.length > 0);
    expect(got).to.deep.equal(['arrives']);
    await connection.close();
  });
});

describe('the packet trace', () => {
  it('shows what really was sent and received, cut to the configured length', async () => {
    const shown: TracedPacket[] = [];
    const config = { packetTraceMaxBytes: 1 };
    await using server = new Networking();
    await using client = new Networking({ config, trace: (packet) => shown.push(packet) });
    const { connection, got } = await connected(server, client);
    await until(() => shown.length >= 4);
    const handshake = shown.slice(0, 4);
    expect(handshake.map(({ direction, bytes }) => `${direction} ${bytes.join()}`)).to.deep.equal([
      'sent 32',
      'received 33',
      'sent 34',
      'received 35',
    ]);
    expect(handshake.map(({ lengthBytes }) => lengthBytes).slice(0, 2)).to.deep.equal([512, 26]);
    expect(handshake.map(({ remote }) => String(remote))).to.deep.equal(
      Array(4).fill(String(connection.remoteAddress)),
    );

    client.config.setAll({ packetTraceMaxBytes: 0, fakePacketLossSend: 100 });
    shown.length = 0;
    connection.send('lost', { reliable: false, noNagle: true });
    await until(() => client.fakeNetworkCounts.sent.dropped > 0);
    expect(shown.filter(({ direction }) => direction === 'sent')).to.deep.equal([]);
    client.config.set('fakePacketLossSend', 0);
    connection.send('arrives');
    await until(() => got.length > 0 && shown.length > 0);
    expect(shown[0]!.bytes).to.have.length(0);

    client.config.set('packetTraceMaxBytes', -1);
    shown.length = 0;
    await connection.close();
    expect(shown).to.deep.equal([]);
  });
});

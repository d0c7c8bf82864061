// Many messages in one call, in virtual time.

import { expect } from 'chai';
import { type Connection, type IncomingMessage, Networking, NetworkingError } from '../../src/index.ts';
import { nodeCrypto, SimulatedNetwork } from '../../src/testing.ts';

const SECOND_US = 1_000_000;

/** Pairs in memory: what is sent on `near[i]` arrives in `texts[i]`. */
function pairs(count: number) {
  const network = new SimulatedNetwork({ seed: 3, crypto: nodeCrypto });
  const net = new Networking({ platform: network.host('alone').platform });
  const near: Connection[] = [];
  const received: IncomingMessage[][] = [];
  for (let i = 0; i < count; i++) {
    const [first, second] = net.createSocketPair({ config: { sendBufferSize: 4096 } });
    near.push(first);
    received.push([]);
    second.on('message', (message) => received[i]!.push(message));
  }
  return { network, net, near, received };
}

function codeOf(result: number | NetworkingError | undefined): unknown {
  return result instanceof NetworkingError ? result.code : result;
}

describe('sendMessages', () => {
  it('returns the number of each message', () => {
    const { net, near } = pairs(2);
    const [a, b] = [near[0]!, near[1]!];
    const messages = [a, b, a, a].map((connection) => ({ connection, data: 'x' }));
    expect(net.sendMessages(messages)).to.deep.equal([1, 1, 2, 3]);
  });

  it('sends what each message asks for', async () => {
    const { network, net, near, received } = pairs(1);
    const connection = near[0]!;
    connection.configureLanes([{}, {}]);
    net.sendMessages([
      { connection, data: 'a', lane: 1 },
      { connection, data: 'b', reliable: false },
    ]);
    await network.advance(SECOND_US);
    const seen = received[0]!.map(({ lane, reliable }) => [lane, reliable]);
    expect(seen).to.have.deep.members([
      [1, true],
      [0, false],
    ]);
  });

  it('returns the error of a message that is not taken, and tries no more on its connection', () => {
    const { net, near } = pairs(2);
    const [a, b] = [near[0]!, near[1]!];
    const results = net.sendMessages([
      { connection: a, data: 'fits' },
      { connection: a, data: new Uint8Array(5000) },
      { connection: b, data: 'fits' },
      { connection: a, data: 'would fit' },
    ]);
    expect(results.map(codeOf)).to.deep.equal([1, 'LimitExceeded', 1, 0]);
  });

  it('does not remember failures of earlier calls', () => {
    const { net, near } = pairs(1);
    const connection = near[0]!;
    net.sendMessages([{ connection, data: new Uint8Array(5000) }]);
    expect(net.sendMessages([{ connection, data: 'x' }])).to.deep.equal([1]);
  });
});

describe('broadcast', () => {
  it('sends the same to all', async () => {
    const { network, net, near, received } = pairs(3);
    expect(net.broadcast(near, 'hello')).to.deep.equal([1, 1, 1]);
    await network.advance(SECOND_US);
    const texts = received.map((each) => each.map(({ data }) => new TextDecoder().decode(data)));
    expect(texts).to.deep.equal([['hello'], ['hello'], ['hello']]);
  });

  it('does not send what the caller writes into the bytes afterwards', async () => {
    const { network, net, near, received } = pairs(2);
    const bytes = Uint8Array.of(1, 2, 3);
    net.broadcast(near, bytes);
    bytes.fill(9);
    await network.advance(SECOND_US);
    for (const each of received) expect([...each[0]!.data]).to.deep.equal([1, 2, 3]);
  });

  it('reaches the others when one connection takes nothing', () => {
    const { net, near } = pairs(3);
    void near[1]!.close();
    expect(net.broadcast(near, 'x').map(codeOf)).to.deep.equal([1, 'InvalidParam', 1]);
  });
});

// The reliable messages of a lane as a stream of bytes, in virtual time.

import { buffer } from 'node:stream/consumers';
import { finished, pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import type { Connection, LaneStream } from '../../src/index.ts';
import { Pair, patternOf, SECOND, textOf } from '../support/pair.ts';

const LANE = 1;

/** Two connections with a lane beside the ordinary one, and a stream on it at each end. */
async function streams(config = {}) {
  const pair = new Pair({ seed: 19, link: { delayUs: 20_000 }, config });
  const sides = await pair.connect();
  const [client, server] = [sides.client.connection, sides.server.connection];
  for (const connection of [client, server]) connection.configureLanes([{}, {}]);
  return { pair, sides, client, server, near: client.laneStream(LANE), far: server.laneStream(LANE) };
}

/** How it ended: undefined if all went well. */
async function endOf(stream: LaneStream): Promise<string | undefined> {
  try {
    await finished(stream);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

const STEP_US = 5_000;

/** Lets virtual time pass in steps, and Node's streams, which go on in turns of the real event loop, between them. */
async function pass(pair: Pair, durationUs: number): Promise<void> {
  for (let atUs = 0; atUs < durationUs; atUs += STEP_US) {
    await pair.advance(STEP_US);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets time pass until the promise is settled. */
async function settle<T>(pair: Pair, promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const note = () => {
    isSettled = true;
  };
  promise.then(note, note);
  for (let i = 0; i < 60 && !isSettled; i++) await pass(pair, SECOND);
  expect(isSettled, 'settled').to.equal(true);
  return promise;
}

function read(stream: LaneStream): Buffer[] {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return chunks;
}

function unreadBytes(connection: Connection): number {
  return connection.receiveMessages().reduce((sum, { data }) => sum + data.length, 0);
}

describe('a lane stream', () => {
  it('carries bytes from one end to the other', async () => {
    const { pair, near, far } = await streams();
    const bytes = patternOf(300_000);
    near.end(bytes);
    const received = await settle(pair, buffer(far));
    expect(received.equals(bytes)).to.equal(true);
  });

  it('carries bytes both ways at the same time', async () => {
    const { pair, near, far } = await streams();
    near.end('question');
    far.end('answer');
    const texts = await settle(pair, Promise.all([buffer(far), buffer(near)]));
    expect(texts.map(String)).to.deep.equal(['question', 'answer']);
  });

  it('carries them over a network that loses packets', async () => {
    const { pair, near, far } = await streams();
    pair.setLink({ delayUs: 20_000, lossRatio: 0.1 });
    const bytes = patternOf(200_000);
    near.end(bytes);
    expect((await settle(pair, buffer(far))).equals(bytes)).to.equal(true);
  });

  it('works in a pipeline', async () => {
    const { pair, near, far } = await streams();
    const echoed = pipeline(far, far);
    near.end('echo');
    expect(String(await settle(pair, buffer(near)))).to.equal('echo');
    await settle(pair, echoed);
  });

  it('carries what was written while connecting', async () => {
    const pair = new Pair({ seed: 20 });
    const { connection } = pair.open();
    connection.laneStream(0).end('early');
    await pair.settle(connection.connected());
    const far = pair.serverSides[0]!.connection.laneStream(0);
    expect(String(await settle(pair, buffer(far)))).to.equal('early');
  });

  it('keeps its messages from other readers, and leaves them the rest', async () => {
    const { pair, sides, client, near, far } = await streams();
    const chunks = read(far);
    near.write('for the stream');
    client.send('lane 0');
    client.send('unreliable', { lane: LANE, reliable: false });
    await pass(pair, SECOND);
    expect(sides.server.texts).to.have.members(['lane 0', 'unreliable']);
    expect(String(Buffer.concat(chunks))).to.equal('for the stream');
  });

  it('has the messages that came before it', async () => {
    const pair = new Pair({ seed: 21, reads: false });
    const { client, server } = await pair.connect();
    client.connection.send('be');
    client.connection.send('unreliable', { reliable: false });
    client.connection.send('fore');
    await pass(pair, SECOND);
    const chunks = read(server.connection.laneStream(0));
    await pass(pair, SECOND);
    expect(String(Buffer.concat(chunks))).to.equal('before');
    expect(server.connection.receiveMessages().map(textOf)).to.deep.equal(['unreliable']);
  });

  it('waits with writing until there is room', async () => {
    const { pair, client, near, far } = await streams({ sendBufferSize: 100_000 });
    const bytes = patternOf(1_000_000);
    near.end(bytes);
    let mostBuffered = 0;
    far.on('data', () => {
      mostBuffered = Math.max(mostBuffered, client.bufferedBytes);
    });
    await settle(pair, new Promise((resolve) => far.on('end', resolve)));
    expect(mostBuffered).to.be.within(1, 100_000);
  });

  it('works with the smallest of send buffers', async () => {
    const { pair, near, far } = await streams({ sendBufferSize: 4096 });
    near.end(patternOf(50_000));
    expect((await settle(pair, buffer(far))).length).to.equal(50_000);
  });

  it('holds the peer up while it is not read', async () => {
    const { pair, client, near, far } = await streams({ recvBufferSize: 200_000 });
    near.end(patternOf(1_000_000));
    await pass(pair, 10 * SECOND);
    expect(near.writableFinished).to.equal(false);
    expect(client.bufferedBytes).to.be.greaterThan(0);
    expect((await settle(pair, buffer(far))).length).to.equal(1_000_000);
  });

  it('ends at an empty message, and is then writable still', async () => {
    const { pair, client, near, far } = await streams();
    far.resume();
    client.send('', { lane: LANE });
    await pass(pair, SECOND);
    expect(far.readableEnded).to.equal(true);
    far.end('still here');
    expect(String(await settle(pair, buffer(near)))).to.equal('still here');
  });

  it('sends no message for an empty write', async () => {
    const { pair, near, far } = await streams();
    const chunks = read(far);
    near.write('');
    near.write('x');
    await pass(pair, SECOND);
    expect(String(Buffer.concat(chunks))).to.equal('x');
  });

  it('gives the lane back when both directions have ended', async () => {
    const { pair, sides, client, near, far } = await streams();
    for (const stream of [near, far]) stream.resume().end();
    await settle(pair, Promise.all([endOf(near), endOf(far)]));
    client.send('a message again', { lane: LANE });
    await pass(pair, SECOND);
    expect(sides.server.texts).to.deep.equal(['a message again']);
  });

  it('is destroyed without an error when the peer closes', async () => {
    const { pair, client, far } = await streams();
    const errors: Error[] = [];
    far.on('error', (error) => errors.push(error));
    const end = endOf(far);
    void client.close();
    expect(await settle(pair, end)).to.equal('ERR_STREAM_PREMATURE_CLOSE');
    expect(errors).to.deep.equal([]);
  });

  it('gives what had arrived before the peer closed', async () => {
    const { pair, client, near, far } = await streams();
    near.write(patternOf(100_000));
    await pass(pair, 2 * SECOND);
    void client.close();
    await pass(pair, SECOND);
    const end = endOf(far);
    const chunks = read(far);
    expect(await settle(pair, end)).to.equal('ERR_STREAM_PREMATURE_CLOSE');
    expect(Buffer.concat(chunks).length).to.equal(100_000);
  });

  it('ends well if all that the peer had to say came before it closed', async () => {
    const { pair, client, near, far } = await streams();
    near.end('all of it');
    await pass(pair, SECOND);
    void client.close();
    await pass(pair, SECOND);
    expect(String(await settle(pair, buffer(far)))).to.equal('all of it');
  });

  it('is destroyed when this side closes, with what is unread', async () => {
    const { pair, server, near, far } = await streams();
    near.write('never read');
    await pass(pair, SECOND);
    const end = endOf(far);
    void server.close();
    expect(await settle(pair, end)).to.equal('ERR_STREAM_PREMATURE_CLOSE');
    expect(far.destroyed).to.equal(true);
  });

  it('tells the writer when the connection ended before its bytes were taken', async () => {
    const { pair, client, server, near } = await streams({ sendBufferSize: 4096 });
    near.on('error', () => {});
    const written = new Promise<Error | null | undefined>((resolve) => near.write(patternOf(100_000), resolve));
    await pass(pair, SECOND / 100);
    void server.close();
    expect(await settle(pair, written)).to.have.property('code');
    expect(client.state).to.equal('ClosedByPeer');
  });

  it('does not count what it has not read once it is destroyed', async () => {
    const { pair, client, server, near, far } = await streams({ recvBufferSize: 100_000 });
    near.write(patternOf(99_000));
    await pass(pair, 2 * SECOND);
    far.destroy();
    server.removeAllListeners('message');
    client.send(patternOf(90_000));
    await pass(pair, 2 * SECOND);
    expect(unreadBytes(server)).to.equal(90_000);
  });

  it('does not hold up other lanes once it is destroyed', async () => {
    const { pair, sides, client, near, far } = await streams({ recvBufferSize: 100_000 });
    near.write(patternOf(300_000));
    await pass(pair, 3 * SECOND);
    client.send('on lane 0');
    await pass(pair, SECOND);
    expect(sides.server.texts).to.deep.equal([]);
    far.destroy();
    await pass(pair, 3 * SECOND);
    expect(sides.server.texts).to.include('on lane 0');
  });

  it('is refused for a lane that is not configured', async () => {
    const { client } = await streams();
    expect(() => client.laneStream(2))
      .to.throw('lane 2')
      .with.property('code', 'InvalidParam');
  });

  it('is refused where there is one already', async () => {
    const { client } = await streams();
    expect(() => client.laneStream(LANE))
      .to.throw('lane 1')
      .with.property('code', 'DuplicateRequest');
  });

  it('is refused for a connection that has ended', async () => {
    const { client } = await streams();
    void client.close();
    expect(() => client.laneStream(0))
      .to.throw()
      .with.property('code', 'NoConnection');
  });
});

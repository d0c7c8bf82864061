// An hour of a game: sixty times a second both sides send a reliable and an unreliable message, and the link is none of
// the best. Virtual time makes it affordable.

import { expect } from 'chai';
import type { Connection } from '../../src/index.ts';
import { Pair, SECOND } from '../support/pair.ts';
import { itSeeded } from '../support/seed.ts';

const TICKS_PER_SEC = 60;
const TICKS = 3_600 * TICKS_PER_SEC;
const MESSAGE_BYTES = 32;
const LOSS_RATIO = 0.05;
const LINK = { delayUs: 30_000, jitterUs: 15_000, lossRatio: LOSS_RATIO };
/** Takes a quarter of a minute on a machine of its own. */
const TEST_MS = 240_000;

/** What one side got: a tick's number is in the first four bytes of each message. */
class Tally {
  reliable = 0;
  outOfOrder = 0;
  unreliable = 0;
  doubled = 0;
  readonly #seen = new Uint8Array(TICKS);

  constructor(connection: Connection) {
    connection.on('message', ({ data, reliable }) => {
      const tick = new DataView(data.buffer, data.byteOffset).getUint32(0);
      if (reliable) {
        if (tick !== this.reliable++) this.outOfOrder++;
        return;
      }
      this.unreliable++;
      if (this.#seen[tick]!++ > 0) this.doubled++;
    });
  }
}

describe('an hour of traffic at 60 Hz over a link with loss, delay and jitter', () => {
  itSeeded('delivers every reliable message once and in order, and leaves nothing behind', async function (seed) {
    this.timeout(TEST_MS);
    this.slow(TEST_MS);
    const pair = new Pair({ seed, link: LINK, reads: false });
    const { client, server } = await pair.connect();
    const sides = [client.connection, server.connection];
    const tallies = sides.map((connection) => new Tally(connection));
    const message = new Uint8Array(MESSAGE_BYTES);
    const view = new DataView(message.buffer);
    const startUs = pair.network.nowUs;
    for (let tick = 0; tick < TICKS; tick++) {
      view.setUint32(0, tick);
      for (const connection of sides) {
        connection.send(message);
        connection.send(message, { reliable: false });
      }
      pair.network.run(startUs + Math.round(((tick + 1) * SECOND) / TICKS_PER_SEC) - pair.network.nowUs);
    }
    pair.network.run(5 * SECOND);

    for (const tally of tallies) {
      expect(tally.reliable).to.equal(TICKS);
      expect(tally.outOfOrder).to.equal(0);
      expect(tally.doubled).to.equal(0);
      expect(tally.unreliable / TICKS).to.be.within(1 - LOSS_RATIO - 0.01, 1 - LOSS_RATIO + 0.01);
    }
    for (const connection of sides) {
      expect(connection.state).to.equal('Connected');
      expect(connection.status()).to.include({
        pendingReliableBytes: 0,
        pendingUnreliableBytes: 0,
        sentUnackedReliableBytes: 0,
      });
      expect(connection.receiveMessages()).to.deep.equal([]);
    }
    expect(pair.network.stats.inFlight).to.equal(0);
    await pair.end();
  });
});

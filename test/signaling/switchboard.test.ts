// Who is told what: rooms, replaced clients, limits, and two servers on one backplane. In memory.

import { expect } from 'chai';
import { SeededRandom } from '../../src/core/base/random.ts';
import { type Backplane, type Client, type Notice, Switchboard } from '../../src/signaling/switchboard.ts';

class Listener implements Client {
  readonly identity: string;
  readonly heard: string[] = [];

  constructor(identity: string) {
    this.identity = identity;
  }

  notify(notice: Notice): void {
    if (notice.kind === 'signal') this.heard.push(`${notice.from}: ${Buffer.from(notice.signal).toString()}`);
    else this.heard.push(notice.kind === 'replaced' ? notice.kind : `${notice.kind} ${notice.identity}`);
  }
}

/** In memory; messages arrive at once, also at who sent them, as with a real one. */
class Ether {
  readonly #listeners = new Map<string, Set<(message: string) => void>>();

  join(): Backplane {
    return {
      publish: (subject, message) => {
        for (const listener of [...(this.#listeners.get(subject) ?? [])]) listener(message);
      },
      subscribe: (subject, onMessage) => {
        const listeners = this.#listeners.get(subject) ?? new Set();
        this.#listeners.set(subject, listeners.add(onMessage));
        return () => listeners.delete(onMessage);
      },
      close: async () => {},
    };
  }

  get subscriptions(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0);
  }

  shout(subject: string, message: string): void {
    this.join().publish(subject, message);
  }
}

let seed = 1;

function newBoard(backplane?: Backplane): Switchboard {
  const random = new SeededRandom(seed++);
  const randomBytes = (count: number) => {
    const bytes = new Uint8Array(count);
    random.fill(bytes);
    return bytes;
  };
  return new Switchboard(backplane === undefined ? { randomBytes } : { randomBytes, backplane });
}

function enter(board: Switchboard, name: string): Listener {
  const client = new Listener(`str:${name}`);
  board.enter(client);
  return client;
}

const words = (text: string) => Buffer.from(text);

async function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: Error) => error.message,
  );
}

describe('a switchboard', () => {
  it('passes signals on, and drops those for nobody', () => {
    const board = newBoard();
    const [alice, bob] = [enter(board, 'alice'), enter(board, 'bob')];
    board.send(alice, 'str:bob', words('hello'));
    board.send(alice, 'str:carol', words('hello'));
    expect(bob.heard).to.deep.equal(['str:alice: hello']);
    expect(board.droppedSignals).to.equal(1);
  });

  it('gives an identity to whoever came last, and tells who had it', () => {
    const board = newBoard();
    const [first, second, alice] = [enter(board, 'bob'), enter(board, 'bob'), enter(board, 'alice')];
    board.leave(first);
    board.send(alice, 'str:bob', words('hello'));
    expect(first.heard).to.deep.equal(['replaced']);
    expect(second.heard).to.deep.equal(['str:alice: hello']);
  });

  it('takes no more signals of one client than it may send', () => {
    const board = newBoard();
    const [alice, bob] = [enter(board, 'alice'), enter(board, 'bob')];
    for (let number = 0; number < 1_000; number++) board.send(alice, 'str:bob', words('hello'));
    expect(bob.heard.length).to.be.within(200, 260);
    expect(board.droppedSignals).to.equal(1_000 - bob.heard.length);
  });

  it('drops signals that are too long', () => {
    const board = newBoard();
    const [alice, bob] = [enter(board, 'alice'), enter(board, 'bob')];
    board.send(alice, 'str:bob', new Uint8Array(8_193));
    expect(bob.heard).to.deep.equal([]);
  });

  it('tells those in a room who comes and who goes', async () => {
    const board = newBoard();
    const [alice, bob, carol] = [enter(board, 'alice'), enter(board, 'bob'), enter(board, 'carol')];
    const code = board.createRoom(alice);
    expect(await board.joinRoom(bob, code)).to.deep.equal(['str:alice']);
    expect(await board.joinRoom(carol, code)).to.deep.equal(['str:alice', 'str:bob']);
    board.leaveRoom(bob);
    board.leave(carol);
    expect(alice.heard).to.deep.equal(['joined str:bob', 'joined str:carol', 'left str:bob', 'left str:carol']);
    expect(bob.heard).to.deep.equal(['joined str:carol']);
  });

  it('understands codes as people write them', async () => {
    const board = newBoard();
    const [alice, bob] = [enter(board, 'alice'), enter(board, 'bob')];
    const code = board.createRoom(alice);
    const written = ` ${code.slice(0, 3).toLowerCase()}-${code.slice(3)}`;
    expect(await board.joinRoom(bob, written)).to.deep.equal(['str:alice']);
  });

  it('knows no room that it did not open, and none that everybody has left', async () => {
    const board = newBoard();
    const [alice, bob] = [enter(board, 'alice'), enter(board, 'bob')];
    const code = board.createRoom(alice);
    board.leaveRoom(alice);
    expect(await failure(board.joinRoom(bob, code))).to.equal(`there is no room with the code ${code}`);
    expect(await failure(board.joinRoom(bob, 'hello!'))).to.equal('"hello!" is not the code of a room');
    expect(board.roomCount).to.equal(0);
  });

  it('has one room at most for each client', async () => {
    const board = newBoard();
    const [alice, bob] = [enter(board, 'alice'), enter(board, 'bob')];
    const first = board.createRoom(alice);
    await board.joinRoom(bob, first);
    board.createRoom(bob);
    expect(alice.heard).to.deep.equal(['joined str:bob', 'left str:bob']);
  });
});

describe('two switchboards on one backplane', () => {
  let ether: Ether;
  let boards: readonly [Switchboard, Switchboard];

  beforeEach(() => {
    ether = new Ether();
    boards = [newBoard(ether.join()), newBoard(ether.join())];
  });

  it('take signals to whichever of them the recipient is on', () => {
    const alice = enter(boards[0], 'alice');
    const bob = enter(boards[1], 'bob');
    boards[0].send(alice, 'str:bob', words('hello'));
    boards[1].send(bob, 'str:alice', words('yes?'));
    expect([alice.heard, bob.heard]).to.deep.equal([['str:bob: yes?'], ['str:alice: hello']]);
  });

  it('have rooms in common', async () => {
    const alice = enter(boards[0], 'alice');
    const bob = enter(boards[1], 'bob');
    const code = boards[0].createRoom(alice);
    expect(await boards[1].joinRoom(bob, code)).to.deep.equal(['str:alice']);
    boards[0].leave(alice);
    expect(alice.heard).to.deep.equal(['joined str:bob']);
    expect(bob.heard).to.deep.equal(['left str:alice']);
  });

  it('let an identity move from one to the other', () => {
    const before = enter(boards[0], 'alice');
    const after = enter(boards[1], 'alice');
    const bob = enter(boards[0], 'bob');
    boards[0].send(bob, 'str:alice', words('hello'));
    expect([before.heard, after.heard]).to.deep.equal([['replaced'], ['str:bob: hello']]);
  });

  it('do not tell of somebody who comes back to the room on the other one', async () => {
    const alice = enter(boards[0], 'alice');
    const bob = enter(boards[1], 'bob');
    const code = boards[0].createRoom(alice);
    await boards[1].joinRoom(bob, code);
    bob.heard.length = 0;
    // Its server is gone without a word.
    const again = enter(boards[1], 'alice');
    expect(await boards[1].joinRoom(again, code, true)).to.deep.equal(['str:bob']);
    expect(bob.heard.filter((news) => news === 'left str:alice').length).to.equal(
      bob.heard.filter((news) => news === 'joined str:alice').length,
    );
  });

  it('open a room anew for those who were in it when its server died', async () => {
    const code = boards[0].createRoom(enter(boards[0], 'alice'));
    boards[0].close();
    const alice = enter(boards[1], 'alice');
    expect(await boards[1].joinRoom(alice, code, true)).to.deep.equal([]);
    expect(await boards[1].joinRoom(enter(boards[1], 'bob'), code)).to.deep.equal(['str:alice']);
  });

  it('bear nonsense on the backplane', () => {
    const alice = enter(boards[0], 'alice');
    for (const subject of ['servers', `to.${Buffer.from('str:alice').toString('hex')}`]) {
      for (const message of ['', 'null', '{}', '{"kind":7}', '[1]', '{"kind":"signal"', '{"kind":"left"}']) {
        ether.shout(subject, message);
      }
    }
    expect(alice.heard).to.deep.equal([]);
  });

  it('leave no subscription behind', async () => {
    const alice = enter(boards[0], 'alice');
    const bob = enter(boards[1], 'bob');
    await boards[1].joinRoom(bob, boards[0].createRoom(alice));
    for (const board of boards) board.close();
    expect(ether.subscriptions).to.equal(0);
  });
});

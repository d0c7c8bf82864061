// The command line program, as processes that talk to each other over real sockets.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

type Report = Readonly<Record<string, unknown>>;

/** A program whose lines can be waited for. */
class Program {
  readonly lines: string[] = [];
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exit: Promise<[number | null]>;
  #wake: () => void = () => {};

  constructor(...args: string[]) {
    this.#child = spawn(process.execPath, [MAIN, ...args]);
    this.#exit = once(this.#child, 'close') as Promise<[number | null]>;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface(stream).on('line', (line) => {
        this.lines.push(line);
        this.#wake();
      });
    }
  }

  get reports(): Report[] {
    return this.lines.map((line) => JSON.parse(line) as Report);
  }

  enter(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** The first line, from the given one on, that contains the text. */
  async find(text: string, from = 0): Promise<string> {
    for (;;) {
      const line = this.lines.slice(from).find((each) => each.includes(text));
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Enters a command of the peer and gives its answer. */
  async command(line: string): Promise<Report> {
    const from = this.lines.length;
    this.enter(line);
    return JSON.parse(await this.find(`"cmd":"${line.split(' ', 1)[0]}"`, from)) as Report;
  }

  async end(): Promise<number | null> {
    this.#child.stdin.end();
    const [status] = await this.#exit;
    return status;
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }
}

describe('the command gns', function () {
  this.timeout(20_000);
  const programs: Program[] = [];
  const run = (...args: string[]) => {
    const program = new Program(...args);
    programs.push(program);
    return program;
  };
  afterEach(() => {
    for (const program of programs.splice(0)) program.kill();
  });

  it('peer: plays a session between two processes', async () => {
    const server = run('peer', 'identity str=alice', 'init', 'autoaccept on');
    const client = run('peer', 'identity str=bob', 'init SendRateMin=2000000 SendRateMax=2000000');
    const { addr } = await server.command('listen id=L addr=127.0.0.1:0');
    expect(await client.command(`connect id=C addr=${addr}`)).to.include({ ev: 'ok', id: 'C' });
    expect(await client.command('wait id=C state=Connected')).to.include({ ev: 'ok' });

    const sent = await client.command('send id=C flags=reliable text="hello there" tag=7');
    expect(sent).to.include({ tag: '7', sent: 1, failed: 0, first: 1, last: 1 });
    const message = JSON.parse(await server.find('"ev":"msg"')) as Report;
    expect(message).to.include({ conn: 'L.1', size: 11, flags: 'reliable', lane: 0, msgnum: 1, fnv1a: 2_072_004_409 });
    expect(message['hex']).to.equal(Buffer.from('hello there').toString('hex'));

    await server.command('sink on');
    await server.command('verify pattern=9');
    await client.command('stream id=C size=1200 bytes=1000000 pattern=9');
    expect(await client.command('wait tasks')).to.include({ ev: 'ok' });
    const stream = JSON.parse(await client.find('"ev":"stream"')) as Report;
    expect(stream).to.include({ bytes: 1_000_000, msgs: 834 }).and.not.have.property('error');
    expect(await server.command('counters id=L.1')).to.include({ rx_msgs: 835, verified: 834, mismatches: 0 });
    expect(await client.command('status id=C')).to.include({ state: 'Connected', unacked_reliable: 0 });

    await server.command('echo on flags=nonagle');
    await client.command('pingpong id=C count=20');
    await client.command('wait tasks');
    expect(JSON.parse(await client.find('"ev":"pingpong"'))).to.include({ sent: 20, lost: 0, n: 20 });

    expect(await client.command('close id=C reason=1234 debug=bye linger=1')).to.include({ n: 1 });
    const ended = JSON.parse(await server.find('"new":"ClosedByPeer"')) as Report;
    expect(ended).to.include({ conn: 'L.1', reason: 1234, reasonName: 'App', debug: 'bye', identity: 'str:bob' });
    expect(await server.command('wait id=L.1 state=gone')).to.include({ ev: 'ok' });
    expect(await client.command('config FakePacketLoss_Send=0')).to.include({ ev: 'ok' });
    expect(await client.command('cert status')).to.include({ ev: 'ok', availName: 'CannotTry' });

    expect([await client.end(), await server.end()]).to.deep.equal([0, 0]);
    expect(client.reports.at(0)).to.include({ ev: 'hello', protocol: 1 });
    expect(client.reports.at(-1)).to.include({ ev: 'bye' });
  });

  it('peer: has pairs, poll groups and lanes', async () => {
    const peer = run('peer', 'init');
    await peer.command('socketpair id1=A id2=B');
    await peer.command('socketpair id1=C id2=D network=1 identity1=str:one');
    expect(await peer.command('info id=A')).to.include({ state: 'Connected', flags: 12, addr: '[::]:0' });
    expect(await peer.command('info id=C')).to.include({ state: 'Connected', flags: 9, identity: 'str:one' });
    expect(await peer.command('pollgroup create id=G')).to.include({ ev: 'ok' });
    expect(await peer.command('pollgroup set id=B group=G')).to.include({ ev: 'ok' });
    expect(await peer.command('pollgroup set id=D group=none')).to.include({ ev: 'ok' });
    expect(await peer.command('lanes id=A n=2 priorities=0,1 weights=1,2')).to.include({ n: 2 });
    await peer.command('send id=A text=in-group lane=1');
    await peer.command('send id=C text=in-none');
    expect(JSON.parse(await peer.find('"conn":"B"'))).to.include({ ev: 'msg', lane: 1, size: 8 });
    expect(JSON.parse(await peer.find('"conn":"D"'))).to.include({ ev: 'msg', lane: 0, size: 7 });
    expect(await peer.end()).to.equal(0);
  });

  it('peer: runs what comes through a pipe in order, and lets commands wait', async () => {
    const peer = run('peer', 'init');
    peer.enter('autoaccept on\nlisten id=L addr=127.0.0.1:0\nwait id=X timeout=30 tag=w\nsleep 10\nbogus\nquit');
    expect(await peer.end()).to.equal(0);
    const answers = peer.reports.map(({ ev, cmd, tag, result }) => [ev, cmd, tag, result].join(' ').trim());
    expect(answers).to.deep.equal([
      'hello',
      'ok init',
      'ok autoaccept',
      'ok listen',
      'error wait w Timeout',
      'ok sleep',
      'error bogus',
      'ok quit',
      'bye',
    ]);
  });

  it('chat: passes on lines, names and departures, without control characters', async () => {
    const room = run('chat', '--listen', '127.0.0.1:0');
    const address = / at (\S+)\. /.exec(await room.find('open at'))![1]!;
    const ann = run('chat', '--connect', address, '--nick', 'ann');
    await ann.find('now known as ann');
    const ben = run('chat', '--connect', address);
    ben.enter('/nick ben');
    await ann.find('is now known as ben');
    ben.enter('red \x1b[31m alert');
    expect(await ann.find('alert')).to.equal('ben: red [31m alert');
    room.enter('welcome to you all');
    expect(await ben.find('welcome')).to.equal('host: welcome to you all');

    ben.enter('/quit');
    await ann.find('ben has left');
    expect(await ben.end()).to.equal(0);
    ann.kill('SIGINT');
    await room.find('ann has left');
    expect([await ann.end(), await room.end()]).to.deep.equal([0, 0]);
  });

  it('chat: tells those in the room when it closes', async () => {
    const room = run('chat', '--listen', '127.0.0.1:0');
    const address = / at (\S+)\. /.exec(await room.find('open at'))![1]!;
    const guest = run('chat', '--connect', address);
    await guest.find('Welcome');
    room.enter('/quit');
    await guest.find('The room is closing');
    await guest.find('has closed the connection');
    expect([await guest.end(), await room.end()]).to.deep.equal([0, 0]);
  });

  it('exits with status 2 and names the argument that it does not understand', async () => {
    for (const [args, fault] of [
      [['chta'], "'chta'"],
      [['chat', '--port', '5'], '--port'],
      [['chat', '--connect', 'a:b:c'], '--connect a:b:c'],
      [['peer', '--quick'], '--quick'],
    ] as const) {
      const program = run(...args);
      expect(await program.end(), fault).to.equal(2);
      expect(program.lines).to.have.length(2);
      expect(program.lines[0]).to.contain(fault);
      expect(program.lines[1]).to.match(/^usage: gns /);
    }
  });
});

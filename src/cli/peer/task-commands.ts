// Commands that start what goes on after their answer, and those about such tasks.

import { type CommandTable, DONE, type Workshop } from './command-table.ts';
import { RATE_HEADER_BYTES } from './latency.ts';
import { type Command, CommandError, parseInteger } from './line.ts';
import { takeSendOptions } from './payload.ts';
import { PING_HEADER_BYTES, PingTask } from './ping-task.ts';
import { RateTask } from './rate-task.ts';
import type { Fields } from './report.ts';
import { StreamTask } from './stream-task.ts';
import { taskHead } from './tasks.ts';

export const TASK_COMMANDS: CommandTable = {
  stream,
  pingpong: pingPong,
  rate,
  tasks: (_, { tasks }) => ({ tasks: tasks.all.map((task) => ({ kind: task.kind, ...taskHead(task) })) }),
  stop: (command, { tasks }) => {
    const id = command.text('id', '');
    command.noMore();
    return { n: tasks.stop(id) };
  },
};

const MAX_MESSAGE_BYTES = 524_288;

function takeSize(command: Command, least: number, otherwise?: number): number {
  const size = otherwise === undefined ? command.needInteger('size') : command.integer('size', otherwise);
  if (size >= least && size <= MAX_MESSAGE_BYTES) return size;
  throw new CommandError(`size is out of range: ${size} is not in ${least} to ${MAX_MESSAGE_BYTES}`);
}

function stream(command: Command, { session, tasks }: Workshop): Fields {
  const peer = session.need(command.need('id'));
  const sizeBytes = takeSize(command, 1);
  const totalBytes = command.needInteger('bytes');
  const send = takeSendOptions(command);
  const inFlightBytes = command.integer('inflight', 4 * 2 ** 20);
  const inFlightMessages = command.integer('inflightmsgs', 50_000);
  const pattern = command.find('pattern');
  const tag = command.text('tag', '');
  command.noMore();
  if (totalBytes < 1 || inFlightBytes < 1 || inFlightMessages < 1) {
    throw new CommandError('bytes, inflight and inflightmsgs must be positive');
  }
  const maxHeldBytes = Math.min(inFlightBytes, inFlightMessages * sizeBytes);
  const patternSeed = pattern === undefined ? undefined : parseInteger(pattern, 'pattern');
  tasks.add(new StreamTask(session, peer, tag, { sizeBytes, totalBytes, maxHeldBytes, send, patternSeed }));
  return DONE;
}

function pingPong(command: Command, { session, tasks }: Workshop): Fields {
  const peer = session.need(command.need('id'));
  if (tasks.all.some((task) => task.kind === 'pingpong' && task.peer === peer)) {
    throw new CommandError('a pingpong is running on this connection');
  }
  const options = {
    sizeBytes: takeSize(command, PING_HEADER_BYTES, 32),
    count: command.integer('count', 1_000),
    warmup: command.integer('warmup', 0),
    gapUs: command.number('gap', 0) * 1e3,
    timeoutUs: command.number('timeout', 1_000) * 1e3,
    send: takeSendOptions(command, 'reliable,nonagle'),
    spin: command.flag('spin', false),
  };
  const tag = command.text('tag', '');
  command.noMore();
  if (options.count < 1 || options.warmup < 0) throw new CommandError('count must be positive');
  tasks.add(new PingTask(session, peer, tag, options, () => tasks.poke(peer)));
  return DONE;
}

function rate(command: Command, { session, tasks }: Workshop): Fields {
  const peer = session.need(command.need('id'));
  const hz = command.number('hz', 60);
  const sizeBytes = takeSize(command, RATE_HEADER_BYTES, 128);
  const seconds = command.number('seconds', 5);
  const send = takeSendOptions(command);
  const tag = command.text('tag', '');
  command.noMore();
  if (hz <= 0 || seconds <= 0) throw new CommandError('hz and seconds must be positive');
  const count = Math.max(1, Math.round(hz * seconds));
  tasks.add(new RateTask(session, peer, tag, { sizeBytes, hz, count, send }));
  return DONE;
}

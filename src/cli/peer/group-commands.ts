// Commands about several things at once: pairs of connections, groups of them, and the lanes of one.

import type { Connection, LaneOptions } from '../../index.ts';
import { type CommandTable, DONE, type Workshop } from './command-table.ts';
import { configOptions, takeConfig } from './config.ts';
import { type Command, CommandError, parseInteger } from './line.ts';
import type { Fields } from './report.ts';
import type { Session } from './session.ts';
import { parseIdentity } from './setup-commands.ts';

export const GROUP_COMMANDS: CommandTable = { socketpair: socketPair, pollgroup: pollGroup, lanes };

function socketPair(command: Command, { session }: Workshop): Fields {
  const { instance } = session;
  const ids = [command.need('id1'), command.need('id2')] as const;
  for (const id of ids) session.needFreeId(id);
  if (ids[0] === ids[1]) throw new CommandError('id1 and id2 are the same');
  const loopback = command.flag('network', false) ? 'udp' : 'memory';
  const identities = [takeIdentity(command, 'identity1'), takeIdentity(command, 'identity2')] as const;
  const config = configOptions(takeConfig(command));
  const pair = instance.createSocketPair({ loopback, identities, config });
  addConnected(session, ids[0], pair[0]);
  addConnected(session, ids[1], pair[1]);
  return { handle1: pair[0].id, handle2: pair[1].id };
}

function takeIdentity(command: Command, key: string) {
  return parseIdentity(command.text(key, 'localhost'));
}

/** The beginning of a pair is not reported. */
function addConnected(session: Session, id: string, connection: Connection): void {
  session.add(id, connection).state = 'Connected';
}

function pollGroup(command: Command, { session }: Workshop): Fields {
  switch (command.word(0)) {
    case 'create': {
      const id = command.need('id');
      command.noMore();
      return { handle: session.groups.create(id, session.instance.createPollGroup()) };
    }
    case 'set': {
      const peers = session.match(command.need('id'));
      const name = command.need('group');
      command.noMore();
      for (const { connection } of peers) session.groups.move(connection, name);
      return DONE;
    }
    case 'destroy': {
      const id = command.need('id');
      command.noMore();
      session.groups.destroy(id);
      return DONE;
    }
    default:
      throw new CommandError('pollgroup: create, set or destroy');
  }
}

/** More than a connection can have, so that it says so. */
const TOO_MANY_LANES = 256;

function lanes(command: Command, { session }: Workshop): Fields {
  const peer = session.need(command.need('id'));
  const n = command.needInteger('n');
  const priorities = takeList(command, 'priorities');
  const weights = takeList(command, 'weights');
  command.noMore();
  if ([priorities, weights].some((list) => list !== undefined && list.length !== n)) {
    throw new CommandError('priorities and weights need n values');
  }
  const options = Array.from({ length: Math.max(0, Math.min(n, TOO_MANY_LANES)) }, (_, lane): LaneOptions => {
    return { priority: priorities?.[lane] ?? 0, weight: weights?.[lane] ?? 1 };
  });
  peer.configureLanes(options);
  return { n };
}

function takeList(command: Command, key: string): readonly number[] | undefined {
  return command
    .find(key)
    ?.split(',')
    .map((text) => parseInteger(text, key));
}

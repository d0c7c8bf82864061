// Commands that open and close connections and listen sockets, and name them.

import { IpAddress } from '../../index.ts';
import { BatchTask } from './batch-task.ts';
import { type CommandTable, DONE, type Workshop } from './command-table.ts';
import { configOptions, takeConfig } from './config.ts';
import { type Command, CommandError, parseBigInteger } from './line.ts';
import { EResult } from './names.ts';
import type { Fields } from './report.ts';

export const CONNECTION_COMMANDS: CommandTable = {
  listen,
  closelisten: closeListen,
  autoaccept: autoAccept,
  autoclose: (command, { session }) => {
    session.autoClose = command.onOff();
    return DONE;
  },
  connect,
  accept,
  close,
  reject: close,
  name: (command, { session }) => {
    session.need(command.need('id')).connection.name = command.need('name');
    return DONE;
  },
  rename: (command, { session }) => {
    session.rename(session.need(command.need('id')), command.need('to'));
    return DONE;
  },
  userdata: (command, { session }) => {
    const { config } = session.need(command.need('id')).connection;
    const value = command.find('value');
    if (value !== undefined) config.set('connectionUserData', parseBigInteger(value, 'value'));
    return { value: config.get('connectionUserData') };
  },
};

function listen(command: Command, { session }: Workshop): Fields {
  const { instance } = session;
  const id = command.need('id');
  session.needFreeId(id);
  const address = parseAddress(command.need('addr'));
  const config = configOptions(takeConfig(command));
  const socket = instance.listen({ host: address.host, port: address.port, config });
  return { handle: session.addListen(id, socket).handle, addr: String(socket.address) };
}

/** Also `*:PORT`, `any:PORT` and `:PORT`. */
function parseAddress(text: string): IpAddress {
  const address = IpAddress.parse(text.replace(/^(?:\*|any)?:(?=\d+$)/, '[::]:'));
  if (address === undefined) throw new CommandError(`not an address: '${text}'`);
  return address;
}

function closeListen(command: Command, { session }: Workshop): Fields {
  const id = command.need('id');
  command.noMore();
  const { socket } = session.needListen(id);
  session.listens.delete(id);
  const dropped = session.connections.filter(({ listenId }) => listenId === id);
  void socket.close();
  for (const peer of dropped) session.drop(peer);
  return { dropped: dropped.length };
}

function autoAccept(command: Command, { session }: Workshop): Fields {
  const isOn = command.onOff();
  const id = command.find('id');
  command.noMore();
  if (id === undefined) session.autoAccept = isOn;
  else session.needListen(id).autoAccept = isOn;
  return DONE;
}

function connect(command: Command, { session, tasks }: Workshop): Fields {
  const { instance } = session;
  const id = command.need('id');
  const address = parseAddress(command.need('addr'));
  const tag = command.text('tag', '');
  if (command.find('count') === undefined) {
    session.needFreeId(id);
    const connection = instance.open(address, { config: configOptions(takeConfig(command)) });
    session.add(id, connection);
    return { handle: connection.id };
  }
  const count = command.needInteger('count');
  const window = command.integer('window', 32);
  if (count < 1 || window < 1) throw new CommandError('count and window must be positive');
  const config = configOptions(takeConfig(command));
  tasks.add(new BatchTask(session, id, tag, { address, connect: { config }, count, window }));
  return DONE;
}

function accept(command: Command, { session }: Workshop): Fields {
  const peers = session.match(command.need('id'));
  const config = configOptions(takeConfig(command));
  for (const { id, connection, incoming } of peers) {
    if (incoming === undefined) {
      const result = connection.state === 'Connecting' ? EResult.InvalidParam : EResult.InvalidState;
      throw new CommandError(`cannot accept '${id}': it did not come in, we opened it`, result);
    }
    incoming.accept(config);
  }
  return { n: peers.length };
}

function close(command: Command, { session }: Workshop): Fields {
  const peers = session.match(command.need('id'));
  const reason = command.integer('reason', 0);
  const debug = command.text('debug', '');
  const linger = command.flag('linger', false);
  command.noMore();
  for (const peer of peers) {
    session.drop(peer);
    void peer.connection.close({ reason, debug, linger });
  }
  return { n: peers.length };
}

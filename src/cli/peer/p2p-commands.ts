// Commands for P2P connections. The harness carries the signals: those that we send are reported, those of the peer are
// given to us as commands.

import type { Identity, IncomingConnection } from '../../index.ts';
import { type CommandTable, DONE, type Workshop } from './command-table.ts';
import { configOptions, takeConfig } from './config.ts';
import { type Command, CommandError, parseHex } from './line.ts';
import type { Fields } from './report.ts';
import type { Session } from './session.ts';
import { parseIdentity } from './setup-commands.ts';
import { reporter, reportSignal } from './signals.ts';

export const P2P_COMMANDS: CommandTable = {
  listenp2p: listen,
  connectp2p: connect,
  signal,
  signalreject: (command, { session }) => {
    session.reportsRejections = command.onOff();
    return DONE;
  },
};

/** Ids of connections that came in without a listen socket: `in.1` … */
const NO_LISTEN_ID = 'in';

function listen(command: Command, { session }: Workshop): Fields {
  const { instance } = session;
  const id = command.need('id');
  session.needFreeId(id);
  const virtualPort = command.integer('vport', 0);
  const config = configOptions(takeConfig(command));
  return { handle: session.addListen(id, instance.listenP2P({ virtualPort, config })).handle };
}

function connect(command: Command, { session }: Workshop): Fields {
  const { instance } = session;
  const id = command.need('id');
  session.needFreeId(id);
  const identity = command.find('identity');
  const virtualPort = command.integer('vport', 0);
  command.text('via', 'custom');
  const remote = identity === undefined ? undefined : parseIdentity(identity);
  const config = configOptions(takeConfig(command));
  const connection = instance.openP2P(remote, virtualPort, { signaling: reporter(session), config });
  const known = session.find(`#${connection.id}`);
  if (known === undefined) {
    session.add(id, connection);
    return { handle: connection.id };
  }
  const was = known.id;
  session.rename(known, id);
  return { handle: connection.id, was };
}

function signal(command: Command, { session }: Workshop): Fields {
  const { instance } = session;
  const bytes = parseHex(command.need('hex'));
  command.text('from', '');
  command.noMore();
  if (bytes === undefined) throw new CommandError('signal: bad hex');
  const accepted = instance.receivedP2PCustomSignal(bytes, {
    onConnectRequest: (incoming) => {
      adopt(session, incoming);
      return reporter(session);
    },
    sendRejection: (to: Identity, rejection: Uint8Array) => {
      if (session.reportsRejections) reportSignal(session, undefined, to.toString(), rejection, true);
    },
  });
  return { accepted };
}

/** Those that call a listen socket are told of by it. */
function adopt(session: Session, incoming: IncomingConnection): void {
  if (!incoming.hasListenSocket) session.addIncoming(NO_LISTEN_ID, undefined, incoming);
}

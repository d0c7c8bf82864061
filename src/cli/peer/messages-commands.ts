// The `messages` commands: ad-hoc messages, which need no connections. Signals are carried as those of P2P connections.

import type { ConnectionInfo, Identity, Messages, SessionEnd, SessionMessage } from '../../index.ts';
import { type CommandFunction, type CommandTable, DONE } from './command-table.ts';
import { type Command, CommandError, parseInteger, parseSwitch } from './line.ts';
import { addressText, endFields, flagFields, identityText, statusFields } from './names.ts';
import { flagsText, parseSendFlags, payloadFields, takePayload } from './payload.ts';
import type { Fields } from './report.ts';
import type { Session } from './session.ts';
import { parseIdentity } from './setup-commands.ts';

export const MESSAGES_COMMANDS: CommandTable = {
  messages: (command, shop) => {
    const verb = VERBS[command.word(0)];
    if (verb === undefined) throw new CommandError('messages: send, recv, accept, autoaccept, close or info');
    return verb(command, shop);
  },
};

const VERBS: Readonly<Record<string, CommandFunction>> = {
  send,
  recv: (command, { session }) => {
    const adHoc = adHocOf(session);
    const channels = command.find('channels');
    command.noMore();
    if (channels !== undefined) {
      adHoc.channels = channels.split(',').map((channel) => parseInteger(channel, 'channels'));
    }
    adHoc.drain();
    return DONE;
  },
  accept: (command, { session }) => {
    const identity = takeIdentity(command);
    command.noMore();
    return found(adHocOf(session).messages.acceptSessionWithUser(identity));
  },
  autoaccept: (command, { session }) => {
    adHocOf(session).autoAccept = parseSwitch(command.word(1), 'autoaccept');
    return DONE;
  },
  close: (command, { session }) => {
    const { messages } = adHocOf(session);
    const identity = takeIdentity(command);
    const channel = command.find('channel');
    command.noMore();
    if (channel === undefined) return found(messages.closeSessionWithUser(identity));
    return found(messages.closeChannelWithUser(identity, parseInteger(channel, 'channel')));
  },
  info: (command, { session }) => {
    const { messages } = adHocOf(session);
    const identity = takeIdentity(command);
    command.noMore();
    const info = messages.sessionInfo(identity);
    if (info === undefined) return { state: 'None' };
    const status = messages.sessionStatus(identity);
    return { ...infoFields(info), ...(status === undefined ? {} : { status: statusFields(status) }) };
  },
};

function send(command: Command, { session }: { readonly session: Session }): Fields {
  const { messages } = adHocOf(session);
  const identity = takeIdentity(command);
  const channel = command.integer('channel', 0);
  const { lane: _, ...options } = parseSendFlags(command.text('flags', 'reliable'));
  const count = command.integer('count', 1);
  const payload = takePayload(command);
  command.noMore();
  for (let i = 0; i < count; i++) {
    try {
      messages.sendMessageToUser(identity, payload(i), { ...options, channel });
    } catch (error) {
      throw new CommandError(`send failed after ${i} messages`, CommandError.from(error).result);
    }
  }
  return { sent: count };
}

function takeIdentity(command: Command): Identity {
  return parseIdentity(command.need('identity'));
}

function found(isThere: boolean): Fields {
  if (!isThere) throw new CommandError('no session with that user');
  return DONE;
}

function infoFields(info: ConnectionInfo): Fields {
  return {
    state: info.state,
    identity: identityText(info),
    addr: addressText(info),
    ...endFields(info),
    ...flagFields(info),
  };
}

/** The messages of an instance, from the first `messages` command on. */
class AdHoc {
  readonly messages: Messages;
  autoAccept = false;
  /** Those that are read; what comes on others waits. */
  channels: readonly number[] = [0];
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
    this.messages = session.instance.messages();
    this.messages.on('readable', () => this.drain());
    this.messages.on('request', (request) => {
      session.report.event('msgsession', { identity: String(request.identity), accepted: this.autoAccept });
      if (this.autoAccept) request.accept();
    });
    this.messages.on('failed', ({ info }: SessionEnd) => session.report.event('msgsessionfailed', infoFields(info)));
    // GNS has no such event.
    this.messages.on('closed', ({ info, undeliveredBytes }) => {
      session.report.event('msgsessionclosed', { ...infoFields(info), undelivered: undeliveredBytes });
    });
  }

  drain(): void {
    for (const channel of this.channels) {
      for (const message of this.messages.receiveMessagesOnChannel(channel)) this.#tell(message);
    }
  }

  #tell(message: SessionMessage): void {
    this.#session.report.event('mmsg', {
      identity: String(message.identity),
      channel: message.channel,
      size: message.data.length,
      flags: flagsText(message),
      msgnum: message.messageNumber,
      ...payloadFields(message.data, this.#session.hexMax),
    });
  }
}

const adHocs = new WeakMap<object, AdHoc>();

function adHocOf(session: Session): AdHoc {
  const { instance } = session;
  let adHoc = adHocs.get(instance);
  if (adHoc === undefined) {
    adHoc = new AdHoc(session);
    adHocs.set(instance, adHoc);
  }
  return adHoc;
}

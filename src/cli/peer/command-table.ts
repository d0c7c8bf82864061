// What a command of the peer is.

import type { Inbox } from './inbox.ts';
import type { Command } from './line.ts';
import type { Fields } from './report.ts';
import type { Session } from './session.ts';
import type { TaskList } from './tasks.ts';

/** What commands work on. */
export interface Workshop {
  readonly session: Session;
  readonly inbox: Inbox;
  readonly tasks: TaskList;
}

/** Returns what the answer says beside "ok". Throws `CommandError` or `NetworkingError`. */
export type CommandFunction = (command: Command, shop: Workshop) => Fields;
export type CommandTable = Readonly<Record<string, CommandFunction>>;

/** There is nothing to say. */
export const DONE: Fields = {};

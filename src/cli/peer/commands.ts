// All commands of the peer by name, but for those that hold up the others.

import type { CommandTable } from './command-table.ts';
import { CONNECTION_COMMANDS } from './connection-commands.ts';
import { CREDENTIAL_COMMANDS } from './credential-commands.ts';
import { DATA_COMMANDS } from './data-commands.ts';
import { GROUP_COMMANDS } from './group-commands.ts';
import { MESSAGES_COMMANDS } from './messages-commands.ts';
import { P2P_COMMANDS } from './p2p-commands.ts';
import { QUERY_COMMANDS } from './query-commands.ts';
import { SETUP_COMMANDS } from './setup-commands.ts';
import { TASK_COMMANDS } from './task-commands.ts';

export const COMMANDS: CommandTable = {
  ...SETUP_COMMANDS,
  ...CONNECTION_COMMANDS,
  ...DATA_COMMANDS,
  ...GROUP_COMMANDS,
  ...TASK_COMMANDS,
  ...P2P_COMMANDS,
  ...MESSAGES_COMMANDS,
  ...QUERY_COMMANDS,
  ...CREDENTIAL_COMMANDS,
};

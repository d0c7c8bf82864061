// Commands that only ask.

import { readFileSync } from 'node:fs';
import { cpuUs, monotonicUs } from './clock.ts';
import type { CommandTable, Workshop } from './command-table.ts';
import type { Command } from './line.ts';
import { addressText, description, endFields, flagFields, identityText, orNull, statusFields } from './names.ts';
import type { Fields } from './report.ts';

export const QUERY_COMMANDS: CommandTable = {
  info,
  status: (command, { session }) => {
    const { connection } = session.need(command.need('id'));
    const isDetailed = command.flag('detail', false);
    command.noMore();
    const fields = statusFields(connection.status());
    return isDetailed ? { ...fields, detail: `${description(connection, connection.info)}\n` } : fields;
  },
  conns: (_, { session }) => ({
    conns: session.connections.map((peer) => ({
      id: peer.id,
      handle: peer.connection.id,
      state: peer.state,
      incoming: peer.incoming !== undefined,
      listen: orNull(peer.listenId),
    })),
    listens: [...session.listens.keys()].sort(),
  }),
  cpu: () => {
    const { user, system, total } = cpuUs();
    return { user_us: user, sys_us: system, total_us: total, mono_us: Math.trunc(monotonicUs()) };
  },
  mem: (_, { session }) => ({ ...memory(), conns: session.connections.length }),
};

function info(command: Command, { session }: Workshop): Fields {
  const peer = session.need(command.need('id'));
  command.noMore();
  const { connection } = peer;
  const details = connection.info;
  return {
    handle: connection.id,
    incoming: peer.incoming !== undefined,
    listen: orNull(peer.listenId),
    state: details.state,
    identity: identityText(details),
    addr: addressText(details),
    ...endFields(details),
    desc: description(connection, details),
    userdata: connection.config.get('connectionUserData'),
    ...flagFields(details),
    name: connection.name,
  };
}

/** In bytes. What only Linux tells is left out elsewhere. */
function memory(): Fields {
  let status = '';
  try {
    status = readFileSync('/proc/self/status', 'utf8');
  } catch {
    // Not Linux.
  }
  const entry = (name: string) => {
    const value = new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const vsizeKib = entry('VmSize');
  return {
    vsize: vsizeKib === undefined ? undefined : vsizeKib * 1024,
    peak_rss: process.resourceUsage().maxRSS * 1024,
    rss: process.memoryUsage.rss(),
    threads: entry('Threads'),
  };
}

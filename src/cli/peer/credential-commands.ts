// Commands about certificates: whom the peer trusts, and what it shows.

import { type CommandTable, DONE } from './command-table.ts';
import { type Command, CommandError, parseBase64, parseHex } from './line.ts';
import type { Fields } from './report.ts';
import type { Session } from './session.ts';

export const CREDENTIAL_COMMANDS: CommandTable = {
  cert: (command, { session }) => {
    const verb = command.word(0);
    if (verb === 'set') return setCertificate(command, session);
    if (verb === 'request') return request(command, session);
    if (verb === 'status' || verb === 'init') return status(command, session);
    throw new CommandError('cert: set, request, status or init');
  },
  castore: (command, { session }) => {
    if (command.word(0) !== 'add') throw new CommandError('castore: add');
    const certificate = takeBytes(command);
    command.noMore();
    session.instance.credentials.trust(certificate);
    return DONE;
  },
};

function setCertificate(command: Command, session: Session): Fields {
  const certificate = takeBytes(command);
  command.noMore();
  session.instance.credentials.setCertificate(certificate);
  return { identity: String(session.instance.identity) };
}

function request(command: Command, session: Session): Fields {
  command.noMore();
  const bytes = Buffer.from(session.instance.credentials.createRequest());
  return { hex: bytes.toString('hex'), base64: bytes.toString('base64') };
}

/** As GNS's numbers and names of availability. */
const STATUS = {
  ok: { avail: 100, availName: 'Current', debug: 'OK' },
  expired: { avail: -100, availName: 'Previously', debug: 'the certificate has expired' },
  noCertificate: { avail: -102, availName: 'CannotTry', debug: 'no certificate' },
} as const;

/** `init` has nothing to begin: it is the harness that carries requests to an authority. */
function status(command: Command, session: Session): Fields {
  command.noMore();
  return STATUS[session.instance.credentials.status];
}

function takeBytes(command: Command): Uint8Array {
  const base64 = command.find('base64');
  const bytes = base64 === undefined ? parseHex(command.need('hex')) : parseBase64(base64);
  if (bytes === undefined) throw new CommandError(`${base64 === undefined ? 'hex' : 'base64'}: bad digits`);
  return bytes;
}

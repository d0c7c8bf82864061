// `gns doctor`: what the network of this machine means for meeting others.

import { nodePlatform } from '../../index.ts';
import { parseArguments, UsageError } from '../usage.ts';
import { type SurveyReport, survey, type TurnAccount } from './survey.ts';

const USAGE = 'usage: gns doctor [--stun LIST] [--turn LIST --user LIST --pass LIST] [--loopback] [--json]';

/** Resolves with the exit status: 0 if UDP gets out and every server did what was asked. */
export async function doctor(args: readonly string[]): Promise<number> {
  const options = {
    stun: { type: 'string', default: '' },
    turn: { type: 'string', default: '' },
    user: { type: 'string', default: '' },
    pass: { type: 'string', default: '' },
    loopback: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  } as const;
  const { values } = parseArguments({ args: [...args], options }, USAGE);
  const turn = accounts(listOf(values.turn), listOf(values.user), listOf(values.pass));
  const stun = listOf(values.stun);
  const report = await survey(nodePlatform(), { stun, turn, allowsLoopback: values.loopback });
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${linesOf(report).join('\n')}\n`);
  return isWell(report) ? 0 : 1;
}

function listOf(text: string): string[] {
  return text === '' ? [] : text.split(',').map((entry) => entry.trim().replace(/^(?:stun|turn):/, ''));
}

function accounts(servers: readonly string[], users: readonly string[], passwords: readonly string[]): TurnAccount[] {
  if (users.length !== passwords.length || (users.length > 0 && users.length !== servers.length)) {
    throw new UsageError(
      `${servers.length} TURN servers, ${users.length} users and ${passwords.length} passwords do not go together`,
      USAGE,
    );
  }
  return servers.map((server, i) => ({ server, username: users[i] ?? '', password: passwords[i] ?? '' }));
}

function isWell({ udp, stun, turn }: SurveyReport): boolean {
  return (
    udp === 'works' && stun.every(({ address }) => address !== null) && turn.every(({ relayed }) => relayed !== null)
  );
}

const NATS = {
  none: 'none',
  endpointIndependent: 'one port for all destinations (cone)',
  symmetric: 'a port for each destination (symmetric)',
  unknown: 'unknown',
} as const;

function linesOf({ addresses, stun, turn, udp, nat, hairpin, ipv6, advice }: SurveyReport): string[] {
  return [
    ...addresses.map(({ address, kind }) => row('address', `${address} (${kind})`)),
    ...stun.map(({ server, address, mapped }) =>
      row('STUN', `${named(server, address)} ${mapped === null ? 'did not answer' : `sees ${mapped}`}`),
    ),
    ...turn.map(({ server, address, relayed, errorCode }) => {
      const why = errorCode === 0 ? 'did not answer' : `refused (${errorCode})`;
      return row('TURN', `${named(server, address)} ${relayed === null ? why : `lends ${relayed}`}`);
    }),
    row('UDP', udp),
    row('NAT', `${NATS[nat]}${hairpin === null ? '' : hairpin ? ', with hairpin' : ', without hairpin'}`),
    row('IPv6', ipv6),
    ...advice,
  ];
}

function row(title: string, text: string): string {
  return `${title.padEnd(8)} ${text}`;
}

function named(server: string, address: string | null): string {
  return address === null || address === server ? server : `${server} (${address})`;
}

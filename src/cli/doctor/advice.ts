// What the findings of `gns doctor` mean for meeting others. The tables behind it are in docs/nat.md.

import type { SurveyReport } from './survey.ts';

type Findings = Omit<SurveyReport, 'advice'>;

export function adviceFor(findings: Findings): string[] {
  return [...onUdp(findings), ...onNat(findings), ...onServers(findings)];
}

function onUdp({ udp, addresses }: Findings): string[] {
  if (addresses.length === 0) return ['This machine has no address that others could reach.'];
  switch (udp) {
    case 'blocked':
      return ['No server answered: UDP seems to be blocked here, and P2P connections will not leave this network.'];
    case 'silent':
      return ['The only server did not answer: it is down, or UDP is blocked here. Ask a second one.'];
    case 'untested':
      return ['Nobody outside was asked: name STUN servers with --stun.'];
    case 'works':
      return [];
  }
}

function onNat({ udp, nat, hairpin, turn }: Findings): string[] {
  if (udp !== 'works') return [];
  const hasRelay = turn.some(({ relayed }) => relayed !== null);
  switch (nat) {
    case 'none':
      return [
        'There is no NAT: everybody whose UDP is not blocked can meet us directly, unless a firewall is in the way.',
      ];
    case 'endpointIndependent': {
      const home = hasRelay
        ? 'For those behind symmetric NATs there is a relay.'
        : 'Those behind symmetric NATs need a TURN server.';
      const shared =
        hairpin === false ? ['The NAT has no hairpin: others behind the same carrier need a TURN server, too.'] : [];
      return [`Most peers can meet us directly. ${home}`, ...shared];
    }
    case 'symmetric': {
      const relay = hasRelay ? 'the relay serves' : 'a TURN server is needed';
      return [
        `The NAT is symmetric: only peers with public addresses or easy NATs can meet us directly; for most others ${relay}.`,
      ];
    }
    case 'unknown':
      return ['One answer does not tell the kind of NAT: name two STUN servers, or two ports of one.'];
  }
}

function onServers({ udp, stun, turn }: Findings): string[] {
  const unknown = [...stun, ...turn].filter(({ address }) => address === null).map(({ server }) => server);
  const lines = unknown.map((server) => `The name of ${server} is unknown.`);
  for (const { server, address, relayed, errorCode } of turn) {
    if (relayed !== null || address === null) continue;
    if (errorCode === 401) lines.push(`The TURN server ${server} refused user name or password.`);
    else if (errorCode > 0) lines.push(`The TURN server ${server} refused to lend an address (${errorCode}).`);
    else if (udp === 'works') lines.push(`The TURN server ${server} did not answer.`);
  }
  return lines;
}

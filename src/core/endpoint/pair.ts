// Two connections of one instance with each other: what a handshake would find out is arranged in memory.
// Spec: 04 §4.12, 05 "CreateSocketPair".

import { invariant } from '../base/errors.ts';
import type { Identity } from '../base/identity.ts';
import type { ConfigScope } from '../config/scope.ts';
import type { Connection } from '../connection/connection.ts';
import { type Environment, type Path, PROTOCOL_VERSION } from '../connection/environment.ts';
import type { Session } from '../connection/handshake.ts';
import { KeyExchange, type SessionCiphers } from '../connection/key-exchange.ts';

/** How one end of a pair is to be. */
export interface PairEnd {
  readonly path: Path;
  readonly config: ConfigScope;
  /** Who it sees at the other end. */
  readonly remoteIdentity: Identity;
}

type Two<T> = readonly [T, T];

/** An authority vouches for nobody here, and certificates without one are welcome whatever the configuration says. */
const ALLOW_UNSIGNED = 2;

/** What each of two connections knows of the other. Keys are made and agreed on as over a network. */
export function pairSessions(
  env: Environment,
  ends: Two<PairEnd>,
  connections: Two<Connection>,
  nowUs: number,
): Two<Session> {
  const ids: Two<number> = [connections[0].id, connections[1].id];
  const ciphers = agree(env, ends, ids, nowUs);
  const session = (own: 0 | 1, other: 0 | 1): Session => ({
    remoteId: ids[other],
    identity: ends[own].remoteIdentity,
    isAuthenticated: false,
    protocolVersion: PROTOCOL_VERSION,
    ciphers: ciphers[own],
  });
  return [session(0, 1), session(1, 0)];
}

function agree(env: Environment, ends: Two<PairEnd>, ids: Two<number>, nowUs: number): Two<SessionCiphers> {
  // Whoever one end sees is who the other one says it is.
  const begin = (own: 0 | 1, other: 0 | 1) => {
    const mine = { ...env, identity: ends[other].remoteIdentity, certificate: undefined, signingKey: undefined };
    return KeyExchange.begin(mine, ends[own].config, own === 0, ALLOW_UNSIGNED);
  };
  const client = begin(0, 1);
  const server = begin(1, 0);
  invariant(client !== undefined && server !== undefined, 'everybody can make an unsigned certificate');
  const offer = client.offer();
  const asked = server.verify(client.localCertificate, offer, ends[1].remoteIdentity, ALLOW_UNSIGNED, undefined, nowUs);
  invariant(asked.ok, 'one end of a pair accepts the other');
  const answer = server.answer();
  const { remoteIdentity } = ends[0];
  const heard = client.verify(server.localCertificate, answer, remoteIdentity, ALLOW_UNSIGNED, undefined, nowUs);
  invariant(heard.ok, 'one end of a pair accepts the other');
  const mine = client.finish(ids[0], ids[1]);
  const theirs = server.finish(ids[1], ids[0]);
  invariant(!('reason' in mine) && !('reason' in theirs), 'both ends of a pair have the same configuration');
  return [mine, theirs];
}

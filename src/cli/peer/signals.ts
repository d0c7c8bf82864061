// Signals that we send: each becomes a line, which the harness carries to the other peer.

import type { Connection, P2PSignaling } from '../../index.ts';
import type { Session } from './session.ts';

/** Every signal becomes a line. */
export function reporter(session: Session): P2PSignaling {
  return {
    send: (to, signal, connection) => reportSignal(session, connection, to, signal, false),
  };
}

export function reportSignal(
  session: Session,
  connection: Connection | undefined,
  to: string,
  signal: Uint8Array,
  isRejection: boolean,
): void {
  const peer = connection === undefined ? undefined : session.find(`#${connection.id}`);
  session.report.event('signal', {
    conn: peer?.id ?? null,
    handle: connection?.id ?? 0,
    to: to === '' ? 'invalid' : to,
    size: signal.length,
    hex: Buffer.from(signal).toString('hex'),
    ...(isRejection ? { reject: true } : {}),
  });
}

// Why a connection did not come about.

import { NetworkingError } from '../core/base/errors.ts';
import { endReasonName } from '../core/connection/end-reason.ts';
import type { ConnectionInfo } from '../core/connection/info.ts';
import type { Diagnosis } from './explain.ts';

/** A connection ended before it was established. Its code is `ConnectFailed`. */
export class ConnectionError extends NetworkingError {
  override readonly name: string = 'ConnectionError';
  readonly info: ConnectionInfo;
  /** What probably went wrong; its hint is part of the message. */
  readonly diagnosis: Diagnosis;

  constructor(info: ConnectionInfo, diagnosis: Diagnosis) {
    const { endReason, endDebug, remoteAddress, remoteIdentity } = info;
    // Before a way is found, a P2P peer is known by name only.
    const peer = remoteAddress.isAny ? (remoteIdentity ?? 'the peer') : remoteAddress;
    const why =
      endReason === 0 ? 'it was closed by this side' : `${endDebug} (${endReason} ${endReasonName(endReason)})`;
    const advice = diagnosis.hint === '' ? '' : `. ${diagnosis.hint}`;
    super('ConnectFailed', `no connection with ${peer}: ${why}${advice}`);
    this.info = info;
    this.diagnosis = diagnosis;
  }

  /** One of `EndReason`, or the peer's own number. */
  get endReason(): number {
    return this.info.endReason;
  }
}

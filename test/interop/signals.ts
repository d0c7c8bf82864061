// The harness as the signaling between two peers.

import type { PeerProcess } from '../support/peer-process.ts';

const CARRY_MS = 240_000;

/** Hands the signals of each peer to the other, until one of them is gone. */
export function carrySignals(one: PeerProcess, other: PeerProcess): void {
  void carry(one, other);
  void carry(other, one);
}

async function carry(from: PeerProcess, to: PeerProcess): Promise<void> {
  try {
    // What was sent before is for others.
    for (let next = signalsOf(from).length; ; next++) {
      const signal = await from.until('a signal', () => signalsOf(from)[next], CARRY_MS);
      void to.ask('signal', { hex: String(signal['hex']), from: from.name }).catch(() => {});
    }
  } catch {
    // It is gone.
  }
}

function signalsOf(peer: PeerProcess) {
  return peer.events.filter(({ ev }) => ev === 'signal');
}

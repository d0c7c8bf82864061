// Reads the recordings of handshakes and closings between two GNS processes, and what GNS did with crafted packets.
// Written by ../build-handshake.mjs.
import { readdirSync, readFileSync } from 'node:fs';
import { hex } from '../../support/hex.ts';

export interface RecordedSide {
  readonly connectionId: number;
  readonly signingSeed: Uint8Array;
  readonly exchangePrivateKey: Uint8Array;
  readonly nonce: bigint;
  /** The signed bytes, exactly as transmitted. */
  readonly cert: Uint8Array;
  readonly info: Uint8Array;
  readonly infoSignature: Uint8Array;
}

export interface RecordedCa {
  readonly seed: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly keyId: bigint;
  /** Self-signed. */
  readonly rootCertificate: Uint8Array;
}

export interface RecordedControlPacket {
  readonly direction: 'c2s' | 's2c';
  readonly kind: RecordedKind;
  readonly datagram: Uint8Array;
  /** Named as by GNS. Bytes are hex, 64-bit integers decimal text. Absent fields are absent. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export type RecordedKind =
  | 'ChallengeRequest'
  | 'ChallengeReply'
  | 'ConnectRequest'
  | 'ConnectOK'
  | 'ConnectionClosed'
  | 'NoConnection';

export interface HandshakeRecording {
  readonly name: string;
  readonly description: string;
  /** Undefined if no connection was established. */
  readonly keys: { readonly client: RecordedSide; readonly server: RecordedSide } | undefined;
  readonly ca: RecordedCa | undefined;
  readonly certificateRequests: { readonly client: Uint8Array; readonly server: Uint8Array } | undefined;
  /** How the challenges of the server came about: SipHash-2-4 of `input`. Spec: "Challenge" (1.4). */
  readonly challenges: readonly {
    readonly key: Uint8Array;
    readonly input: Uint8Array;
    readonly challenge: bigint;
  }[];
  /** In the order of sending. */
  readonly packets: readonly RecordedControlPacket[];
}

/** How the other side was set up, the name of the case, what was seen. */
export type BehaviourCase = readonly [setup: string, name: string, observed: unknown];

export function handshakeNames(): readonly string[] {
  const files = readdirSync(DATA).filter((file) => file.endsWith('.json') && !file.startsWith('behaviour-'));
  return files.map((file) => file.replace('.json', '')).sort();
}

export function loadHandshake(name: string): HandshakeRecording {
  const { keys, ca, certificateRequests, challenges, packets, ...rest } = read(name) as RawRecording;
  return {
    ...rest,
    keys: keys && { client: sideOf(keys.client), server: sideOf(keys.server) },
    ca: ca && {
      seed: hex(ca.seed),
      publicKey: hex(ca.public),
      keyId: BigInt(ca.keyId),
      rootCertificate: hex(ca.rootCertificate),
    },
    certificateRequests: certificateRequests && {
      client: hex(certificateRequests.client),
      server: hex(certificateRequests.server),
    },
    challenges: challenges.map((one) => ({
      key: hex(one.key),
      input: hex(one.input),
      challenge: BigInt(one.challenge),
    })),
    packets: packets.map(({ hex: digits, zeroPadding = 0, ...packet }) => ({
      ...packet,
      datagram: Uint8Array.of(...hex(digits), ...new Uint8Array(zeroPadding)),
    })),
  };
}

/** Crafted packets sent to a GNS server, or crafted answers of a server to a GNS client. */
export function loadBehaviour(role: 'server' | 'client'): readonly BehaviourCase[] {
  return read(`behaviour-${role}`) as readonly BehaviourCase[];
}

type RawSide = { readonly [K in keyof RecordedSide]: K extends 'connectionId' ? number : string };

interface RawRecording {
  readonly name: string;
  readonly description: string;
  readonly keys?: { readonly client: RawSide; readonly server: RawSide };
  readonly ca?: {
    readonly seed: string;
    readonly public: string;
    readonly keyId: string;
    readonly rootCertificate: string;
  };
  readonly certificateRequests?: { readonly client: string; readonly server: string };
  readonly challenges: readonly { readonly key: string; readonly input: string; readonly challenge: string }[];
  readonly packets: readonly (Omit<RecordedControlPacket, 'datagram'> & {
    readonly hex: string;
    readonly zeroPadding?: number;
  })[];
}

/** Compiled tests lie in `<build>/test/vectors/handshake`, the data in the source tree. */
const DATA = new URL('../../../../test/vectors/handshake/', import.meta.url);

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`${name}.json`, DATA), 'utf8'));
}

function sideOf(raw: RawSide): RecordedSide {
  return {
    connectionId: raw.connectionId,
    signingSeed: hex(raw.signingSeed),
    exchangePrivateKey: hex(raw.exchangePrivateKey),
    nonce: BigInt(raw.nonce),
    cert: hex(raw.cert),
    info: hex(raw.info),
    infoSignature: hex(raw.infoSignature),
  };
}

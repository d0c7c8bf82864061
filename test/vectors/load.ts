// Reads the compact recordings of GNS traffic; what they contain and how they are written: README.md.
import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { hex } from '../support/hex.ts';

/** `c2s` is from the connecting to the accepting side. */
export type Direction = 'c2s' | 's2c';

export interface RecordedSide {
  readonly id: number;
  readonly exchangeKey: Uint8Array;
  readonly nonce: bigint;
  /** The signed bytes, exactly as transmitted. */
  readonly cert: Uint8Array;
  readonly info: Uint8Array;
}

export interface RecordedKeys {
  readonly cipher: 'AES_256_GCM' | 'NULL';
  readonly client: RecordedSide;
  readonly server: RecordedSide;
  /** What the key exchange gave, before any hashing. */
  readonly sharedSecret: Uint8Array;
  readonly c2s: { readonly key: Uint8Array; readonly iv: Uint8Array };
  readonly s2c: { readonly key: Uint8Array; readonly iv: Uint8Array };
}

export interface RecordedPacket {
  readonly direction: Direction;
  readonly packetNumber: number;
  /** Microseconds since the first packet of the connection. */
  readonly sentAtUs: number;
  /** Empty if it was lost, two if it was duplicated. */
  readonly arrivedAtUs: readonly number[];
  readonly datagram: Uint8Array;
  /** FNV-1a of the decrypted payload, see `fnv1a32`. */
  readonly plaintextHash: string;
  /** The frames in the notation of `describeFrames`; `!` if the packet breaks the protocol. */
  readonly frames: string;
  /** In excerpts: the highest packet number that the other side had sent so far. */
  readonly highestOfPeer: number | undefined;
}

export interface RecordedDelivery {
  readonly at: 'client' | 'server';
  readonly lane: number;
  readonly messageNumber: number;
  readonly isReliable: boolean;
  readonly size: number;
  /** FNV-1a of the message. */
  readonly hash: string;
}

export interface Recording {
  readonly name: string;
  readonly description: string;
  /** Only some packets of the connection are listed. */
  readonly excerpt: boolean;
  readonly keys: RecordedKeys;
  /** In the order of sending. */
  readonly packets: readonly RecordedPacket[];
  /** Messages in the order in which the receiving application got them; empty in excerpts. */
  readonly delivered: readonly RecordedDelivery[];
}

/** One connection to GNS that is sent crafted packets, and what GNS did. */
export interface BehaviourCase {
  readonly name: string;
  readonly packets: readonly {
    readonly number: number;
    /** Hex. */
    readonly plaintext: string;
    readonly header?: {
      /** Byte 0 without the bits for blob and gap. */
      readonly first?: number;
      /** Recipient id in place of the right one. */
      readonly to?: number;
      /** Hex of what follows the fixed header, with its length varint. */
      readonly blob?: string;
      readonly gap?: number;
      /** The last byte of the tag is flipped. */
      readonly corrupt?: 1;
      /** Hex in place of the ciphertext. */
      readonly chunk?: string;
    };
  }[];
  readonly observed: {
    readonly closeReason: number | null;
    readonly delivered: readonly {
      readonly lane: number;
      readonly msg: number;
      readonly size: number;
      readonly reliable: boolean;
    }[];
    /** By packet number: acked, reported missing, or neither. Absent if GNS closed. */
    readonly acked?: Readonly<Record<string, boolean | null>>;
  };
}

/** Names of all recordings with data packets. */
export function recordingNames(): readonly string[] {
  const names = readdirSync(DATA).map((file) => file.replace('.json.gz', ''));
  return names.filter((name) => name !== BEHAVIOUR).sort();
}

export function loadRecording(name: string): Recording {
  const raw = read(name) as RawRecording;
  return {
    ...raw,
    keys: keysOf(raw.keys),
    packets: raw.packets.map(packetOf),
    delivered: raw.delivered.map(([at, lane, messageNumber, reliable, size, hash]) => ({
      at,
      lane,
      messageNumber,
      isReliable: reliable === 1,
      size,
      hash,
    })),
  };
}

export function loadBehaviour(): readonly BehaviourCase[] {
  return (read(BEHAVIOUR) as { cases: BehaviourCase[] }).cases;
}

/** The hash of the recordings: FNV-1a with 32 bits, as eight hex digits. */
export function fnv1a32(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

type RawSide = { readonly [K in keyof RecordedSide]: K extends 'id' ? number : string };
type RawCipherKey = { readonly key: string; readonly iv: string };

interface RawKeys {
  readonly cipher: RecordedKeys['cipher'];
  readonly client: RawSide;
  readonly server: RawSide;
  readonly sharedSecret: string;
  readonly c2s: RawCipherKey;
  readonly s2c: RawCipherKey;
}

type RawPacket = [Direction, number, number, number[], string, string, string, number?];
type RawDelivery = ['client' | 'server', number, number, 0 | 1, number, string];

interface RawRecording extends Omit<Recording, 'keys' | 'packets' | 'delivered'> {
  readonly keys: RawKeys;
  readonly packets: readonly RawPacket[];
  readonly delivered: readonly RawDelivery[];
}

const BEHAVIOUR = 'behaviour-data-packets';

/** Compiled tests lie in `<build>/test/vectors`, the data in the source tree. */
const DATA = new URL('../../../test/vectors/data/', import.meta.url);

function read(name: string): unknown {
  return JSON.parse(gunzipSync(readFileSync(new URL(`${name}.json.gz`, DATA))).toString('utf8'));
}

function keysOf({ cipher, client, server, sharedSecret, c2s, s2c }: RawKeys): RecordedKeys {
  const side = (raw: RawSide): RecordedSide => ({
    id: raw.id,
    exchangeKey: hex(raw.exchangeKey),
    nonce: BigInt(raw.nonce),
    cert: hex(raw.cert),
    info: hex(raw.info),
  });
  const cipherKey = ({ key, iv }: RawCipherKey) => ({ key: hex(key), iv: hex(iv) });
  return {
    cipher,
    client: side(client),
    server: side(server),
    sharedSecret: hex(sharedSecret),
    c2s: cipherKey(c2s),
    s2c: cipherKey(s2c),
  };
}

function packetOf(raw: RawPacket): RecordedPacket {
  const [direction, packetNumber, sentAtUs, arrivedAtUs, datagram, plaintextHash, frames, highestOfPeer] = raw;
  return {
    direction,
    packetNumber,
    sentAtUs,
    arrivedAtUs,
    datagram: new Uint8Array(Buffer.from(datagram, 'base64')),
    plaintextHash,
    frames,
    highestOfPeer,
  };
}

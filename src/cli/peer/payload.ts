// The message that a `send` command describes, and how it is to be sent.

import type { SendOptions } from '../../index.ts';
import { type Command, CommandError, parseBase64, parseHex, parseInteger } from './line.ts';
import { fillPattern, fnv1a } from './pattern.ts';
import type { Fields } from './report.ts';

/** GNS's k_nSteamNetworkingSend_ bits. */
const SEND_BITS: Readonly<Record<string, number>> = {
  none: 0,
  unreliable: 0,
  nonagle: 1,
  nodelay: 4 | 1,
  reliable: 8,
  currentthread: 16,
  autorestart: 32,
};
const NO_NAGLE = 1;
const NO_DELAY = 4;
const RELIABLE = 8;
const AUTO_RESTART = 32;

/** Reads `reliable,nonagle` or a number. The bits that mean nothing to us are accepted. */
export function parseSendFlags(text: string, lane = 0): SendOptions & { readonly autoRestart?: true } {
  let bits = /^\d/.test(text) ? parseInteger(text, 'flags') : 0;
  if (!/^\d/.test(text)) {
    for (const word of text.split(',').filter((each) => each !== '')) {
      const bit = SEND_BITS[word.toLowerCase()];
      if (bit === undefined) throw new CommandError(`unknown send flag '${word}'`);
      bits |= bit;
    }
  }
  return {
    reliable: (bits & RELIABLE) !== 0,
    noNagle: (bits & NO_NAGLE) !== 0,
    noDelay: (bits & NO_DELAY) !== 0,
    lane,
    ...((bits & AUTO_RESTART) === 0 ? {} : { autoRestart: true }),
  };
}

/** `flags=` and `lane=`. */
export function takeSendOptions(command: Command, flags = 'reliable'): SendOptions {
  return parseSendFlags(command.text('flags', flags), command.integer('lane', 0));
}

export function flagsText(options: { readonly reliable?: boolean }): string {
  return options.reliable === true ? 'reliable' : 'unreliable';
}

/** What is reported of a received payload. */
export function payloadFields(data: Uint8Array, hexMax: number): Fields {
  const isShown = data.length <= hexMax;
  const hex = isShown ? Buffer.from(data.buffer, data.byteOffset, data.length).toString('hex') : undefined;
  return { fnv1a: fnv1a(data), hex };
}

/** What the message with this number, from 0, consists of. The library copies it when it is sent. */
export type Payload = (index: number) => Uint8Array;

const MAX_PAYLOAD_BYTES = 64 * 2 ** 20;

/** `text=`, `hex=`, `base64=`, `pattern=` with `size=` and `base=`, or `size=` alone, which gives zeros. */
export function takePayload(command: Command): Payload {
  const text = command.find('text');
  const hex = command.find('hex');
  const base64 = command.find('base64');
  const pattern = command.find('pattern');
  const size = command.find('size');
  const given = [text, hex, base64, pattern].filter((each) => each !== undefined).length;
  if (given > 1 || (given === 0 && size === undefined)) {
    throw new CommandError('give exactly one of text=, hex=, base64=, pattern= with size=, size=');
  }
  if (text !== undefined) return constant(Buffer.from(text, 'utf8'));
  if (hex !== undefined) return constant(checked(parseHex(hex), 'hex'));
  if (base64 !== undefined) return constant(checked(parseBase64(base64), 'base64'));
  if (size === undefined) throw new CommandError('pattern= needs size=');
  const bytes = parseInteger(size, 'size');
  if (bytes < 0 || bytes > MAX_PAYLOAD_BYTES) throw new CommandError('size is out of range');
  const message = new Uint8Array(bytes);
  if (pattern === undefined) return constant(message);
  const seed = parseInteger(pattern, 'pattern');
  const base = command.integer('base', 0);
  return (index) => {
    fillPattern(seed, base + index, message);
    return message;
  };
}

function constant(bytes: Uint8Array): Payload {
  return () => bytes;
}

function checked(bytes: Uint8Array | undefined, what: string): Uint8Array {
  if (bytes === undefined) throw new CommandError(`${what}: bad digits`);
  return bytes;
}

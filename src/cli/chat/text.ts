// What lines of a chat may consist of.

/** The reference's own chat program overruns its buffers with much longer ones. */
export const MAX_LINE_BYTES = 512;
const MAX_NICK_LENGTH = 32;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Safe to print: nothing that moves the cursor, colours the terminal or turns the direction of writing. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, '');
}

/** Of a received message; what is longer than a line may be is cut off. */
export function readLine(message: Uint8Array): string {
  return printable(decoder.decode(message.subarray(0, MAX_LINE_BYTES)));
}

/** Undefined if the line is too long. */
export function writeLine(line: string): Uint8Array | undefined {
  const bytes = encoder.encode(line);
  return bytes.length <= MAX_LINE_BYTES ? bytes : undefined;
}

/** The name that a `/nick NAME` line gives; undefined for other lines and without a name. */
export function nickOf(line: string): string | undefined {
  const name = /^\/nick\s+(\S.*)$/.exec(line)?.[1]?.trim().slice(0, MAX_NICK_LENGTH);
  return name === undefined || name === '' ? undefined : name;
}

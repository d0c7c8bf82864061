// Bytes as hex text, for tests.

/** Blanks are ignored; several arguments are put together, so that each can have its comment. */
export function hex(...parts: readonly string[]): Uint8Array {
  const digits = parts.join('').replaceAll(/\s/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hex: ${parts.join(' ')}`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

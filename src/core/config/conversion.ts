// How a value given by an application becomes one of the table's type and limits. Spec: "Configuration values" (6.1
// conversion).
import { NetworkingError } from '../base/errors.ts';
import { type ConfigName, type ConfigValueInfo, type ConfigValues, configValueInfo } from './values.ts';

/** What `parseConfigValue` converts from. */
export type ConfigInput = string | number | bigint | boolean;

/**
 * Converts to the type of the value and moves numbers into its limits. Text counts as the number it begins with, a
 * fraction is rounded. Throws `UnknownConfigValue`, and `InvalidParam` for a read-only value or hopeless input.
 */
export function parseConfigValue<Name extends ConfigName>(name: Name, input: ConfigInput): ConfigValues[Name] {
  const info = configValueInfo(name);
  if (info.readOnly) throw new NetworkingError('InvalidParam', `${name} follows other values; it cannot be set`);
  const value = INPUT_TYPES.has(typeof input) ? CONVERTERS[info.type](input) : undefined;
  if (value === undefined) {
    const shown = typeof input === 'string' ? JSON.stringify(input) : String(input);
    throw new NetworkingError('InvalidParam', `${name} cannot be ${shown}; expected ${describeExpected(info)}`);
  }
  // The converter was chosen by the type that the table has for this name.
  return clamp(value, info) as ConfigValues[Name];
}

const INPUT_TYPES: ReadonlySet<string> = new Set(['string', 'number', 'bigint', 'boolean']);
const CONVERTERS = { int32: toInt32, int64: toInt64, float: toFloat, string: toText } as const;
const INT_PREFIX = /^\s*[+-]?\d+/;
const FLOAT_PREFIX = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/i;

function toInt32(input: ConfigInput): number | undefined {
  const whole = typeof input === 'string' ? Number(INT_PREFIX.exec(input)?.[0] ?? Number.NaN) : Number(input);
  const rounded = Math.floor(whole + 0.5);
  return rounded === (rounded | 0) ? rounded | 0 : undefined;
}

function toInt64(input: ConfigInput): bigint | undefined {
  const whole = typeof input === 'string' ? INT_PREFIX.exec(input)?.[0] : input;
  if (whole === undefined || (typeof whole === 'number' && !Number.isInteger(whole))) return undefined;
  const value = BigInt(whole);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

function toFloat(input: ConfigInput): number | undefined {
  const value = typeof input === 'string' ? Number(FLOAT_PREFIX.exec(input)?.[0] ?? Number.NaN) : Number(input);
  return Number.isFinite(value) ? value : undefined;
}

function toText(input: ConfigInput): string | undefined {
  if (typeof input === 'boolean' || Number.isNaN(input)) return undefined;
  // Fractions with six digits, as GNS prints them.
  return typeof input === 'number' && !Number.isInteger(input) ? String(Number(input.toPrecision(6))) : String(input);
}

function clamp<Value extends number | bigint | string>(value: Value, info: ConfigValueInfo): Value | number {
  if (typeof value !== 'number' || info.min === undefined || info.max === undefined) return value;
  return Math.min(Math.max(value, info.min), info.max);
}

function describeExpected(info: ConfigValueInfo): string {
  switch (info.type) {
    case 'string':
      return 'text';
    case 'int64':
      return 'a whole number of 64 bits';
    default:
      return `a ${info.type === 'int32' ? 'whole ' : ''}number from ${info.min} to ${info.max}`;
  }
}

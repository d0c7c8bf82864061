// Configuration values on a command line: `SendRateMax=5000000`, by GNS's names.

import {
  CONFIG_VALUES,
  type ConfigName,
  type ConfigOptions,
  type ConfigScope,
  type ConfigValues,
  findConfigValue,
  parseConfigValue,
} from '../../index.ts';
import { type Command, CommandError, parseBigInteger, parseDecimal, parseInteger } from './line.ts';
import type { Fields } from './report.ts';

/** `value` undefined: unset it. */
export interface ConfigSetting {
  readonly name: ConfigName;
  readonly value: ConfigValues[ConfigName] | undefined;
}

/** Every parameter that the command did not ask for itself must name a configuration value. */
export function takeConfig(command: Command): readonly ConfigSetting[] {
  return command.takeRest().map(([key, text]) => readSetting(key, text));
}

function readSetting(key: string, text: string): ConfigSetting {
  const name = findConfigValue(key);
  if (name === undefined) throw new CommandError(`unknown parameter or config value '${key}'`);
  if (text.toLowerCase() === 'unset') return { name, value: undefined };
  return { name, value: parseConfigValue(name, readNumber(CONFIG_VALUES[name].type, text, key)) };
}

function readNumber(type: 'int32' | 'int64' | 'float' | 'string', text: string, key: string): string | number | bigint {
  switch (type) {
    case 'int32':
      return parseInteger(text, key);
    case 'int64':
      return parseBigInteger(text, key);
    case 'float':
      return parseDecimal(text, key);
    case 'string':
      return text;
  }
}

/** For those functions of the library that take values when they make something; what is unset there is not set. */
export function configOptions(settings: readonly ConfigSetting[]): ConfigOptions {
  return Object.fromEntries(settings.map(({ name, value }) => [name, value]));
}

export function applyConfig(settings: readonly ConfigSetting[], scope: ConfigScope): void {
  for (const { name, value } of settings) scope.set(name, value);
}

/** What is set at exactly this scope. */
export function ownConfig(scope: ConfigScope): ConfigOptions {
  const names = Object.keys(CONFIG_VALUES) as ConfigName[];
  return Object.fromEntries(names.map((name) => [name, scope.getOwn(name)]));
}

/** The values in effect, by GNS's names. */
export function configFields(names: readonly string[], scope: ConfigScope): Fields {
  const fields: Record<string, string | number | bigint> = {};
  for (const each of names) {
    const name = findConfigValue(each);
    if (name === undefined) throw new CommandError(`unknown config value '${each}'`);
    fields[CONFIG_VALUES[name].gnsName] = scope.get(name);
  }
  return fields;
}

/** All values there are. */
export function configList(): readonly Fields[] {
  return Object.values(CONFIG_VALUES)
    .map(({ gnsName, number, type, scope }) => ({
      name: gnsName,
      value: number,
      type,
      scope: scope === 'global' ? 'global' : 'conn',
    }))
    .sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
}

// Where configuration values are set: for everything, for one interface, listen socket or connection. What a scope does
// not set itself it takes from its parent, at every moment. Spec: "Scopes and inheritance" (6.1), "When values lock"
// (6.3).
import { invariant, NetworkingError } from '../base/errors.ts';
import { parseConfigValue } from './conversion.ts';
import { type ConfigName, type ConfigOptions, type ConfigValues, configValueInfo } from './values.ts';

/** From the widest to the narrowest, with GNS's numbers. */
export const CONFIG_LEVELS = { global: 1, interface: 2, listenSocket: 3, connection: 4 } as const;
export type ConfigLevel = keyof typeof CONFIG_LEVELS;

/** Header and encryption take this much of a packet; the rest is for messages. */
const PACKET_OVERHEAD_BYTES = 100;
const NOTHING: readonly ConfigName[] = [];

/** The values of one object of the application, and the way to those of the objects it belongs to. */
export class ConfigScope {
  readonly level: ConfigLevel;
  readonly parent: ConfigScope | undefined;
  readonly #own: Partial<ConfigValues> = {};
  #locked: readonly ConfigName[] = NOTHING;
  /** One for the whole tree, so that a scope need not ask its parents whether they changed. */
  readonly #changes: { count: number };
  #ownChanges = 0;

  /** Only the global level has no parent; a parent is at a wider level. */
  constructor(level: ConfigLevel, parent?: ConfigScope) {
    const parentRank = parent === undefined ? 0 : CONFIG_LEVELS[parent.level];
    invariant((parentRank === 0) === (level === 'global'), 'the global scope, and no other, is without parent');
    invariant(parentRank < CONFIG_LEVELS[level], 'the parent of a scope is at a wider level');
    this.level = level;
    this.parent = parent;
    this.#changes = parent === undefined ? { count: 0 } : parent.#changes;
  }

  /** Differs from an earlier one if a value seen here may have changed in between. Cheap: made for the packet path. */
  get revision(): number {
    return this.#changes.count + this.#ownChanges;
  }

  /** The value in effect here: our own, else the parent's, else the built-in default. Throws `UnknownConfigValue`. */
  get<Name extends ConfigName>(name: Name): ConfigValues[Name] {
    const info = configValueInfo(name);
    if (name === 'mtuDataSize') {
      return Math.max(0, this.get('mtuPacketSize') - PACKET_OVERHEAD_BYTES) as ConfigValues[Name];
    }
    for (let scope: ConfigScope | undefined = this; scope !== undefined; scope = scope.parent) {
      const value = scope.#own[name];
      if (value !== undefined) return value as ConfigValues[Name];
    }
    return info.default as ConfigValues[Name];
  }

  /** The value set at exactly this scope. Throws `UnknownConfigValue`. */
  getOwn<Name extends ConfigName>(name: Name): ConfigValues[Name] | undefined {
    configValueInfo(name);
    return this.#own[name];
  }

  /**
   * Sets a value here, converted and moved into its limits as `parseConfigValue` does; `undefined` unsets it. Throws
   * `UnknownConfigValue`, `ConfigLocked`, and `InvalidParam` for what cannot be set here or not to this value.
   */
  set<Name extends ConfigName>(name: Name, value: ConfigValues[Name] | undefined): void {
    this.#store(name, this.#check(name, value));
  }

  /** Sets all that are mentioned, or throws as `set` does and sets none. */
  setAll(options: ConfigOptions): void {
    const given = Object.entries(options) as [ConfigName, ConfigValues[ConfigName] | undefined][];
    const checked = given
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, this.#check(name, value)] as const);
    for (const [name, value] of checked) this.#store(name, value);
  }

  /** Freezes the value in effect: later changes, here and in parents, no longer matter. Locking again does nothing. */
  lock(name: ConfigName): void {
    if (this.isLocked(name)) return;
    this.set(name, this.get(name));
    this.#locked = this.#locked.concat(name);
  }

  isLocked(name: ConfigName): boolean {
    return this.#locked.includes(name);
  }

  get #what(): string {
    return this.level === 'listenSocket' ? 'listen socket' : this.level;
  }

  /** The value as it is to be stored. */
  #check<Name extends ConfigName>(name: Name, value: ConfigValues[Name] | undefined): ConfigValues[Name] | undefined {
    const isGlobal = this.level === 'global';
    if (configValueInfo(name).scope === 'global' && !isGlobal) {
      throw new NetworkingError('InvalidParam', `${name} is global; it cannot be set for one ${this.#what}`);
    }
    if (this.isLocked(name)) {
      const what = `${name} of this ${this.#what}`;
      throw new NetworkingError('ConfigLocked', `${what} can no longer be changed; it is ${this.get(name)}`);
    }
    if (value !== undefined) return parseConfigValue(name, value);
    // It is copied into a connection when that is created, so there is nothing to fall back to.
    if (name === 'connectionUserData' && !isGlobal) {
      throw new NetworkingError('InvalidParam', `${name} is not inherited; it can be set but not unset`);
    }
    return undefined;
  }

  #store<Name extends ConfigName>(name: Name, value: ConfigValues[Name] | undefined): void {
    if (value === undefined) delete this.#own[name];
    else this.#own[name] = value;
    // Nobody inherits from a connection: what is set there must not make all others look again.
    if (this.level === 'connection') this.#ownChanges++;
    else this.#changes.count++;
  }
}

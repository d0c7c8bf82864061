// The poll groups of the peer by the ids that the harness chose. Every connection begins in a group that is always there.

import type { Connection, PollGroup } from '../../index.ts';
import { CommandError } from './line.ts';

/** GNS numbers its poll groups from here. */
const FIRST_HANDLE = 0x8001_0000;
const RESERVED = ['default', 'none'];

export class Groups {
  readonly #byId = new Map<string, PollGroup>();
  readonly #newDefault: () => PollGroup;
  readonly #onReadable: (group: PollGroup) => void;
  #default: PollGroup | undefined;
  #handle = FIRST_HANDLE;

  constructor(newDefault: () => PollGroup, onReadable: (group: PollGroup) => void) {
    this.#newDefault = newDefault;
    this.#onReadable = onReadable;
  }

  /** Returns the handle. */
  create(id: string, group: PollGroup): number {
    if (RESERVED.includes(id) || this.#byId.has(id)) throw new CommandError(`poll group id '${id}' is in use`);
    this.#byId.set(id, this.#watched(group));
    return this.#handle++;
  }

  /** Into the group of this name; with `none` out of all, so that its messages are fetched from itself. */
  move(connection: Connection, name: string): void {
    if (name === 'none') this.of(connection)?.delete(connection);
    else this.#need(name).add(connection);
  }

  /** Its connections are in none then. */
  destroy(id: string): void {
    this.#need(id).close();
    this.#byId.delete(id);
  }

  of(connection: Connection): PollGroup | undefined {
    if (this.#default?.has(connection) === true) return this.#default;
    return [...this.#byId.values()].find((group) => group.has(connection));
  }

  #need(id: string): PollGroup {
    if (id === 'default') {
      this.#default ??= this.#watched(this.#newDefault());
      return this.#default;
    }
    const group = this.#byId.get(id);
    if (group === undefined) throw new CommandError(`no poll group '${id}'`);
    return group;
  }

  #watched(group: PollGroup): PollGroup {
    return group.on('readable', () => this.#onReadable(group));
  }
}

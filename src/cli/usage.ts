// Command lines that cannot be understood.

import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Exit status of a command line that was not understood. */
export const EXIT_USAGE = 2;

/** The message is one sentence that names the argument at fault; `usage` shows what is right. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly usage: string;

  constructor(message: string, usage: string) {
    super(message);
    this.usage = usage;
  }
}

/** As `parseArgs`, but throws `UsageError`. */
export function parseArguments<T extends ParseArgsConfig>(config: T, usage: string): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    // Node's advice follows in further sentences.
    const [message] = (error as Error).message.split('. ', 1);
    throw new UsageError(message!, usage);
  }
}

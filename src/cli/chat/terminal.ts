// Lines to and from the person at the keyboard. What is being typed stays below what is printed.

import { createInterface, type Interface } from 'node:readline';

export interface TerminalHandlers {
  /** A line was entered; blank ones are not told. */
  onLine(line: string): void;
  /** End of input, or Ctrl-C. */
  onQuit(): void;
}

export class Terminal {
  readonly #lines: Interface;
  readonly #isInteractive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  #isClosed = false;

  constructor(handlers: TerminalHandlers) {
    const quit = () => {
      // Whoever insists does not want to wait for the peer.
      if (this.#isClosed) process.exit(0);
      this.close();
      handlers.onQuit();
    };
    const { stdin: input, stdout: output } = process;
    this.#lines = createInterface(this.#isInteractive ? { input, output, prompt: '> ' } : { input });
    this.#lines.on('line', (line) => {
      const text = line.trim();
      if (text !== '') handlers.onLine(text);
      this.#prompt();
    });
    this.#lines.on('close', () => {
      if (!this.#isClosed) quit();
    });
    process.on('SIGINT', quit);
    process.on('SIGTERM', quit);
    this.#prompt();
  }

  print(text: string): void {
    if (!this.#isInteractive || this.#isClosed) {
      process.stdout.write(`${text}\n`);
      return;
    }
    // Over the line that is being typed, which is then shown again.
    process.stdout.write(`\r\x1b[K${text}\n`);
    this.#lines.prompt(true);
  }

  #prompt(): void {
    if (this.#isInteractive && !this.#isClosed) this.#lines.prompt();
  }

  /** No more lines are taken; printing goes on. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#lines.close();
  }
}

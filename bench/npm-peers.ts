// Other ways to talk over UDP that npm has, where they are installed: never a dependency of ours. BENCH_PEERS names a
// folder with a `node_modules` that has some of them; `docs/bench.md` tells how to make one.

import type { Pipe, PipeListener } from './pipes.ts';

interface NpmTransport {
  listen(host: string, onPipe: (pipe: Pipe) => void): Promise<PipeListener>;
  connect(host: string, port: number): Promise<Pipe>;
}

export function installedNpmPeers(): string[] {
  return [];
}

export async function openNpmPipe(kind: string): Promise<NpmTransport> {
  throw new Error(`nothing is called "${kind}"`);
}

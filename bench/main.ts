// Runs the benches. Usage: npm run bench [-- NAME …]; without names, all of them.

import * as crypto from './handshake-crypto.ts';
import * as handshakes from './handshakes.ts';

const BENCHES: Readonly<Record<string, { main(): void | Promise<void> }>> = { crypto, handshakes };

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(BENCHES);
for (const name of names) {
  const bench = BENCHES[name];
  if (bench === undefined) {
    console.error(`no bench is called "${name}"; there are ${Object.keys(BENCHES).join(', ')}`);
    process.exit(2);
  }
  console.log(`\n${name}, Node ${process.version} on ${process.platform} ${process.arch}`);
  await bench.main();
}

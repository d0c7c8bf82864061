// What cryptography costs: each curve operation of a handshake under both implementations, and packets sealed and
// opened. Run: node dist/bench/handshake-crypto.js
import { fileURLToPath } from 'node:url';
import { gcmCipher } from '../src/core/crypto/packet-cipher.ts';
import { portableCrypto } from '../src/core/crypto/portable-curves.ts';
import { sipHash24 } from '../src/core/crypto/siphash.ts';
import type { CryptoProvider } from '../src/core/platform.ts';
import { NodeRandom, nodeCrypto } from '../src/node/crypto.ts';

/** Nanoseconds of one run of `operation`: the median of several rounds after a warm-up. */
export function measureNs(operation: () => unknown, roundMs = 40, rounds = 9): number {
  const rates: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const start = performance.now();
    let times = 0;
    let elapsedMs = 0;
    while (elapsedMs < roundMs) {
      for (let i = 0; i < 10; i++) operation();
      times += 10;
      elapsedMs = performance.now() - start;
    }
    rates.push((elapsedMs * 1e6) / times);
  }
  return rates.slice(1).sort((a, b) => a - b)[rounds >> 1]!;
}

function curveOperations(crypto: CryptoProvider): Record<string, () => unknown> {
  const message = new Uint8Array(100).fill(1);
  const signing = crypto.signingKey();
  const signature = signing.sign(message);
  const exchange = crypto.exchangeKey();
  const peer = crypto.exchangeKey().publicKey;
  return {
    'new signing key': () => crypto.signingKey(),
    'new exchange key': () => crypto.exchangeKey(),
    sign: () => signing.sign(message),
    verify: () => crypto.verify(signing.publicKey, message, signature),
    agree: () => exchange.agree(peer),
  };
}

function packetOperations(plainBytes: number): Record<string, () => unknown> {
  const cipher = gcmCipher(nodeCrypto.aead(new Uint8Array(32)), new Uint8Array(12));
  const plain = new Uint8Array(1300);
  const datagram = new Uint8Array(1400);
  const sealed = new Uint8Array(1400);
  const end = 7 + cipher.seal(1, plain, plainBytes, sealed, 7);
  let packetNumber = 2;
  return {
    [`seal ${plainBytes} B`]: () => cipher.seal(packetNumber++, plain, plainBytes, datagram, 7),
    [`open ${plainBytes} B`]: () => cipher.open(1, sealed, 7, end),
  };
}

export function main(): void {
  const report = (title: string, operations: Record<string, () => unknown>) => {
    for (const [name, operation] of Object.entries(operations)) {
      console.log(`${`${title} ${name}`.padEnd(32)} ${Math.round(measureNs(operation)).toString().padStart(10)} ns`);
    }
  };
  for (const crypto of [nodeCrypto, portableCrypto(nodeCrypto, new NodeRandom())]) {
    report(crypto.name, curveOperations(crypto));
  }
  for (const plainBytes of [64, 1200]) report('AES-256-GCM', packetOperations(plainBytes));
  const [key, input] = [new Uint8Array(16), new Uint8Array(20)];
  report('SipHash-2-4', { 'of 20 B': () => sipHash24(key, input) });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();

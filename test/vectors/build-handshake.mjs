// Makes the compact recordings of test/vectors/handshake from a folder of full recordings of GNS traffic: the control
// packets, the keys, and what GNS did with crafted ones. Usage: node test/vectors/build-handshake.mjs <folder>
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = process.argv[2];
if (!source) throw new Error('usage: node test/vectors/build-handshake.mjs <folder of full recordings>');
const target = fileURLToPath(new URL('handshake/', import.meta.url));

for (const file of readdirSync(source).filter((name) => /^handshake-.*\.json$/.test(name))) {
  writeRecording(file.replace(/^handshake-/, ''), read(file));
}
for (const scenario of read('closing.json')) {
  writeRecording(`closing-${scenario.name.replaceAll('_', '-')}.json`, scenario);
}
for (const role of ['server', 'client']) {
  const cases = read(`behaviour-${role}.json`).cases.map((one) => [one[role], one.name, one.observed]);
  writeFileSync(join(target, `behaviour-${role}.json`), `[\n${lines(cases)}\n]\n`);
}

function read(file) {
  return JSON.parse(readFileSync(join(source, file), 'utf8'));
}

function writeRecording(file, recording) {
  const {
    name,
    description,
    keys,
    ca,
    certificate_requests: certificateRequests,
    challenges = [],
    packets,
  } = recording;
  const control = packets.filter((packet) => packet.kind !== 'data');
  const head = {
    name,
    description,
    keys: keys && { client: side(keys.client), server: side(keys.server) },
    ca: ca && {
      seed: ca.ca_seed,
      public: ca.ca_public,
      keyId: ca.ca_key_id,
      rootCertificate: ca.root_certificate_signed,
    },
    certificateRequests,
    challenges: challenges.map((one) => ({ key: one.siphash_key, input: one.input, challenge: one.challenge })),
  };
  const compact = control.map((packet) => ({
    direction: packet.dir,
    kind: packet.kind,
    hex: packet.hex,
    zeroPadding: packet.zero_padding,
    fields: packet.fields,
  }));
  writeFileSync(join(target, file), `${JSON.stringify(head).slice(0, -1)},"packets":[\n${lines(compact)}\n]}\n`);
}

function side(keys) {
  return {
    connectionId: keys.connection_id,
    signingSeed: keys.ed25519_seed,
    exchangePrivateKey: keys.x25519_private,
    nonce: keys.nonce,
    cert: keys.cert,
    info: keys.info,
    infoSignature: keys.info_signature,
  };
}

function lines(items) {
  return items.map((item) => JSON.stringify(item)).join(',\n');
}

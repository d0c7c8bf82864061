// Makes the compact recordings of test/vectors/data from a folder of full recordings of GNS traffic.
// Usage: node scripts/compact-vectors.mjs <folder>. What goes in and comes out: test/vectors/README.md.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const source = process.argv[2];
if (!source) throw new Error('usage: node scripts/compact-vectors.mjs <folder of full recordings>');
const target = fileURLToPath(new URL('../test/vectors/data/', import.meta.url));
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });

for (const file of readdirSync(source).sort()) {
  if (!/^(data-|handshake-|closing).*\.json$/.test(file)) continue;
  const content = readJson(file);
  const stem = basename(file, '.json');
  if (!Array.isArray(content)) compactRecording(stem, content);
  else for (const one of content) compactRecording(`${stem}-${one.name.replaceAll('_', '-')}`, one);
}
write('behaviour-data-packets', lines({ cases: readJson('behaviour-data-packets.json').cases.map(compactCase) }));

function compactRecording(name, recording) {
  const { keys, description, excerpt, packets, messages_delivered: delivered = [] } = recording;
  const dataPackets = packets.filter((packet) => packet.kind === 'data');
  if (dataPackets.length === 0) return;
  write(
    name,
    lines({
      name,
      description,
      excerpt: excerpt ?? false,
      keys: compactKeys(keys),
      packets: dataPackets.map(compactPacket),
      delivered: delivered.map((m) => [m.at, m.lane, m.number, m.reliable ? 1 : 0, m.size, m.fnv1a32]),
    }),
  );
}

function compactKeys({ cipher_name: cipher, client, server, derived }) {
  const side = (full) => ({
    id: full.connection_id,
    exchangeKey: full.x25519_private,
    nonce: full.nonce,
    cert: full.cert,
    info: full.info,
  });
  return {
    cipher,
    client: side(client),
    server: side(server),
    sharedSecret: derived.x25519_raw,
    c2s: { key: derived.key_c2s, iv: derived.iv_c2s },
    s2c: { key: derived.key_s2c, iv: derived.iv_s2c },
  };
}

function compactPacket(packet) {
  const arrivals = packet.received_us ?? [];
  const row = [
    packet.dir,
    packet.packet_number,
    packet.t_us,
    arrivals,
    Buffer.from(packet.hex, 'hex').toString('base64'),
    fnv1a32(Buffer.from(packet.plaintext, 'hex')),
    packet.malformed ? '!' : packet.frames.map(compactFrame).join(' '),
  ];
  if (packet.context) row.push(packet.context.peer_last_sent);
  return row;
}

function compactFrame(frame) {
  switch (frame.type) {
    case 'stop_waiting':
      return `w${frame.value}`;
    case 'ack':
      return [`a${frame.latest}/${delayOf(frame)}`, ...frame.blocks.map(([acks, nacks]) => `${acks}-${nacks}`)].join(
        ',',
      );
    case 'select_lane':
      return `l${frame.lane}`;
    case 'reliable':
      return `r${frame.pos}+${frame.size}`;
    case 'unreliable':
      return `u${frame.msg}@${frame.offset}+${frame.size}${frame.last ? '.' : ''}`;
    default:
      throw new Error(`unknown frame ${frame.type}`);
  }
}

/** In units of 32 us. */
function delayOf({ delay }) {
  return delay === 0xffff ? '?' : delay;
}

function compactCase({ name, packets, observed }) {
  return {
    name,
    packets: packets.map(({ packet_number: number, plaintext_hex: plaintext, header_options: header }) => ({
      number,
      plaintext,
      header,
    })),
    observed: { closeReason: observed.close_reason, delivered: observed.delivered, acked: observed.acked },
  };
}

/** JSON with one line per element of its lists, which compresses and reads well. */
function lines(object) {
  const list = (items) => `[\n${items.map((item) => JSON.stringify(item)).join(',\n')}\n]`;
  const field = ([key, value]) =>
    `${JSON.stringify(key)}:${Array.isArray(value) ? list(value) : JSON.stringify(value)}`;
  return `{\n${Object.entries(object).map(field).join(',\n')}\n}\n`;
}

function fnv1a32(bytes) {
  let hash = 2166136261;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 16777619);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

function readJson(file) {
  return JSON.parse(readFileSync(join(source, file), 'utf8'));
}

function write(name, text) {
  writeFileSync(join(target, `${name}.json.gz`), gzipSync(text, { level: 9 }));
}

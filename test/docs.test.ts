// The documents are true where that can be checked: their code compiles, what they show of the examples is what the
// examples say, their links lead somewhere, and they name no place that only one machine has.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Delivery } from '../src/core/delivery/delivery.ts';
import { FrameWriter } from '../src/core/wire/frame-writer.ts';
import * as api from '../src/index.ts';
import * as testing from '../src/testing.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COMPILE_TIMEOUT_MS = 60_000;

/** What code in the documents may use without saying where it comes from. */
const PREAMBLE = `
import type * as gns from 'game-networking-sockets';
declare global {
  const net: gns.Networking;
  const socket: gns.ListenSocket;
  const connection: gns.Connection;
}
`;

/** Members without a name of ours. */
const NOT_FOR_USERS: ReadonlySet<string> = new Set(['constructor', 'newListener']);

interface Page {
  /** Relative to the root. */
  readonly path: string;
  readonly text: string;
}

const PAGES: readonly Page[] = ['.', 'docs']
  .flatMap((folder) => readdirSync(join(ROOT, folder)).map((name) => (folder === '.' ? name : `${folder}/${name}`)))
  .filter((path) => path.endsWith('.md'))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

/** The text of each fenced block in this language. */
function codeBlocks(text: string, language: string): readonly string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms');
  return [...text.matchAll(fence)].map(([, code]) => code!);
}

function withoutCode(text: string): string {
  return text.replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, '');
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.replace(/^```.*?^```$/gms, '').matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Links of a page that lead nowhere. Those to other sites are not followed. */
function brokenLinks({ path, text }: Page): readonly string[] {
  const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [file = '', anchor] = link.split('#');
    const target = file === '' ? path : join(dirname(path), file);
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchorsOf(readFileSync(join(ROOT, target), 'utf8')).has(anchor);
  });
}

/** Names that the page about the interface does not contain. */
function unexplained(names: readonly string[]): readonly string[] {
  const text = readFileSync(join(ROOT, 'docs/api.md'), 'utf8');
  return names.filter((name) => !new RegExp(`\\b${name}\\b`).test(text));
}

describe('the documents', () => {
  it('show code that compiles', function () {
    this.timeout(COMPILE_TIMEOUT_MS);
    this.slow(10_000);
    // Inside of the package, so that its own name leads to it.
    const folder = mkdtempSync(join(ROOT, 'dist', 'docs-'));
    try {
      const config = {
        extends: join(ROOT, 'tsconfig.json'),
        compilerOptions: { noEmit: true, incremental: false, noUnusedLocals: false, tsBuildInfoFile: null },
        include: ['*.ts'],
        exclude: [],
      };
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
      writeFileSync(join(folder, 'preamble.d.ts'), PREAMBLE);
      for (const { path, text } of PAGES) {
        codeBlocks(text, 'ts').forEach((code, i) => {
          const name = `${path.replaceAll('/', '-').replace(/\.md$/, '')}-${i + 1}.ts`;
          writeFileSync(join(folder, name), `${code}\nexport {};\n`);
        });
      }
      const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
      const { stdout, status } = spawnSync(process.execPath, [compiler, '--project', folder], { encoding: 'utf8' });
      expect(stdout).to.equal('');
      expect(status).to.equal(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('show the echo server and client as they are in the examples', () => {
    const shown = codeBlocks(readFileSync(join(ROOT, 'README.md'), 'utf8'), 'ts');
    for (const name of ['echo-server', 'echo-client']) {
      expect(shown).to.include(readFileSync(join(ROOT, `examples/${name}.ts`), 'utf8'));
    }
  });

  it('explain every name that can be imported, every configuration value and every error code', () => {
    const { CONFIG_VALUES, ERROR_RESULTS } = api;
    const names = [api, testing, CONFIG_VALUES, ERROR_RESULTS].flatMap((table) => Object.keys(table));
    expect(unexplained(names)).to.deep.equal([]);
  });

  for (const file of ['networking', 'listen-socket', 'connection', 'status']) {
    it(`explain every public member in ${file}.ts`, () => {
      const source = readFileSync(join(ROOT, `src/api/${file}.ts`), 'utf8').replace(/@internal \*\/\n.*/g, '');
      const lines = source.matchAll(/^ {2}(?:readonly |get |async )?([a-z]\w*)(?:\??: .*;|\(.*\{)$/gm);
      const members = [...lines].map(([, name]) => name!).filter((name) => !NOT_FOR_USERS.has(name));
      expect(members.length).to.be.greaterThan(5);
      expect(unexplained(members)).to.deep.equal([]);
    });
  }

  it('show the payload that really is sent', () => {
    const delivery = new Delivery(
      { sendBufferBytes: 1000, nagleUs: 0, redundantSends: 0 },
      { recvBufferBytes: 1000, recvBufferMessages: 1, recvMaxMessageBytes: 1000, recvMaxSegmentsPerPacket: 1 },
    );
    const writer = new FrameWriter(new Uint8Array(100));
    delivery.start(2, 1);
    for (const text of ['hi', 'there']) delivery.enqueue(new TextEncoder().encode(text), true, false, 0, 1);
    delivery.fillPacket(writer, 100, 1);
    const sent = Buffer.from(writer.bytes.subarray(0, writer.pos)).toString('hex');
    // Lines of bytes, each with a comment three blanks away.
    const lines = readFileSync(join(ROOT, 'docs/wire-format.md'), 'utf8').matchAll(/^ +((?:[0-9a-f]{2} )+) {2,}\S/gm);
    expect([...lines].map(([, bytes]) => bytes!.replaceAll(' ', '')).join('')).to.equal(sent);
  });

  for (const page of PAGES) {
    it(`link only to what exists: ${page.path}`, () => {
      expect(brokenLinks(page)).to.deep.equal([]);
    });
  }

  it('name no place of one machine', () => {
    const places = /(?:^|[\s("'`=])(?:\/(?:work|home|root|tmp|Users)\/|[A-Z]:\\)/;
    const lines = PAGES.flatMap(({ path, text }) => text.split('\n').map((line) => `${path}: ${line}`));
    expect(lines.filter((line) => places.test(line))).to.deep.equal([]);
  });
});

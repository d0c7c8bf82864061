// The house rules that a compiler does not check: who may import whom, where clocks and randomness may be used, how long
// a file may be. Each rule is a function from files to complaints, tried on small made-up houses first.

import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

/** Text by path, relative to the root. */
type Files = Readonly<Record<string, string>>;

interface Import {
  /** A file of ours relative to the root, or the name of a module. */
  readonly target: string;
  readonly isOurs: boolean;
  /** Gone at run time. */
  readonly isTypeOnly: boolean;
}

// ---- the rooms

/** Rooms of the same rank do not know each other, and nobody knows a room above. Longest path first. */
const RANKS: Readonly<Record<string, number>> = {
  'src/core/base': 0,
  'src/core/platform.ts': 0,
  'src/core/wire': 1,
  'src/core/crypto': 1,
  'src/core/config': 1,
  'src/core/ice': 1,
  'src/netsim': 2,
  'src/core/certs': 2,
  'src/core/stats': 2,
  'src/core/delivery': 2,
  'src/core/connection': 3,
  'src/core/endpoint': 4,
  'src/node': 5,
  'src/api': 6,
  'src/signaling/signaling.ts': 5,
  'src/signaling': 6,
  'src/lan': 6,
  'src/index.ts': 7,
  'src/testing.ts': 7,
  'src/signaling.ts': 7,
  'src/signaling-websocket.ts': 7,
  'src/signaling-nats.ts': 7,
  'src/lan.ts': 7,
  'src/cli': 8,
};

/** Modules of Node that a room, or one file of it, may use. */
const NODE_MODULES: Readonly<Record<string, readonly string[] | 'any'>> = {
  'src/api': ['node:events'],
  'src/api/lane-stream.ts': ['node:stream'],
  'src/node': 'any',
  'src/signaling': 'any',
  'src/lan': ['node:events', 'node:dgram', 'node:fs', 'node:net', 'node:os'],
  'src/cli': 'any',
};

const PURE = /^src\/(core|netsim)\//;
const GENERATED = /\/generated\//;
const MAX_LINES = 400;

/** What would make the same input give another output. Written so that `this.#process.` and `clock.now` are let be. */
const WORLDLY = [
  /(?<![.#\w])Date\b/,
  /(?<![.#\w])performance\b/,
  /(?<![.#\w])setTimeout\b/,
  /(?<![.#\w])setInterval\b/,
  /(?<![.#\w])setImmediate\b/,
  /(?<![.#\w])queueMicrotask\b/,
  /(?<![.#\w])globalThis\b/,
  /\bMath\.random\b/,
  /(?<![.#\w])process\./,
];

/** The room that a file of src belongs to; undefined for a file in no known one. */
function roomOf(path: string): string | undefined {
  return Object.keys(RANKS).find((room) => path === room || path.startsWith(`${room}/`));
}

// ---- reading source

const COMMENT_OR_TEXT = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

function withoutComments(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (found) => (found.startsWith('/') ? blank(found) : found));
}

/** Template literals stay: there may be code in them. */
function withoutCommentsAndStrings(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (found) => (found.startsWith('`') ? found : blank(found)));
}

/** Lines keep their numbers. */
function blank(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}

const IMPORT =
  /^(import|export)\s(type\s)?[^;'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;

function importsOf(path: string, text: string): Import[] {
  return [...withoutComments(text).matchAll(IMPORT)].map(([, , type, named, bare, dynamic]) => {
    const name = named ?? bare ?? dynamic!;
    const isOurs = name.startsWith('.');
    const target = isOurs ? posix.join(posix.dirname(path), name) : name;
    return { target, isOurs, isTypeOnly: type !== undefined };
  });
}

// ---- the rules

/** Imports that go up or sideways, and files that live in no known room. */
function findWrongImports(files: Files): string[] {
  const complaints: string[] = [];
  for (const [path, text] of Object.entries(files)) {
    const room = roomOf(path);
    if (room === undefined) {
      complaints.push(`${path} is in no known room`);
      continue;
    }
    for (const { target, isOurs } of importsOf(path, text)) {
      const other: string | undefined = isOurs ? roomOf(target) : room;
      if (other === room) continue;
      if (other === undefined) complaints.push(`${path} -> ${target}: in no known room`);
      else if (room === 'src/netsim' && RANKS[other] !== 0 && other !== 'src/core/ice')
        complaints.push(`${path} -> ${target}: netsim knows core/base, platform.ts and core/ice only`);
      else if (RANKS[other]! === RANKS[room]!) {
        if (RANKS[room] !== 0) complaints.push(`${path} -> ${target}: sideways, both are of rank ${RANKS[room]}`);
      } else if (RANKS[other]! > RANKS[room]!)
        complaints.push(`${path} -> ${target}: upwards, from rank ${RANKS[room]} to ${RANKS[other]}`);
    }
  }
  return complaints;
}

function findNodeImports(files: Files): string[] {
  return Object.entries(files).flatMap(([path, text]) => {
    const allowed = NODE_MODULES[path] ?? NODE_MODULES[roomOf(path) ?? ''] ?? [];
    return importsOf(path, text)
      .filter(({ target }) => target.startsWith('node:') && allowed !== 'any' && !allowed.includes(target))
      .map(({ target }) => `${path} -> ${target}: not in this room`);
  });
}

/** Clocks, timers and randomness where everything must follow from the input. */
function findWorldlyThings(files: Files): string[] {
  return Object.entries(files)
    .filter(([path]) => PURE.test(path) && !GENERATED.test(path))
    .flatMap(([path, text]) => {
      const lines = withoutCommentsAndStrings(text).split('\n');
      return lines.flatMap((line, at) =>
        WORLDLY.flatMap((pattern) => {
          const found = pattern.exec(line);
          return found === null ? [] : [`${path}:${at + 1} -> ${found[0]}: a pure room asks its platform`];
        }),
      );
    });
}

function findLongFiles(files: Files): string[] {
  return Object.entries(files)
    .filter(([path]) => !GENERATED.test(path))
    .map(([path, text]) => ({ path, lines: text.replace(/\n$/, '').split('\n').length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path} has ${lines} lines; at most ${MAX_LINES}`);
}

/** Circles of imports that exist at run time, each told once. */
function findCycles(files: Files): string[] {
  const graph = new Map(
    Object.entries(files).map(([path, text]) => [
      path,
      importsOf(path, text)
        .filter(({ isOurs, isTypeOnly }) => isOurs && !isTypeOnly)
        .map(({ target }) => target),
    ]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' -> '));
    if (at >= 0 || done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}

// ---- the real house

function read(folder: string): Files {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const names = readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' });
  const paths = names.map((name) => `${folder}/${name.replaceAll('\\', '/')}`).filter((path) => path.endsWith('.ts'));
  return Object.fromEntries(paths.map((path) => [path, readFileSync(`${root}/${path}`, 'utf8')]));
}

describe('the architecture', () => {
  const src = read('src');

  it('lets imports go down only, and knows every room', () => {
    expect(findWrongImports(src)).to.deep.equal([]);
  });

  it('keeps the modules of Node to the rooms at the border', () => {
    expect(findNodeImports(src)).to.deep.equal([]);
  });

  it('keeps clocks, timers and randomness out of core and netsim', () => {
    expect(findWorldlyThings(src)).to.deep.equal([]);
  });

  it('has no file of more than 400 lines', () => {
    expect(findLongFiles({ ...src, ...read('test') })).to.deep.equal([]);
  });

  it('has no circles of imports', () => {
    expect(findCycles(src)).to.deep.equal([]);
  });

  it('is really looked at', () => {
    expect(importsOf('src/core/connection/connection.ts', src['src/core/connection/connection.ts']!)).to.deep.include({
      target: 'src/core/wire/frames.ts',
      isOurs: true,
      isTypeOnly: false,
    });
  });
});

describe('the rule of imports', () => {
  it('finds an import that goes up', () => {
    const files = { 'src/core/wire/a.ts': "import { b } from '../delivery/b.ts';" };
    expect(findWrongImports(files)).to.deep.equal([
      'src/core/wire/a.ts -> src/core/delivery/b.ts: upwards, from rank 1 to 2',
    ]);
  });

  it('finds an import that goes sideways', () => {
    const files = { 'src/core/wire/a.ts': "import { b } from '../config/b.ts';" };
    expect(findWrongImports(files)).to.deep.equal([
      'src/core/wire/a.ts -> src/core/config/b.ts: sideways, both are of rank 1',
    ]);
  });

  it('finds imports of types, over several lines, for effect, re-exported and at run time', () => {
    const up = '../endpoint/b.ts';
    const forms = [
      `import type { B } from '${up}';`,
      `import {\n  b,\n  c,\n} from '${up}';`,
      `import '${up}';`,
      `export { b } from '${up}';`,
      `const b = await import('${up}');`,
    ];
    for (const form of forms) expect(findWrongImports({ 'src/core/wire/a.ts': form }), form).to.have.length(1);
  });

  it('lets a simulated network know nothing but base, platform, and ICE for its STUN and TURN servers', () => {
    const files = { 'src/netsim/a.ts': "import { b } from '../core/wire/b.ts';" };
    expect(findWrongImports(files)).to.deep.equal([
      'src/netsim/a.ts -> src/core/wire/b.ts: netsim knows core/base, platform.ts and core/ice only',
    ]);
  });

  it('finds a new folder', () => {
    expect(findWrongImports({ 'src/core/misc/a.ts': '' })).to.deep.equal(['src/core/misc/a.ts is in no known room']);
  });

  it('lets imports go down, and within a room', () => {
    const text = "import { b } from '../base/b.ts';\nimport { c } from './c.ts';\nimport { d } from 'elsewhere';";
    expect(findWrongImports({ 'src/core/wire/a.ts': text })).to.deep.equal([]);
  });

  it('does not read comments', () => {
    const text = "// import { b } from '../delivery/b.ts';\n/*\nimport { b } from '../delivery/b.ts';\n*/";
    expect(findWrongImports({ 'src/core/wire/a.ts': text })).to.deep.equal([]);
  });
});

describe('the rule of Node modules', () => {
  it('finds one in the core', () => {
    const files = { 'src/core/wire/a.ts': "import { Buffer } from 'node:buffer';" };
    expect(findNodeImports(files)).to.deep.equal(['src/core/wire/a.ts -> node:buffer: not in this room']);
  });

  it('lets the public interface have events and nothing else', () => {
    const files = {
      'src/api/a.ts': "import { EventEmitter } from 'node:events';",
      'src/api/b.ts': "import { readFileSync } from 'node:fs';",
    };
    expect(findNodeImports(files)).to.deep.equal(['src/api/b.ts -> node:fs: not in this room']);
  });

  it('lets a single file have more', () => {
    const text = "import { Duplex } from 'node:stream';";
    const files = { 'src/api/lane-stream.ts': text, 'src/api/a.ts': text };
    expect(findNodeImports(files)).to.deep.equal(['src/api/a.ts -> node:stream: not in this room']);
  });

  it('lets node and cli have all', () => {
    const text = "import { createSocket } from 'node:dgram';";
    expect(findNodeImports({ 'src/node/a.ts': text, 'src/cli/b/c.ts': text })).to.deep.equal([]);
  });
});

describe('the rule of pure rooms', () => {
  const things = [
    'Date.now()',
    'new Date()',
    'performance.now()',
    'setTimeout(f)',
    'setInterval(f)',
    'setImmediate(f)',
  ];
  for (const thing of [...things, 'queueMicrotask(f)', 'Math.random()', 'process.hrtime()', 'globalThis.crypto']) {
    it(`finds ${thing}`, () => {
      const complaints = findWorldlyThings({ 'src/core/base/a.ts': `const a = 1;\nconst b = ${thing};` });
      expect(complaints).to.have.length(1);
      expect(complaints[0]).to.match(/^src\/core\/base\/a\.ts:2 -> /);
    });
  }

  it('is about core and netsim only', () => {
    const files = { 'src/netsim/a.ts': 'Math.random()', 'src/node/a.ts': 'Math.random()' };
    expect(findWorldlyThings(files)).to.deep.equal(['src/netsim/a.ts:1 -> Math.random: a pure room asks its platform']);
  });

  it('is not fooled by comments, text and members of the same name', () => {
    const text = "// Date.now()\nconst a = 'setTimeout';\nthis.#process.nowUs();\nhost.process.nowUs();";
    expect(findWorldlyThings({ 'src/netsim/a.ts': text })).to.deep.equal([]);
  });

  it('looks into template literals', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a template literal
    expect(findWorldlyThings({ 'src/netsim/a.ts': '`at ${Date.now()}`' })).to.have.length(1);
  });
});

describe('the rule of short files', () => {
  it('finds a file of 401 lines', () => {
    const files = { 'src/a.ts': 'x\n'.repeat(401), 'src/b.ts': 'x\n'.repeat(400) };
    expect(findLongFiles(files)).to.deep.equal(['src/a.ts has 401 lines; at most 400']);
  });

  it('lets generated files be', () => {
    expect(findLongFiles({ 'src/core/wire/generated/a.ts': 'x\n'.repeat(999) })).to.deep.equal([]);
  });
});

describe('the rule of circles', () => {
  it('finds one and shows its way', () => {
    const files = {
      'src/a.ts': "import { b } from './b.ts';",
      'src/b.ts': "import { c } from './c.ts';",
      'src/c.ts': "import { a } from './a.ts';",
    };
    expect(findCycles(files)).to.deep.equal(['src/a.ts -> src/b.ts -> src/c.ts -> src/a.ts']);
  });

  it('allows one that exists for the compiler only', () => {
    const files = { 'src/a.ts': "import { b } from './b.ts';", 'src/b.ts': "import type { A } from './a.ts';" };
    expect(findCycles(files)).to.deep.equal([]);
  });

  it('is not disturbed by two ways to the same file', () => {
    const files = {
      'src/a.ts': "import { b } from './b.ts';\nimport { c } from './c.ts';",
      'src/b.ts': "import { c } from './c.ts';",
      'src/c.ts': '',
    };
    expect(findCycles(files)).to.deep.equal([]);
  });
});

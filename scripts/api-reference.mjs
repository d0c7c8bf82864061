// Writes docs/api-reference.md from the declarations that the compiler made of src/index.ts and the comments in them.
// `--print` writes to standard output instead; a folder may be given in place of dist/src. A test compares the two.
//
// The parser knows just what the compiler writes: statements that end in a semicolon or, with a body, in a brace.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);
const folder = args.find((arg) => !arg.startsWith('--')) ?? join(ROOT, 'dist/src');

const page = apiReference(join(folder, 'index.d.ts'));
if (args.includes('--print')) process.stdout.write(page);
else writeFileSync(join(ROOT, 'docs/api-reference.md'), page);

/** The whole page. */
function apiReference(indexPath) {
  const exported = exportsOf(indexPath).map(({ name, path, localName }) => {
    const found = statementsOf(readFileSync(path, 'utf8')).filter((statement) => statement.name === localName);
    if (found.length === 0) throw new Error(`${path} does not declare ${localName}`);
    return { name, declarations: found };
  });
  const groups = [
    ['Classes', ({ kind }) => kind === 'class'],
    ['Functions', ({ kind }) => kind === 'function'],
    ['Constants', ({ kind }) => kind === 'const'],
    ['Interfaces', ({ kind }) => kind === 'interface'],
    ['Types', ({ kind }) => kind === 'type'],
  ].map(([title, belongs]) => ({ title, items: exported.filter(({ declarations }) => belongs(declarations[0])) }));
  const contents = groups.map(({ title, items }) => `- ${title}: ${items.map(({ name }) => linkTo(name)).join(', ')}`);
  const sections = groups.flatMap(({ title, items }) => [`## ${title}`, ...items.flatMap(section)]);
  const head = [
    '# API reference',
    'Everything that can be imported from `game-networking-sockets`, with the comments of the source. This page is made\n' +
      'by `npm run api-reference`: change the comments, not the page. [api.md](api.md) explains how it all belongs\n' +
      'together.',
    contents.join('\n'),
  ];
  return `${[...head, ...sections].join('\n\n')}\n`;
}

function linkTo(name) {
  return `[${name}](#${name.toLowerCase()})`;
}

// ---- reading

/** What an index file exports: the name there, the file that declares it, and its name in that file. */
function exportsOf(indexPath) {
  const text = readFileSync(indexPath, 'utf8');
  return [...text.matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)'/gm)].flatMap(([, names, file]) =>
    names.split(',').flatMap((entry) => {
      const [localName, name = localName] = entry
        .trim()
        .replace(/^type /, '')
        .split(' as ');
      const path = join(dirname(indexPath), file.replace(/\.[jt]s$/, '.d.ts'));
      return localName === '' ? [] : [{ name, localName, path }];
    }),
  );
}

/** The exported declarations of a file, each with its comment. */
function statementsOf(text) {
  return split(text).flatMap(({ doc, code }) => {
    const [, kind, name] =
      /^export (?:declare )?(?:abstract )?(class|interface|type|const|function) (\w+)/.exec(code) ?? [];
    if (kind === undefined || isInternal(doc)) return [];
    const bodyAt = kind === 'class' || kind === 'interface' ? code.indexOf('{\n') : -1;
    const signature = oneLine(bodyAt < 0 ? code : code.slice(0, bodyAt)).replace(/^export (declare )?/, '');
    return [{ kind, name, doc, signature, members: bodyAt < 0 ? [] : membersOf(code.slice(bodyAt + 1, -1)) }];
  });
}

/** Without what is private, or Node's (`_read` and the like). */
function membersOf(body) {
  return split(body)
    .filter(({ doc, code }) => !isInternal(doc) && !/^(#private|private |_)/.test(code))
    .map(({ doc, code }) => ({ doc, signature: oneLine(code) }));
}

function isInternal(doc) {
  return doc.includes('@internal');
}

/** Top-level statements, each with the comment in front of it. */
function split(text) {
  const statements = [];
  let at = 0;
  while (at < text.length) {
    const [space] = /^\s*(?:\/\/.*\s*)*/.exec(text.slice(at));
    at += space.length;
    const [comment] = /^(?:\/\*[\s\S]*?\*\/\s*)*/.exec(text.slice(at));
    const end = endOfStatement(text, at + comment.length);
    const code = text.slice(at + comment.length, end).trim();
    if (code !== '' && code !== ';') statements.push({ doc: plain(comment), code });
    at = end;
  }
  return statements;
}

/** Behind the semicolon, or behind the brace that ends a body. */
function endOfStatement(text, start) {
  const hasBody = /^(export )?(declare )?(abstract )?(class|interface) /.test(text.slice(start));
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === '/' && text[at + 1] === '*') at = text.indexOf('*/', at) + 1;
    else if (char === "'" || char === '"' || char === '`') at = endOfText(text, at);
    else if ('([{'.includes(char)) depth++;
    else if (')]}'.includes(char)) depth--;
    if (depth === 0 && (char === ';' || (hasBody && char === '}'))) return at + 1;
  }
  return text.length;
}

function endOfText(text, start) {
  let at = start + 1;
  while (at < text.length && text[at] !== text[start]) at += text[at] === '\\' ? 2 : 1;
  return at;
}

/** The words of a comment, with its paragraphs; of several, of the last. */
function plain(comments) {
  const last =
    comments
      .trim()
      .split(/(?<=\*\/)\s*/)
      .at(-1) ?? '';
  const lines = last.replace(/^\/\*\*?|\*\/$/g, '').split('\n');
  return lines
    .map((line) => line.replace(/^\s*\* ?/, '').trim())
    .join('\n')
    .trim()
    .replace(/([^\n])\n(?=[^\n])/g, '$1 ');
}

function oneLine(code) {
  const withoutComments = code.replace(/\/\*[\s\S]*?\*\//g, '');
  return withoutComments.replace(/\s+/g, ' ').replace(/;$/, '').trim();
}

// ---- writing

function section({ name, declarations }) {
  const parts = declarations.flatMap(({ kind, doc, signature, members, name: localName }) => {
    const rows = kind === 'const' ? tableOf(signature) : undefined;
    const shown = signature.replace(new RegExp(`^const ${localName}\\b`), `const ${name}`);
    const list = members.map(
      ({ signature: own, doc: words }) =>
        `- ${code(own)}${words === '' ? '' : `  \n  ${words.replaceAll('\n\n', ' ')}`}`,
    );
    return [doc, rows ?? code(shown), list.join('\n')];
  });
  return [`### ${name}`, ...parts.filter((part) => part !== '')];
}

function code(text) {
  return text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``;
}

/** A constant that is a table, as one; undefined for any other. */
function tableOf(signature) {
  const [, body] = /^const \w+: \{ (.*) \}$/.exec(signature) ?? [];
  if (body === undefined) return undefined;
  const rows = propertiesOf(body).map(([name, value]) => {
    const nested = /^\{ (.*) \}$/.exec(value);
    return { name, cells: new Map(nested === null ? [['value', value]] : propertiesOf(nested[1])) };
  });
  const columns = [...new Set(rows.flatMap(({ cells }) => [...cells.keys()]))];
  const line = (cells) => `| ${cells.join(' | ')} |`.replace(/ {2,}/g, ' ');
  const lines = rows.map(({ name, cells }) =>
    line([`\`${name}\``, ...columns.map((column) => cellOf(cells.get(column)))]),
  );
  return [line(['', ...columns]), line(['', ...columns].map(() => '---')), ...lines].join('\n');
}

function cellOf(value) {
  return value === undefined ? '' : value.replace(/^(['"])(.*)\1$/, '$2').replaceAll('|', '\\|');
}

function propertiesOf(body) {
  return split(`${body};`).map(({ code: property }) => {
    const [, name, value] = /^(?:readonly )?['"]?([\w.]+)['"]?\??: (.*?);?$/.exec(property) ?? [];
    return [name, value];
  });
}

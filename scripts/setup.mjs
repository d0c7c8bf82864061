// Brings a fresh clone to the point where `dist/` is current, and does nothing when it already is.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const run = (command, args) => {
  const { status } = spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' });
  if (status !== 0) process.exit(status ?? 1);
};
const modifiedMs = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
const newestMs = (path) =>
  !existsSync(path)
    ? 0
    : statSync(path).isDirectory()
      ? Math.max(0, ...readdirSync(path).map((name) => newestMs(join(path, name))))
      : modifiedMs(path);

if (modifiedMs('node_modules/.package-lock.json') < modifiedMs('package-lock.json')) {
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']);
}

const builtMs = modifiedMs('dist/.tsbuildinfo');
const sources = ['src', 'test', 'bench', 'examples', 'tsconfig.json', 'package-lock.json'];
if (process.argv.includes('--force') || sources.some((path) => newestMs(path) > builtMs)) {
  // Files that were renamed or deleted must not go on as compiled ghosts.
  rmSync('dist', { recursive: true, force: true });
  run('npx', ['tsc', '--project', '.']);
}

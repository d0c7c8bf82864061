// Writes docs/state-machine.md anew from the compiled tables; a test compares the two.
import { writeFileSync } from 'node:fs';
import { stateMachinePage } from '../dist/test/state/drawing.js';

writeFileSync(new URL('../docs/state-machine.md', import.meta.url), stateMachinePage());

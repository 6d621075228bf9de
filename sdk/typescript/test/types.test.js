// SPDX-License-Identifier: Apache-2.0
//
// The programs of the README, compiled as an app compiles them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const README = readFileSync(join(PACKAGE, 'README.md'), 'utf8');
const FOUND = README.matchAll(/```js\n(.*?)```|<script type="module">\n(.*?)<\/script>/gs);
const PROGRAMS = [...FOUND].map(([, program, ofPage]) => program ?? ofPage);
const app = mkdtempSync(join(tmpdir(), 'mhealth-chain-'));
after(() => rmSync(app, { recursive: true }));

mkdirSync(join(app, 'node_modules'));
symlinkSync(PACKAGE, join(app, 'node_modules', 'mhealth-chain'));
writeFileSync(join(app, 'package.json'), '{ "type": "module" }');

/** What the compiler says of programs; nothing when all is well. */
function compiled(programs, module, moduleResolution) {
  const source = join(app, 'src');
  rmSync(source, { recursive: true, force: true });
  mkdirSync(source);
  programs.forEach((program, at) => writeFileSync(join(source, `${at}.ts`), `declare const code: string;\n${program}`));
  const compilerOptions = {
    module, moduleResolution, target: 'es2022', lib: ['es2022', 'dom'], types: [], strict: true, noEmit: true, skipLibCheck: true,
  };
  writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  return spawnSync(join(PACKAGE, 'node_modules', '.bin', 'tsc'), ['-p', app], { encoding: 'utf8' }).stdout;
}

for (const [module, resolution] of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
  test(`the programs of the README fit the types that a ${resolution} resolution finds`, () => {
    assert.equal(PROGRAMS.length, 2);
    assert.equal(compiled(PROGRAMS, module, resolution), '');
  });

  test(`a ${resolution} resolution mistakes neither entry for the other`, () => {
    const page = "import { IndexedDbStore, openPhone, ready } from 'mhealth-chain/browser';\nawait ready();\nnew IndexedDbStore('diary');\n";
    const program = "import { FileStore, openPhone } from 'mhealth-chain/node';\nnew FileStore('diary');\n";
    assert.equal(compiled([`${page}await openPhone({ name: 'diary' });`, `${program}await openPhone('diary');`], module, resolution), '');
    assert.match(compiled([`${page}await openPhone('diary');`], module, resolution), /error TS/);
    assert.match(compiled([`${program}await openPhone();`], module, resolution), /error TS/);
    assert.match(compiled(["import { openPhone } from 'mhealth-chain';\nawait openPhone('diary');"], module, resolution), /error TS2307/);
  });
}

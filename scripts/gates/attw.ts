// Do the types that a consumer resolves match what Node loads?
import { mustRun } from './run-command.ts'
import { readTarballs } from './tarballs.ts'

for (const file of Object.values(await readTarballs())) {
  // The library is ESM only: `require` reaches it through Node's own require(esm).
  await mustRun('attw', [file, '--profile', 'esm-only', '--no-emoji', '--no-color'])
}

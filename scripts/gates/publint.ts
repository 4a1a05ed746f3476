import { mustRun } from './run-command.ts'
import { readTarballs } from './tarballs.ts'

for (const file of Object.values(await readTarballs())) await mustRun('publint', ['--strict', file])

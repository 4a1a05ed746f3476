// Builds every public package with tsup, in any order: declarations of a sibling are read from its source.
import { mustRun } from './run-command.ts'
import { listPublicPackages } from './workspace.ts'

for (const { path } of listPublicPackages()) {
  await mustRun('tsup', ['--silent'], { cwd: path })
}

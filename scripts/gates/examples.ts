// Every example proves itself: its `verify` script starts it, looks at what it does, and ends with exit code 0.
import { runCommand } from './run-command.ts'
import { listPackages } from './workspace.ts'

let failed = 0
for (const { folder, path, manifest } of listPackages('examples')) {
  const { code, output } = manifest.scripts?.['verify']
    ? await runCommand('pnpm', ['--silent', 'run', 'verify'], { cwd: path, timeoutMs: 180_000 })
    : { code: 1, output: 'its package.json has no script "verify"' }
  if (code === 0) continue
  failed++
  console.log(`${folder}: exit code ${code}\n${output}`)
}
process.exitCode = failed === 0 ? 0 : 1

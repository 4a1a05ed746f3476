import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

// A workspace that counts as installed, so that only the starting of a script is left to do.
const programs = {
  'echo.mjs': 'process.stdin.pipe(process.stdout)',
  'arguments.mjs': 'process.stdout.write(JSON.stringify(process.argv.slice(2)))',
  'folder.mjs': 'process.stdout.write(process.env.SALLYPORT_USER_FOLDER)',
  'exit.mjs': 'process.exit(Number(process.argv[2]))',
  'graceful.mjs': `for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { console.log(signal); process.exit(9) })
    setInterval(() => {}, 1000)
    console.log('ready')`,
  'abrupt.mjs': `setInterval(() => {}, 1000); console.log('ready')`,
}
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-bootstrap-'))
  cpSync(
    join(import.meta.dirname, '../../../scripts/bootstrap.mjs'),
    join(folder, 'scripts', 'bootstrap.mjs'),
  )
  const scripts = Object.fromEntries(
    Object.entries(programs).map(([name, source]) => {
      writeFileSync(join(folder, name), source)
      return [name.replace('.mjs', ''), `node ${name}`]
    }),
  )
  const manifest = { type: 'module', scripts: { ...scripts, shell: 'node echo.mjs && node exit.mjs 0' } }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(folder, 'pnpm-lock.yaml'), 'lock')
  writeFileSync(join(folder, 'pnpm-workspace.yaml'), 'workspace')
  mkdirSync(join(folder, 'node_modules'))
  const stamp = createHash('sha256').update('lock').update('workspace').digest('hex')
  writeFileSync(join(folder, 'node_modules', '.sallyport-installed'), stamp)
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a program is told the folder from which npm was called', async () => {
  const called = (env: Readonly<Record<string, string | undefined>>) =>
    text(spawn(process.execPath, ['scripts/bootstrap.mjs', 'folder'], { cwd: folder, env }).stdout)
  const { INIT_CWD: _, ...withoutNpm } = process.env
  expect(await called({ ...withoutNpm, INIT_CWD: tmpdir() })).toBe(tmpdir())
  expect(await called(withoutNpm)).toBe(realpathSync(folder))
})

function start(...programArguments: readonly string[]) {
  const child = spawn(process.execPath, ['scripts/bootstrap.mjs', ...programArguments], { cwd: folder })
  return { child, exit: exitOf(child), stdout: child.stdout, stderr: child.stderr }
}

function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.on('exit', (code, signal) => resolve(code ?? signal ?? 'neither'))
  })
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<void> {
  await new Promise((resolve) => {
    stream.once('data', resolve)
  })
}

describe('bootstrap', () => {
  test('hands standard input and output through byte for byte and adds nothing', async () => {
    const bytes = randomBytes(1_500_000)
    const { child, exit, stdout, stderr } = start('echo')
    child.stdin.end(bytes)
    const [output, errors] = await Promise.all([buffer(stdout), text(stderr)])
    expect(await exit).toBe(0)
    expect(output.equals(bytes)).toBe(true)
    expect(errors).toBe('')
  })

  test('passes arguments as they are', async () => {
    const { stdout } = start('arguments', '--config', "a b'c", '$HOME', '"')
    expect(await text(stdout)).toBe(JSON.stringify(['--config', "a b'c", '$HOME', '"']))
  })

  test.each([0, 1, 77])('passes exit code %i', async (code) => {
    expect(await start('exit', String(code)).exit).toBe(code)
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('passes %s once and waits for the program', async (signal) => {
    const { child, exit, stdout } = start('graceful')
    await firstLine(stdout)
    const rest = text(stdout)
    child.kill(signal)
    expect(await exit).toBe(9)
    expect(await rest).toBe(`${signal}\n`)
  })

  test('a program that a signal ends is reported as shells do', async () => {
    const { child, exit, stdout } = start('abrupt')
    await firstLine(stdout)
    child.kill('SIGTERM')
    expect(await exit).toBe(128 + 15)
  })

  test('refuses a script that needs a shell, and one that is not there', async () => {
    const shell = start('shell')
    expect(await text(shell.stderr)).toContain('must be one program with plain arguments')
    expect(await shell.exit).toBe(1)
    const missing = start('absent')
    expect(await text(missing.stderr)).toContain('no script "absent"')
    expect(await missing.exit).toBe(1)
  })
})

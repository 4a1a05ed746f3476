import { PassThrough } from 'node:stream'
import type { ServerExit, ServerRuntime } from '@sallyport/core'
import { isJson, type Json } from './raw-client.ts'
import { type Link, paramsOf, Questions, respond, type Script, type Turn } from './scripted-server.ts'

/** One process that was started; it lives in this process. */
export interface ScriptedProcess extends Link {
  readonly server: string
  readonly running: () => boolean
  /** Ends as a crash would. */
  crash(code?: number): void
  /** Messages of one method, in order. */
  messages(method: string): readonly Json[]
}

export interface ScriptedRuntime extends ServerRuntime {
  readonly processes: readonly ScriptedProcess[]
  /** Those of one server, oldest first. */
  of(server: string): readonly ScriptedProcess[]
}

/**
 * Runs scripts where child processes would be, line by line over real streams, so that a test sees what each got and
 * can have it say anything. The `command` of a definition names the script.
 */
export function scriptedRuntime(scripts: Readonly<Record<string, Script>>): ScriptedRuntime {
  const processes: ScriptedProcess[] = []
  return {
    processes,
    of: (server) => processes.filter((it) => it.server === server),
    async start({ name, definition }) {
      const script = scripts[definition.command]
      if (script === undefined) throw new Error(`no script ${definition.command}`)
      const stdin = new PassThrough()
      const stdout = new PassThrough()
      const stderr = new PassThrough()
      let running = true
      let exit: (exit: ServerExit) => void = () => {}
      const exited = new Promise<ServerExit>((resolve) => {
        exit = resolve
      })
      const end = (code: number | null, signal: string | null) => {
        if (!running) return
        running = false
        stdout.end()
        exit({ code, signal })
      }
      const received: Json[] = []
      const questions = new Questions()
      const push = (message: Json) => {
        if (running) stdout.write(`${JSON.stringify(message)}\n`)
      }
      const link: ScriptedProcess = {
        id: `process-${processes.length + 1}`,
        server: name,
        received,
        push,
        running: () => running,
        crash: (code = 1) => end(code, null),
        messages: (method) => received.filter((message) => message['method'] === method),
        get initialize() {
          const first = received.find((message) => message['method'] === 'initialize')
          return first === undefined ? {} : paramsOf(first)
        },
      }
      processes.push(link)
      let rest = ''
      stdin.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          const message: unknown = JSON.parse(line)
          if (!isJson(message)) continue
          received.push(message)
          if (questions.answered(message) || !('id' in message) || !('method' in message)) continue
          const turn: Turn = {
            message,
            method: String(message['method']),
            params: paramsOf(message),
            link,
            send: push,
            ask: (method, params, id) => questions.ask(push, method, params, id),
            silence: () => new Promise(() => {}),
          }
          void respond(script, turn).then(push)
        }
      })
      stdin.on('end', () => end(0, null))
      return { stdin, stdout, stderr, exited, kill: () => end(null, 'SIGKILL'), pid: processes.length }
    },
  }
}

import { spawn } from 'node:child_process'

export interface CommandResult {
  code: number
  output: string
}

export interface CommandOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  timeoutMs?: number
}

/** Runs one program to its end and answers its exit code with everything that it printed, in order. */
export async function runCommand(
  program: string,
  programArguments: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { timeoutMs = 600_000, cwd, env } = options
  return await new Promise((resolve) => {
    // A group of its own, so that the time limit also ends what the program has started.
    const child = spawn(program, programArguments, {
      ...(cwd === undefined ? {} : { cwd }),
      env: env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    const collect = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const endGroup = (signal: NodeJS.Signals) => {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, signal)
      } catch (error) {
        // The group has already ended.
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
      }
    }
    const endWithUs = () => endGroup('SIGKILL')
    process.once('exit', endWithUs)
    const timer = setTimeout(() => {
      output += `\nended after ${timeoutMs / 1000} s\n`
      endGroup('SIGKILL')
    }, timeoutMs)
    const finish = (code: number) => {
      clearTimeout(timer)
      process.off('exit', endWithUs)
      resolve({ code, output })
    }
    child.on('error', (error) => {
      output += error.message
      finish(127)
    })
    child.on('close', (code) => finish(code ?? 1))
  })
}

/** The same for a step that must work: a failure throws with the output. */
export async function mustRun(
  program: string,
  programArguments: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, output } = await runCommand(program, programArguments, options)
  if (code !== 0) throw new Error(`${program} ${programArguments.join(' ')}: exit code ${code}\n${output}`)
  return output
}

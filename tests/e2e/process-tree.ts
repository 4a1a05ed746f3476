import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** Every process below this one that is alive now. */
export function descendantsOf(pid: number): number[] {
  const parents = parentOfEach()
  const found: number[] = []
  for (let generation = [pid]; generation.length > 0; ) {
    generation = [...parents].filter(([, parent]) => generation.includes(parent)).map(([child]) => child)
    found.push(...generation)
  }
  return found
}

/** A process that has ended but was not collected by its parent does not count. */
export function alive(pids: readonly number[]): number[] {
  const parents = parentOfEach()
  return pids.filter((pid) => parents.has(pid))
}

function parentOfEach(): Map<number, number> {
  return new Map(existsSync('/proc/self/stat') ? fromProc() : fromPs())
}

function fromProc(): [number, number][] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    let stat: string
    try {
      stat = readFileSync(`/proc/${name}/stat`, 'utf8')
    } catch {
      // it has ended since the folder was read
      return []
    }
    // the name before the closing parenthesis may hold anything (proc(5))
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? [] : [[Number(name), Number(parent)]]
  })
}

function fromPs(): [number, number][] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' })
  return stdout.split('\n').flatMap((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/)
    return state === undefined || state.startsWith('Z') ? [] : [[Number(pid), Number(parent)]]
  })
}

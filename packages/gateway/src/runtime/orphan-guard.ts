import { type ChildProcess, spawn } from 'node:child_process'

/** Ends process groups that outlive this process. */
export interface OrphanGuard {
  add(group: number): void
  remove(group: number): void
}

/**
 * One small shell that runs while there is a group to guard. It reads from a pipe whose other end only this process holds;
 * when the pipe closes, however that came about, it kills the groups that are left.
 *
 * The kernel's own means (`PR_SET_PDEATHSIG`, `setpriv --pdeathsig`) exists on Linux only, reaches the direct child but not
 * the server that `npx` starts below it, and stands between us and the error for a missing program. Closing a
 * server's standard input, which happens as well, ends only servers that mind it.
 *
 * Without `/bin/sh` there is no guard, and only that closing is left. A server that moves itself to another session escapes.
 */
export function createOrphanGuard(): OrphanGuard {
  const groups = new Set<number>()
  let shell: ChildProcess | undefined

  function tell(line: string): void {
    shell?.stdin?.write(`${line}\n`)
  }

  function launch(): void {
    const own = spawnGuard()
    if (own === undefined) return
    const forget = () => {
      if (shell === own) shell = undefined
    }
    own.on('error', forget)
    own.on('exit', forget)
    own.stdin.on('error', forget)
    // The guard is no reason to keep this process alive.
    own.unref()
    if ('unref' in own.stdin && typeof own.stdin.unref === 'function') own.stdin.unref()
    shell = own
    for (const group of groups) tell(`add ${group}`)
  }

  return {
    add(group) {
      groups.add(group)
      if (shell === undefined) launch()
      else tell(`add ${group}`)
    },
    remove(group) {
      groups.delete(group)
      tell(`remove ${group}`)
      if (groups.size > 0) return
      // With nothing left to guard it ends by itself.
      shell?.stdin?.end()
      shell = undefined
    },
  }
}

function spawnGuard() {
  try {
    return spawn('/bin/sh', ['-c', script], {
      // A session of its own: what ends the terminal or our group must not end the guard first.
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
      cwd: '/',
    })
  } catch {
    // Out of memory or processes: the server that is being started should not suffer for want of a guard.
    return undefined
  }
}

const script = `
groups=' '
while read -r change group; do
  case "$change" in
    add) groups="$groups$group " ;;
    remove) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -KILL "-$group"; done
`

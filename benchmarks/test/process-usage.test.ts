import { spawn } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { cpuSince, processTree, sampleCpu } from '../measure/process-usage.ts'

describe('CPU use of a process and its descendants', () => {
  it('counts what a grandchild spends, where /proc tells', async () => {
    const spin = 'const end = process.cpuUsage().user + 300000; while (process.cpuUsage().user < end);'
    const grandchild = `${spin} console.log("spent"); setInterval(() => {}, 1000)`
    const script = `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(grandchild)}], { stdio: "inherit" })`
    const child = spawn(
      process.execPath,
      ['-e', `${script}; process.stdout.write(""); setInterval(() => {}, 1000)`],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const tree = () => processTree(child.pid ?? 0)
    try {
      const before = sampleCpu(child.pid)
      await new Promise((resolve) => child.stdout.once('data', resolve))
      const after = sampleCpu(child.pid)
      // Elsewhere than on Linux there is no /proc and no figure, which is not the same as a figure of nothing.
      const use = before && after && cpuSince(before, after)
      expect(use === undefined).toBe(process.platform !== 'linux')
      expect(use?.treeMicros ?? 300_000).toBeGreaterThanOrEqual(280_000 + (use?.ownMicros ?? 0))
      expect(use?.treeRssBytes ?? 2).toBeGreaterThan(use?.rssBytes ?? 1)
      expect(use ? tree().length : 2).toBe(2)
    } finally {
      for (const id of tree()) process.kill(id, 'SIGKILL')
      child.kill('SIGKILL')
    }
  })
})

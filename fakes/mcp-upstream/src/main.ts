import { enableCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import type { UpstreamEra } from './upstream-state.ts'

// A gateway may start one of these per session: with the cache, and what is not needed not loaded, in half the time.
enableCompileCache()

const usage = `Usage: node main.ts (--http [--port N] | --stdio) [--era dual|modern|legacy] [--name NAME] [--page-size N]
Over HTTP, prints one line {"url": …} on stdout when it is ready.`

const { values } = parseArgs({
  options: {
    http: { type: 'boolean', default: false },
    stdio: { type: 'boolean', default: false },
    port: { type: 'string', default: '0' },
    era: { type: 'string', default: 'dual' },
    name: { type: 'string', default: 'fixture' },
    'page-size': { type: 'string' },
  },
})

const era = asEra(values.era)
const pageSize = values['page-size'] === undefined ? undefined : Number(values['page-size'])
const paging = pageSize === undefined ? {} : { pageSize }

if (values.http === values.stdio || era === undefined || Number.isNaN(pageSize)) {
  process.stderr.write(`${usage}\n`)
  process.exitCode = 2
} else if (values.stdio) {
  const { serveStdioUpstream } = await import('./stdio-upstream.ts')
  await serveStdioUpstream({ era, name: values.name, ...paging })
} else {
  const { startMcpUpstream } = await import('./http-upstream.ts')
  const upstream = await startMcpUpstream({ era, port: Number(values.port), name: values.name, ...paging })
  process.stdout.write(`${JSON.stringify({ url: upstream.url })}\n`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void upstream.close()
    })
  }
}

function asEra(value: string): UpstreamEra | undefined {
  return value === 'dual' || value === 'modern' || value === 'legacy' ? value : undefined
}

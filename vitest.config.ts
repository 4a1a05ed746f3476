import { existsSync, globSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { defineConfig } from 'vitest/config'

// One project per workspace folder that has tests, so that each suite has a name, a duration and a budget.
const folders = globSync(['packages/*', 'fakes/*', 'tests/*', 'examples/*', 'benchmarks'])
const projects = folders.filter(
  (folder) => existsSync(`${folder}/package.json`) || existsSync(`${folder}/test`),
)

export default defineConfig({
  ssr: { resolve: { conditions: ['@sallyport/source', 'node', 'module', 'import', 'default'] } },
  test: {
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 30_000,
    reporters: ['default', './scripts/budget-reporter.ts'],
    projects: projects.map((folder) => ({
      extends: true as const,
      test: {
        name: dirname(folder) === 'packages' ? basename(folder) : folder,
        root: folder,
        include: folder.startsWith('tests') ? ['**/*.test.ts'] : ['test/**/*.test.ts'],
      },
    })),
  },
})

import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    node: 'src/node/index.ts',
    stdio: 'src/stdio/index.ts',
    auth: 'src/auth/index.ts',
    observe: 'src/observe/index.ts',
    opentelemetry: 'src/opentelemetry/index.ts',
  },
  format: 'esm',
  target: 'node22.19',
  platform: 'node',
  dts: true,
  sourcemap: true,
  clean: true,
  tsconfig: 'tsconfig.json',
})

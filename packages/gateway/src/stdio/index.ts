export { serveStdio, type StdioConnection, type StdioOptions } from './serve-stdio.ts'

export { nodeHandler } from './node-handler.ts'
export { statusHandler } from './status-handler.ts'

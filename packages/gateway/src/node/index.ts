export { nodeHandler } from './node-handler.ts'

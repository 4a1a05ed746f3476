// Everything named here is public API.

export { createGateway, type Gateway } from './gateway.ts'
export type { FetchInfo } from './front/fetch-handler.ts'
export { defaultLimits, type GatewayLimits, type GatewayOptions } from './gateway-options.ts'

// Servers
export { type ParsedMcpJson, parseMcpJson } from './config/parse-mcp-json.ts'
export {
  type ChildProcessRuntimeOptions,
  createChildProcessRuntime,
} from './runtime/child-process-runtime.ts'

// Names on the aggregated endpoint
export { publicName } from './aggregate/names.ts'

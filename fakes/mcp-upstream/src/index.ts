export { type McpUpstream, type McpUpstreamOptions, startMcpUpstream } from './http-upstream.ts'
export type { Cancellation, ReceivedRequest, UpstreamEra } from './upstream-state.ts'

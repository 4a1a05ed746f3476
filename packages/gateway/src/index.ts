// Everything named here is public API.

export { createGateway, type Gateway } from './gateway.ts'
export type { FetchInfo } from './front/fetch-handler.ts'
export type { GatewayStatus, SessionsStatus } from './status.ts'
export type { EraStatus, UpstreamStatus } from './upstream/upstream-status.ts'
export type { ProcessStatus } from './upstream/process-status.ts'
export type { HttpLoad } from './upstream/http-client.ts'
export type { LastError } from './upstream/reachability.ts'
export { defaultLimits, type GatewayLimits, type GatewayOptions } from './gateway-options.ts'

// Servers
export { type ParsedMcpJson, parseMcpJson } from './config/parse-mcp-json.ts'
export {
  type ChildProcessRuntimeOptions,
  createChildProcessRuntime,
} from './runtime/child-process-runtime.ts'

// Names on the aggregated endpoint
export { publicName } from './aggregate/names.ts'

// Policy, rate limits, toolsets
export type { ArgumentCondition, ArgumentConditions, JsonScalar } from './policy/argument-rule.ts'
export {
  createReplaceablePolicy,
  explainPolicy,
  policy,
  type PolicyEntry,
  type ReplaceablePolicy,
} from './policy/policy.ts'
export {
  allow,
  type AllowOptions,
  deny,
  type DenyOptions,
  type OneOrMore,
  type PolicyRule,
  type RuleOptions,
} from './policy/rule.ts'
export type { RateLimitOptions } from './policy/rate-gate.ts'
export {
  createFlexibleRateLimiter,
  type FlexibleLimiter,
  type FlexibleRateLimiterOptions,
  type FlexibleResult,
} from './policy/flexible-rate-limiter.ts'
export type {
  PromptSelection,
  ResourceSelection,
  ToolSelection,
  ToolsetOptions,
} from './aggregate/toolset.ts'

// Interceptors
export { limitSize, type LimitSizeOptions, type SizeLimits } from './policy/limit-size.ts'
export { redact, type RedactOptions } from './policy/redact.ts'

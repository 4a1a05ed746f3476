// Everything named here is public API.

// Who calls, and what is known of a message
export { type Principal, principalKey } from './principal.ts'
export type { ProtocolEra, RequestContext, TraceContext } from './request-context.ts'

// Ports
export { type AuthenticationInput, type Authenticator, type Challenge, isChallenge } from './authenticator.ts'
export type { AuditRecorder, AuditTicket, CallIntent, CallOutcome } from './audit-recorder.ts'
export type {
  DefinitionKind,
  GatewayInterceptor,
  InterceptedAnswer,
  InterceptedCall,
  JsonObject,
  JsonValue,
  ListedDefinition,
  Refusal,
} from './gateway-interceptor.ts'
export { type Logger, silentLogger } from './logger.ts'
export type { McpSessionRecord, McpSessionStore } from './mcp-session-store.ts'
export type {
  ExplainingPolicy,
  Policy,
  PolicyCondition,
  PolicyDecision,
  PolicyExplanation,
  PolicyNeed,
  PolicyRuleReference,
  PolicyRuleVerdict,
  PolicyTarget,
  PolicyTargetKind,
  WatchedPolicy,
} from './policy.ts'
export type { RateLimit, RateLimiter, RateLimitVerdict } from './rate-limiter.ts'
export {
  type HttpServerDefinition,
  isStdioServer,
  type NamedServer,
  type RetryDefinition,
  type ServerDefinition,
  type StdioServerDefinition,
} from './server-definition.ts'
export type { ServerRegistry } from './server-registry.ts'
export type { ServerExit, ServerProcess, ServerRuntime } from './server-runtime.ts'
export type {
  ConsentRequired,
  Credential,
  UpstreamChallenge,
  UpstreamCredentials,
} from './upstream-credentials.ts'

// Errors
export { ConfigError, type ConfigIssue } from './errors/config-error.ts'
export { GatewayError, type GatewayErrorCode } from './errors/gateway-error.ts'
export { type ErrorCode, SallyportError } from './errors/sallyport-error.ts'
export { StorageUnavailableError } from './errors/storage-unavailable-error.ts'
export { UpstreamError, type UpstreamErrorCode } from './errors/upstream-error.ts'

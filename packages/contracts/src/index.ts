// Everything named here is public API.

// One suite for each port
export { type AuditRecorderSubject, auditRecorderContract } from './audit-recorder-contract.ts'
export { type AuthenticatorSubject, authenticatorContract } from './authenticator-contract.ts'
export { type McpSessionStoreSubject, mcpSessionStoreContract } from './mcp-session-store-contract.ts'
export {
  type RateLimiterClock,
  type RateLimiterSubject,
  rateLimiterContract,
} from './rate-limiter-contract.ts'
export { type ServerRegistrySubject, serverRegistryContract } from './server-registry-contract.ts'
export {
  nodeTestServers,
  type ServerRuntimeSubject,
  serverRuntimeContract,
  type TestServers,
} from './server-runtime-contract.ts'
export {
  type UpstreamCredentialsSubject,
  upstreamCredentialsContract,
} from './upstream-credentials-contract.ts'
export type { ContractCase } from './contract-case.ts'

// What tests of adapters and of code that uses ports need
export { type DelayedOptions, delayed } from './delayed.ts'
export { type FailingOptions, failing } from './failing.ts'
export { createFakeClock, type FakeClock } from './fake-clock.ts'

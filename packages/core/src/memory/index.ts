export {
  createMemoryAuditRecorder,
  type MemoryAuditEntry,
  type MemoryAuditRecorder,
} from './memory-audit-recorder.ts'
export { createMemoryMcpSessionStore } from './memory-mcp-session-store.ts'
export { createMemoryServerRegistry, type MemoryServerRegistry } from './memory-server-registry.ts'
export { createMemoryRateLimiter } from './memory-rate-limiter.ts'

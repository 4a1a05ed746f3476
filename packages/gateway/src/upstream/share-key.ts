import { type Principal, principalKey, type StdioServerDefinition } from '@sallyport/core'

/** Equal for callers who may use one process. In the modern era nothing is kept between calls, so a session is a caller. */
export function shareKey({ sharing }: StdioServerDefinition, principal: Principal): string {
  return sharing === undefined || sharing === 'tenant' ? principal.tenant : principalKey(principal)
}

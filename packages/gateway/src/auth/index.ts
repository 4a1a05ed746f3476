// Everything named here is public API.
export type { ClaimSources, TokenClaims } from './access-token-claims.ts'
export { type GeneratedApiKey, generateApiKey, hashApiKey } from './api-key.ts'
export { type ApiKeyRecord, type ApiKeysOptions, apiKeys } from './api-keys.ts'
export { type BearerTokensOptions, bearerTokens, type SignatureAlgorithm } from './bearer-tokens.ts'
export { firstOf } from './first-of.ts'
export { loopbackOnly } from './loopback-only.ts'

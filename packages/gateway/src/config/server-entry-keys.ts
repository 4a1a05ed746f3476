/** How a transport may be written, and what is meant. */
export const transports = {
  stdio: 'stdio',
  local: 'stdio',
  http: 'http',
  'streamable-http': 'streamable-http',
  streamableHttp: 'streamable-http',
  sse: 'sse',
} as const
export type Transport = (typeof transports)[keyof typeof transports]

/** Keys that have an effect. */
export const readKeys = [
  'command',
  'args',
  'env',
  'cwd',
  'url',
  'headers',
  'type',
  'transport',
  'disabled',
  'enabled',
  'timeout',
]

/** Written by clients for themselves; without meaning for a gateway. */
export const silentKeys = new Set([
  '$schema',
  'alwaysAllow',
  'autoApprove',
  'autoStart',
  'description',
  'dev',
  'gallery',
  'icon',
  'iconUrl',
  'id',
  'initTimeout',
  'name',
  'provider',
  'providerUrl',
  'source',
  'tags',
  'title',
  'trust',
  'version',
])

/** Other keys of clients: what they do does not happen here, and whoever relies on it has to know. */
export const unsupportedKeys: Readonly<Record<string, string>> = {
  auth: 'credentials for the server come from "headers" or from the application',
  authProviderType: 'credentials for the server come from "headers" or from the application',
  oauth: 'credentials for the server come from "headers" or from the application',
  envFile: 'write the variables into "env"',
  headersHelper: 'write the headers into "headers"',
  disabledTools: 'all tools of the server are offered',
  enabledTools: 'all tools of the server are offered',
  excludeTools: 'all tools of the server are offered',
  includeTools: 'all tools of the server are offered',
  tools: 'all tools of the server are offered',
  sandbox: 'the process runs without it',
  sandboxEnabled: 'the process runs without it',
}

/** Names that other clients and people use for keys that are read. */
export const aliases: Readonly<Record<string, string>> = {
  cmd: 'command',
  arguments: 'args',
  environment: 'env',
  workingDirectory: 'cwd',
  httpUrl: 'url',
  serverUrl: 'url',
  baseUrl: 'url',
  endpoint: 'url',
  transportType: 'transport',
}

/** Headers that belong to the connection and are the gateway's business. */
export const framingHeaders = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

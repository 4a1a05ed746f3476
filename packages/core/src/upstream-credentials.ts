import type { RequestContext } from './request-context.ts'
import type { NamedServer } from './server-definition.ts'

/** Headers that prove to an MCP server on whose behalf the gateway calls. Sent to that server's origin only. */
export interface Credential {
  readonly headers: Readonly<Record<string, string>>
}

/** The person has to agree first. */
export interface ConsentRequired {
  /** Where the person's browser has to go. */
  readonly consentUrl: string
}

/** How the server refused: its answer to a call without, or with a stale, credential. */
export interface UpstreamChallenge {
  readonly status: 401 | 403
  /** The `WWW-Authenticate` header as received. */
  readonly wwwAuthenticate: string | undefined
}

/**
 * Obtains credentials for MCP servers. Called before a message goes out, and once more with the server's challenge when it
 * answers 401: the gateway owns that single retry, because only it knows that the call had not run.
 *
 * `undefined` means that this server needs none. A rejection ends the call with an error; it does not mean "none".
 */
export interface UpstreamCredentials {
  get(
    context: RequestContext,
    server: NamedServer,
    challenge?: UpstreamChallenge,
  ): Credential | ConsentRequired | undefined | Promise<Credential | ConsentRequired | undefined>
}

import { headerOf, type HttpExchange } from './http-exchange.ts'

export interface HostCheckOptions {
  readonly publicUrl: URL | undefined
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
}

/** A name or an address, and perhaps a port: whatever else a URL may hold does not belong into `Host` (RFC 9110 section 7.2). */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i

export function isHost(text: string): boolean {
  return HOST.test(text)
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

const REFUSED = 'this Origin may not call here'

/** Hosts whose verdict is remembered. */
const MAX_KNOWN = 1_000

/**
 * Defence against DNS rebinding (2026-07-28 streamable-http, "Security & Endpoint"): a web page that made a browser believe that
 * its own name is this machine still sends its name as `Host` and `Origin`.
 */
export class HostCheck {
  readonly #options: HostCheckOptions
  readonly #verdicts = new Map<string, 'loopback' | 'known' | 'foreign'>()

  constructor(options: HostCheckOptions) {
    this.#options = options
  }

  /** Why the request is refused; `undefined` if it is fine. */
  refusal(exchange: HttpExchange): string | undefined {
    const host = headerOf(exchange, 'host') ?? headerOf(exchange, ':authority')
    const verdict = host === undefined ? 'foreign' : this.#verdict(host)
    if (verdict === 'foreign') return 'the Host header names another host'
    const origin = headerOf(exchange, 'origin')
    if (origin === undefined || this.#options.allowedOrigins.includes(origin)) return undefined
    // an origin is scheme, host and port (RFC 6454 section 6.2): anything else is not what a browser sends for a page
    if (!/^https?:/.test(origin) || !URL.canParse(origin) || new URL(origin).origin !== origin.toLowerCase())
      return REFUSED
    const own = new URL(origin).origin === this.#options.publicUrl?.origin
    const local = verdict === 'loopback' && LOOPBACK.has(hostname(origin))
    return own || local ? undefined : REFUSED
  }

  #verdict(host: string): 'loopback' | 'known' | 'foreign' {
    const remembered = this.#verdicts.get(host)
    if (remembered !== undefined) return remembered
    const { allowedHosts, publicUrl } = this.#options
    const known = allowedHosts.includes(host) || host === publicUrl?.host
    const loopback = HOST.test(host) && LOOPBACK.has(hostname(`http://${host}`))
    const verdict = loopback ? 'loopback' : known ? 'known' : 'foreign'
    if (this.#verdicts.size >= MAX_KNOWN) this.#verdicts.clear()
    this.#verdicts.set(host, verdict)
    return verdict
  }
}

function hostname(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : ''
}

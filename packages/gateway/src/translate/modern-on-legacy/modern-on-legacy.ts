import type { ModernLink } from '../../upstream/modern-link.ts'
import type { Upstream, UpstreamEnvironment } from '../../upstream/upstream.ts'
import { HandoverLink } from './handover-link.ts'
import { LegacyLink } from './legacy-link.ts'

/** What one server needs for its clients of the modern era as long as it speaks the legacy one, and a while longer. */
export class ModernOnLegacy {
  readonly #upstream: Upstream
  readonly #environment: UpstreamEnvironment
  #link: LegacyLink | undefined

  constructor(upstream: Upstream, environment: UpstreamEnvironment) {
    this.#upstream = upstream
    this.#environment = environment
  }

  /** The link that translates. */
  link(): ModernLink {
    this.#link ??= this.#open()
    return this.#link
  }

  /** `link`, once the server speaks the modern era: calls that began before still find their way. */
  after(link: ModernLink): ModernLink {
    if (this.#link?.isEmpty === true) this.#link = undefined
    return this.#link === undefined ? link : new HandoverLink(this.#link, link)
  }

  /** The server speaks the modern era now. */
  retire(): void {
    this.#link?.retire()
  }

  async close(): Promise<void> {
    await this.#link?.close()
  }

  #open(): LegacyLink {
    const upstream = this.#upstream
    const { limits, now, clientInfo, parking, credentials, notice, mayAsk } = this.#environment
    return new LegacyLink({
      upstream,
      parking,
      limits,
      clientInfo,
      now,
      perPrincipal: credentials !== undefined,
      notice: (message, scan, call) => notice(message, scan, call, upstream.name),
      mayAsk: (message, scan, context) => mayAsk(message, scan, context, upstream.name),
    })
  }
}

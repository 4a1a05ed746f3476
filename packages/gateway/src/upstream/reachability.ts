import type { SallyportError } from '@sallyport/core'
import { upstreamState } from '../observe/channels.ts'

export interface LastError {
  readonly code: string
  readonly message: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** What the gateway last saw of one server, as a by-product of talking to it. */
export class Reachability {
  readonly #server: string
  readonly #now: () => number
  #reachable: boolean | undefined
  #lastError: LastError | undefined

  constructor(server: string, now: () => number) {
    this.#server = server
    this.#now = now
  }

  /** `undefined` before anything was heard of it. */
  get reachable(): boolean | undefined {
    return this.#reachable
  }

  get lastError(): LastError | undefined {
    return this.#lastError
  }

  /** It has said something, whatever that was. */
  answered(): void {
    if (this.#reachable !== true) this.#change(true, undefined)
  }

  /** Something went wrong that tells nothing of whether it is there: no credential for it, say. */
  erred(error: SallyportError): void {
    this.#lastError = { code: error.code, message: error.message, at: this.#now() }
  }

  /** Its connection or process failed. A server that takes too long is there all the same. */
  failed(error: SallyportError): void {
    this.erred(error)
    if (error.code === 'ERR_UPSTREAM_UNAVAILABLE' && this.#reachable !== false) this.#change(false, error)
  }

  #change(reachable: boolean, error: SallyportError | undefined): void {
    this.#reachable = reachable
    if (!upstreamState.hasSubscribers) return
    const [server, code, message] = [this.#server, error?.code, error?.message]
    upstreamState.publish({ server, reachable, code, message })
  }
}

import type { Principal } from '@sallyport/core'
import type { SlowClient, SlowClients } from './slow-clients.ts'

/** What a response and standard output have in common. */
export interface PacedOutput {
  readonly writableLength: number
  readonly writableNeedDrain: boolean
  readonly destroyed: boolean
  write(chunk: Uint8Array): boolean
  end(): void
  destroy(): unknown
  on(event: 'drain', listener: () => void): unknown
}

export interface PacedWriterListener {
  /** The client has taken something. */
  drained(): void
  /** The client was cut off. */
  destroyed(): void
}

/**
 * A buffer that is handed over stays in memory as a whole until its last byte is taken; in pieces of this size it shows that
 * a client reads, and the rest can be thrown away.
 */
export const PIECE_BYTES = 256 * 1024
/** Less than this waits for a moment after every write: it goes out at the end of the turn. */
const USUAL_BYTES = 64 * 1024

/** Writes no faster than the client reads, and lets it be seen what waits meanwhile. */
export class PacedWriter implements SlowClient {
  readonly principal: Principal | undefined
  readonly #output: PacedOutput
  readonly #slowClients: SlowClients
  readonly #listener: PacedWriterListener | undefined
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #writtenBytes = 0
  #ending = false
  #hearsDrain = false
  #gone = false

  constructor(
    output: PacedOutput,
    slowClients: SlowClients,
    principal: Principal | undefined,
    listener?: PacedWriterListener,
  ) {
    this.#output = output
    this.#slowClients = slowClients
    this.principal = principal
    this.#listener = listener
  }

  get waitingBytes(): number {
    return this.#gone ? 0 : this.#queuedBytes + this.#output.writableLength
  }

  get takenBytes(): number {
    return this.#writtenBytes - this.waitingBytes
  }

  write(chunk: Uint8Array): void {
    if (this.#gone) return
    this.#writtenBytes += chunk.length
    if (this.#queue.length > 0 || this.#output.writableNeedDrain) this.#enqueue(chunk)
    else this.#send(chunk)
    if (this.#queuedBytes + this.#output.writableLength > USUAL_BYTES) this.watch()
  }

  /** Ends the output when all that waits is taken. */
  end(): void {
    if (this.#queue.length > 0) this.#ending = true
    else this.#output.end()
  }

  destroy(): void {
    this.#output.destroy()
    this.closed()
    this.#listener?.destroyed()
  }

  /** The connection is gone. */
  closed(): void {
    this.#gone = true
    this.#queue = []
    this.#queuedBytes = 0
    this.#slowClients.remove(this)
  }

  /** Something waits that the client did not take at once. */
  watch(): void {
    if (!this.#hearsDrain) {
      this.#hearsDrain = true
      this.#output.on('drain', () => this.#drained())
    }
    this.#slowClients.update(this)
  }

  #send(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      const flows = this.#output.write(chunk.subarray(at, at + PIECE_BYTES))
      const rest = at + PIECE_BYTES
      if (flows || rest >= chunk.length) continue
      this.#enqueue(chunk.subarray(rest), true)
      return
    }
  }

  #enqueue(chunk: Uint8Array, first = false): void {
    if (first) this.#queue.unshift(chunk)
    else this.#queue.push(chunk)
    this.#queuedBytes += chunk.length
  }

  #drained(): void {
    while (!this.#gone && !this.#output.writableNeedDrain) {
      const next = this.#queue.shift()
      if (next === undefined) break
      this.#queuedBytes -= next.length
      this.#send(next)
    }
    if (this.#gone) return
    if (this.#queue.length === 0 && this.#ending) {
      this.#ending = false
      this.#output.end()
    }
    this.#slowClients.update(this)
    this.#listener?.drained()
  }
}

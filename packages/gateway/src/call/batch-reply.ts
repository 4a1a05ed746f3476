import type { Reply } from './reply.ts'

/** Joins the answers to a batch (JSON-RPC section 6) into one: in the order in which they come, as an array. */
export class BatchReply {
  readonly #reply: Reply
  #open: number
  readonly #responses: Buffer[] = []

  constructor(reply: Reply, size: number) {
    this.#reply = reply
    this.#open = size
  }

  part(): Reply {
    return {
      interim: (message) => this.#reply.interim(message),
      pause: () => {},
      final: (response) => this.#close(response),
      abandon: () => this.#close(undefined),
    }
  }

  #close(response: Buffer | undefined): void {
    if (response !== undefined) this.#responses.push(response)
    if (--this.#open > 0) return
    if (this.#responses.length === 0) {
      this.#reply.abandon()
      return
    }
    const parts = this.#responses.flatMap((it, index) => (index === 0 ? [it] : [Buffer.from(','), it]))
    this.#reply.final(Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]), 200)
  }
}

import { isUtf8 } from 'node:buffer'
import { parseJson } from '../wire/client-message.ts'
import { errorMessage } from '../wire/json-rpc.ts'
import { RpcCode } from '../wire/protocol.ts'
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

  /** @param id of the request, as its sender spelled it; absent where none could be read */
  part(id: Uint8Array | undefined): Reply {
    return {
      interim: (message) => this.#reply.interim(message),
      pause: () => {},
      // headers of one answer would be read as those of all
      annotate: () => {},
      challenge: () => {},
      final: (response) => this.#close(isJson(response) ? response : errorMessage(id, noJson)),
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

const noJson = { code: RpcCode.internalError, message: 'the server answered with something that is not JSON' }

/** Answers of several servers stand in one array, which one of them must not spoil for the others. */
function isJson(response: Buffer): boolean {
  return isUtf8(response) && parseJson(response) !== undefined
}

import { type RequestContext, type SallyportError, UpstreamError } from '@sallyport/core'
import type { Carrier } from './call.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { withTraceHeaders } from '../front/trace.ts'
import { internalCallsAreObserved, ObservedInternalCall } from '../observe/observed-internal-call.ts'
import { requestMessage } from '../wire/json-rpc.ts'
import { type MessageScan, scanMessage } from '../wire/scan-message.ts'
import type { Edit } from '../wire/splice.ts'
import type { Call } from './call.ts'

/** A JSON-RPC error that a server answered to a request of the gateway's own. */
export interface RpcError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

export type InternalAnswer =
  | { readonly result: Readonly<Record<string, unknown>>; readonly resultBytes: Buffer }
  | {
      readonly error: RpcError
      /** HTTP status that it came with; 200 where there is no HTTP. */
      readonly status: number
    }

let counter = 0

/** A request that the gateway makes on its own account (a handshake, a list). Messages on the way are dropped. */
export class InternalCall implements Call {
  readonly context: RequestContext
  readonly method: string
  readonly bytes: Buffer
  readonly scan: MessageScan
  readonly edits: readonly Edit[] = []
  readonly idText: Uint8Array
  readonly headers: readonly string[]
  readonly #server: string
  readonly #settle: (answer: InternalAnswer | SallyportError) => void
  readonly #observed: ObservedInternalCall | undefined
  #done = false

  constructor(
    server: string,
    context: RequestContext,
    method: string,
    params: unknown,
    headers: readonly string[],
    settle: (answer: InternalAnswer | SallyportError) => void,
  ) {
    const id = `sallyport-${++counter}`
    this.#server = server
    this.context = context
    this.method = method
    // a subscription is no operation that takes some time, but a state
    const observed = method !== 'subscriptions/listen' && internalCallsAreObserved()
    this.#observed = observed ? new ObservedInternalCall(server, context, method) : undefined
    const trace = this.#observed?.trace
    this.headers = trace === undefined ? headers : withTraceHeaders(headers, trace)
    this.bytes = requestMessage(id, method, this.#observed?.traced(params) ?? params)
    const scan = scanMessage(this.bytes.toString('latin1'))
    if (scan === undefined) throw new TypeError('a message of the gateway itself cannot be scanned')
    this.scan = scan
    this.idText = this.bytes.subarray(scan.idStart, scan.idEnd)
    this.#settle = settle
  }

  get settled(): boolean {
    return this.#done
  }

  interim(): void {}

  pause(): void {}

  final(response: Buffer, _scan: MessageScan, status: number): void {
    this.#finish(() => {
      const value = parseJson(response)
      if (isRecord(value) && isRecord(value['result'])) {
        return { result: value['result'], resultBytes: response }
      }
      if (isRecord(value) && isRecord(value['error'])) {
        const { code, message, data } = value['error']
        return {
          error: { code: Number(code), message: String(message), ...(data !== undefined && { data }) },
          status,
        }
      }
      return new UpstreamError(
        'ERR_UPSTREAM_PROTOCOL',
        this.#server,
        `no result in the answer to ${this.method}`,
      )
    })
  }

  fail(error: SallyportError): void {
    this.#finish(() => error)
  }

  #observe(answer: InternalAnswer | SallyportError): void {
    if (this.#observed === undefined) return
    if ('result' in answer) this.#observed.ended('ok', undefined, answer.resultBytes.length)
    else if ('error' in answer) this.#observed.ended('error', answer.error.code, 0)
    else this.#observed.ended('failed', answer.code, 0)
  }

  #finish(answer: () => InternalAnswer | SallyportError): void {
    if (this.#done) return
    this.#done = true
    const settled = answer()
    this.#observe(settled)
    this.#settle(settled)
  }
}

/** Asks a server something on the gateway's own account, and waits so long for its answer. Never rejects. */
export function askWithin(
  timeoutMs: number,
  carrier: Carrier,
  server: string,
  context: RequestContext,
  method: string,
  params: unknown,
): Promise<InternalAnswer | SallyportError> {
  return new Promise((resolve) => {
    const call = new InternalCall(server, context, method, params, [], (answer) => {
      clearTimeout(timer)
      resolve(answer)
    })
    const timer = setTimeout(() => {
      carrier.cancel(call, 'timeout')
      call.fail(new UpstreamError('ERR_UPSTREAM_TIMEOUT', server, `did not answer ${method} in time`))
    }, timeoutMs)
    carrier.send(call)
  })
}

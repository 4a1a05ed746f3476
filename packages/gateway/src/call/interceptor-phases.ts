import {
  GatewayError,
  type GatewayInterceptor,
  type InterceptedCall,
  type JsonObject,
  type Refusal,
  type RequestContext,
} from '@sallyport/core'
import { listOfMethod } from '../aggregate/list-kind.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'

/**
 * Runs the request phase of every interceptor in order. `done` gets the call to send, or the error that ends it; it is called
 * at once if no interceptor returned a promise.
 */
export function runRequestPhase(
  interceptors: readonly GatewayInterceptor[],
  context: RequestContext,
  call: InterceptedCall,
  done: (result: InterceptedCall | Error) => void,
): void {
  const phases = interceptors.filter((interceptor) => interceptor.request !== undefined)
  step(
    phases,
    call,
    async (interceptor, current) => {
      const next = (await interceptor.request?.(context, current)) ?? current
      if (!('refuse' in next) && !isRecord(next.params))
        throw new TypeError('the interceptor returned no call')
      if (!('refuse' in next)) return { ...next, method: call.method, server: call.server }
      throw refused(interceptor, next)
    },
    done,
  )
}

/**
 * Runs the list and the response phases on a server's answer; bodies are parsed only if an interceptor asked for them. (On
 * the aggregated endpoint lists are the gateway's own, and their phase is run where they are made.)
 */
export function runResponsePhase(
  interceptors: readonly GatewayInterceptor[],
  context: RequestContext,
  call: InterceptedCall,
  response: Buffer,
  done: (result: Buffer | Error) => void,
): void {
  const list = listOfMethod(call.method)
  const lists = list === undefined ? [] : interceptors.filter((interceptor) => interceptor.list !== undefined)
  if (list === undefined || lists.length === 0) {
    runHandlers(interceptors, context, call, response, done)
    return
  }
  step(
    lists,
    response,
    async (interceptor, current) => {
      const parsed = parseJson(current)
      const result = isJsonObject(parsed) ? parsed['result'] : undefined
      const items = isJsonObject(result) ? result[list.kind] : undefined
      if (!isJsonObject(parsed) || !isJsonObject(result) || !Array.isArray(items)) return current
      const listed = items.filter(isJsonObject).map((definition) => ({ server: call.server, definition }))
      const shown = (await interceptor.list?.(context, list.kind, listed)) ?? listed
      const definitions = shown.map(({ definition }) => definition)
      return Buffer.from(JSON.stringify({ ...parsed, result: { ...result, [list.kind]: definitions } }))
    },
    (changed) => {
      if (changed instanceof Error) done(changed)
      else runHandlers(interceptors, context, call, changed, done)
    },
  )
}

function runHandlers(
  interceptors: readonly GatewayInterceptor[],
  context: RequestContext,
  call: InterceptedCall,
  response: Buffer,
  done: (result: Buffer | Error) => void,
): void {
  const phases = interceptors.filter((interceptor) => interceptor.response !== undefined)
  step(
    phases,
    response,
    async (interceptor, current) => {
      const phase = interceptor.response
      if (phase?.body === 'none') await phase.handle(context, call)
      if (phase?.body === 'size') {
        const refusal = await phase.handle(context, call, current.length)
        if (refusal !== undefined) throw refused(interceptor, refusal)
      }
      if (phase?.body !== 'buffer') return current
      const parsed = parseJson(current)
      if (!isJsonObject(parsed)) throw new TypeError('the answer is not a JSON object')
      const changed: unknown = await phase.handle(context, { call, response: parsed })
      if (!isJsonObject(changed)) throw new TypeError('the interceptor returned no response')
      return changed === parsed ? current : Buffer.from(JSON.stringify({ ...changed, id: parsed['id'] }))
    },
    done,
  )
}

function refused({ name }: GatewayInterceptor, { message, data }: Refusal): GatewayError {
  return new GatewayError('ERR_FORBIDDEN', message, { data: { interceptor: name, ...data } })
}

function step<Value>(
  phases: readonly GatewayInterceptor[],
  value: Value,
  run: (interceptor: GatewayInterceptor, value: Value) => Promise<Value>,
  done: (result: Value | Error) => void,
): void {
  if (phases.length === 0) {
    done(value)
    return
  }
  const all = async () => {
    let current = value
    for (const interceptor of phases) {
      try {
        current = await run(interceptor, current)
      } catch (cause) {
        if (GatewayError.isInstance(cause)) throw cause
        throw new GatewayError('ERR_FORBIDDEN', `interceptor "${interceptor.name}" failed`, { cause })
      }
    }
    return current
  }
  const failed = (error: unknown) => done(error instanceof Error ? error : new Error(String(error)))
  // what an interceptor returned may also be found unusable by whoever takes it
  all().then(done).catch(failed)
}

/** What `JSON.parse` returned holds JSON values only, so being an object is all there is to check. */
export function isJsonObject(value: unknown): value is JsonObject {
  return isRecord(value)
}

import {
  GatewayError,
  type GatewayInterceptor,
  type InterceptedCall,
  type JsonObject,
  type RequestContext,
} from '@sallyport/core'
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
      if (!('refuse' in next)) return { ...next, method: call.method, server: call.server }
      throw new GatewayError('ERR_FORBIDDEN', next.message, {
        data: { interceptor: interceptor.name, ...next.data },
      })
    },
    done,
  )
}

/** Runs the response phases; bodies are parsed only if an interceptor asked for them. */
export function runResponsePhase(
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
      if (phase?.body !== 'buffer') return current
      const parsed = parseJson(current)
      if (!isJsonObject(parsed)) throw new TypeError('the answer is not a JSON object')
      const changed = await phase.handle(context, { call, response: parsed })
      return changed === parsed ? current : Buffer.from(JSON.stringify({ ...changed, id: parsed['id'] }))
    },
    done,
  )
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
  all().then(done, (error: unknown) => done(error instanceof Error ? error : new Error(String(error))))
}

/** What `JSON.parse` returned holds JSON values only, so being an object is all there is to check. */
export function isJsonObject(value: unknown): value is JsonObject {
  return isRecord(value)
}

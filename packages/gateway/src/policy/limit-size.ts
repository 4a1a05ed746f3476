import { GatewayError, type GatewayInterceptor, type InterceptedCall } from '@sallyport/core'
import { z } from 'zod'
import { listOfMethod } from '../aggregate/list-kind.ts'
import { checkOptions } from '../config/check-options.ts'
import { strict } from '../config/plain-issues.ts'
import { toolPattern } from './rule.ts'
import { ToolPatterns } from './tool-patterns.ts'

/** In bytes of the JSON-RPC message. What is left out is limited by the gateway's own limits only. */
export interface SizeLimits {
  readonly requestBytes?: number
  readonly responseBytes?: number
}

export interface LimitSizeOptions extends SizeLimits {
  /** By `<server>/<tool>` patterns, as in policies; the first that matches takes the place of the limits for all. */
  readonly perTool?: Readonly<Record<string, SizeLimits>>
}

/**
 * An interceptor that refuses requests and answers which are larger than what a model, or a server, should be given, with
 * `ERR_LIMIT_EXCEEDED`. Sizes are those of messages as they came; bodies are not read for it. Lists and introductions
 * (`initialize`, `server/discover`) are not limited: the aggregated endpoint makes its own, and without them nothing can be called.
 */
export function limitSize(options: LimitSizeOptions): GatewayInterceptor {
  checkOptions('limitSize', schema, options)
  const perTool = Object.entries(options.perTool ?? {}).map(([pattern, limits]) => ({
    tools: new ToolPatterns(pattern),
    limits,
  }))
  const limitsFor = (call: InterceptedCall): SizeLimits => {
    if (INTRODUCTIONS.has(call.method) || listOfMethod(call.method) !== undefined) return {}
    const { name } = call.params
    if (call.method !== 'tools/call' || typeof name !== 'string') return options
    return perTool.find(({ tools }) => tools.match(call.server, name))?.limits ?? options
  }
  return {
    name: 'limitSize',
    request(_context, call) {
      const { requestBytes } = limitsFor(call)
      const bytes = call.bytes ?? Buffer.byteLength(JSON.stringify(call.params))
      if (isMore(bytes, requestBytes)) throw tooLarge('request', bytes, requestBytes)
      return call
    },
    response: {
      body: 'size',
      handle(_context, call, bytes) {
        const { responseBytes } = limitsFor(call)
        if (isMore(bytes, responseBytes)) throw tooLarge('answer', bytes, responseBytes)
        return undefined
      },
    },
  }
}

const INTRODUCTIONS: ReadonlySet<string> = new Set(['initialize', 'server/discover'])

function isMore(bytes: number, limit: number | undefined): limit is number {
  return limit !== undefined && bytes > limit
}

function tooLarge(what: string, bytes: number, limitBytes: number): GatewayError {
  const message = `the ${what} takes ${bytes} bytes, ${limitBytes} are allowed`
  return new GatewayError('ERR_LIMIT_EXCEEDED', message, {
    data: { interceptor: 'limitSize', limitBytes, bytes },
  })
}

const positive = z.number().int().positive().optional()
const limits = { requestBytes: positive, responseBytes: positive }
const schema = strict({
  ...limits,
  perTool: z.record(toolPattern, strict(limits)).optional(),
})

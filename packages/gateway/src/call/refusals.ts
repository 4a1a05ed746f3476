import type { ErrorCode } from '@sallyport/core'
import { isRecord } from '../wire/client-message.ts'
import { RpcCode } from '../wire/protocol.ts'
import { isOneServer } from './endpoint.ts'
import type { Flow } from './flow.ts'
import { requestKind } from './request-target.ts'

/**
 * Refuses a request about something that is not there. What policy hides is refused with the same words, so that they tell
 * nothing of what there is.
 * @param recordedAs what the audit entry says, if that is something else
 */
export function refuseUnknown(flow: Flow, recordedAs?: ErrorCode): void {
  const { params } = flow.message
  switch (requestKind(flow.method)) {
    case 'tool':
      refuse(flow, `Unknown tool: ${String(params['name'])}`, undefined, recordedAs)
      return
    case 'prompt':
      refuse(flow, `Unknown prompt: ${String(params['name'])}`, undefined, recordedAs)
      return
    case 'resource': {
      const code = flow.context.era === 'modern' ? RpcCode.invalidParams : RpcCode.resourceNotFound
      const error = { code, message: 'Resource not found', data: { uri: params['uri'] } }
      flow.reject(200, error, recordedAs)
      return
    }
    case 'completion': {
      const { ref } = params
      if (isRecord(ref) && ref['type'] === 'ref/prompt')
        refuse(flow, `Unknown prompt: ${String(ref['name'])}`, undefined, recordedAs)
      else
        refuse(
          flow,
          'no server has this resource',
          { uri: isRecord(ref) ? ref['uri'] : undefined },
          recordedAs,
        )
      return
    }
    case 'listen':
    case 'server':
      flow.reject(404, { code: RpcCode.invalidRequest, message: 'no such endpoint' }, recordedAs)
      return
    case 'method':
      refuseMethod(flow, recordedAs)
  }
}

/** Refuses a method that is not available here. */
export function refuseMethod(flow: Flow, recordedAs?: ErrorCode): void {
  const { endpoint, era } = flow.context
  const hint = 'call it on a single server: <gateway URL>/<server name>'
  const message = isOneServer(endpoint)
    ? `Method not found: ${flow.method}`
    : `${flow.method} is not available on the aggregated endpoint; ${hint}`
  flow.reject(era === 'modern' ? 404 : 200, { code: RpcCode.methodNotFound, message }, recordedAs)
}

/** `params` lacks what the method needs, or it is of another kind. */
export function refuseParams(flow: Flow, message: string): void {
  flow.reject(flow.context.era === 'modern' ? 400 : 200, { code: RpcCode.invalidParams, message })
}

function refuse(flow: Flow, message: string, data: unknown, recordedAs: ErrorCode | undefined): void {
  const error = { code: RpcCode.invalidParams, message, ...(data !== undefined && { data }) }
  flow.reject(200, error, recordedAs)
}

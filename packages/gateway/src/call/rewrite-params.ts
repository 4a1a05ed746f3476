import { encodeHeaderValue } from '../wire/header-value.ts'
import { type Edit, splice } from '../wire/splice.ts'
import type { Flow } from './flow.ts'
import { withoutParams } from './param-headers.ts'

/** Gives the message other `params`, and the headers that go with them. */
export function replaceParams(flow: Flow, params: Readonly<Record<string, unknown>>): void {
  const { scan, bytes } = flow
  const text = JSON.stringify(params)
  const edit: Edit =
    scan.paramsStart >= 0
      ? [scan.paramsStart, scan.paramsEnd, text]
      : [scan.methodEnd, scan.methodEnd, `,"params":${text}`]
  flow.rewrite(splice(bytes, edit))
  flow.lacksParamHeaders = flow.context.era === 'modern'
  flow.headers = withoutParams(flow.headers)
  const name = params['name'] ?? params['uri']
  if (typeof name === 'string') flow.headers = withHeader(flow.headers, 'mcp-name', encodeHeaderValue(name))
}

/** Replaces the value of a header that is there; adds none. */
export function withHeader(headers: readonly string[], name: string, value: string): readonly string[] {
  const at = headers.findIndex((entry, index) => index % 2 === 0 && entry === name)
  return at < 0 ? headers : headers.with(at + 1, value)
}

import { GatewayError, type JsonObject, type PolicyTargetKind } from '@sallyport/core'
import { type ListKind, listOfMethod } from '../aggregate/list-kind.ts'
import type { AnswerScreen, Flow } from '../call/flow.ts'
import { isJsonObject } from '../call/interceptor-phases.ts'
import { whenAll } from '../call/when-all.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { resultMessage } from '../wire/json-rpc.ts'
import { repeatedMember } from '../wire/repeated-member.ts'
import { type MessageScan, scanMessage } from '../wire/scan-message.ts'
import { isShown, type PolicyGate, type Verdict } from './policy-gate.ts'

/** Pages of lists that are remembered, with what different callers see of them. */
const MOST_PAGES = 100
const MOST_VIEWS = 100
const LARGEST_PAGE = 1024 * 1024
/** Bytes of pages and views together: callers make up cursors, and servers answer them with pages. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024
/** What is read of a page takes about this many times as much as its text. */
const TIMES_PARSED = 4

const targetKinds = {
  tools: 'tool',
  prompts: 'prompt',
  resources: 'resource',
  resourceTemplates: 'resourceTemplate',
} as const satisfies Record<ListKind['kind'], PolicyTargetKind>

/** What policy calls the entries of a list, and the member that names them. */
export function targetKindOf(list: ListKind): PolicyTargetKind {
  return targetKinds[list.kind]
}

export function nameMemberOf(list: ListKind): 'name' | 'uri' | 'uriTemplate' {
  return list.named ? 'name' : list.kind === 'resources' ? 'uri' : 'uriTemplate'
}

/** One page of one server's list. */
interface Page {
  readonly key: string
  /** The result as the server wrote it. */
  readonly bytes: Buffer
  readonly result: JsonObject
  readonly definitions: readonly JsonObject[]
  readonly names: readonly string[]
  /** What is left of it, as JSON, by which definitions are seen. */
  readonly views: Map<string, string>
  /** With its views, about. */
  keptBytes: number
}

/**
 * Leaves out of the answers of a single server what policy hides. A page that comes again is known by its bytes, so that it is
 * read once and written once for all callers who see the same of it.
 */
export class PolicyScreen implements AnswerScreen {
  readonly #gate: PolicyGate
  readonly #pages = new Map<string, Page>()
  #keptBytes = 0

  constructor(gate: PolicyGate) {
    this.#gate = gate
  }

  /** How much is kept. */
  get kept(): { readonly pages: number; readonly bytes: number } {
    return { pages: this.#pages.size, bytes: this.#keptBytes }
  }

  screen(flow: Flow, response: Buffer, scan: MessageScan, done: (shown: Buffer | Error) => void): void {
    const list = listOfMethod(flow.method)
    const shown =
      list === undefined
        ? this.#withoutForbiddenAsks(flow, response, scan)
        : this.#filtered(flow, list, response)
    if (shown instanceof Promise)
      shown
        .then(done)
        .catch((error: unknown) => done(error instanceof Error ? error : new Error(String(error))))
    else done(shown)
  }

  #filtered(flow: Flow, list: ListKind, response: Buffer): Buffer | Error | Promise<Buffer | Error> {
    const scan = scanMessage(response.toString('latin1'))
    if (scan === undefined || scan.resultStart < 0) return response
    const server = flow.server ?? ''
    const page = this.#page(flow, list, server, response.subarray(scan.resultStart, scan.resultEnd))
    if (page === undefined)
      return new GatewayError('ERR_FORBIDDEN', `the answer to ${flow.method} is no list`)
    const kind = targetKindOf(list)
    const verdicts = page.names.map((name) => this.#gate.decide(flow.context.principal, server, kind, name))
    return whenAll(verdicts, (decided) => resultMessage(flow.idText, this.#view(page, list, decided)))
  }

  #page(flow: Flow, list: ListKind, server: string, bytes: Buffer): Page | undefined {
    const key = JSON.stringify([server, list.kind, flow.message.params['cursor'] ?? null])
    const known = this.#pages.get(key)
    if (known?.bytes.equals(bytes) === true) return known
    const result = parseJson(bytes)
    const items: unknown = isJsonObject(result) ? result[list.kind] : undefined
    if (!isJsonObject(result) || !Array.isArray(items)) return undefined
    const member = nameMemberOf(list)
    // what has no name cannot be allowed
    const definitions = items.filter(isJsonObject).filter((item) => typeof item[member] === 'string')
    const names = definitions.map((definition) => nameIn(definition, member))
    const page: Page = {
      key,
      bytes: Buffer.from(bytes),
      result,
      definitions,
      names,
      views: new Map(),
      keptBytes: bytes.length * (1 + TIMES_PARSED),
    }
    this.#forget(key)
    if (bytes.length <= LARGEST_PAGE && key.length <= LARGEST_KEY) {
      if (this.#pages.size >= MOST_PAGES) this.#forgetOldest()
      this.#pages.set(key, page)
      this.#keep(page, page.keptBytes)
    }
    return page
  }

  #view(page: Page, list: ListKind, decided: readonly Verdict[]): string {
    const seen = page.names.map((_, index) => (isShown(decided[index]) ? '1' : '0')).join('')
    const known = page.views.get(seen)
    if (known !== undefined) return known
    const view = viewOf(page, list, seen)
    if (page.views.size < MOST_VIEWS && this.#pages.get(page.key) === page) {
      page.views.set(seen, view)
      const bytes = seen.length + view.length
      page.keptBytes += bytes
      this.#keep(page, bytes)
    }
    return view
  }

  /** Makes room for what is kept now, at the expense of the oldest pages. */
  #keep({ key }: Page, bytes: number): void {
    this.#keptBytes += bytes
    while (this.#keptBytes > MAX_KEPT_BYTES && this.#pages.size > 1) this.#forgetOldest()
    if (this.#keptBytes > MAX_KEPT_BYTES) this.#forget(key)
  }

  #forgetOldest(): void {
    const [oldest] = this.#pages.keys()
    if (oldest !== undefined) this.#forget(oldest)
  }

  #forget(key: string): void {
    const page = this.#pages.get(key)
    if (page === undefined) return
    this.#pages.delete(key)
    this.#keptBytes -= page.keptBytes
  }

  /**
   * In the modern era a server asks in its answer (2026-07-28 basic/patterns/mrtr), in the legacy one it may send the client to a
   * page with an error (2025-11-25 client/elicitation, "URL Mode With Elicitation Required Error").
   */
  #withoutForbiddenAsks(
    flow: Flow,
    response: Buffer,
    scan: MessageScan,
  ): Buffer | Error | Promise<Buffer | Error> {
    // the answers of legacy servers hold no questions but as errors
    if (flow.context.era === 'legacy' && scan.errorStart < 0) return response
    const asks = new Set(asksIn(parseJson(response)))
    // of a member that is there twice the client may read the other one
    if (scan.duplicate !== undefined || (asks.size > 0 && repeatedMember(response.toString()) !== undefined))
      return new GatewayError('ERR_FORBIDDEN', 'the answer has a member twice, so what it asks is not clear')
    if (asks.size === 0) return response
    const server = flow.server ?? ''
    const names = [...asks]
    const verdicts = names.map((ask) => this.#gate.decide(flow.context.principal, server, 'ask', ask))
    return whenAll(verdicts, (decided) => {
      const forbidden = names.filter((_, index) => decided[index]?.effect !== 'allow')
      if (forbidden.length === 0) return response
      const message = `the server asks for ${forbidden.join(', ')}, which policy does not allow`
      return new GatewayError('ERR_FORBIDDEN', message, { data: { asks: forbidden } })
    })
  }
}

/** Empty if it has none. */
export function nameIn(definition: JsonObject, member: string): string {
  const name = definition[member]
  return typeof name === 'string' ? name : ''
}

/** Cursors are as long as servers and callers make them. */
const LARGEST_KEY = 4_096

/** What policy calls a request of a server. */
export function askName(method: string): string {
  const [, known] = /^(sampling|elicitation|roots)\//.exec(method) ?? []
  return known ?? method
}

const URL_ELICITATION_REQUIRED = -32042

/** What an answer asks of its client, in the words of policy. */
function asksIn(answer: unknown): readonly string[] {
  const { result, error } = isRecord(answer) ? answer : {}
  if (isRecord(error)) return error['code'] === URL_ELICITATION_REQUIRED ? ['elicitation'] : []
  const requests = isRecord(result) ? result['inputRequests'] : undefined
  return typeof requests === 'object' && requests !== null ? Object.values(requests).map(askOf) : []
}

function askOf(request: unknown): string {
  return isRecord(request) && typeof request['method'] === 'string' ? askName(request['method']) : ''
}

/** @param seen a digit for each definition: 1 if it is seen */
function viewOf(page: Page, list: ListKind, seen: string): string {
  const definitions = page.definitions.filter((_, index) => seen[index] === '1')
  const { cacheScope } = page.result
  return JSON.stringify({
    ...page.result,
    [list.kind]: definitions,
    // others may see something else
    ...(cacheScope !== undefined && { cacheScope: 'private' }),
  })
}

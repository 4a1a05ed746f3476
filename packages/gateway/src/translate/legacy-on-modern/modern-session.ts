import { type Logger, type RequestContext, type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import { InternalCall, type InternalAnswer } from '../../call/internal-call.ts'
import type { Caller, LegacyTransport, LegacyTransportOwner } from '../../upstream/legacy-transport.ts'
import type { ModernLink } from '../../upstream/modern-link.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { errorMessage, resultMessage } from '../../wire/json-rpc.ts'
import { isTooDeep } from '../../wire/nesting.ts'
import { isModernErrorCode, LATEST_MODERN, LOG_LEVELS, negotiate, RpcCode } from '../../wire/protocol.ts'
import { type MessageScan, scanMessage } from '../../wire/scan-message.ts'
import { type ClientIntroduction, envelope, envelopeText, modernCapabilities } from './envelope.ts'
import type { InputRound } from './input-round.ts'
import { type Introduced, introduce } from './introduce.ts'
import { legacyError } from './legacy-error.ts'
import { scanned } from './modern-request.ts'
import type { ListenMember, SharedListen } from './shared-listen.ts'
import { toolFacts, type ToolFacts, type ToolMemory } from './tool-memory.ts'
import { type CallHost, TranslatedCall } from './translated-call.ts'

export interface ModernSessionOptions {
  readonly server: string
  readonly isHttp: boolean
  readonly owner: LegacyTransportOwner
  readonly caller: Caller
  readonly link: () => ModernLink
  readonly tools: ToolMemory
  readonly logger: Logger
  readonly inputRoundMs: number
  readonly listen: (member: ListenMember) => SharedListen
  /** Whether the server still speaks the modern era. */
  readonly isModern: () => Promise<boolean>
}

/** How opening a session can go wrong: the server is of another era than it was thought to be, or it is none of that. */
export interface OpeningOutcome {
  opened(): void
  /** It did not answer `server/discover` as a server of this era does; `tell` passes on what it said. */
  foreign(tell: () => void): void
  /** It could not be asked. */
  failed(tell: () => void): void
}

/**
 * A session of a legacy client with a server that has none: what the client would have told the server once goes with every
 * request, and what the server would have kept is kept here.
 */
export class ModernSession implements LegacyTransport, CallHost, ListenMember {
  readonly speaksUnasked = false
  readonly uris = new Set<string>()
  listens = false
  readonly #options: ModernSessionOptions
  readonly #calls = new Map<Call, TranslatedCall>()
  readonly #questions = new Map<string, InputRound>()
  #context: RequestContext | undefined
  #modernContext: RequestContext | undefined
  #client: ClientIntroduction = { capabilities: {}, clientInfo: undefined }
  #introduced: Introduced | undefined
  #logLevel: string | undefined
  #shared: SharedListen | undefined
  #closed = false
  #lost = false
  envelope = ''
  protocolVersion = ''

  constructor(options: ModernSessionOptions) {
    this.#options = options
  }

  get server(): string {
    return this.#options.server
  }

  get isHttp(): boolean {
    return this.#options.isHttp
  }

  /** Of the newest request of the client's session, with the modern era in place of its own. */
  get modernContext(): RequestContext {
    const { context } = this.#options.caller
    if (this.#context === context && this.#modernContext !== undefined) return this.#modernContext
    this.#context = context
    this.#modernContext = { ...context, era: 'modern', protocolVersion: LATEST_MODERN }
    return this.#modernContext
  }

  get inputRoundMs(): number {
    return this.#options.inputRoundMs
  }

  get capabilities(): Readonly<Record<string, unknown>> {
    return this.#client.capabilities
  }

  get announces(): ListenMember['announces'] {
    return this.#introduced?.announces ?? { tools: false, prompts: false, resources: false }
  }

  initialize(call: Call): void {
    this.open(call, { opened() {}, foreign: (tell) => tell(), failed: (tell) => tell() })
  }

  /** Answers the client's `initialize` with what the server says of itself. */
  open(call: Call, outcome: OpeningOutcome): void {
    const params = paramsOf(call)
    this.protocolVersion = negotiate(params['protocolVersion'])
    this.#client = {
      capabilities: modernCapabilities(params['capabilities']),
      clientInfo: params['clientInfo'],
    }
    this.envelope = envelopeText(this.#client)
    this.#ask('server/discover', {}, (answer) => {
      if (this.#closed) return
      if ('result' in answer ? isTooDeep(answer.result) : 'error' in answer && isTooDeep(answer.error.data)) {
        const deep = new UpstreamError(
          'ERR_UPSTREAM_PROTOCOL',
          this.server,
          'introduces itself nested too deep',
        )
        outcome.failed(() => call.fail(deep))
      } else if ('result' in answer) {
        this.#introduced = introduce(answer.result, this.protocolVersion, this.server)
        if (this.#introduced === undefined) {
          const message = `server "${this.server}": speaks none of the protocol versions that the gateway speaks`
          outcome.foreign(() => answerError(call, { code: RpcCode.internalError, message }))
          return
        }
        outcome.opened()
        answerResult(call, this.#introduced.result)
      } else if ('error' in answer) {
        const tell = () => answerError(call, legacyError(call.method, answer.error))
        if (isModernErrorCode(answer.error.code)) outcome.failed(tell)
        else outcome.foreign(tell)
      } else outcome.failed(() => call.fail(answer))
    })
  }

  send(call: Call): void {
    switch (call.method) {
      case 'ping':
        answerResult(call, {})
        return
      case 'logging/setLevel':
        this.#setLevel(call)
        return
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        this.#subscribe(call)
        return
      case 'server/discover':
      case 'subscriptions/listen':
        this.#unknown(call, `${call.method} does not exist in protocol version ${this.protocolVersion}`)
        return
      default:
    }
    if (call.method.startsWith('tasks/')) {
      const why = `tasks of ${this.protocolVersion} are not translated for a server that does not speak this version`
      this.#unknown(call, `${call.method} is not available: ${why}`)
      return
    }
    const translated = new TranslatedCall(call, this)
    this.#calls.set(call, translated)
    translated.start()
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#calls.get(call)?.cancel(reason)
  }

  /** The modern era has no notification of clients that is not a cancellation, and those come as such. */
  notify(): void {}

  respond(message: Buffer): void {
    const scan = scanMessage(message.toString('latin1'))
    if (scan === undefined) return
    const id = String(parseJson(message.subarray(scan.idStart, scan.idEnd)))
    this.#questions.get(id)?.answer(id, message, scan)
  }

  listen(): void {
    if (this.listens || this.#closed) return
    this.listens = true
    const { tools, prompts, resources } = this.announces
    if (tools || prompts || resources) this.#listen().wants(this)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#shared?.leave(this)
    // what is open with a server that is another one now ends by itself
    if (this.#lost) return
    const error = new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', this.server, 'the session was closed')
    for (const call of [...this.#calls.values()]) call.end(error)
  }

  deliver(message: Buffer): void {
    this.#options.owner.fromServer(message, scanned(message), undefined)
  }

  tell(message: Buffer, call: Call): void {
    this.#options.owner.fromServer(message, scanned(message), call)
  }

  expect(id: string, round: InputRound): void {
    this.#questions.set(id, round)
  }

  forget(id: string): void {
    this.#questions.delete(id)
  }

  link(): ModernLink {
    return this.#options.link()
  }

  wantsLog(message: Buffer, scan: MessageScan): boolean {
    if (this.#logLevel === undefined) return false
    const params = parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
    const level = isRecord(params) ? LOG_LEVELS.indexOf(String(params['level'])) : -1
    return level < 0 || level >= LOG_LEVELS.indexOf(this.#logLevel)
  }

  toolFacts(name: string): ToolFacts | undefined {
    return this.#options.tools.find(this.modernContext.principal, name)
  }

  refreshTools(name: string): Promise<void> {
    return this.#options.tools.refresh(
      this.modernContext.principal,
      name,
      (cursor) =>
        new Promise((resolve) => {
          this.#ask('tools/list', cursor === undefined ? {} : { cursor }, (answer) => {
            if ('result' in answer) resolve(answer.result)
            else if ('error' in answer)
              resolve(new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.server, answer.error.message))
            else resolve(answer)
          })
        }),
    )
  }

  readonly visitTool = (definition: Readonly<Record<string, unknown>>): boolean => {
    const { tools, logger } = this.#options
    const { name } = definition
    const facts = toolFacts(definition)
    if (typeof facts === 'string') {
      // who reaches a server without HTTP need not look at them (streamable-http, "Schema Extension")
      if (!this.isHttp) return true
      logger.warn('a tool is left out of a list', { server: this.server, tool: String(name), reason: facts })
      return false
    }
    if (typeof name === 'string') tools.learn(this.modernContext.principal, name, facts)
    return true
  }

  async movedAway(call: Call): Promise<boolean> {
    if (!this.isHttp || this.#closed || (await this.#options.isModern())) return false
    if (this.#closed) return false
    this.#lost = true
    this.#options.owner.sessionLost(call)
    return true
  }

  settled(call: TranslatedCall): void {
    this.#calls.delete(call.original)
  }

  #setLevel(call: Call): void {
    const { level } = paramsOf(call)
    if (this.#introduced?.logs === false) this.#unknown(call, 'the server has no log')
    else if (typeof level !== 'string' || !LOG_LEVELS.includes(level)) {
      const message = `params.level must be one of ${LOG_LEVELS.join(', ')}`
      answerError(call, { code: RpcCode.invalidParams, message })
    } else {
      this.#logLevel = level
      this.envelope = envelopeText(this.#client, level)
      answerResult(call, {})
    }
  }

  #subscribe(call: Call): void {
    const { uri } = paramsOf(call)
    if (this.#introduced?.subscribes === false) this.#unknown(call, 'the server takes no subscriptions')
    else if (typeof uri !== 'string')
      answerError(call, { code: RpcCode.invalidParams, message: 'params.uri must be a string' })
    else if (call.method === 'resources/unsubscribe') {
      this.uris.delete(uri)
      this.#shared?.wants(this)
      answerResult(call, {})
    } else {
      this.uris.add(uri)
      this.#listen().subscribe(this, uri, (error) => {
        if (error === undefined) answerResult(call, {})
        else {
          this.uris.delete(uri)
          call.fail(error)
        }
      })
    }
  }

  #listen(): SharedListen {
    this.#shared ??= this.#options.listen(this)
    return this.#shared
  }

  #ask(
    method: string,
    params: Readonly<Record<string, unknown>>,
    settle: (answer: InternalAnswer | SallyportError) => void,
  ): void {
    const all = { ...params, _meta: envelope(this.#client) }
    this.link().send(new InternalCall(this.server, this.modernContext, method, all, [], settle))
  }

  #unknown(call: Call, message: string): void {
    answerError(call, { code: RpcCode.methodNotFound, message })
  }
}

function paramsOf(call: Call): Readonly<Record<string, unknown>> {
  const { scan, bytes } = call
  const params =
    scan.paramsStart < 0 ? undefined : parseJson(bytes.subarray(scan.paramsStart, scan.paramsEnd))
  return isRecord(params) ? params : {}
}

function answerResult(call: Call, result: Readonly<Record<string, unknown>>): void {
  const response = resultMessage(call.idText, JSON.stringify(result))
  call.final(response, scanned(response), 200)
}

function answerError(call: Call, error: { readonly code: number; readonly message: string }): void {
  const response = errorMessage(call.idText, error)
  call.final(response, scanned(response), 200)
}

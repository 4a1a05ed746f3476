import type { Readable, Writable } from 'node:stream'
import { ConfigError, type Principal, type RequestContext } from '@sallyport/core'
import { z } from 'zod'
import { BatchReply } from '../call/batch-reply.ts'
import { toolsetEndpoint } from '../call/endpoint.ts'
import type { Flow, FlowKeeper } from '../call/flow.ts'
import type { Reply } from '../call/reply.ts'
import { checkOptions } from '../config/check-options.ts'
import { missing } from '../config/closest-name.ts'
import { strict } from '../config/plain-issues.ts'
import { checkEnvelope } from '../front/modern-headers.ts'
import { unsupported } from '../front/modern-http.ts'
import { PacedWriter } from '../front/paced-writer.ts'
import { readBody } from '../front/read-body.ts'
import { traceHeaders, traceOf } from '../front/trace.ts'
import { type Gateway, partsOf } from '../gateway.ts'
import type { GatewayCore } from '../gateway-core.ts'
import type { LegacySession } from '../legacy/legacy-session.ts'
import {
  cancelledKey,
  idBytes,
  isFault,
  isRecord,
  type MessageFault,
  type RpcId,
  type RpcMessage,
} from '../wire/client-message.ts'
import { encodeHeaderValue } from '../wire/header-value.ts'
import { errorMessage, onOneLine } from '../wire/json-rpc.ts'
import { LineSplitter } from '../wire/line-splitter.ts'
import { BATCH_VERSION, META_VERSION, RpcCode } from '../wire/protocol.ts'

export interface StdioOptions {
  /** Default: standard input of this process. */
  readonly input?: Readable
  /** Default: standard output of this process. Nothing else may be written to it. */
  readonly output?: Writable
  /** Serve this server alone, without prefixes. Default: all of them, aggregated. */
  readonly server?: string
  /** Serve this toolset alone. */
  readonly toolset?: string
  /** Whose calls these are. Default: the local user. */
  readonly principal?: Principal
}

const optionsSchema = strict({
  input: z.unknown().optional(),
  output: z.unknown().optional(),
  server: z.string().optional(),
  toolset: z.string().optional(),
  principal: z.unknown().optional(),
} satisfies Record<keyof StdioOptions, z.ZodType>)

export interface StdioConnection {
  /** Resolves when the client has closed its side and everything it asked for is answered. */
  readonly closed: Promise<void>
}

/** One client on standard input and output, in either era: its first messages tell which. */
export function serveStdio(gateway: Gateway, options: StdioOptions = {}): StdioConnection {
  const { core } = partsOf(gateway)
  checkOptions('serveStdio', optionsSchema, options)
  if (options.server !== undefined && core.upstreams.get(options.server) === undefined) {
    const servers = core.upstreams.all().map(({ name }) => name)
    throw new ConfigError([
      { path: 'serveStdio.server', message: missing('server', options.server, servers) },
    ])
  }
  if (options.toolset !== undefined && !core.toolsets.has(options.toolset)) {
    const message = missing('toolset', options.toolset, [...core.toolsets.keys()])
    throw new ConfigError([{ path: 'serveStdio.toolset', message }])
  }
  return new StdioFront(core, options)
}

class StdioFront implements StdioConnection, FlowKeeper {
  readonly closed: Promise<void>
  readonly #core: GatewayCore
  readonly #endpoint: string | undefined
  readonly #principal: Principal
  readonly #input: Readable
  readonly #writer: PacedWriter
  readonly #flows = new Map<RpcId, Flow>()
  #session: LegacySession | undefined
  #opening = false
  /** Messages of a legacy client that came before its session was open. */
  #early: RpcMessage[] = []
  #idle: (() => void) | undefined

  constructor(core: GatewayCore, options: StdioOptions) {
    this.#core = core
    this.#endpoint = options.toolset === undefined ? options.server : toolsetEndpoint(options.toolset)
    this.#principal = options.principal ?? { tenant: 'local', subject: 'local', roles: [], scopes: [] }
    const output = options.output ?? process.stdout
    const input = options.input ?? process.stdin
    this.#input = input
    this.#writer = new PacedWriter(output, core.slowClients, this.#principal, {
      drained: () => this.#pace(),
      destroyed: () => this.#unread(),
    })
    const lines = new LineSplitter((line) => this.#line(line), core.limits.bodyBytes)
    this.closed = new Promise((resolve) => {
      const end = () => void this.#drain().then(resolve)
      input.on('data', (chunk: Buffer) => {
        try {
          lines.push(chunk)
        } catch (error) {
          if (!(error instanceof RangeError)) throw error
          this.#fault(
            { code: RpcCode.invalidRequest, message: error.message, idText: undefined },
            chunk.length,
          )
          input.destroy()
        }
      })
      input.once('close', end)
      input.once('end', end)
    })
    output.on('error', () => input.destroy())
  }

  #line(line: Buffer): void {
    const { limits } = this.#core
    const body = Buffer.from(line)
    const read = readBody(body, limits.depth)
    if (read.kind === 'message') this.#message(read.message)
    else if (read.kind === 'fault') this.#fault(read, line.length)
    else if (this.#session?.protocolVersion === BATCH_VERSION) this.#batch(this.#session, read.messages)
    else
      this.#fault(
        {
          code: RpcCode.invalidRequest,
          message: `batches exist in protocol version ${BATCH_VERSION} only`,
          idText: undefined,
        },
        line.length,
      )
  }

  #message(message: RpcMessage): void {
    const meta = message.params['_meta']
    if (message.kind === 'request' && isRecord(meta) && META_VERSION in meta)
      this.#modern(message, String(meta[META_VERSION]))
    else if (message.method === 'initialize' && message.kind === 'request') this.#initialize(message)
    else if (this.#opening) this.#early.push(message)
    else if (message.kind === 'request') this.#legacyRequest(message, this.#lineReply())
    else this.#oneWay(message)
  }

  #modern(message: RpcMessage, protocolVersion: string): void {
    const trace = traceOf(message, undefined)
    const context: RequestContext = {
      principal: this.#principal,
      era: 'modern',
      protocolVersion,
      endpoint: this.#endpoint,
      trace,
    }
    const flow = this.#core.flow(message, context, this.#lineReply(), [
      ...nameHeader(message),
      ...traceHeaders(trace),
    ])
    flow.lacksParamHeaders = true
    const fault = checkEnvelope(message) ?? unsupported(protocolVersion)
    if (fault !== undefined) flow.reject(400, fault)
    else if (this.#track(flow)) this.#core.modernRequest(flow)
  }

  #initialize(message: RpcMessage): void {
    if (this.#session !== undefined || this.#opening) {
      this.#fault(
        {
          code: RpcCode.invalidRequest,
          message: 'the session is open already',
          idText: idBytes(message),
        },
        message.bytes.length,
      )
      return
    }
    this.#opening = true
    const reply = this.#lineReply()
    const opened = () => {
      this.#opening = false
      for (const early of this.#early.splice(0)) this.#message(early)
    }
    this.#core.openSession({
      principal: this.#principal,
      endpoint: this.#endpoint,
      remoteAddress: undefined,
      message,
      trace: traceOf(message, undefined),
      outlet: (line) => this.#write(line),
      reply: {
        ...reply,
        final: (response, status) => {
          reply.final(response, status)
          opened()
        },
        abandon: opened,
      },
      onOpen: (session) => {
        this.#session = session
        session.listen()
      },
    })
  }

  #legacyRequest(message: RpcMessage, reply: Reply): void {
    const session = this.#session
    if (session === undefined) {
      const text = 'send initialize first, or name a protocol version in params._meta'
      const context = {
        principal: this.#principal,
        era: 'legacy' as const,
        protocolVersion: '',
        endpoint: this.#endpoint,
      }
      this.#core.audit.message(context, message, 'refused', RpcCode.invalidRequest)
      reply.final(errorMessage(idBytes(message), { code: RpcCode.invalidRequest, message: text }), 400)
      return
    }
    session.lastUsedAt = this.#core.trail.now()
    const trace = traceOf(message, undefined)
    const context = trace === undefined ? session.context : { ...session.context, trace }
    const flow = this.#core.flow(message, context, reply, traceHeaders(trace))
    flow.keptBy(this)
    this.#core.legacyRequest(session, flow)
  }

  #oneWay(message: RpcMessage): void {
    const { reason } = message.params
    const key = message.method === 'notifications/cancelled' ? cancelledKey(message) : undefined
    const modern = key === undefined ? undefined : this.#flows.get(key)
    if (modern !== undefined) modern.cancel(typeof reason === 'string' ? reason : undefined)
    else if (message.kind === 'notification') this.#session?.notify(message)
    const taken = message.kind === 'notification' || this.#session?.respond(message) === true
    const context = this.#session?.context ?? {
      principal: this.#principal,
      era: 'modern' as const,
      protocolVersion: '',
    }
    this.#core.audit.message(context, message, taken ? 'ok' : 'refused')
  }

  #batch(session: LegacySession, messages: readonly (RpcMessage | MessageFault)[]): void {
    const requests = messages.filter((message) => isFault(message) || message.kind === 'request')
    for (const message of messages) if (!isFault(message) && message.kind !== 'request') this.#oneWay(message)
    if (requests.length === 0) return
    session.lastUsedAt = this.#core.trail.now()
    const batch = new BatchReply(this.#lineReply(), requests.length)
    for (const request of requests) {
      const part = batch.part(isFault(request) ? request.idText : idBytes(request))
      if (isFault(request)) {
        this.#core.audit.invalid({ principal: this.#principal, endpoint: this.#endpoint }, 0, request.code)
        part.final(faultMessage(request), 400)
      } else if (request.method === 'initialize') {
        const error = { code: RpcCode.invalidRequest, message: 'initialize cannot be part of a batch' }
        this.#core.audit.message(session.context, request, 'refused', error.code)
        part.final(errorMessage(idBytes(request), error), 400)
      } else this.#legacyRequest(request, part)
    }
  }

  /** False if the id is in use; the flow is answered then. */
  #track(flow: Flow): boolean {
    const { key } = flow
    if (key === undefined || this.#flows.has(key)) {
      flow.reject(400, { code: RpcCode.invalidRequest, message: 'a request with this id is still open' })
      return false
    }
    this.#flows.set(key, flow)
    flow.keptBy(this)
    return true
  }

  settled(flow: Flow): void {
    const { key } = flow
    if (key !== undefined && this.#flows.get(key) === flow) this.#flows.delete(key)
    this.#idle?.()
  }

  #lineReply(): Reply {
    return {
      interim: (message) => this.#write(message),
      final: (response) => this.#write(response),
      abandon: () => {},
      pause: () => {},
      annotate: () => {},
      challenge: () => {},
    }
  }

  #fault(fault: MessageFault, bytes: number): void {
    this.#core.audit.invalid({ principal: this.#principal, endpoint: this.#endpoint }, bytes, fault.code)
    this.#write(faultMessage(fault))
  }

  #write(message: Buffer): void {
    this.#writer.write(Buffer.concat([onOneLine(message), Buffer.from('\n')]))
    this.#pace()
  }

  /** A client that does not read its answers is not asked for more requests. */
  #pace(): void {
    const full = this.#writer.waitingBytes > this.#core.limits.bufferedBytes
    if (full !== this.#input.isPaused()) {
      if (full) this.#input.pause()
      else this.#input.resume()
    }
  }

  /** It reads nothing at all: nobody waits for what it has asked. */
  #unread(): void {
    for (const flow of [...this.#flows.values()]) flow.cancel('the client does not read')
    if (this.#session !== undefined) this.#core.sessions.end(this.#session)
    this.#input.destroy()
  }

  /** The client has closed its side: what it asked for is still answered, subscriptions end. */
  async #drain(): Promise<void> {
    for (const flow of [...this.#flows.values()])
      if (flow.endless) flow.cancel('the client closed the connection')
    const busy = () => this.#opening || this.#flows.size > 0 || (this.#session?.openCalls ?? 0) > 0
    while (busy() && !this.#core.closed) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
        setTimeout(resolve, 50)
      })
    }
    if (this.#session !== undefined) this.#core.sessions.end(this.#session)
  }
}

/** A modern server behind HTTP expects its name header, which a client on stdio does not send. */
function nameHeader({ method, params }: RpcMessage): string[] {
  const name =
    method === 'tools/call' || method === 'prompts/get'
      ? params['name']
      : method === 'resources/read'
        ? params['uri']
        : undefined
  return typeof name === 'string' ? ['mcp-name', encodeHeaderValue(name)] : []
}

function faultMessage(fault: MessageFault): Buffer {
  return errorMessage(fault.idText, { code: fault.code, message: fault.message })
}

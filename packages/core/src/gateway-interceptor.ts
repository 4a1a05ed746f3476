import type { RequestContext } from './request-context.ts'

/** Values that JSON can hold. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

export type DefinitionKind = 'tools' | 'prompts' | 'resources' | 'resourceTemplates'

/** A tool, prompt, resource or resource template as a server listed it. */
export interface ListedDefinition {
  /** The MCP server it comes from. */
  readonly server: string
  /** The definition under the name that clients see. */
  readonly definition: JsonObject
}

/** A request that is about to go to an MCP server. */
export interface InterceptedCall {
  readonly method: string
  readonly server: string
  /** The request's `params`, names as the server knows them. */
  readonly params: JsonObject
  /** Size of the message before interceptors changed it. */
  readonly bytes?: number
}

/** Ends a call with an error. `message` is shown to the client. */
export interface Refusal {
  readonly refuse: true
  readonly message: string
  readonly data?: JsonObject
}

/** A server's final answer. */
export interface InterceptedAnswer {
  readonly call: InterceptedCall
  /** The whole JSON-RPC response. */
  readonly response: JsonObject
}

/**
 * Code of the embedding application on the way of a message. Each phase says what it needs to see: the gateway reads
 * no body that nobody asked for. Interceptors run in the order given; a throw refuses the call.
 */
export interface GatewayInterceptor {
  /** Shown in errors and logs. */
  readonly name: string
  /** Filters or rewrites what a list shows. A definition that is left out is not made uncallable: use `request` for that. */
  list?(
    context: RequestContext,
    kind: DefinitionKind,
    definitions: readonly ListedDefinition[],
  ): readonly ListedDefinition[] | Promise<readonly ListedDefinition[]>
  /** Sees each request before it goes out; returns it, a changed copy, or a refusal. `method` and `server` are not to be changed. */
  request?(
    context: RequestContext,
    call: InterceptedCall,
  ): InterceptedCall | Refusal | Promise<InterceptedCall | Refusal>
  readonly response?:
    | { readonly body: 'none'; handle(context: RequestContext, call: InterceptedCall): void | Promise<void> }
    | {
        /** Sees how large the response is, in bytes, and may refuse to send it on. */
        readonly body: 'size'
        handle(
          context: RequestContext,
          call: InterceptedCall,
          bytes: number,
        ): Refusal | undefined | Promise<Refusal | undefined>
      }
    | {
        readonly body: 'buffer'
        /** Returns the response to send on; its `id` stays the gateway's business. */
        handle(context: RequestContext, answer: InterceptedAnswer): JsonObject | Promise<JsonObject>
      }
}

import type { JsonObject } from '@sallyport/core'
import { isJsonObject } from '../call/interceptor-phases.ts'
import { Glob } from '../policy/glob.ts'
import { uriReadings } from '../policy/uri-readings.ts'
import type { ListKind } from './list-kind.ts'

/** A tool of a server, as a toolset shows it. */
export interface ToolSelection {
  readonly server: string
  /** The server's own name for it. */
  readonly tool: string
  /** What clients call it. Default: the server's own name. */
  readonly as?: string
  /** What is given here takes the place of what the server says. */
  readonly title?: string
  readonly description?: string
  /** Single annotations, such as `readOnlyHint`. */
  readonly annotations?: JsonObject
}

export interface PromptSelection {
  readonly server: string
  readonly prompt: string
  readonly as?: string
  readonly title?: string
  readonly description?: string
}

export interface ResourceSelection {
  readonly server: string
  /** URIs, in which `*` stands for any run of characters. */
  readonly uri: string
}

/** Parts of several servers under one URL, `<publicUrl>/toolsets/<name>`. */
export interface ToolsetOptions {
  readonly tools?: readonly ToolSelection[]
  readonly prompts?: readonly PromptSelection[]
  /** Where several match a URI, the first tells which server it is read from. */
  readonly resources?: readonly ResourceSelection[]
  /** Told to clients instead of what the servers say, which may be about tools that are not here. */
  readonly instructions?: string
}

/** Something with a name that was chosen. */
export interface Selected {
  readonly server: string
  /** The server's own name. */
  readonly name: string
  /** Under the name that clients see, with what takes the place of what the server says. */
  show(definition: JsonObject): JsonObject
}

/** A toolset, ready to be served. */
export class Toolset {
  readonly name: string
  readonly instructions: string | undefined
  /** By the name that clients see, in the order in which they see them. */
  readonly tools: ReadonlyMap<string, Selected>
  readonly prompts: ReadonlyMap<string, Selected>
  readonly #resources: readonly { readonly server: string; readonly uris: Glob }[]

  constructor(name: string, options: ToolsetOptions) {
    this.name = name
    this.instructions = options.instructions
    this.tools = new Map(
      (options.tools ?? []).map((it) => [it.as ?? it.tool, new SelectedDefinition(it.tool, it)] as const),
    )
    this.prompts = new Map(
      (options.prompts ?? []).map(
        (it) => [it.as ?? it.prompt, new SelectedDefinition(it.prompt, it)] as const,
      ),
    )
    this.#resources = (options.resources ?? []).map(({ server, uri }) => ({
      server,
      uris: Glob.parse(uri) ?? new Glob([]),
    }))
  }

  get offersResources(): boolean {
    return this.#resources.length > 0
  }

  has(server: string): boolean {
    return (
      this.serversOf('tools').has(server) ||
      this.serversOf('prompts').has(server) ||
      this.serversOf('resources').has(server)
    )
  }

  /** The servers that something of a kind was chosen from. */
  serversOf(kind: ListKind['kind']): ReadonlySet<string> {
    const chosen =
      kind === 'tools' ? this.tools.values() : kind === 'prompts' ? this.prompts.values() : this.#resources
    return new Set([...chosen].map(({ server }) => server))
  }

  /** The server that a resource is read from; it has to be chosen however its URI is read. */
  ownerOf(uri: string): string | undefined {
    const readings = uriReadings(uri)
    return this.#resources.find(({ uris }) => readings.every((reading) => uris.matches(reading)))?.server
  }

  /** The server that completes the variables of a template, which takes that all of it was chosen. */
  ownerOfTemplate(template: string): string | undefined {
    const all = Glob.ofTemplate(template)
    return this.#resources.find(({ uris }) => uris.covers(all))?.server
  }

  showsResource(server: string, uri: string): boolean {
    return this.ownerOf(uri) === server
  }

  showsTemplate(server: string, template: string): boolean {
    const some = Glob.ofTemplate(template)
    return this.#resources.some((chosen) => chosen.server === server && chosen.uris.overlaps(some))
  }
}

type Overrides = Pick<ToolSelection, 'server' | 'as' | 'title' | 'description' | 'annotations'>

class SelectedDefinition implements Selected {
  readonly server: string
  readonly name: string
  readonly #overrides: Overrides

  constructor(name: string, overrides: Overrides) {
    this.server = overrides.server
    this.name = name
    this.#overrides = overrides
  }

  show(definition: JsonObject): JsonObject {
    const { as, title, description, annotations } = this.#overrides
    const own = definition['annotations']
    return {
      ...definition,
      name: as ?? this.name,
      ...(title !== undefined && { title }),
      ...(description !== undefined && { description }),
      ...(annotations !== undefined && {
        annotations: { ...(isJsonObject(own) ? own : {}), ...annotations },
      }),
    }
  }
}

import type { RequestContext } from '@sallyport/core'
import { toolsetOf } from '../call/endpoint.ts'
import type { Flow } from '../call/flow.ts'
import type { PolicyGate } from '../policy/policy-gate.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { UpstreamTable } from '../upstream/upstream-table.ts'
import type { Toolset } from './toolset.ts'

/** Which servers a caller may know of on an endpoint that joins several. */
export class Views {
  readonly #upstreams: UpstreamTable
  readonly #policy: PolicyGate | undefined
  readonly #toolsets: ReadonlyMap<string, Toolset>

  constructor(
    upstreams: UpstreamTable,
    policy: PolicyGate | undefined,
    toolsets: ReadonlyMap<string, Toolset>,
  ) {
    this.#upstreams = upstreams
    this.#policy = policy
    this.#toolsets = toolsets
  }

  toolset({ endpoint }: RequestContext): Toolset | undefined {
    const name = toolsetOf(endpoint)
    return name === undefined ? undefined : this.#toolsets.get(name)
  }

  /** In the order of the registry. */
  of(context: RequestContext): readonly Upstream[] | Promise<readonly Upstream[]> {
    const toolset = this.toolset(context)
    const all = this.#upstreams.all()
    const here = toolset === undefined ? all : all.filter(({ name }) => toolset.has(name))
    return this.#policy === undefined ? here : this.#policy.visible(context.principal, here)
  }

  /** Calls `use` at once, if policy needs no time. */
  with(flow: Flow, use: (upstreams: readonly Upstream[]) => void): void {
    const view = this.of(flow.context)
    if (!(view instanceof Promise)) {
      use(view)
      return
    }
    view
      .then((upstreams) => {
        if (!flow.settled) use(upstreams)
      })
      .catch((error: unknown) => flow.fail(error))
  }
}

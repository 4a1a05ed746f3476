import type { Principal } from '@sallyport/core'
import type { CatalogEntry } from '../aggregate/catalog.ts'
import { type ListKind, listOfKind } from '../aggregate/list-kind.ts'
import { whenAll } from '../call/when-all.ts'
import { isShown, type PolicyGate, type Verdict } from './policy-gate.ts'
import { nameIn, nameMemberOf, targetKindOf } from './policy-screen.ts'

const MOST_VIEWS = 100

/**
 * Leaves out of catalog entries what policy hides. What is left is kept as long as the entry is: for the caller, and for all
 * callers who see the same of it.
 */
export class ListFilter {
  readonly #gate: PolicyGate
  readonly #views = new WeakMap<CatalogEntry, Map<string, CatalogEntry>>()
  #own = new WeakMap<Principal, WeakMap<CatalogEntry, CatalogEntry>>()
  #generation = 0

  constructor(gate: PolicyGate) {
    this.#gate = gate
  }

  /** At once, if policy needs no time. */
  apply(principal: Principal, entry: CatalogEntry): CatalogEntry | Promise<CatalogEntry> {
    if (this.#generation !== this.#gate.generation) {
      this.#own = new WeakMap()
      this.#generation = this.#gate.generation
    }
    const known = this.#own.get(principal)?.get(entry)
    if (known !== undefined) return known
    const generation = this.#generation
    const verdicts = this.decide(principal, entry.server, listOfKind(entry.kind), this.#namesOf(entry))
    return whenAll(verdicts, (decided) => {
      const view = this.#view(entry, decided)
      const lasting =
        generation === this.#gate.generation && !decided.some(({ volatile }) => volatile === true)
      if (lasting) this.#keep(principal, entry, view)
      return view
    })
  }

  /** @param names the server's own */
  decide(
    principal: Principal,
    server: string,
    list: ListKind,
    names: readonly string[],
  ): readonly (Verdict | Promise<Verdict>)[] {
    const kind = targetKindOf(list)
    return names.map((name) => this.#gate.decide(principal, server, kind, name))
  }

  #namesOf({ kind, definitions, names }: CatalogEntry): readonly string[] {
    const list = listOfKind(kind)
    const member = nameMemberOf(list)
    return definitions.map((definition) => {
      const shown = nameIn(definition, member)
      return list.named ? (names.get(shown) ?? '') : shown
    })
  }

  #view(entry: CatalogEntry, decided: readonly Verdict[]): CatalogEntry {
    const seen = decided.map((verdict) => (isShown(verdict) ? '1' : '0')).join('')
    const views = this.#views.get(entry) ?? new Map<string, CatalogEntry>()
    this.#views.set(entry, views)
    const known = views.get(seen)
    if (known !== undefined) return known
    const definitions = entry.definitions.filter((_, index) => seen[index] === '1')
    const json = definitions.map((definition) => JSON.stringify(definition)).join(',')
    const view = { ...entry, definitions, json, isPublic: false }
    if (views.size < MOST_VIEWS) views.set(seen, view)
    return view
  }

  #keep(principal: Principal, entry: CatalogEntry, view: CatalogEntry): void {
    const own = this.#own.get(principal) ?? new WeakMap<CatalogEntry, CatalogEntry>()
    this.#own.set(principal, own)
    own.set(entry, view)
  }
}

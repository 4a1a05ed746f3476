import type { ServerDefinition } from '../server-definition.ts'
import type { ServerRegistry } from '../server-registry.ts'

export interface MemoryServerRegistry extends ServerRegistry {
  /** Replaces the whole set of servers and tells everyone who watches. */
  replace(servers: Readonly<Record<string, ServerDefinition>>): void
}

/** A registry that is filled by the application. */
export function createMemoryServerRegistry(
  servers: Readonly<Record<string, ServerDefinition>> = {},
): MemoryServerRegistry {
  let current = new Map(Object.entries(servers))
  const listeners = new Set<() => void>()
  return {
    list: () => new Map(current),
    watch(listener) {
      const own = () => listener()
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    replace(next) {
      current = new Map(Object.entries(next))
      for (const listener of listeners) listener()
    },
  }
}

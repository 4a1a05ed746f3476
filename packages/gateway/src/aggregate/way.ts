import { principalKey } from '@sallyport/core'
import type { CarrierSource } from '../call/call.ts'
import type { Flow } from '../call/flow.ts'
import type { LegacySession } from '../legacy/legacy-session.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Asker } from './catalog.ts'

/** How calls of one caller get to servers. */
export interface Way {
  readonly asker: () => Asker
  readonly carriers: (upstream: Upstream) => CarrierSource
  readonly session: LegacySession | undefined
}

/** What a cursor is bound to. */
export function cursorBinding(flow: Flow): string {
  return JSON.stringify([principalKey(flow.context.principal), flow.method])
}

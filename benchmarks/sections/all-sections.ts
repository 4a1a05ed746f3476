import { childRestarts } from './child-restarts.ts'
import { hangingNeighbour } from './hanging-neighbour.ts'
import { eventStreamAnswers, largeAnswers } from './http-answers.ts'
import { httpJson, httpModern } from './http-json.ts'
import { httpPeers } from './http-peers.ts'
import { idleSessions } from './idle-sessions.ts'
import { manyCalls } from './many-calls.ts'
import { openLoop } from './open-loop.ts'
import type { Section } from './section.ts'
import { startUp } from './start-up.ts'
import { stdioBridges } from './stdio-bridges.ts'
import { toolList } from './tool-list.ts'

/** In the order in which they run and are shown. */
export const allSections: readonly Section[] = [
  httpJson(16),
  httpJson(64),
  httpModern,
  openLoop(400, 32, 1),
  openLoop(1000, 64, 2),
  eventStreamAnswers,
  largeAnswers,
  stdioBridges(16),
  stdioBridges(64),
  httpPeers(16),
  httpPeers(64),
  toolList,
  startUp,
  hangingNeighbour,
  idleSessions,
  manyCalls,
  childRestarts,
]

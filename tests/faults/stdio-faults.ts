import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Outcome } from './caller.ts'

/** One way in which a server process goes wrong. To add one, add an entry. */
export interface StdioFault {
  /** What it does, as the end of the sentence "a server that …". */
  readonly that: string
  /** Runs in the server, with the response that a good server would give. */
  readonly act: (answer: object) => unknown
  /** What its caller gets to see. */
  readonly outcome: Partial<Outcome>
  /** The call takes as long as its time limit, so neighbours have time to be harmed. */
  readonly lasts?: true
}

const timedOut = { code: 'ERR_UPSTREAM_TIMEOUT', retrySafe: false }
const broken = { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false }

export const STDIO_FAULTS: readonly StdioFault[] = [
  { that: 'never answers', act: () => {}, outcome: timedOut, lasts: true },
  { that: 'ends when it is called', act: () => process.exit(7), outcome: broken },
  { that: 'ends as if all were well', act: () => process.exit(0), outcome: broken },
  { that: 'is killed during a call', act: () => process.kill(process.pid, 'SIGKILL'), outcome: broken },
  {
    that: 'closes its output and stays',
    act: async () => {
      process.stdout.destroy()
      // Node does not close this one by itself
      await import('node:fs').then(({ closeSync }) => closeSync(1))
      setInterval(() => {}, 1_000)
    },
    outcome: broken,
  },
  {
    that: 'stops reading',
    act: () => {
      process.stdin.pause()
      setInterval(() => {}, 1_000)
    },
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'floods with notifications',
    act: () =>
      flood(
        `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 1 } })}\n`.repeat(
          100,
        ),
        300,
      ),
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'floods its error stream',
    act: (answer) => {
      for (let count = 0; count < 500; count++) process.stderr.write(`${'trouble '.repeat(1_000)}\n`)
      say(answer)
    },
    outcome: { text: 'did %' },
  },
  {
    that: 'writes to its error stream without a line break',
    act: (answer) => {
      for (let count = 0; count < 500; count++) process.stderr.write('trouble '.repeat(1_000))
      say(answer)
    },
    outcome: { text: 'did %' },
  },
  {
    that: 'writes 100 MB without a line break',
    act: () => flood('x'.repeat(65_536), 1_600),
    outcome: broken,
  },
  {
    that: 'answers with 100 MB',
    act: async () => {
      process.stdout.write('{"jsonrpc":"2.0","id":1,"result":"')
      await flood('x'.repeat(65_536), 1_600)
      process.stdout.write('"}\n')
    },
    outcome: broken,
  },
  {
    that: 'drips its answer, a byte at a time',
    act: async (answer) => {
      for (const byte of JSON.stringify(answer)) {
        process.stdout.write(byte)
        await delay(100)
      }
      process.stdout.write('\n')
    },
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'talks to people before it answers',
    act: (answer) => {
      process.stdout.write('Server ready!\n\n<html>\n{"jsonrpc":"2.0",\n[]\n[[]]\n{}\nnull\n')
      writeSync(1, Buffer.from([0xff, 0xfe, 0x22, 0x0a]))
      say(answer)
    },
    outcome: { text: 'did %' },
  },
  {
    that: 'answers with invalid JSON',
    act: (answer) => process.stdout.write(`${JSON.stringify(answer).slice(0, -5)}\n`),
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'answers with bytes that are no UTF-8',
    act: (answer) =>
      writeSync(
        1,
        Buffer.concat([
          Buffer.from(JSON.stringify(answer).slice(0, -4)),
          Buffer.from([0xff, 0x22]),
          Buffer.from('}]}}\n'),
        ]),
      ),
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'answers requests that nobody made, then this one, twice',
    act: (answer) => {
      for (const id of [null, 'x', -1, 1e9, 0]) say({ ...answer, id })
      say(answer)
      say({ ...answer, result: { content: [{ type: 'text', text: 'late' }] } })
    },
    outcome: { text: 'did %' },
  },
  {
    that: 'changes its lists all the time during a call',
    act: (answer) => {
      for (let count = 0; count < 500; count++)
        say({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' })
      say(answer)
    },
    outcome: { text: 'did %' },
  },
]

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** As fast as it is read, so often. */
async function flood(text: string, times: number): Promise<void> {
  for (let count = 0; count < times; count++) {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain')
  }
}

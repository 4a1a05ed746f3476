import { type IncomingHttpHeaders, type IncomingMessage, request, type RequestOptions } from 'node:http'
import { connect } from 'node:net'

/** An HTTP client that hides nothing and corrects nothing: what a test writes is what goes out. */

export interface Outgoing {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string | Uint8Array
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body, parsed; `undefined` if it is empty. */
  readonly json: unknown
}

export async function send(url: string, outgoing: Outgoing = {}): Promise<Answer> {
  const { incoming } = await open(url, outgoing)
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(Buffer.from(chunk))
  const text = Buffer.concat(chunks).toString()
  const isJson = text !== '' && /json/.test(incoming.headers['content-type'] ?? '')
  const json: unknown = isJson ? JSON.parse(text) : undefined
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, text, json }
}

/** Resolves when the head of the answer is there. `abort` hangs up. */
export function open(
  url: string,
  { method = 'POST', headers = {}, body }: Outgoing,
): Promise<{ readonly incoming: IncomingMessage; abort(): void }> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions = { method, headers: { ...headers }, agent: false }
    const outgoing = request(url, options, (incoming) =>
      resolve({ incoming, abort: () => outgoing.destroy() }),
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** Writes bytes to a port and gives back all that comes until the other side closes. */
export function sendRaw(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    socket.write(bytes)
  })
}

export interface ReadEvent {
  readonly id: string | undefined
  readonly retry: string | undefined
  readonly data: string
  /** The data, parsed; `undefined` if it is empty. */
  readonly json: unknown
}

export interface EventReader {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** The next event, or `undefined` when the stream has ended. */
  next(): Promise<ReadEvent | undefined>
  /** The next event that holds a message. */
  message(): Promise<ReadEvent | undefined>
  /** Stops taking bytes. */
  pause(): void
  hangUp(): void
}

/** Reads an event stream. */
export async function openEvents(url: string, outgoing: Outgoing): Promise<EventReader> {
  const { incoming, abort } = await open(url, outgoing)
  const events: ReadEvent[] = []
  const waiting: (() => void)[] = []
  let rest = ''
  let ended = false
  const wake = () => {
    for (const proceed of waiting.splice(0)) proceed()
  }
  incoming.setEncoding('utf8')
  incoming.on('data', (chunk: string) => {
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string) =>
        block
          .split('\n')
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).replace(/^ /, ''))
          .join('\n')
      const has = (name: string) => block.split('\n').some((line) => line.startsWith(`${name}:`))
      if (!has('data') && !has('retry')) continue
      const data = field('data')
      const json: unknown = data === '' ? undefined : JSON.parse(data)
      events.push({
        id: has('id') ? field('id') : undefined,
        retry: has('retry') ? field('retry') : undefined,
        data,
        json,
      })
    }
    wake()
  })
  incoming.on('error', () => {})
  incoming.on('close', () => {
    ended = true
    wake()
  })
  const next = async (): Promise<ReadEvent | undefined> => {
    for (;;) {
      const event = events.shift()
      if (event !== undefined || ended) return event
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    next,
    async message() {
      for (;;) {
        const event = await next()
        if (event === undefined || event.json !== undefined) return event
      }
    },
    pause: () => void incoming.pause(),
    hangUp: abort,
  }
}

/** What stands at a path inside a JSON value; `undefined` where there is nothing. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let current = value
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return undefined
    current = Object.getOwnPropertyDescriptor(current, key)?.value
  }
  return current
}

/** Waits until something holds, and says what did not if it takes too long. */
export async function until(condition: () => boolean, what: string, limitMs = 5_000): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`still not: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

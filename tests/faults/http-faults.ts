import { once } from 'node:events'
import type { Outcome } from './caller.ts'
import type { Exchange } from './servers/http-server.ts'

/** One way in which a server that is reached over HTTP goes wrong. To add one, add an entry. */
export interface HttpFault {
  /** What it does, as the end of the sentence "a server that …". */
  readonly that: string
  readonly act: (exchange: Exchange) => void
  /** What its caller gets to see. */
  readonly outcome: Partial<Outcome>
  /** The call takes as long as its time limit, so neighbours have time to be harmed. */
  readonly lasts?: true
  /** The caller loses interest after so many notifications. */
  readonly patience?: number
}

const json = { 'content-type': 'application/json' }
const events = { 'content-type': 'text/event-stream' }
const html = { 'content-type': 'text/html' }
const changed = { jsonrpc: '2.0', method: 'notifications/tools/list_changed' }

const timedOut = { code: 'ERR_UPSTREAM_TIMEOUT', retrySafe: false }
const broken = { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false }
const nonsense = { code: 'ERR_UPSTREAM_PROTOCOL', retrySafe: false }

export const HTTP_FAULTS: readonly HttpFault[] = [
  { that: 'accepts a call and never answers', act: () => {}, outcome: timedOut, lasts: true },
  {
    that: 'sends the head of an answer, and nothing more',
    act: ({ response }) => response.writeHead(200, json).flushHeaders(),
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'stops in the middle of an event stream',
    act: ({ response }) => response.writeHead(200, events).write(event(notice(1))),
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'drips a body, a byte at a time',
    act({ response, answer, closed }) {
      response.writeHead(200, json)
      drip(JSON.stringify(answer).repeat(10), (byte) => response.write(byte), closed)
    },
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'drips an event, a byte at a time',
    act({ response, answer, closed }) {
      response.writeHead(200, events)
      drip(`data: ${JSON.stringify(answer).repeat(10)}`, (byte) => response.write(byte), closed)
    },
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'drips headers, a byte at a time',
    act: ({ socket, closed }) =>
      drip(`HTTP/1.1 200 OK\r\nX-Slow: ${'x'.repeat(1_000)}`, (byte) => socket.write(byte), closed),
    outcome: timedOut,
    lasts: true,
  },
  {
    that: 'floods the caller with notifications',
    act: ({ response, closed }) => {
      response.writeHead(200, events)
      void flood(event(notice(1)).repeat(100), response, closed)
    },
    outcome: { code: 'withdrawn' },
    patience: 2_000,
  },
  { that: 'answers with a page of HTML', act: body('<html>It works!</html>', html), outcome: nonsense },
  { that: 'answers with nothing', act: body('', json), outcome: nonsense },
  { that: 'answers with invalid JSON', act: body('{"jsonrpc":"2.0",', json), outcome: nonsense },
  {
    that: 'answers with half a message',
    act: ({ response, answer }) => response.writeHead(200, json).end(JSON.stringify(answer).slice(0, -10)),
    outcome: nonsense,
  },
  {
    that: 'answers with bytes that are no UTF-8',
    act: body(Buffer.from([0xff, 0xfe, 0xfd]), json),
    outcome: nonsense,
  },
  {
    that: 'answers with a content type that is not its own',
    act: ({ response, answer }) =>
      response.writeHead(200, { 'content-type': 'text/plain' }).end(JSON.stringify(answer)),
    outcome: { text: expectedText('%') },
  },
  {
    that: 'answers with 100 MB',
    act: ({ response, closed }) => {
      response.writeHead(200, json).write('{"jsonrpc":"2.0","result":"')
      void flood('x'.repeat(65_536), response, closed, 1_600)
    },
    outcome: nonsense,
  },
  {
    that: 'sends an event of 100 MB',
    act: ({ response, closed }) => {
      response.writeHead(200, events).write('data: "')
      void flood('x'.repeat(65_536), response, closed, 1_600)
    },
    outcome: nonsense,
  },
  {
    that: 'answers some other request',
    act: ({ response, answer }) =>
      response.writeHead(200, json).end(JSON.stringify({ ...answer, id: 'of somebody else' })),
    outcome: nonsense,
  },
  {
    that: 'answers without saying which request',
    act: ({ response, answer }) => response.writeHead(200, json).end(JSON.stringify({ ...answer, id: null })),
    outcome: { text: expectedText('%') },
  },
  {
    that: 'answers twice',
    act: ({ response, answer }) =>
      response.writeHead(200, events).end(event(answer) + event({ ...answer, result: { late: true } })),
    outcome: { text: expectedText('%') },
  },
  {
    that: 'changes its lists all the time during a call',
    act: ({ response, answer }) =>
      response.writeHead(200, events).end(event(changed).repeat(500) + event(answer)),
    outcome: { text: expectedText('%') },
  },
  { that: 'resets the connection', act: ({ socket }) => void socket.resetAndDestroy(), outcome: broken },
  {
    that: 'resets the connection in the middle of its answer',
    act: ({ response, socket }) => {
      response.writeHead(200, { ...json, 'content-length': 1_000 })
      response.write('{"jsonrpc"', () => socket.resetAndDestroy())
    },
    outcome: broken,
  },
  {
    that: 'closes the connection after its answer without a word',
    act: ({ response, answer, socket }) =>
      response.writeHead(200, json).end(JSON.stringify(answer), () => socket.destroy()),
    outcome: { text: expectedText('%') },
  },
  { that: 'answers HTTP 500', act: status(500), outcome: nonsense },
  { that: 'answers HTTP 502', act: status(502), outcome: broken },
  {
    that: 'answers HTTP 503 and says when to come back',
    act: status(503, { 'retry-after': '1' }),
    outcome: { ...broken, retryAfterMs: 1_000 },
  },
  {
    that: 'answers HTTP 429 and says when to come back',
    act: status(429, { 'retry-after': '1' }),
    outcome: { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true, retryAfterMs: 1_000 },
  },
  { that: 'redirects to itself', act: status(307, { location: '/mcp' }), outcome: nonsense },
  {
    that: 'sends headers without end',
    act: ({ socket }) =>
      void socket.write(`HTTP/1.1 200 OK\r\n${`X-Pad: ${'x'.repeat(1_000)}\r\n`.repeat(1_000)}`),
    outcome: broken,
  },
  {
    that: 'speaks something else than HTTP',
    act: ({ socket }) => void socket.end('220 mail.example.com ESMTP\r\n'),
    outcome: broken,
  },
]

/** What the faulty server's good answer says; `%` stands for the name of the tool. */
export function expectedText(tool: string): string {
  return `did ${tool}`
}

function notice(data: number): object {
  return { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data } }
}

function event(message: object): string {
  return `data: ${JSON.stringify(message)}\n\n`
}

function body(content: string | Buffer, headers: Record<string, string>): HttpFault['act'] {
  return ({ response }) => response.writeHead(200, headers).end(content)
}

function status(code: number, headers: Record<string, string> = {}): HttpFault['act'] {
  return ({ response }) => response.writeHead(code, headers).end('<p>no</p>')
}

function drip(text: string, write: (byte: string) => void, closed: Promise<unknown>): void {
  let position = 0
  const timer = setInterval(() => write(text[position++] ?? ' '), 100)
  void closed.then(() => clearInterval(timer))
}

/** Writes as fast as it is read, so often or until nobody reads any more. */
async function flood(
  text: string,
  response: Exchange['response'],
  closed: Promise<unknown>,
  times = Number.POSITIVE_INFINITY,
): Promise<void> {
  let open = true
  void closed.then(() => {
    open = false
  })
  for (let count = 0; open && count < times; count++) {
    if (!response.write(text)) await Promise.race([once(response, 'drain'), closed])
  }
  response.end()
}

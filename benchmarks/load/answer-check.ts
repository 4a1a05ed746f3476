import { eventsOf } from './event-stream.ts'

/** What the answer to one call must be. A check returns what is wrong, or undefined. */
export type Expectation =
  | { kind: 'echo'; id: number; message: string; paddingBytes: number }
  | { kind: 'tools'; id: number; toolCount: number }

/** Above this an answer is compared as bytes: parsing it would cost the generator more than serving it costs a server. */
const parsedBytesLimit = 16 * 1024
const paddings = new Map<number, Buffer>()

/** The filler an upstream with padding appends to what it echoes. */
export function padding(bytes: number): Buffer {
  let filler = paddings.get(bytes)
  if (!filler) {
    filler = Buffer.alloc(bytes, 'sallyport ')
    paddings.set(bytes, filler)
  }
  return filler
}

export function checkBody(
  body: Buffer,
  isEventStream: boolean,
  expectation: Expectation,
): string | undefined {
  if (expectation.kind === 'echo' && expectation.paddingBytes > parsedBytesLimit)
    return checkLargeEcho(body, expectation)
  const text = body.toString()
  if (!isEventStream) return checkMessage(text, expectation)
  for (const { data } of eventsOf(text)) {
    // Progress and log messages may come before the answer; an answer is what has no method.
    const problem = checkMessage(data, expectation)
    if (problem === undefined || !data.includes('"method"')) return problem
  }
  return 'the event stream ended without an answer'
}

export function checkMessage(text: string, expectation: Expectation): string | undefined {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    return `not JSON: ${excerpt(text)}`
  }
  if (!isRecord(answer) || answer.id !== expectation.id)
    return `answer with another id than ${expectation.id}: ${excerpt(text)}`
  const { result } = answer
  if (!isRecord(result) || result.isError === true) return `not a successful result: ${excerpt(text)}`
  if (expectation.kind === 'tools') {
    const found = Array.isArray(result.tools) ? result.tools.length : 0
    return found === expectation.toolCount ? undefined : `${found} tools, not ${expectation.toolCount}`
  }
  const content: unknown = Array.isArray(result.content) ? result.content[0] : undefined
  const echoed = isRecord(content) ? content.text : undefined
  const expected =
    expectation.paddingBytes === 0
      ? expectation.message
      : expectation.message + padding(expectation.paddingBytes).toString('latin1')
  return echoed === expected ? undefined : `not the echo of ${expectation.message}: ${excerpt(text)}`
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkLargeEcho(
  body: Buffer,
  expectation: { id: number; message: string; paddingBytes: number },
): string | undefined {
  const start = body.indexOf(`"${expectation.message}`)
  if (start < 0) return `not the echo of ${expectation.message}: ${excerpt(body.toString('latin1', 0, 300))}`
  const fillerStart = start + 1 + expectation.message.length
  const fillerEnd = fillerStart + expectation.paddingBytes
  const filler = padding(expectation.paddingBytes)
  if (body.compare(filler, 0, filler.length, fillerStart, fillerEnd) !== 0 || body[fillerEnd] !== 0x22) {
    return `the filler after ${expectation.message} is not what was sent`
  }
  const around = body.toString('latin1', 0, start) + body.toString('latin1', fillerEnd)
  if (!new RegExp(`"id":\\s?${expectation.id}[,}]`).test(around))
    return `answer with another id than ${expectation.id}`
  return undefined
}

function excerpt(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

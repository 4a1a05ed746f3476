import { parseArgs } from 'node:util'
import { type Era, createEchoProtocol, failure } from './echo-protocol.ts'

/** The echo server over stdio. `--era legacy|modern|both --padding BYTES --tools N` */
const { values } = parseArgs({
  options: {
    era: { type: 'string', default: 'both' },
    padding: { type: 'string', default: '0' },
    tools: { type: 'string', default: '1' },
  },
})
const era: Era = values.era === 'legacy' || values.era === 'modern' ? values.era : 'both'
const respond = createEchoProtocol({
  era,
  paddingBytes: Number(values.padding),
  toolCount: Number(values.tools),
})
let rest = ''

process.stdin.setEncoding('utf8')
process.stdin.on('data', (chunk: string) => {
  const lines = (rest + chunk).split('\n')
  rest = lines.pop() ?? ''
  // All that came in one read is answered in one write.
  let answers = ''
  for (const line of lines) {
    if (line.trim() !== '') answers += answerTo(line)
  }
  if (answers !== '') process.stdout.write(answers)
})
process.stdin.on('end', () => process.exit())

function answerTo(line: string): string {
  let message: unknown
  try {
    message = JSON.parse(line)
  } catch {
    return `${failure(null, -32700, 'Parse error', 400).text}\n`
  }
  const answer = respond(message)
  return answer ? `${answer.text}\n` : ''
}

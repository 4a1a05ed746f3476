export interface ServerSentEvent {
  event: string
  data: string
}

/** The events of a finished event stream (HTML Living Standard, section 9.2.6), those without data left out. */
export function eventsOf(text: string): ServerSentEvent[] {
  const events: ServerSentEvent[] = []
  const reader = createEventReader((event) => events.push(event))
  reader(text.endsWith('\n') ? `${text}\n` : `${text}\n\n`)
  return events
}

/** Takes a stream's text piece by piece and reports each complete event. */
export function createEventReader(onEvent: (event: ServerSentEvent) => void): (text: string) => void {
  let rest = ''
  let event = 'message'
  let data: string[] = []
  return (text) => {
    rest += text
    let start = 0
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', start)) {
      const line = rest.slice(start, rest[end - 1] === '\r' ? end - 1 : end)
      start = end + 1
      if (line === '') {
        const joined = data.join('\n')
        if (joined !== '') onEvent({ event, data: joined })
        event = 'message'
        data = []
      } else if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5))
      else if (line.startsWith('event:')) event = line.slice(line[6] === ' ' ? 7 : 6)
    }
    rest = rest.slice(start)
  }
}

import type { EventStore, JSONRPCMessage } from '@modelcontextprotocol/server'

const eventsPerStream = 1000

/**
 * Keeps the events of one legacy session for replay after `Last-Event-ID`. An id is `<stream>.<number>`, so a replay
 * needs no index of ids and ids stay unique within the session.
 */
export function createEventStore(): EventStore {
  const streams = new Map<string, { next: number; events: { sequence: number; message: JSONRPCMessage }[] }>()

  return {
    async storeEvent(streamId, message) {
      const stream = streams.get(streamId) ?? { next: 1, events: [] }
      streams.set(streamId, stream)
      const sequence = stream.next
      stream.next += 1
      stream.events.push({ sequence, message })
      if (stream.events.length > eventsPerStream) stream.events.shift()
      return `${streamId}.${sequence}`
    },
    async getStreamIdForEventId(eventId) {
      const { streamId } = parse(eventId)
      return streams.has(streamId) ? streamId : undefined
    },
    async replayEventsAfter(lastEventId, { send }) {
      const { streamId, sequence: last } = parse(lastEventId)
      for (const { sequence, message } of streams.get(streamId)?.events ?? []) {
        // The priming event that opens a stream is stored as an empty object; it is not a message.
        if (sequence > last && Object.keys(message).length > 0) await send(`${streamId}.${sequence}`, message)
      }
      return streamId
    },
  }
}

function parse(eventId: string): { streamId: string; sequence: number } {
  const dot = eventId.lastIndexOf('.')
  return { streamId: eventId.slice(0, dot), sequence: Number(eventId.slice(dot + 1)) }
}

import {
  type McpServer,
  type Resource,
  ResourceTemplate,
  type ResourceTemplateType,
} from '@modelcontextprotocol/server'
import { samplePng } from './media-samples.ts'
import type { UpstreamState } from './upstream-state.ts'

interface FixtureResource {
  uri: string
  name: string
  description: string
  mimeType: string
  content: { text: string } | { blob: string }
}

const fixtureResources: FixtureResource[] = [
  {
    uri: 'test://static-text',
    name: 'static-text',
    description: 'A text that never changes',
    mimeType: 'text/plain',
    content: { text: 'This is the content of the static text resource.' },
  },
  {
    uri: 'test://static-binary',
    name: 'static-binary',
    description: 'An image that never changes',
    mimeType: 'image/png',
    content: { blob: samplePng },
  },
  {
    uri: 'test://watched-resource',
    name: 'watched-resource',
    description: 'To subscribe to; touch_resource announces an update of it',
    mimeType: 'text/plain',
    content: { text: 'Watched resource content' },
  },
]

const template = {
  uriTemplate: 'test://template/{id}/data',
  name: 'template',
  description: 'Any id gives a resource',
  mimeType: 'application/json',
} satisfies ResourceTemplateType

export function registerResources(server: McpServer, state: UpstreamState): void {
  for (const { uri, name, content, ...metadata } of fixtureResources) {
    server.registerResource(name, uri, metadata, () => ({
      contents: [{ uri, mimeType: metadata.mimeType, ...content }],
    }))
  }
  const { uriTemplate, name, ...metadata } = template
  server.registerResource(
    name,
    new ResourceTemplate(uriTemplate, { list: undefined }),
    metadata,
    (uri, { id }) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: metadata.mimeType,
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }),
        },
      ],
    }),
  )
  server.server.setRequestHandler('resources/subscribe', (request) => {
    state.subscribe(server, request.params.uri)
    return {}
  })
  server.server.setRequestHandler('resources/unsubscribe', (request) => {
    state.unsubscribe(server, request.params.uri)
    return {}
  })
}

export function resourceDefinitions(): Resource[] {
  return fixtureResources.map(({ content: _content, ...definition }) => definition)
}

export function resourceTemplateDefinitions(): ResourceTemplateType[] {
  return [template]
}

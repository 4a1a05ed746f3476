import { samplePng, sampleWav } from '../media-samples.ts'
import { type FixtureTool, noArguments, text } from './fixture-tool.ts'

/** Outside the schema literal because the schema type does not know the annotation (2026-07-28, tools). */
const mirroredRegion = { type: 'string', 'x-mcp-header': 'Region' } as const

/** Each kind of content a tool may return. The names are those the official conformance suite calls. */
export const contentTools: FixtureTool[] = [
  {
    // Listed first on purpose: the suite calls the first tool without arguments and expects it to succeed.
    name: 'test_simple_text',
    description: 'Returns one text block',
    inputSchema: noArguments,
    call: () => text('This is a simple text response for testing.'),
  },
  {
    name: 'test_image_content',
    description: 'Returns one image block',
    inputSchema: noArguments,
    call: () => ({ content: [{ type: 'image', data: samplePng, mimeType: 'image/png' }] }),
  },
  {
    name: 'test_audio_content',
    description: 'Returns one audio block',
    inputSchema: noArguments,
    call: () => ({ content: [{ type: 'audio', data: sampleWav, mimeType: 'audio/wav' }] }),
  },
  {
    name: 'test_embedded_resource',
    description: 'Returns one embedded resource',
    inputSchema: noArguments,
    call: () => ({
      content: [
        {
          type: 'resource',
          resource: {
            uri: 'test://embedded-resource',
            mimeType: 'text/plain',
            text: 'This is an embedded resource content.',
          },
        },
      ],
    }),
  },
  {
    name: 'test_multiple_content_types',
    description: 'Returns text, an image and an embedded resource in one answer',
    inputSchema: noArguments,
    call: () => ({
      content: [
        { type: 'text', text: 'Multiple content types test:' },
        { type: 'image', data: samplePng, mimeType: 'image/png' },
        {
          type: 'resource',
          resource: {
            uri: 'test://mixed-content-resource',
            mimeType: 'application/json',
            text: '{"test":"data","value":123}',
          },
        },
      ],
    }),
  },
  {
    name: 'test_error_handling',
    description: 'Fails, as a tool error rather than a protocol error',
    inputSchema: noArguments,
    call: () => {
      throw new Error('This tool intentionally returns an error for testing')
    },
  },
  {
    name: 'json_schema_2020_12_tool',
    description: 'Declares an input schema that uses the JSON Schema 2020-12 vocabulary',
    inputSchema: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      $defs: {
        address: {
          $anchor: 'addressDef',
          type: 'object',
          properties: { street: { type: 'string' }, city: { type: 'string' } },
        },
      },
      properties: {
        name: { type: 'string' },
        address: { $ref: '#/$defs/address' },
        contactMethod: { type: 'string', enum: ['phone', 'email'] },
        phone: { type: 'string' },
        email: { type: 'string' },
      },
      allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
      if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
      // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
      then: { required: ['phone'] },
      else: { required: ['email'] },
      additionalProperties: false,
    },
    call: (call) => text(`Called with ${JSON.stringify(call.arguments)}`),
  },
  {
    name: 'test_x_mcp_header',
    description: 'Has an argument that modern HTTP clients must mirror into the Mcp-Param-Region header',
    inputSchema: {
      type: 'object',
      properties: {
        region: mirroredRegion,
        level: { type: 'integer' },
      },
    },
    call: (call) => text(`region=${JSON.stringify(call.arguments.region ?? null)}`),
  },
]

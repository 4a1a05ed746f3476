import { describe, expect, it } from 'vitest'
import { needsWrapping, wrappedSchema } from '../../src/translate/legacy-on-modern/output-schema.ts'

describe('an output schema for clients that know objects only', () => {
  it.each<[unknown, boolean]>([
    [undefined, false],
    [{ type: 'object' }, false],
    [{ type: 'array' }, true],
    [{ type: ['object', 'null'] }, true],
    [{ anyOf: [{ type: 'object' }] }, true],
    [true, true],
  ])('%j is wrapped: %s', (schema, wraps) => {
    expect(needsWrapping(schema)).toBe(wraps)
  })

  it('keeps every pointer pointing at what it pointed at', () => {
    const schema = {
      anyOf: [
        { $ref: '#/$defs/a' },
        { $ref: '#' },
        { $ref: '#anchor' },
        { $ref: 'https://example.com/#/x' },
        { $dynamicRef: '#/$defs/a' },
        { default: { $ref: '#/$defs/a' } },
        { properties: { default: { $ref: '#' }, $ref: { type: 'string' } } },
        { $id: 'https://example.com/own', items: { $ref: '#/x' } },
      ],
      $defs: { a: { enum: [{ $ref: '#' }] } },
    }
    expect(wrappedSchema(schema)).toEqual({
      type: 'object',
      required: ['result'],
      properties: {
        result: {
          anyOf: [
            { $ref: '#/properties/result/$defs/a' },
            { $ref: '#/properties/result' },
            { $ref: '#anchor' },
            { $ref: 'https://example.com/#/x' },
            { $dynamicRef: '#/properties/result/$defs/a' },
            { default: { $ref: '#/$defs/a' } },
            { properties: { default: { $ref: '#/properties/result' }, $ref: { type: 'string' } } },
            { $id: 'https://example.com/own', items: { $ref: '#/x' } },
          ],
          $defs: { a: { enum: [{ $ref: '#' }] } },
        },
      },
    })
    expect(wrappedSchema(true)).toMatchObject({ properties: { result: true } })
  })

  it('is read to any depth', () => {
    let schema: object = { $ref: '#' }
    for (let depth = 0; depth < 10_000; depth++) schema = { items: schema }
    expect(wrappedSchema(schema)).toMatchObject({ type: 'object' })
  })
})

import fc from 'fast-check'

/** A JSON value as somebody may have written it down: the text, and what a reader has to find in it. */
export interface JsonText {
  readonly text: string
  /** Nesting of objects and arrays. */
  readonly depth: number
  /** Name and value of each member in the order of the text; absent unless it is an object. */
  readonly members?: readonly (readonly [name: string, value: JsonText])[]
}

const space = fc.constantFrom('', '', '', ' ', '\n', '\r\n\t', '  ')
const numberText = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.constantFrom('-0', '0.10', '1e3', '1E+2', '12345678901234567890123', '-1.50e-7'),
)
/** A character and one of the ways to spell it inside a string. */
const character = fc
  .tuple(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.integer({ min: 0, max: 3 }))
  .map(([value, spelling]) => ({ value, text: spelling === 0 ? escaped(value) : plain(value) }))

const stringText = fc.array(character, { maxLength: 6 }).map((characters) => ({
  value: characters.map(({ value }) => value).join(''),
  text: `"${characters.map(({ text }) => text).join('')}"`,
}))

/** A name, spelled plainly or with an escape somewhere. */
export function nameText(name: string): fc.Arbitrary<string> {
  return fc
    .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
    .chain((escapes) =>
      fc.constantFrom(
        JSON.stringify(name),
        JSON.stringify(name),
        `"${[...name].map((it, index) => (escapes[index] === true ? escaped(it) : plain(it))).join('')}"`,
      ),
    )
}

export const jsonText: fc.Arbitrary<JsonText> = fc.letrec<{ value: JsonText }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    scalar(),
    fc
      .tuple(fc.array(fc.tuple(space, tie('value'), space), { maxLength: 4 }), space)
      .map(([items, inner]) => ({
        text: `[${items.length === 0 ? inner : items.map(([before, item, after]) => before + item.text + after).join(',')}]`,
        depth: 1 + Math.max(0, ...items.map(([, item]) => item.depth)),
      })),
    objectText(fc.array(fc.tuple(stringText, tie('value')), { maxLength: 4 })),
  ),
})).value

/** An object whose member names are those given, each spelled some way, some of them twice. */
export function objectWith(
  members: Readonly<Record<string, fc.Arbitrary<JsonText>>>,
  others: fc.Arbitrary<string> = fc.constantFrom('a', 'jsonrpc', 'é', '__proto__', 'constructor', ''),
): fc.Arbitrary<JsonText> {
  const named = Object.entries(members).map(([name, value]) => member(name, value))
  const other = others.chain((name) => member(name, jsonText))
  return objectText(fc.array(fc.oneof(...named, ...named, other), { maxLength: 7 }))
}

function member(
  name: string,
  value: fc.Arbitrary<JsonText>,
): fc.Arbitrary<[{ value: string; text: string }, JsonText]> {
  return fc.tuple(
    nameText(name).map((text) => ({ value: name, text })),
    value,
  )
}

function scalar(): fc.Arbitrary<JsonText> {
  return fc
    .oneof(
      numberText,
      fc.constantFrom('true', 'false', 'null'),
      stringText.map(({ text }) => text),
    )
    .map((text) => ({ text, depth: 0 }))
}

function objectText(
  members: fc.Arbitrary<[{ readonly value: string; readonly text: string }, JsonText][]>,
): fc.Arbitrary<JsonText> {
  return fc.tuple(members, fc.array(space, { minLength: 4, maxLength: 4 })).map(([pairs, spaces]) => {
    const [a = '', b = '', c = '', d = ''] = spaces
    const inner = pairs.map(([name, value]) => `${a}${name.text}${b}:${c}${value.text}${d}`).join(',')
    return {
      text: `{${pairs.length === 0 ? a : inner}}`,
      depth: 1 + Math.max(0, ...pairs.map(([, value]) => value.depth)),
      members: pairs.map(([name, value]) => [name.value, value] as const),
    }
  })
}

function escaped(text: string): string {
  let result = ''
  for (let index = 0; index < text.length; index++)
    result += `\\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`
  return result
}

function plain(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

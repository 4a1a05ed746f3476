import type { ConfigIssue } from '@sallyport/core'
import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'

/** A parsed file that knows where everything stands, and collects what is wrong with it. */
export interface JsonDocument {
  readonly root: JsonNode | undefined
  readonly issues: ConfigIssue[]
  readonly warnings: ConfigIssue[]
  /** Notes a mistake at a place in the file. */
  error(path: Path, node: JsonNode, message: string): void
  warn(path: Path, node: JsonNode, message: string): void
}

export type Path = readonly (string | number)[]

/** A value at its place in the file. */
export type JsonNode = Node

export interface JsonProperty {
  readonly name: string
  readonly key: JsonNode
  readonly value: JsonNode
}

/**
 * Reads JSON with comments and trailing commas, as the configuration files of editors have them. Keys that stand twice in
 * one object are a mistake, because it depends on the reader which one counts.
 */
export function readJsonDocument(text: string): JsonDocument {
  // A byte order mark is not part of the text.
  const source = text.startsWith('\uFEFF') ? text.slice(1) : text
  const { root, errors } = parse(source)
  const locate = lineCounter(source)
  const document: JsonDocument = {
    root,
    issues: errors.map(({ message, offset }) => ({
      path: '',
      message: `not valid JSON: ${message}`,
      ...locate(offset),
    })),
    warnings: [],
    error: (path, node, message) =>
      void document.issues.push({ path: pathText(path), message, ...locate(node.offset) }),
    warn: (path, node, message) =>
      void document.warnings.push({ path: pathText(path), message, ...locate(node.offset) }),
  }
  if (root !== undefined) reportDuplicates(document, root, [], locate)
  return document
}

/** The properties of an object, of which each name counts once. */
export function propertiesOf(node: JsonNode): JsonProperty[] {
  const properties = new Map<string, JsonProperty>()
  for (const property of node.children ?? []) {
    const [key, value] = property.children ?? []
    if (typeof key?.value !== 'string' || value === undefined || properties.has(key.value)) continue
    properties.set(key.value, { name: key.value, key, value })
  }
  return [...properties.values()]
}

/** "a number", "an object": for messages, which never show the value itself. */
export function kindOf(node: JsonNode): string {
  if (node.type === 'null') return 'null'
  if (node.type === 'string' && node.value === '') return 'an empty string'
  return node.type === 'object' || node.type === 'array' ? `an ${node.type}` : `a ${node.type}`
}

function reportDuplicates(
  document: JsonDocument,
  node: JsonNode,
  path: Path,
  locate: (offset: number) => { line: number; column: number },
): void {
  if (node.type === 'array') {
    for (const [index, item] of (node.children ?? []).entries())
      reportDuplicates(document, item, [...path, index], locate)
  }
  if (node.type !== 'object') return
  const seen = new Map<string, JsonNode>()
  for (const property of node.children ?? []) {
    const [key, value] = property.children ?? []
    if (typeof key?.value !== 'string') continue
    const first = seen.get(key.value)
    const own = [...path, key.value]
    if (first === undefined) seen.set(key.value, key)
    else document.error(own, key, `stands twice; the first is in line ${locate(first.offset).line}`)
    if (value !== undefined) reportDuplicates(document, value, own, locate)
  }
}

/** `mcpServers.files.args[1]`; names that are not plain words are quoted. */
function pathText(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    if (!/^[\w-]+$/.test(part)) return `${text}[${JSON.stringify(part)}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}

function lineCounter(text: string): (offset: number) => { line: number; column: number } {
  const starts = [0]
  for (const match of text.matchAll(/\r\n|\n|\r/g)) starts.push(match.index + match[0].length)
  return (offset) => {
    const line = starts.findLastIndex((start) => start <= offset)
    return { line: line + 1, column: offset - (starts[line] ?? 0) + 1 }
  }
}

function parse(source: string): {
  root: JsonNode | undefined
  errors: { message: string; offset: number }[]
} {
  const found: ParseError[] = []
  let root: JsonNode | undefined
  try {
    root = parseTree(source, found, { allowTrailingComma: true })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return { root: undefined, errors: [{ message: 'it is nested too deeply', offset: 0 }] }
  }
  const named = found.map(({ error, offset }) => ({ name: printParseErrorCode(error), offset }))
  // After any other mistake, where the file ends is a matter of opinion.
  const own = named.filter(({ name }) => name !== 'EndOfFileExpected')
  const errors = (own.length > 0 ? own : named)
    .filter(({ offset }, index, all) => offset !== all[index - 1]?.offset)
    .map(({ name, offset }) => ({ message: syntaxMessages[name] ?? 'this cannot be read', offset }))
  return { root, errors }
}

const syntaxMessages: Readonly<Record<string, string>> = {
  InvalidSymbol: 'found a word that is not true, false, null or a quoted text',
  InvalidNumberFormat: 'found a number that is not written as JSON writes numbers',
  PropertyNameExpected: 'expected a key in double quotes',
  ValueExpected: 'expected a value',
  ColonExpected: 'expected a colon after the key',
  CommaExpected: 'expected a comma',
  CloseBraceExpected: 'expected "}"',
  CloseBracketExpected: 'expected "]"',
  EndOfFileExpected: 'expected nothing more after the last "}"',
  InvalidCommentToken: 'found a comment where none may be',
  UnexpectedEndOfComment: 'a comment does not end',
  UnexpectedEndOfString: 'a text does not end',
  UnexpectedEndOfNumber: 'a number does not end',
  InvalidUnicode: 'found \\u without four hex digits',
  InvalidEscapeCharacter: 'found a backslash before a character that cannot be escaped',
  InvalidCharacter: 'found a control character in a text; write it as \\u00XX',
}

import { isUtf8 } from 'node:buffer'

const PREFIX = '=?base64?'
const SUFFIX = '?='

/** A name or parameter as a header value (2026-07-28 streamable-http, "Value Encoding"). */
export function encodeHeaderValue(value: string): string {
  const plain = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/.test(value) || value === ''
  if (plain && !(value.startsWith(PREFIX) && value.endsWith(SUFFIX))) return value
  return `${PREFIX}${Buffer.from(value).toString('base64')}${SUFFIX}`
}

/** `undefined` if it claims to be the Base64 of a text and is not. */
export function decodeHeaderValue(header: string): string | undefined {
  if (!header.startsWith(PREFIX) || !header.endsWith(SUFFIX) || header.length < PREFIX.length + SUFFIX.length)
    return header
  const encoded = header.slice(PREFIX.length, -SUFFIX.length)
  const bytes = Buffer.from(encoded, 'base64')
  // Buffer skips what it does not know, so only what encodes back to the same text was Base64
  return bytes.toString('base64') === encoded && isUtf8(bytes) ? bytes.toString() : undefined
}

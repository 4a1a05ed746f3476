import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { ConfigError } from '@sallyport/core'

/** A new key. `key` is shown to its owner once; `id` and `hash` are what is stored. */
export interface GeneratedApiKey {
  readonly key: string
  readonly id: string
  readonly hash: string
}

/**
 * Makes a key `spk_<id>_<secret><checksum>`: the prefix lets secret scanners find it, the checksum tells a typo or a
 * look-alike from a key without asking a store. The secret has 256 random bits.
 */
export function generateApiKey(): GeneratedApiKey {
  // Lower-case hex, so that ids stay apart in a store that ignores case.
  const body = `spk_${randomBytes(8).toString('hex')}_${base62(randomBytes(32), 43)}`
  const key = `${body}${checksum(body)}`
  return { key, id: body.slice(4, 20), hash: hashApiKey(key) }
}

/**
 * What is stored in place of a key: `sha256:` and 64 hex digits. A fast hash is enough, because a key is random and long
 * and cannot be guessed like a password.
 * @throws ConfigError if it is not a key as `generateApiKey` makes them
 */
export function hashApiKey(key: string): string {
  if (apiKeyId(key) === undefined) {
    throw new ConfigError([{ path: 'key', message: 'expected an API key as generateApiKey makes them' }])
  }
  return `sha256:${createHash('sha256').update(key).digest('hex')}`
}

/** The id inside a well-formed key. */
export function apiKeyId(key: string): string | undefined {
  const match = /^(spk_([0-9a-f]{16})_[0-9A-Za-z]{43})([0-9A-Za-z]{6})$/.exec(key)
  if (match === null) return undefined
  const [, body = '', id, sum] = match
  return checksum(body) === sum ? id : undefined
}

function checksum(body: string): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(body))
  return base62(bytes, 6)
}

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

function base62(bytes: Buffer, length: number): string {
  let rest = BigInt(`0x${bytes.toString('hex')}`)
  let text = ''
  while (text.length < length) {
    text = digits.charAt(Number(rest % 62n)) + text
    rest /= 62n
  }
  return text
}

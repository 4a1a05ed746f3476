import { createHash } from 'node:crypto'

/**
 * Names on the aggregated endpoint: `<server>__<name>`, at most 64 characters of `A-Z a-z 0-9 _ -`, which is what model
 * APIs take. A name depends on its server and itself only, so that adding a server renames nothing. What does not fit is
 * shortened and carries a hash of both full names. So does a name that looks as if it carried one: whoever reads a public
 * name can tell by its end whether the server's own name stands in it.
 */
const MAX_LENGTH = 64
const MAX_SERVER_LENGTH = 24
const SEPARATOR = '__'
const HASHED = /_[0-9a-f]{8}$/

export function publicName(server: string, name: string): string {
  const clean = name.replaceAll(/[^A-Za-z0-9_-]/g, '_')
  const full = `${serverPart(server)}${SEPARATOR}${clean}`
  if (clean === name && full.length <= MAX_LENGTH && !HASHED.test(name)) return full
  const suffix = `_${hash(`${server}\0${name}`, 8)}`
  return full.slice(0, MAX_LENGTH - suffix.length) + suffix
}

/**
 * The part of a public name that tells the server. It holds no separator and does not end with a piece of one, so the first
 * separator in a public name is where it ends.
 */
export function serverPart(server: string): string {
  const clean = server.replaceAll(/[^A-Za-z0-9_-]/g, '_').replaceAll(/__+/g, '_')
  if (clean === server && clean.length <= MAX_SERVER_LENGTH && !clean.endsWith('_')) return clean
  return `${clean.slice(0, MAX_SERVER_LENGTH - 7).replace(/_+$/, '')}-${hash(server, 6)}`
}

/** True if the name may be one that had to be changed, so that only the server's list tells what it stands for. */
export function mayBeShortened(name: string): boolean {
  return /_[0-9a-f]{8}$/.test(name)
}

/** Splits a public name; `rest` is the server's own name unless that had to be changed. */
export function splitPublicName(
  name: string,
): { readonly server: string; readonly rest: string } | undefined {
  const at = name.indexOf(SEPARATOR)
  return at <= 0 ? undefined : { server: name.slice(0, at), rest: name.slice(at + SEPARATOR.length) }
}

function hash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length)
}

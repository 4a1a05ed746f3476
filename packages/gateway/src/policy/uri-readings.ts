/** How often percent-encoding is undone. */
const MOST_DECODINGS = 4

/**
 * The ways in which a server may read a URI: as it stands; as a URL parser normalizes it (case of scheme and host, dot
 * segments, control characters); with percent-encoding undone, also repeatedly; with dot segments resolved in each of these.
 * Whether a rule applies must not depend on which of them the server takes: `file:///data/%2e%2e/etc` names what is in `/etc`.
 */
export function uriReadings(uri: string): readonly string[] {
  const readings = new Set([uri])
  let current = uri
  for (let decodings = 0; decodings <= MOST_DECODINGS; decodings++) {
    readings.add(current)
    readings.add(current.normalize('NFC'))
    const slashed = current.replaceAll('\\', '/')
    readings.add(resolved(slashed))
    const parsed = URL.canParse(slashed) ? new URL(slashed).href : undefined
    if (parsed !== undefined) {
      readings.add(parsed)
      readings.add(resolved(parsed))
    }
    const decoded = decode(current)
    if (decoded === current) break
    current = decoded
  }
  return [...readings]
}

/** Undoes percent-encoding, character by character where the whole is not valid. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replaceAll(/%([0-7][0-9a-f])/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
  }
}

/** Resolves `.` and `..`, for schemes whose URLs have no path in the eyes of a URL parser as well. */
function resolved(uri: string): string {
  const [, head = '', path = '', rest = ''] = /^([^/?#]*(?:\/\/[^/?#]*)?)([^?#]*)(.*)$/s.exec(uri) ?? []
  if (!/(?:^|\/)\.\.?(?:\/|$)/.test(path)) return uri
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') kept.splice(Math.max(1, kept.length - 1))
    else if (segment !== '.') kept.push(segment)
  }
  return head + kept.join('/') + rest
}

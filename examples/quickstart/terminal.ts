// Whoever reads this may go away, as `head` does; there are still servers to be stopped and files to be removed.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

/** To standard output, at once. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

export function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`
}

/** The beginning of a text, in one line. */
export function brief(text: string, length: number): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`
}

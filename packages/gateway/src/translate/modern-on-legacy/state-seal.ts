import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16
const INSTANCE = /^sp-[\w-]{16}$/

/**
 * Seals what a `requestState` says (2026-07-28 basic/patterns/mrtr, "Server Requirements": integrity, principal, expiry,
 * originating request). AES-256-GCM; who may show the state is additional data, so one that is shown by somebody else does not open; what
 * was asked for stands inside. In front stands, readable, which process has sealed it: what waits for an answer lives in one.
 */
export class StateSeal {
  readonly #key: Buffer
  readonly #instance = `sp-${randomBytes(12).toString('base64url')}`

  /** @param key 32 bytes. Processes that are to read each other's states share one. */
  constructor(key: Buffer = randomBytes(32)) {
    this.#key = key
  }

  seal(content: string, boundTo: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce).setAAD(this.#additional(boundTo))
    const sealed = Buffer.concat([nonce, cipher.update(content), cipher.final(), cipher.getAuthTag()])
    return `${this.#instance}.${sealed.toString('base64url')}`
  }

  /** The content, or why there is none: `invalid` if it is not ours or not for this use, `elsewhere` if another process sealed it. */
  open(state: string, boundTo: string): { readonly content: string } | 'invalid' | 'elsewhere' {
    const dot = state.indexOf('.')
    const instance = state.slice(0, Math.max(0, dot))
    const text = state.slice(dot + 1)
    const bytes = Buffer.from(text, 'base64url')
    // Buffer skips what it does not know, so only what encodes back to the same text is what was issued
    if (!INSTANCE.test(instance) || bytes.toString('base64url') !== text) return 'invalid'
    if (instance !== this.#instance) return 'elsewhere'
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return 'invalid'
    try {
      const decipher = createDecipheriv(ALGORITHM, this.#key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      })
      decipher.setAAD(this.#additional(boundTo)).setAuthTag(bytes.subarray(-TAG_BYTES))
      const content = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES))
      return { content: Buffer.concat([content, decipher.final()]).toString() }
    } catch {
      return 'invalid'
    }
  }

  #additional(boundTo: string): Buffer {
    return Buffer.from(JSON.stringify(['sallyport input_required 1', this.#instance, boundTo]))
  }
}

/** Remembers a bounded number of values by the credential that proved them. */
export interface VerifiedTokens<V> {
  get(credential: string): V | undefined
  set(credential: string, value: V): void
  delete(credential: string): void
}

/**
 * Looks a credential up by its last characters, which belong to the signature, and then compares all of it: hashing
 * a whole token, be it for the map alone, costs five times as much as the rest of a hit. Two credentials with the same end
 * take each other's place. Only what was verified comes in here, so a stranger cannot fill it.
 *
 * When full, the oldest value that was not used since it last came up makes room (second chance): unlike with a
 * least-recently-used order, a hit only sets a mark and moves nothing.
 */
export function createVerifiedTokens<V>(capacity: number): VerifiedTokens<V> {
  const slots = new Map<string, Slot<V>>()

  function makeRoom(): void {
    for (const [end, slot] of slots) {
      slots.delete(end)
      if (!slot.used) return
      // Goes to the end, where this loop meets it again if all others are in use.
      slot.used = false
      slots.set(end, slot)
    }
  }

  return {
    get(credential) {
      const slot = slots.get(credential.slice(-keyLength))
      if (slot === undefined || slot.credential !== credential) return undefined
      slot.used = true
      return slot.value
    },
    set(credential, value) {
      const end = credential.slice(-keyLength)
      slots.delete(end)
      if (slots.size >= capacity) makeRoom()
      slots.set(end, { credential, value, used: false })
    },
    delete(credential) {
      slots.delete(credential.slice(-keyLength))
    },
  }
}

interface Slot<V> {
  readonly credential: string
  readonly value: V
  used: boolean
}

/** 192 bits of a signature in base64url. */
const keyLength = 32

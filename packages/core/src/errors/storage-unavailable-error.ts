import { SallyportError } from './sallyport-error.ts'

/** A store that is there but does not answer. Absence is never reported this way: it is `undefined`. */
export class StorageUnavailableError extends SallyportError {
  readonly code = 'ERR_STORAGE_UNAVAILABLE'
}

import { SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import type { EraAnswer, EraVerdict } from '../../upstream/era.ts'
import type { LegacyTransport, LegacyTransportOwner } from '../../upstream/legacy-transport.ts'
import type { MessageScan } from '../../wire/scan-message.ts'
import type { ModernSession, OpeningOutcome } from './modern-session.ts'

/** The two ways to give a legacy client a session, and what is known of the server. */
export interface EitherEra {
  readonly server: string
  readonly owner: LegacyTransportOwner
  /** How long a server may be silent about `initialize` before it is asked for its era. */
  readonly silenceMs: number
  readonly verdict: EraVerdict | undefined
  /** The server speaks the modern era, and refused `initialize` not long ago. */
  readonly refuses: boolean
  refused(): void
  /** Asks anew, beside whatever is open. */
  ask(): Promise<EraAnswer>
  passThrough(owner: LegacyTransportOwner): LegacyTransport
  translate(): ModernSession
}

/**
 * A session with a server whose eras are found out as it opens. What is passed through keeps everything that a translation has
 * to leave out, so `initialize` is tried first; a server of the modern era that refuses it is translated for, and the client
 * does not see the difference.
 */
export class EitherEraTransport implements LegacyTransport {
  readonly #ways: EitherEra
  #inner: LegacyTransport | undefined
  #trial: Trial | undefined
  #closed = false

  constructor(ways: EitherEra) {
    this.#ways = ways
    // opened here, because a server that runs too many processes already refuses at once
    if (!ways.refuses) this.#openTrial()
  }

  get speaksUnasked(): boolean {
    return this.#inner?.speaksUnasked === true
  }

  initialize(call: Call): void {
    if (this.#trial === undefined) this.#translate(call, undefined)
    else this.#trial.initialize(call)
  }

  send(call: Call): void {
    this.#inner?.send(call)
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#inner?.cancel(call, reason)
  }

  notify(message: Buffer): void {
    this.#inner?.notify(message)
  }

  respond(message: Buffer): void {
    this.#inner?.respond(message)
  }

  listen(): void {
    this.#inner?.listen()
  }

  close(keepSession?: boolean): void {
    this.#closed = true
    this.#trial?.end('over')
    this.#inner?.close(keepSession)
  }

  /**
   * The server did not open a session.
   * @param tell passes that on, if there is no other way
   */
  async refused(call: Call, tell: () => void): Promise<void> {
    this.#inner?.close()
    this.#inner = undefined
    this.#trial = undefined
    const known = this.#ways.verdict
    const verdict = known?.modern === undefined ? await this.#ways.ask() : known
    if (this.#closed) return
    if (SallyportError.isInstance(verdict) || verdict.modern === undefined) tell()
    else this.#translate(call, tell)
  }

  #openTrial(): Trial {
    const trial = new Trial(this.#ways, this)
    this.#inner = trial.transport
    this.#trial = trial
    return trial
  }

  /** @param tell passes on how the server refused `initialize`; absent if it was not tried now */
  #translate(call: Call, tell: (() => void) | undefined): void {
    const session = this.#ways.translate()
    const outcome: OpeningOutcome = {
      opened: () => {
        if (tell !== undefined) this.#ways.refused()
      },
      failed: (why) => {
        if (!this.#closed) why()
      },
      foreign: (why) => {
        if (tell === undefined) void this.#changed(call, why)
        else if (!this.#closed) tell()
      },
    }
    this.#inner = session
    session.open(call, outcome)
  }

  /** The server is not the one that refused: it may have been replaced by one of the other era. */
  async #changed(call: Call, tell: () => void): Promise<void> {
    this.#inner?.close()
    this.#inner = undefined
    const verdict = await this.#ways.ask()
    if (this.#closed) return
    if (SallyportError.isInstance(verdict) || verdict.modern !== undefined) {
      tell()
      return
    }
    try {
      this.#openTrial().initialize(call)
    } catch (error) {
      if (!SallyportError.isInstance(error)) throw error
      call.fail(error)
    }
  }
}

/** The attempt to open a session by the server's own `initialize`; once it has succeeded, the owner of that session's transport. */
class Trial implements LegacyTransportOwner {
  readonly transport: LegacyTransport
  readonly #ways: EitherEra
  readonly #host: EitherEraTransport
  #state: 'open' | 'passed' | 'over' = 'open'
  #silence: NodeJS.Timeout | undefined

  constructor(ways: EitherEra, host: EitherEraTransport) {
    this.#ways = ways
    this.#host = host
    this.transport = ways.passThrough(this)
  }

  initialize(call: Call): void {
    this.#silence = setTimeout(() => void this.#silent(call), this.#ways.silenceMs)
    this.#silence.unref()
    this.transport.initialize({
      context: call.context,
      method: call.method,
      bytes: call.bytes,
      scan: call.scan,
      edits: call.edits,
      idText: call.idText,
      headers: call.headers,
      interim: (message, scan) => call.interim(message, scan),
      pause: (retryMs) => call.pause(retryMs),
      final: (response: Buffer, scan: MessageScan, status: number) => {
        const tell = () => call.final(response, scan, status)
        if (scan.errorStart < 0) {
          if (this.end('passed')) tell()
        } else if (this.end('over')) void this.#host.refused(call, tell)
      },
      fail: (error) => {
        if (!this.end('over')) return
        if (isAway(error)) call.fail(error)
        else void this.#host.refused(call, () => call.fail(error))
      },
    })
  }

  /** False if it had ended before. */
  end(state: 'passed' | 'over'): boolean {
    clearTimeout(this.#silence)
    // it holds the message that opened the session
    this.#silence = undefined
    if (this.#state !== 'open') return false
    this.#state = state
    return true
  }

  refused(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    this.#ways.owner.refused(message, scan, call)
  }

  fromServer(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    this.#ways.owner.fromServer(message, scan, call)
  }

  sessionOpened(id: string): void {
    this.#ways.owner.sessionOpened(id)
  }

  sessionLost(call: Call | undefined): void {
    this.#ways.owner.sessionLost(call)
  }

  closed(error: SallyportError): void {
    // what ends because it was refused ends without a word
    if (this.#state === 'passed') this.#ways.owner.closed(error)
  }

  /** A server that does not know the legacy era may not answer at all; one that does may just be slow to start. */
  async #silent(call: Call): Promise<void> {
    const known = this.#ways.verdict
    const verdict = known?.modern === undefined ? await this.#ways.ask() : known
    const isModern = !SallyportError.isInstance(verdict) && verdict.modern !== undefined
    if (!isModern || !this.end('over')) return
    const silent = new UpstreamError(
      'ERR_UPSTREAM_TIMEOUT',
      this.#ways.server,
      'did not answer initialize in time',
    )
    await this.#host.refused(call, () => call.fail(silent))
  }
}

/** It says nothing about the era if a server cannot be reached, or the caller has to do something first. */
function isAway(error: SallyportError): boolean {
  if (!error.code.startsWith('ERR_UPSTREAM')) return true
  return 'retrySafe' in error && error.retrySafe === true
}

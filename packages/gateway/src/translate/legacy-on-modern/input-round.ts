import type { Call } from '../../call/call.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { notificationMessage, requestMessage } from '../../wire/json-rpc.ts'
import type { MessageScan } from '../../wire/scan-message.ts'
import type { Question } from './question.ts'

/** Where a round's questions go out, and where their answers come in. */
export interface QuestionDesk {
  /** The client gets it with the call that it belongs to. */
  tell(message: Buffer, call: Call): void
  expect(id: string, round: InputRound): void
  forget(id: string): void
}

/** Why a round has no answers. */
export interface RoundFailure {
  readonly code: number | undefined
  readonly message: string
}

export interface RoundOwner {
  /** @param responses the map of answers, as JSON text */
  answered(responses: string): void
  unanswered(failure: RoundFailure): void
}

let counter = 0

/** The questions of one `input_required` result, put to a legacy client as requests of its server. */
export class InputRound {
  readonly #desk: QuestionDesk
  readonly #call: Call
  readonly #owner: RoundOwner
  /** By the id under which they were asked. */
  readonly #open = new Map<string, Question>()
  readonly #answers = new Map<string, string>()
  readonly #timer: NodeJS.Timeout
  /** Elicitations in URL mode that the client agreed to. */
  readonly elicited: string[] = []

  constructor(
    questions: readonly Question[],
    call: Call,
    desk: QuestionDesk,
    owner: RoundOwner,
    timeoutMs: number,
  ) {
    this.#desk = desk
    this.#call = call
    this.#owner = owner
    this.#timer = setTimeout(() => this.#late(timeoutMs), timeoutMs)
    this.#timer.unref()
    for (const question of questions) {
      const id = `sallyport-ask-${++counter}`
      this.#open.set(id, question)
      desk.expect(id, this)
    }
    for (const [id, { method, params }] of [...this.#open]) {
      // an answer to an earlier one can end the round
      if (this.#open.has(id)) desk.tell(requestMessage(id, method, params), call)
    }
  }

  /** The client's response to the question with this id. */
  answer(id: string, message: Buffer, scan: MessageScan): void {
    const question = this.#open.get(id)
    if (question === undefined) return
    this.#open.delete(id)
    this.#desk.forget(id)
    const result =
      scan.resultStart < 0 ? undefined : message.toString('utf8', scan.resultStart, scan.resultEnd)
    if (result === undefined) {
      this.#fail(refusal(question, message, scan))
      return
    }
    this.#answers.set(question.key, result)
    if (question.elicitationId !== undefined && isAccepted(result)) this.elicited.push(question.elicitationId)
    if (this.#open.size > 0) return
    clearTimeout(this.#timer)
    const members = [...this.#answers].map(([key, value]) => `${JSON.stringify(key)}:${value}`)
    this.#owner.answered(`{${members.join(',')}}`)
  }

  /** Nobody needs the answers any more; the client is told so. */
  withdraw(reason: string | undefined): void {
    clearTimeout(this.#timer)
    for (const requestId of this.#open.keys()) {
      this.#desk.forget(requestId)
      const params = { requestId, ...(reason !== undefined && { reason }) }
      this.#desk.tell(notificationMessage('notifications/cancelled', params), this.#call)
    }
    this.#open.clear()
  }

  #late(timeoutMs: number): void {
    this.#fail({ code: undefined, message: `the client did not answer within ${timeoutMs} ms` })
  }

  #fail(failure: RoundFailure): void {
    this.withdraw('the call has failed')
    this.#owner.unanswered(failure)
  }
}

function refusal({ method }: Question, message: Buffer, scan: MessageScan): RoundFailure {
  const error = scan.errorStart < 0 ? undefined : parseJson(message.subarray(scan.errorStart, scan.errorEnd))
  const code = isRecord(error) && typeof error['code'] === 'number' ? error['code'] : undefined
  const text = isRecord(error) && typeof error['message'] === 'string' ? error['message'] : 'no reason given'
  return { code, message: `the client did not carry out ${method}: ${text}` }
}

function isAccepted(result: string): boolean {
  const value = parseJson(Buffer.from(result))
  return isRecord(value) && value['action'] === 'accept'
}

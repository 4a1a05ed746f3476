import type { Question } from './questions.ts'

/** Questions that wait at once, and their bytes; each is kept until it is answered. */
const MAX_QUESTIONS = 100
const MAX_BYTES = 4 * 1024 * 1024

/** The questions of a server about one call, under the keys that the client knows them by. */
export class OpenQuestions {
  readonly #questions = new Map<string, Question>()
  #asked = 0
  #bytes = 0

  get size(): number {
    return this.#questions.size
  }

  get bytes(): number {
    return this.#bytes
  }

  hasRoomFor(bytes: number): boolean {
    return this.#questions.size < MAX_QUESTIONS && this.#bytes + bytes <= MAX_BYTES
  }

  add(question: Question): void {
    this.#bytes += question.request.length
    this.#questions.set(`q${++this.#asked}`, question)
  }

  /** True if there was such a question. */
  withdraw(id: Buffer): boolean {
    for (const [key, question] of this.#questions) {
      if (!question.id.equals(id)) continue
      this.#forget(key, question)
      return true
    }
    return false
  }

  /** Members of `inputRequests`, as JSON text. From now on the client knows them. */
  show(): readonly string[] {
    return [...this.#questions].map(([key, question]) => {
      question.shown = true
      return `${JSON.stringify(key)}:${question.request}`
    })
  }

  /** Hands on what answers a question that the client knows; says whether there are others, and of which kind. */
  take(
    responses: ReadonlyMap<string, string>,
    answer: (id: Buffer, response: string) => void,
  ): { readonly unanswered: boolean; readonly unshown: boolean } {
    let [unanswered, unshown] = [false, false]
    for (const [key, question] of this.#questions) {
      const response = responses.get(key)
      if (!question.shown) unshown = true
      else if (response === undefined) unanswered = true
      else {
        this.#forget(key, question)
        answer(question.id, response)
      }
    }
    return { unanswered, unshown }
  }

  all(): readonly Question[] {
    return [...this.#questions.values()]
  }

  #forget(key: string, question: Question): void {
    this.#bytes -= question.request.length
    this.#questions.delete(key)
  }
}

import {
  type AuthenticationInput,
  type Authenticator,
  type Challenge,
  ConfigError,
  isChallenge,
  type Principal,
} from '@sallyport/core'

/**
 * Asks one authenticator after the other; the first principal wins. If nobody knows the caller, the challenge that says
 * most is returned: of equals, the first. If one of them could not be asked (it rejects), the others may still know the caller;
 * if they do not, the result rejects, since the caller might be known to the one that is silent.
 * @throws ConfigError without any authenticator
 */
export function firstOf(authenticators: readonly Authenticator[]): Authenticator {
  if (authenticators.length === 0) {
    throw new ConfigError([{ path: 'firstOf', message: 'expected at least one authenticator' }])
  }
  const metadata = merged(authenticators)
  return {
    authenticate: (input) => ask(authenticators, 0, input, undefined),
    ...(metadata === undefined ? {} : { metadata }),
  }
}

type Answer = Principal | Challenge | Failure

/** Somebody who could not be asked. */
class Failure {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/** Without a promise as long as nobody asked returns one. */
function ask(
  authenticators: readonly Authenticator[],
  index: number,
  input: AuthenticationInput,
  best: Challenge | Failure | undefined,
): Principal | Challenge | Promise<Principal | Challenge> {
  const authenticator = authenticators[index]
  if (authenticator === undefined) return conclude(best)
  const next = (answer: Answer) => {
    if (!(answer instanceof Failure) && !isChallenge(answer)) return answer
    const better = best === undefined || rank(answer) > rank(best) ? answer : best
    return ask(authenticators, index + 1, input, better)
  }
  const answer = attempt(authenticator, input)
  return answer instanceof Promise ? answer.then(next) : next(answer)
}

function attempt(authenticator: Authenticator, input: AuthenticationInput): Answer | Promise<Answer> {
  try {
    const answer = authenticator.authenticate(input)
    return answer instanceof Promise ? answer.catch((error: unknown) => new Failure(error)) : answer
  } catch (error) {
    return new Failure(error)
  }
}

function conclude(best: Challenge | Failure | undefined): Challenge {
  if (best instanceof Failure) throw best.error
  if (best === undefined) throw new TypeError('firstOf was left without an authenticator')
  return best
}

function rank(answer: Challenge | Failure): number {
  if (answer instanceof Failure) return 5
  if (answer.error !== undefined) return weight[answer.error]
  // Where a credential would help, say so rather than "you may not".
  return answer.status === 401 ? 1 : 0
}

const weight = { insufficient_scope: 4, invalid_token: 3, invalid_request: 2 } satisfies Record<
  NonNullable<Challenge['error']>,
  number
>

function merged(authenticators: readonly Authenticator[]): Authenticator['metadata'] {
  const known = authenticators.flatMap((authenticator) => authenticator.metadata ?? [])
  if (known.length === 0) return undefined
  const scopes = [...new Set(known.flatMap((one) => one.scopesSupported ?? []))]
  return {
    authorizationServers: [...new Set(known.flatMap((one) => one.authorizationServers))],
    ...(scopes.length > 0 ? { scopesSupported: scopes } : {}),
  }
}

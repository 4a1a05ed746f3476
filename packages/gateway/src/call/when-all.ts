/** `use` of all values: at once if none of them is a promise. */
export function whenAll<Value extends object, Result>(
  values: readonly (Value | Promise<Value>)[],
  use: (values: readonly Value[]) => Result,
): Result | Promise<Result> {
  const ready: Value[] = []
  for (const value of values) if (!(value instanceof Promise)) ready.push(value)
  return ready.length === values.length ? use(ready) : Promise.all(values.map(async (it) => it)).then(use)
}

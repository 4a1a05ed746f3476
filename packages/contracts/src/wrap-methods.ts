/** A stand-in for a port whose method calls go through `around`; `call` makes the real one. */
export function wrapMethods<P extends object>(
  port: P,
  around: (method: string | symbol, call: () => unknown) => unknown,
): P {
  // The stand-in inherits from the port instead of wrapping it: a proxy may not replace the methods of a frozen object.
  const standIn: P = Object.create(port)
  return new Proxy(standIn, {
    get(_, property) {
      const value: unknown = Reflect.get(port, property, port)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => around(property, () => Reflect.apply(value, port, args))
    },
  })
}

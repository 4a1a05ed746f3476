/** This package's own version, as it introduces itself to clients and servers. */
export const version = '0.1.0'

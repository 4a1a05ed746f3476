/** True if news of `uri` is for who subscribed to `wanted`: servers may name a part of it (2025-11-25 server/resources, "Subscriptions"). */
export function isWithin(uri: string, wanted: string): boolean {
  return uri === wanted || uri.startsWith(wanted.endsWith('/') ? wanted : `${wanted}/`)
}

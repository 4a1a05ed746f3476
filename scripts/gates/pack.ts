import { packAll } from './tarballs.ts'

await packAll()

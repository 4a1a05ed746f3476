// node --conditions=@sallyport/source restart-figures.ts RESTARTS: prints one line of JSON, for `npm run bench`.
import { restartChildren } from './child-restarts.ts'

const figures = await restartChildren({ restarts: Number(process.argv[2] ?? 2_000) })
process.stdout.write(`${JSON.stringify(figures)}\n`)
process.exit()

import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Client as ClientV2 } from '@modelcontextprotocol/client'
import { startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { describe, expect, it, vi } from 'vitest'
import { openV1, openV2, textOf } from './client-kinds.ts'
import { createConfigFile, gatewayArguments, startHttpGateway, startProgram } from './gateway-process.ts'
import { fixtureEntry } from './servers.ts'

const clientInfo = { name: 'sallyport-e2e', version: '1.0.0' }

describe.concurrent("a client's mcp.json", () => {
  it('works as it is [config-client-file, config-variables, minimal-environment, dead-server, ready-line]', async ({
    onTestFinished: cleanUp,
  }) => {
    const web = await startMcpUpstream()
    cleanUp(() => web.close())
    const { command, args, env } = fixtureEntry()
    const text = `{
        // written by a client
        "inputs": [],
        "mcpServers": {
          "My server": {
            "type": "stdio",
            "command": ${JSON.stringify(command)},
            "args": ["\${FIXTURE_MAIN}", "--stdio", "--name", "\${FIXTURE_NAME:-by default}"],
            "env": { ${JSON.stringify(env).slice(1, -1)}, "GIVEN_TOKEN": "\${env:TOKEN}" },
            "autoApprove": ["echo"],
          },
          "web": {
            "type": "http",
            "url": "http://127.0.0.1:\${WEB_PORT}/mcp",
            "headers": { "Authorization": "Bearer \${TOKEN}", "X-Empty": "\${UNSET:-}" },
          },
          "gone": { "command": "no-such-program-anywhere" },
          "off": { "command": "\${NOT_SET_EITHER}", "disabled": true },
        },
      }`
    const gateway = await startHttpGateway(text, {
      env: {
        FIXTURE_MAIN: args[0] ?? '',
        TOKEN: 'token-of-the-server',
        WEB_PORT: new URL(web.url).port,
        SECRET_OF_THE_GATEWAY: 'hidden',
      },
      args: ['--verbose'],
    })
    cleanUp(() => gateway.stop())

    const all = await openV1({ url: gateway.url })
    cleanUp(() => all.close())
    const { tools } = await all.listTools()
    const echoes = tools.map(({ name }) => name).filter((name) => name.endsWith('__echo'))
    expect(echoes).toEqual([expect.stringMatching(/^My_server-[0-9a-f]{6}__echo$/), 'web__echo'])
    for (const name of echoes)
      expect(textOf(await all.callTool({ name, arguments: { a: 1 } }))).toBe('{"a":1}')

    const received = JSON.parse(textOf(await all.callTool({ name: 'web__received' })))
    expect(received.headers).toMatchObject({ authorization: 'Bearer token-of-the-server', 'x-empty': '' })

    const auto = { versionNegotiation: { mode: 'auto' } } as const
    const mine = await openV2({ url: `${gateway.url}/My%20server` }, new ClientV2(clientInfo, auto))
    cleanUp(() => mine.close())
    expect(mine.getInstructions()).toContain('by default')
    const names: unknown = JSON.parse(textOf(await mine.callTool({ name: 'environment' })))
    expect(names).toContain('GIVEN_TOKEN')
    for (const hidden of ['SECRET_OF_THE_GATEWAY', 'TOKEN', 'WEB_PORT']) expect(names).not.toContain(hidden)

    expect(gateway.stdout()).toBe(`{"url":"${gateway.url}"}\n`)
    expect(gateway.stderr()).toMatch(/gone.*no program .*no-such-program-anywhere/)
  })

  it('is refused with every mistake in its place [config-mistake, config-secrets]', async () => {
    const { code, stdout, stderr, path } = await refuse(`{
  "mcpServers": {
    "typo": { "comand": "secret-value" },
    "array": { "command": "node", "args": "secret-value" },
    "both": { "command": "node", "url": "http://secret-value/" },
    "unset": { "url": "http://127.0.0.1/", "headers": { "Authorization": "Bearer \${SALLYPORT_UNSET}" } },
    "kind": { "type": "carrier-pigeon", "url": "http://127.0.0.1/" }
  }
}`)
    expect(code).toBe(1)
    expect(stdout).toBe('')
    const place = (line: number, column: number, key: string) =>
      `${path}:${line}:${column}: mcpServers.${key}: `
    const lines = stderr.trim().split('\n')
    expect(lines).toEqual(
      expect.arrayContaining([
        `${place(3, 13, 'typo')}has neither "command" nor "url"; did you mean "command" by "comand"?`,
        expect.stringMatching(startingWith(place(4, 43, 'array.args'), 'expected an array')),
        expect.stringMatching(
          startingWith(place(5, 41, 'both.url'), 'stands beside "command"; expected one'),
        ),
        expect.stringMatching(
          startingWith(place(6, 74, 'unset.headers.Authorization'), 'SALLYPORT_UNSET is not set'),
        ),
        expect.stringMatching(startingWith(place(7, 23, 'kind.type'), 'expected "stdio", "http"')),
      ]),
    )
    expect(stderr).not.toContain('secret-value')
  })

  it('that is no JSON is refused where it stops being JSON [config-mistake]', async () => {
    const { code, stdout, stderr, path } = await refuse(
      '{\n  "mcpServers": { "a": { "command": "node",, } }\n}',
    )
    expect(code).toBe(1)
    expect(stdout).toBe('')
    expect(stderr).toMatch(startingWith(`${path}:2:44: `, 'not valid JSON'))
  })

  it('that is not there is named [config-missing]', async () => {
    const program = startProgram(gatewayArguments('/nonexistent/mcp.json'))
    expect(await program.ended).toBe(1)
    expect(program.stderr()).toMatch(/there is no file \/nonexistent\/mcp\.json/)
    expect(program.stderr().trim().split('\n')).toHaveLength(1)
  })
})

describe.concurrent('the command line', () => {
  it('means relative paths from where it was called, and servers start there', async ({
    onTestFinished: cleanUp,
  }) => {
    const script = "require('node:fs').writeFileSync('was-here', '')"
    const config = await createConfigFile({ marker: { command: process.execPath, args: ['-e', script] } })
    cleanUp(() => config.remove())
    const env = { SALLYPORT_USER_FOLDER: config.folder }
    const gateway = startProgram(gatewayArguments('mcp.json'), env)
    cleanUp(() => gateway.stop())
    const limit = { timeout: 30_000, interval: 50 }
    await vi.waitFor(() => expect(existsSync(join(config.folder, 'was-here'))).toBe(true), limit)
    const mistaken = startProgram(gatewayArguments('other.json'), env)
    expect(await mistaken.ended).toBe(1)
    expect(mistaken.stderr()).toContain(`there is no file ${join(config.folder, 'other.json')}`)
  })

  it.each([
    { args: [], says: '--config is missing' },
    { args: ['--config', 'x.json', '--port', 'http'], says: '--port http: not a port number' },
    { args: ['--confg', 'x.json'], says: "Unknown option '--confg'" },
  ])('$args is refused [arguments-mistake]', async ({ args, says }) => {
    const [condition, main] = gatewayArguments('')
    const program = startProgram([condition ?? '', main ?? '', ...args])
    expect(await program.ended).toBe(2)
    expect(program.stdout()).toBe('')
    expect(program.stderr()).toContain(says)
  })

  it('a port that is taken is refused [port-taken]', async ({ onTestFinished: cleanUp }) => {
    const holder = createServer().listen(0, '127.0.0.1')
    cleanUp(() => void holder.close())
    await new Promise((resolve) => {
      holder.once('listening', resolve)
    })
    const address = holder.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const config = await createConfigFile({})
    cleanUp(() => config.remove())
    const marker = join(config.folder, 'started')
    const script = `require('node:fs').writeFileSync(${JSON.stringify(marker)}, '')`
    await config.write({ marker: { command: process.execPath, args: ['-e', script] } })
    const program = startProgram(gatewayArguments(config.path, '--port', String(port)))
    expect(await program.ended).toBe(1)
    expect(program.stdout()).toBe('')
    expect(program.stderr()).toContain(`address already in use 127.0.0.1:${port}`)
    expect(existsSync(marker)).toBe(false)
  })
})

async function refuse(text: string) {
  const config = await createConfigFile(text)
  const program = startProgram(gatewayArguments(config.path))
  const code = await program.ended
  await config.remove()
  return { code, stdout: program.stdout(), stderr: program.stderr(), path: config.path }
}

/** A line that begins with the one and goes on to say the other. */
function startingWith(place: string, says: string): RegExp {
  const literal = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${literal(place)}.*${literal(says)}`)
}

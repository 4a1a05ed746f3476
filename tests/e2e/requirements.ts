/** What a user of the gateway can count on. Tests cite it by id, in brackets at the end of their titles. */
export interface Requirement {
  readonly behaviour: string
  /** A section of the specification, or the part of the project that promises it. */
  readonly source: string
}

const legacySpec = 'https://modelcontextprotocol.io/specification/2025-11-25'
const modernSpec = 'https://modelcontextprotocol.io/specification/2026-07-28'
const mainJob = 'main job: a real AI client calls real MCP servers through the gateway'
const gatewayCommand = 'npm run -s gateway -- --config FILE [--port N | --stdio]'
const demoCommand = 'npm run demo'

export const requirements = {
  // Clients
  'client-sdk-v1': {
    behaviour:
      'the SDK v1 client lists and calls tools, over HTTP and stdio, aggregated and on the path of one server',
    source: mainJob,
  },
  'client-sdk-v2-legacy': { behaviour: 'so does the SDK v2 client, with a handshake', source: mainJob },
  'client-sdk-v2-auto': { behaviour: 'so does the SDK v2 client that probes for the era', source: mainJob },
  'client-sdk-v2-modern': { behaviour: 'so does the SDK v2 client pinned to 2026-07-28', source: mainJob },
  'client-inspector-legacy': { behaviour: 'so does mcp-inspector --cli, with a handshake', source: mainJob },
  'client-inspector-auto': { behaviour: 'so does mcp-inspector --cli, probing for the era', source: mainJob },
  'npm-servers': {
    behaviour: 'server-everything, server-filesystem and server-memory from npm answer behind one endpoint',
    source: mainJob,
  },

  // Eras
  'era-preferred': {
    behaviour: 'a client that probes gets the modern era, whatever the servers speak',
    source: `${modernSpec}/basic/versioning`,
  },
  'era-translated': {
    behaviour:
      'a client of the modern era uses servers that only speak the legacy one, and answers their questions',
    source: `${modernSpec}/basic/patterns/mrtr`,
  },
  'era-per-server': {
    behaviour: 'on its own path a server is spoken to in its own era, whatever the others speak',
    source: `${modernSpec}/basic/versioning#backward-compatibility`,
  },
  'era-legacy-on-modern': {
    behaviour:
      'a client of the legacy era uses a server of the modern era: tools, progress, logs, sampling, elicitation, subscriptions',
    source: `${modernSpec}/basic/patterns/mrtr`,
  },

  // What servers send and ask
  progress: {
    behaviour: 'progress of a call reaches the client that called, before the result',
    source: `${legacySpec}/basic/utilities/progress`,
  },
  'asks-sampling': {
    behaviour: "a server's sampling request reaches the client whose call it belongs to",
    source: `${legacySpec}/client/sampling`,
  },
  'asks-elicitation': {
    behaviour: "a server's elicitation request reaches the client whose call it belongs to",
    source: `${legacySpec}/client/elicitation`,
  },
  'asks-roots': {
    behaviour: "a server's request for roots reaches the client whose call it belongs to",
    source: `${legacySpec}/client/roots`,
  },
  'resources-and-prompts': {
    behaviour: 'resources keep their URI and prompts get the prefix of their server',
    source: `${legacySpec}/server/resources`,
  },

  // Isolation
  'dead-server': {
    behaviour: 'a server that cannot be started neither hides nor delays the others',
    source: mainJob,
  },
  'minimal-environment': {
    behaviour: 'a server does not see the environment of the gateway',
    source: mainJob,
  },

  // Configuration
  'config-client-file': {
    behaviour:
      'the mcp.json of a client works as it is: comments, other keys, names with blanks, servers switched off',
    source: gatewayCommand,
  },
  'config-variables': {
    behaviour: 'variables are filled in, in arguments, environment, URL and headers',
    source: gatewayCommand,
  },
  'config-mistake': {
    behaviour:
      'a wrong file ends the gateway with exit code 1 and names file, line, column, key and what was expected',
    source: gatewayCommand,
  },
  'config-secrets': { behaviour: 'no message about the file shows a value from it', source: gatewayCommand },
  'config-missing': {
    behaviour: 'a missing file ends the gateway with exit code 1 and its name',
    source: gatewayCommand,
  },
  'arguments-mistake': {
    behaviour: 'wrong arguments end the gateway with exit code 2 and say what is wrong',
    source: gatewayCommand,
  },
  'port-taken': {
    behaviour: 'a port that is taken ends the gateway with exit code 1, before a server is started',
    source: gatewayCommand,
  },

  // Standard streams
  'ready-line': {
    behaviour: 'over HTTP standard output is one JSON line with the URL',
    source: gatewayCommand,
  },
  'stdio-clean': {
    behaviour: 'with --stdio nothing but messages is written to standard output',
    source: `${legacySpec}/basic/transports#stdio`,
  },
  'stdio-end': {
    behaviour: 'when the client closes its side, open calls are answered, then gateway and servers end',
    source: `${legacySpec}/basic/lifecycle#shutdown`,
  },
  'stdio-one-server': {
    behaviour: 'with --server only that server is started, and a name that is not there is a clear error',
    source: gatewayCommand,
  },

  // Stopping
  'stop-finishes-calls': {
    behaviour: 'SIGTERM lets calls in flight finish, over HTTP and stdio',
    source: mainJob,
  },
  'stop-refuses-new': {
    behaviour: 'while it finishes them the gateway is not ready and takes no new clients',
    source: mainJob,
  },
  'stop-leaves-nothing': { behaviour: 'after SIGTERM and SIGINT no process is left', source: mainJob },
  'killed-leaves-nothing': { behaviour: 'after SIGKILL no process is left', source: mainJob },

  // Reload
  'reload-adds': {
    behaviour: 'a server added to the file can be called, without dropping a call in flight',
    source: gatewayCommand,
  },
  'reload-tells-clients': {
    behaviour:
      'connected clients hear that the tools changed: legacy over HTTP and stdio, modern subscriptions',
    source: `${legacySpec}/server/tools#list-changed-notification`,
  },
  'reload-removes': {
    behaviour: 'a server removed from the file ends after its open calls',
    source: gatewayCommand,
  },
  'reload-mistake': {
    behaviour: 'a file that has become wrong changes nothing and is reported with its line',
    source: gatewayCommand,
  },

  // Demo
  'demo-ends': {
    behaviour: 'the demo shows answers of four servers through one endpoint and ends with exit code 0',
    source: demoCommand,
  },
  'demo-stays': {
    behaviour: 'with --stay it shows the URL and the entry for an mcp.json, and ends when told to',
    source: demoCommand,
  },
  'demo-fails': { behaviour: 'a demo that fails says why and ends with exit code 1', source: demoCommand },
  'demo-leaves-nothing': { behaviour: 'the demo leaves no process and no file', source: demoCommand },
} as const satisfies Readonly<Record<string, Requirement>>

export type RequirementId = keyof typeof requirements

import { type FixtureTool, noArguments, text } from './fixture-tool.ts'

/** Tools that change what the server offers, so that a listener can be watched hearing of it. */
export const changeTools: FixtureTool[] = [
  {
    name: 'test_trigger_tool_change',
    description: 'Announces a change of the tool list',
    inputSchema: noArguments,
    call({ state }) {
      state.announceTools()
      return text('announced')
    },
  },
  {
    name: 'test_trigger_prompt_change',
    description: 'Announces a change of the prompt list',
    inputSchema: noArguments,
    call({ state }) {
      state.announcePrompts()
      return text('announced')
    },
  },
  {
    name: 'change_list',
    description: 'Adds a tool named added_1, added_2, … and announces the change',
    inputSchema: noArguments,
    call({ state }) {
      const name = `added_${state.addedTools.length + 1}`
      state.addTool({
        name,
        description: 'Added while the server was running',
        inputSchema: noArguments,
        call: () => text(name),
      })
      return text(name)
    },
  },
  {
    name: 'touch_resource',
    description: 'Announces an update of a resource to whoever subscribed to it',
    inputSchema: { type: 'object', properties: { uri: { type: 'string' } } },
    async call({ arguments: { uri = 'test://watched-resource' }, state }) {
      await state.announceResource(String(uri))
      return text(String(uri))
    },
  },
]

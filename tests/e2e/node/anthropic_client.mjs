// The official `@anthropic-ai/sdk` package against the server at argv[2]; its model `known` answers with the texts in
// argv[3..4]: what it says, and what it says of a tool's result. Prints one JSON object: check -> "ok" or what failed.

import assert from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'

const [, , baseURL, says, told] = process.argv
const client = new Anthropic({ baseURL, apiKey: 'unused', maxRetries: 0 })
const asked = { model: 'known', max_tokens: 99, messages: [{ role: 'user', content: 'What is the weather in Paris?' }] }
const tools = [
  {
    name: 'get_weather',
    description: 'Get the weather of a city',
    input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
]
const textOf = (message) => message.content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('')

const checks = {
  async message() {
    const reply = await client.messages.create(asked)
    assert.equal(reply.type, 'message')
    assert.equal(textOf(reply), says)
    assert.equal(reply.stop_reason, 'end_turn')
    assert.ok(reply.usage.input_tokens + reply.usage.cache_read_input_tokens > 0)
    assert.ok(reply._request_id)
  },
  async stream() {
    const kinds = []
    for await (const event of await client.messages.create({ ...asked, stream: true })) kinds.push(event.type)
    assert.equal(kinds[0], 'message_start')
    assert.deepEqual(kinds.slice(-3), ['content_block_stop', 'message_delta', 'message_stop'])
  },
  async helper() {
    const stream = client.messages.stream(asked)
    let text = ''
    stream.on('text', (delta) => (text += delta))
    const final = await stream.finalMessage()
    assert.equal(text, says)
    assert.equal(textOf(final), says)
  },
  async tools() {
    const called = await client.messages.stream({ ...asked, tools }).finalMessage()
    assert.equal(called.stop_reason, 'tool_use')
    const call = called.content.find((block) => block.type === 'tool_use')
    assert.deepEqual([call.name, call.input], ['get_weather', { city: 'Paris' }])
    const result = { type: 'tool_result', tool_use_id: call.id, content: 'sunny' }
    const messages = [...asked.messages, { role: 'assistant', content: called.content }, { role: 'user', content: [result] }]
    const reply = await client.messages.create({ ...asked, tools, messages })
    assert.equal(textOf(reply), told)
  },
  async count() {
    const counted = await client.messages.countTokens({ model: 'known', messages: asked.messages, tools })
    const { usage } = await client.messages.create({ ...asked, tools, max_tokens: 1 })
    assert.equal(counted.input_tokens, usage.input_tokens + usage.cache_read_input_tokens)
  },
  async models() {
    const ids = []
    for await (const model of client.models.list({ limit: 1 })) ids.push(model.id)
    assert.ok(ids.includes('known') || ids.includes('known:latest'))
    assert.ok(ids.length > 1)
    assert.equal((await client.models.retrieve('known')).type, 'model')
  },
  async errors() {
    await assert.rejects(client.messages.create({ ...asked, model: 'nope' }), (error) => {
      assert.ok(error instanceof Anthropic.NotFoundError)
      assert.equal(error.error.error.type, 'not_found_error')
      return true
    })
    await assert.rejects(client.messages.create({ ...asked, messages: [] }), Anthropic.BadRequestError)
  },
}

const results = {}
for (const [name, check] of Object.entries(checks)) {
  try {
    await check()
    results[name] = 'ok'
  } catch (error) {
    results[name] = String(error?.stack ?? error)
  }
}
console.log(JSON.stringify(results))

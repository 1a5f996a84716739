// The official `openai` package against the server at argv[2]. Prints one JSON object: check -> "ok" or what failed.

import assert from 'node:assert/strict'
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: 'unused', maxRetries: 0 })
const asked = { model: 'demo', messages: [{ role: 'user', content: 'Hello!' }], temperature: 0 }

const checks = {
  async chat() {
    const reply = await client.chat.completions.create(asked)
    assert.equal(reply.object, 'chat.completion')
    assert.equal(reply.choices[0].message.role, 'assistant')
    assert.ok(reply.choices[0].message.content.length > 0)
    assert.equal(reply.choices[0].finish_reason, 'stop')
    assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)
  },
  async stream() {
    const whole = await client.chat.completions.create(asked)
    const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    const text = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content ?? '').join('')
    assert.equal(text, whole.choices[0].message.content)
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1)
    assert.equal(chunks.at(-1).usage.total_tokens, whole.usage.total_tokens)
  },
  async runner() {
    const runner = client.chat.completions.stream(asked)
    let text = ''
    runner.on('content', (delta) => (text += delta))
    assert.equal(await runner.finalContent(), text)
    assert.ok(text.length > 0)
  },
  async completions() {
    const reply = await client.completions.create({ model: 'demo', prompt: 'one two', max_tokens: 3, temperature: 0 })
    assert.equal(reply.object, 'text_completion')
    assert.ok(reply.usage.completion_tokens <= 3)
  },
  async models() {
    const ids = []
    for await (const model of client.models.list()) ids.push(model.id)
    assert.ok(ids.includes('demo') || ids.includes('demo:latest'))
    assert.equal((await client.models.retrieve('demo')).object, 'model')
  },
  async embeddings() {
    const asked = { model: 'tiny-embed', input: ['the cat', 'a dog'] }
    const reply = await client.embeddings.create(asked)
    const numbers = await client.embeddings.create({ ...asked, encoding_format: 'float' })
    assert.deepEqual(reply.data.map((one) => [...one.embedding]), numbers.data.map((one) => one.embedding))
    assert.equal(reply.data[1].embedding.length, 64)
    assert.ok(reply.usage.prompt_tokens > 0)
  },
  async choices() {
    const reply = await client.chat.completions.create({ ...asked, n: 3, temperature: 2, seed: 1, max_tokens: 8 })
    assert.deepEqual(reply.choices.map((choice) => choice.index), [0, 1, 2])
    assert.equal(reply.usage.completion_tokens_details.reasoning_tokens, 0)
  },
  async responses() {
    const first = await client.responses.create({ model: 'demo', input: 'Hello!', temperature: 0 })
    assert.equal(first.status, 'completed')
    assert.ok(first.output_text.length > 0)
    const stream = client.responses.stream({ model: 'demo', input: 'Hello!', temperature: 0 })
    let text = ''
    stream.on('response.output_text.delta', (event) => (text += event.delta))
    assert.equal((await stream.finalResponse()).output_text, text)
    assert.equal(text, first.output_text)
    const second = await client.responses.create({ model: 'demo', input: 'And?', previous_response_id: first.id })
    assert.ok(second.usage.input_tokens > first.usage.input_tokens)
    assert.equal((await client.responses.retrieve(first.id)).output_text, text)
    await client.responses.delete(first.id)
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError)
  },
  async batches() {
    const body = { ...asked, max_tokens: 4 }
    const line = JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body })
    const file = await client.files.create({ file: new File([line], 'in.jsonl'), purpose: 'batch' })
    const wanted = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' }
    let batch = await client.batches.create(wanted)
    while (!['completed', 'failed'].includes(batch.status)) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      batch = await client.batches.retrieve(batch.id)
    }
    const output = await (await client.files.content(batch.output_file_id)).text()
    assert.equal(JSON.parse(output).response.body.choices.length, 1)
  },
  async errors() {
    await assert.rejects(client.chat.completions.create({ ...asked, model: 'nope' }), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError)
      assert.match(error.message, /nope/)
      return true
    })
    await assert.rejects(client.chat.completions.create({ ...asked, temperature: 'warm' }), OpenAI.BadRequestError)
  },
}

const results = {}
for (const [name, check] of Object.entries(checks)) {
  try {
    await check()
    results[name] = 'ok'
  } catch (error) {
    results[name] = String(error.stack)
  }
}
console.log(JSON.stringify(results))

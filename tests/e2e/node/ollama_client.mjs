// Calls every method of the official `ollama` package, read from the package itself, against the server at argv[2].
// argv: URL, a registry's host:port that this server may push to. Prints one JSON object: method -> "ok" or what failed.

import assert from 'node:assert/strict'
import { Ollama } from 'ollama'

const [url, registry] = process.argv.slice(2)
const client = new Ollama({ host: url })
const hello = [{ role: 'user', content: 'Hello!' }]
const cold = { temperature: 0, num_predict: 12 }
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

async function all(stream) {
  const parts = []
  for await (const part of await stream) parts.push(part)
  return parts
}

async function refused(promise, status, text) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.name, 'ResponseError')
    assert.equal(error.status_code, status)
    assert.match(error.message, text)
    return true
  })
}

const names = async () => (await client.list()).models.map((model) => model.name)

const checks = {
  async version() {
    assert.match((await client.version()).version, /^\d+\.\d+\.\d+/)
  },
  async generate() {
    const whole = await client.generate({ model: 'demo', prompt: 'Hello!', options: cold })
    assert.equal(whole.model, 'demo')
    assert.ok(whole.response.length > 0 && whole.done && whole.eval_count > 0 && whole.total_duration > 0)
    assert.ok(whole.context.length > 0)
    const parts = await all(client.generate({ model: 'demo', prompt: 'Hello!', options: cold, stream: true }))
    assert.ok(parts.length > 2)
    assert.equal(parts.map((part) => part.response).join(''), whole.response)
    assert.deepEqual([...new Set(parts.slice(0, -1).map((part) => part.done))], [false])
    await refused(client.generate({ model: 'nope', prompt: 'x' }), 404, /^model 'nope' not found$/)
  },
  async chat() {
    const whole = await client.chat({ model: 'demo', messages: hello, options: cold })
    assert.equal(whole.message.role, 'assistant')
    assert.ok(whole.message.content.length > 0)
    const parts = await all(client.chat({ model: 'demo', messages: hello, options: cold, stream: true }))
    assert.equal(parts.map((part) => part.message.content).join(''), whole.message.content)
    assert.ok(['stop', 'length'].includes(parts.at(-1).done_reason))
    const called = await client.chat({
      model: 'demo',
      messages: [
        { role: 'user', content: 'What is the weather in Paris?' },
        { role: 'assistant', content: '', tool_calls: [{ function: { name: 'get_weather', arguments: { city: 'Paris' } } }] },
        { role: 'tool', tool_name: 'get_weather', content: 'sunny' },
      ],
      tools: [weather],
      options: cold,
    })
    assert.equal(called.message.role, 'assistant')
    await refused(client.chat({ model: 'nope', messages: hello }), 404, /^model 'nope' not found$/)
  },
  async abort() {
    const stream = await client.generate({ model: 'demo', prompt: 'x', raw: true, stream: true, options: { num_predict: 1500 } })
    const parts = []
    await assert.rejects(async () => {
      for await (const part of stream) {
        parts.push(part)
        if (parts.length === 3) client.abort()
      }
    }, { name: 'AbortError' })
    assert.ok(parts.length >= 3 && !parts.at(-1).done)
  },
  async encodeImage() {
    assert.equal(await client.encodeImage(new Uint8Array([1, 2])), 'AQI=')
    const seen = client.chat({ model: 'demo', messages: [{ role: 'user', content: 'x', images: [new Uint8Array([1, 2])] }] })
    await refused(seen, 400, /does not support vision$/)
  },
  async list() {
    const [demo] = (await client.list()).models.filter((model) => model.name === 'demo:latest')
    assert.equal(demo.details.family, 'llama')
    assert.match(demo.digest, /^[0-9a-f]{64}$/)
    assert.ok(demo.size > 100000 && !Number.isNaN(Date.parse(demo.modified_at)))
  },
  async show() {
    const shown = await client.show({ model: 'demo' })
    assert.equal(shown.model_info['general.architecture'], 'llama')
    assert.ok(shown.capabilities.includes('completion') && shown.template.length > 0)
    await refused(client.show({ model: 'nope' }), 404, /^model 'nope:latest' not found$/)
  },
  async ps() {
    await client.generate({ model: 'demo', prompt: '', keep_alive: '7m' })
    const [demo] = (await client.ps()).models
    assert.equal(demo.name, 'demo:latest')
    assert.ok(demo.size > 0 && demo.context_length > 0 && Date.parse(demo.expires_at) > Date.now())
  },
  async create() {
    const reports = await all(client.create({ model: 'made', from: 'demo', system: 'Be brief.', stream: true }))
    assert.deepEqual(reports.slice(-2).map((report) => report.status), ['writing manifest', 'success'])
    assert.equal((await client.show({ model: 'made' })).system, 'Be brief.')
    const said = await client.chat({ model: 'made', messages: hello, options: cold })
    assert.ok(said.message.content.length > 0)
    assert.equal((await client.create({ model: 'made', from: 'demo', parameters: { temperature: 0 } })).status, 'success')
    await refused(client.create({ model: 'made' }), 400, /^neither 'from' or 'files' was specified$/)
  },
  async copy() {
    assert.deepEqual(await client.copy({ source: 'demo', destination: 'user/copied:v1' }), { status: 'success' })
    assert.ok((await names()).includes('user/copied:v1'))
    await refused(client.copy({ source: 'nope', destination: 'x' }), 404, /^model "nope" not found$/)
  },
  async delete() {
    await client.copy({ source: 'demo', destination: 'gone' })
    assert.deepEqual(await client.delete({ model: 'gone' }), { status: 'success' })
    assert.ok(!(await names()).includes('gone:latest'))
    await refused(client.delete({ model: 'gone' }), 404, /^model 'gone' not found$/)
  },
  async push() {
    const model = `${registry}/library/sent`
    await client.copy({ source: 'demo', destination: model })
    const reports = await all(client.push({ model, insecure: true, stream: true }))
    assert.equal(reports[0].status, 'retrieving manifest')
    assert.equal(reports.at(-1).status, 'success')
    assert.equal((await client.push({ model, insecure: true })).status, 'success')
  },
  async pull() {
    const model = `${registry}/library/sent`
    await client.delete({ model })
    const reports = await all(client.pull({ model, insecure: true, stream: true }))
    assert.equal(reports[0].status, 'pulling manifest')
    assert.equal(reports.at(-1).status, 'success')
    assert.ok((await names()).includes(`${model}:latest`))
    assert.equal((await client.pull({ model, insecure: true })).status, 'success')
    await refused(client.pull({ model: `${registry}/library/nope`, insecure: true }), 500, /^pull model manifest: file does not exist/)
  },
  async embed() {
    const reply = await client.embed({ model: 'tiny-embed', input: ['the cat', 'a dog'] })
    assert.deepEqual(reply.embeddings.map((vector) => vector.length), [64, 64])
    assert.ok(reply.prompt_eval_count > 0)
    await refused(client.embed({ model: 'tiny-embed', input: 'cat '.repeat(99), truncate: false }), 400, /exceeds the context length/)
    await refused(client.embed({ model: 'demo', input: 'x' }), 501, /embed/)
  },
  async embeddings() {
    const reply = await client.embeddings({ model: 'tiny-embed', prompt: 'the cat' })
    const same = await client.embed({ model: 'tiny-embed', input: 'the cat' })
    assert.deepEqual(reply.embedding, same.embeddings[0])
  },
}

// Not ours to answer: routes of ollama.com, and one that Ollama 0.33 does not have.
const elsewhere = ['webSearch', 'webFetch', 'systemone']
const inner = ['constructor', 'processStreamableRequest', 'fileExists']

const methods = new Set()
for (let kind = Ollama.prototype; kind !== Object.prototype; kind = Object.getPrototypeOf(kind)) {
  for (const name of Object.getOwnPropertyNames(kind)) methods.add(name)
}
const results = {}
for (const name of methods) {
  if (inner.includes(name) || elsewhere.includes(name)) continue
  results[name] = 'no check for this method'
}
for (const [name, check] of Object.entries(checks)) {
  if (!methods.has(name)) {
    results[name] = 'the package has no such method'
    continue
  }
  try {
    await check()
    results[name] = 'ok'
  } catch (error) {
    results[name] = String(error.stack)
  }
}
console.log(JSON.stringify(results))
